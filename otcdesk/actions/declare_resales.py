"""Bring what a lane's books say of resale to what a world file declares; a part of `declare_world`.

What people have decided meanwhile stays: whether an instrument is open, fees, who is verified.
"""

from collections.abc import Iterable

from otcdesk.actions.register_holder import named_holder
from otcdesk.actions.tally import Tally
from otcdesk.domain.commands import Moment
from otcdesk.domain.noun import Noun
from otcdesk.domain.parties import Party, PartyName
from otcdesk.domain.payouts import PartyProfile
from otcdesk.domain.resale_rules import BranchRules
from otcdesk.domain.resales import Branch, Currency, Holder, Instrument, ResaleTerms
from otcdesk.domain.world import Declaration
from otcdesk.domain.world_resales import DeclaredHolder
from otcdesk.errors import Code, Refusal


def resale_keys(wanted: Declaration) -> Iterable[tuple[type[Noun], object]]:
    """Name the rows that are about to be found."""
    if wanted.resale_terms is not None:
        yield ResaleTerms, wanted.resale_terms.key
    for of_tenant in wanted.resales:
        yield from ((Branch, row.id) for row in of_tenant.branches)
        yield from ((BranchRules, row.id) for row in of_tenant.branches)
        yield from ((Currency, row.id) for row in of_tenant.currencies)
        yield from ((Instrument, row.id) for row in of_tenant.instruments)
        for holder in of_tenant.holders:
            yield Party, holder.id
            yield Holder, holder.id
            yield PartyProfile, holder.id
            yield PartyName, named_holder(holder.tenant_id, holder.branch_id, holder.identity_number, holder.id).key


def declare_resales(tally: Tally, wanted: Declaration, moment: Moment) -> None:
    """Declare who resells what; refuses DECLARATION_INVALID where something would become another thing."""
    books = tally.books
    if wanted.resale_terms is not None:
        known = books.find(ResaleTerms, wanted.resale_terms.key)
        tally.keep(known, known or wanted.resale_terms)
    for of_tenant in wanted.resales:
        for branch in of_tenant.branches:
            _keep(tally, books.find(Branch, branch.id), branch, ("tenant_id", "path"), ("name",))
            rules = books.find(BranchRules, branch.id)
            tally.keep(rules, rules or BranchRules(branch_id=branch.id))  # listings look for it, so it is there
        for currency in of_tenant.currencies:
            fresh = currency.with_(created_at=moment.now, updated_at=moment.now)
            _keep(tally, books.find(Currency, currency.id), fresh, ("branch_id", "asset"), ())
        for instrument in of_tenant.instruments:
            issued = instrument.with_(created_at=moment.now, updated_at=moment.now)
            same = ("branch_id", "asset", "currency_id")
            _keep(tally, books.find(Instrument, instrument.id), issued, same, ("name", "description"))
        for holder in of_tenant.holders:
            _keep_holder(tally, holder, moment)


def _keep(tally: Tally, known: Noun | None, wanted: Noun, same: tuple[str, ...], renewed: tuple[str, ...]) -> None:
    """Keep a row that was declared before as it has become, but for what the file renews."""
    if known is None:
        tally.keep(None, wanted)
        return
    for field in same:
        if getattr(known, field) != getattr(wanted, field):
            raise Refusal(
                Code.DECLARATION_INVALID, f"{type(wanted).__name__} {wanted.key} has another {field} already."
            )
    tally.keep(known, known.with_(**{field: getattr(wanted, field) for field in renewed}))


def _keep_holder(tally: Tally, wanted: DeclaredHolder, moment: Moment) -> None:
    books = tally.books
    known = books.find(Holder, wanted.id)
    holder = Holder(party_id=wanted.id, tenant_id=wanted.tenant_id, branch_id=wanted.branch_id)
    if known is not None:
        _keep(tally, known, holder, ("tenant_id", "branch_id"), ())
        return
    name = named_holder(wanted.tenant_id, wanted.branch_id, wanted.identity_number, wanted.id)
    if books.find(PartyName, name.key) is not None or books.find(Party, wanted.id) is not None:
        raise Refusal(Code.DECLARATION_INVALID, f"There is a party with the number {wanted.identity_number!r} already.")
    tally.keep(None, name)
    tally.keep(None, holder)
    tally.keep(
        None,
        Party(
            id=wanted.id,
            tenant_id=wanted.tenant_id,
            external_id=wanted.identity_number,
            status=wanted.status,
            created_at=moment.now,
        ),
    )
    profile = PartyProfile(
        party_id=wanted.id,
        tenant_id=wanted.tenant_id,
        kind="individual",
        details=wanted.details,
        updated_at=moment.now,
    )
    tally.keep(None, profile)
