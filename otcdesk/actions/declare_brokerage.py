"""Bring what a lane's books say of quotes to what a world file declares; a part of `declare_world`.

What people have decided meanwhile stays: an asset that was switched off, an agreement that was accepted.
"""

from collections.abc import Iterable

from otcdesk.actions.tally import Tally
from otcdesk.domain.brokerage import (
    AccountLevel,
    Agreement,
    BrokerageTerms,
    Listing,
    Market,
    Position,
    RevenueShare,
    holding_id,
)
from otcdesk.domain.commands import Moment
from otcdesk.domain.ledger import Account
from otcdesk.domain.noun import Noun
from otcdesk.domain.parties import Party, PartyName
from otcdesk.domain.world import Declaration
from otcdesk.domain.world_brokerage import DeclaredParty
from otcdesk.errors import Code, Refusal


def brokerage_keys(wanted: Declaration) -> Iterable[tuple[type[Noun], object]]:
    """Name the rows that are about to be found."""
    if wanted.brokerage is not None:
        yield BrokerageTerms, wanted.brokerage.settings.key
        for row in (
            *wanted.brokerage.levels,
            *wanted.brokerage.listings,
            *wanted.brokerage.markets,
            *wanted.brokerage.agreements,
        ):
            yield type(row), row.key
    yield from ((RevenueShare, row.key) for row in wanted.revenue_shares)
    for party in wanted.parties:
        yield Party, party.id
        yield PartyName, (party.tenant_id, party.external_id.casefold())
        yield from ((Position, (party.id, row.asset)) for row in party.positions)


def declare_brokerage(tally: Tally, wanted: Declaration, moment: Moment) -> None:
    """Declare what is traded, and for whom; refuses DECLARATION_INVALID where an id would get another meaning."""
    books = tally.books
    if wanted.brokerage is not None:
        tally.keep(books.find(BrokerageTerms, wanted.brokerage.settings.key), wanted.brokerage.settings)
        for listing in wanted.brokerage.listings:
            _keep_listing(tally, listing)
        for level in wanted.brokerage.levels:
            tally.keep(books.find(AccountLevel, level.key), level)
        for market in wanted.brokerage.markets:
            tally.keep(books.find(Market, market.key), market)
        for agreement in wanted.brokerage.agreements:
            _keep_agreement(tally, agreement)
    for share in wanted.revenue_shares:
        tally.keep(books.find(RevenueShare, share.key), share)
    for party in wanted.parties:
        _keep_party(tally, party, moment)


def _keep_listing(tally: Tally, wanted: Listing) -> None:
    known = tally.books.find(Listing, wanted.code)
    if known is None:
        tally.keep(None, wanted)
        return
    if (known.kind, known.number, known.pid) != (wanted.kind, wanted.number, wanted.pid):
        raise Refusal(Code.DECLARATION_INVALID, f"{wanted.code} is listed already, under other ids.")
    tally.keep(known, known.with_(name=wanted.name, asset_group=wanted.asset_group))


def _keep_agreement(tally: Tally, wanted: Agreement) -> None:
    """Keep a document; what somebody may have accepted under its id stays what it was."""
    known = tally.books.find(Agreement, wanted.id)
    if known is not None and _accepted_as(known) != _accepted_as(wanted):
        raise Refusal(
            Code.DECLARATION_INVALID, f"The agreement {wanted.title!r} has changed: give it a name of its own."
        )
    tally.keep(known, wanted)


def _accepted_as(agreement: Agreement) -> tuple[object, ...]:
    return agreement.type, agreement.version, agreement.url, agreement.country, agreement.account_type


def _keep_party(tally: Tally, wanted: DeclaredParty, moment: Moment) -> None:
    books = tally.books
    known = books.find(Party, wanted.id)
    name = PartyName(tenant_id=wanted.tenant_id, name=wanted.external_id.casefold(), party_id=wanted.id)
    named = books.find(PartyName, name.key)
    same = (wanted.tenant_id, wanted.external_id)
    if (named is not None and named.party_id != wanted.id) or (known and (known.tenant_id, known.external_id) != same):
        raise Refusal(Code.DECLARATION_INVALID, f"The external id {wanted.external_id!r} is another party's.")
    if named is None:
        books.add(name)
    accepted = (*(known.accepted_agreement_ids if known else ()), *wanted.agreement_ids)
    party = Party(
        id=wanted.id,
        tenant_id=wanted.tenant_id,
        external_id=wanted.external_id,
        status=wanted.status,
        level_id=wanted.level_id,
        tax_bps=wanted.tax_bps,
        country=wanted.country,
        account_type=wanted.account_type,
        accepted_agreement_ids=tuple(dict.fromkeys(accepted)),
        created_at=known.created_at if known else moment.now,
    )
    if known is not None:  # the operator decides on these from then on
        party = party.with_(
            status=known.status,
            status_before=known.status_before,
            limited=known.limited,
            level_id=known.level_id,
            tax_bps=known.tax_bps,
        )
    tally.keep(known, party)
    for row in wanted.positions:
        if books.find(Account, holding_id(wanted.id, row.asset)) is None:  # what it costs is told with what it is
            books.add(
                Position(
                    party_id=wanted.id,
                    asset=row.asset,
                    fiat=row.fiat,
                    units=row.units,
                    basis_units=row.basis_units,
                )
            )
