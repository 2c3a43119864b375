"""Bring what a lane's books say of payouts to what a world file declares; a part of `declare_world`.

What people have decided meanwhile stays: a channel that was closed, a party that was looked into, a rail's fault.
"""

from collections.abc import Iterable

from otcdesk.actions.keep_party import ACCOUNT_TYPES
from otcdesk.actions.tally import Tally
from otcdesk.domain.bank_files import BankAccount
from otcdesk.domain.commands import Moment
from otcdesk.domain.lanes import Fault
from otcdesk.domain.noun import Noun
from otcdesk.domain.parties import Party
from otcdesk.domain.payouts import Channel, PartyProfile, PayoutTerms, Surcharge
from otcdesk.domain.world import Declaration
from otcdesk.domain.world_payouts import DeclaredPayouts, DeclaredPerson
from otcdesk.errors import Code, Refusal


def payout_keys(wanted: Declaration) -> Iterable[tuple[type[Noun], object]]:
    """Name the rows that are about to be found."""
    if wanted.payouts is not None:
        yield PayoutTerms, wanted.payouts.terms.key
        yield Fault, wanted.payouts.fault.key
        yield from ((Channel, channel.id) for channel in wanted.payouts.channels)
    yield from ((Surcharge, row.key) for row in wanted.surcharges)
    yield from ((BankAccount, row.key) for row in wanted.banks)
    for person in wanted.people:
        yield Party, person.id
        yield PartyProfile, person.id


def declare_payouts(tally: Tally, wanted: Declaration, moment: Moment) -> None:
    """Declare how payouts are made; refuses DECLARATION_INVALID where a channel would become another one."""
    if wanted.payouts is not None:
        _keep_terms(tally, wanted.payouts)
    for surcharge in wanted.surcharges:
        tally.keep(tally.books.find(Surcharge, surcharge.key), surcharge)
    for bank in wanted.banks:
        tally.keep(tally.books.find(BankAccount, bank.key), bank)
    for person in wanted.people:
        _keep_person(tally, person, moment)


def _keep_terms(tally: Tally, wanted: DeclaredPayouts) -> None:
    books = tally.books
    tally.keep(books.find(PayoutTerms, wanted.terms.key), wanted.terms)
    if books.find(Fault, wanted.fault.key) is None:
        tally.keep(None, wanted.fault)
    for channel in wanted.channels:
        known = books.find(Channel, channel.id)
        if known is not None:
            if _pays(known) != _pays(channel):
                raise Refusal(Code.DECLARATION_INVALID, f"The channel {channel.id} is declared already, and otherwise.")
            channel = channel.with_(enabled=known.enabled)  # noqa: PLW2901  (the operator decides on it from then on)
        tally.keep(known, channel)


def _pays(channel: Channel) -> tuple[object, ...]:
    """Return what a channel is: payouts that wait were prepared for it."""
    return channel.category, channel.type, channel.country, channel.fiat, channel.rail


def _keep_person(tally: Tally, wanted: DeclaredPerson, moment: Moment) -> None:
    books = tally.books
    known, told = books.find(Party, wanted.id), books.find(PartyProfile, wanted.id)
    party = Party(
        id=wanted.id,
        tenant_id=wanted.tenant_id,
        external_id=wanted.external_id,
        status=wanted.status,
        account_type=ACCOUNT_TYPES[wanted.kind],
        created_at=moment.now,
    )
    tally.keep(known, known.with_(account_type=ACCOUNT_TYPES[wanted.kind]) if known else party)
    profile = PartyProfile(
        party_id=wanted.id,
        tenant_id=wanted.tenant_id,
        kind=wanted.kind,
        details=wanted.details,
        updated_at=told.updated_at if told and _same(told, wanted) else moment.now,
    )
    tally.keep(told, profile)


def _same(told: PartyProfile, wanted: DeclaredPerson) -> bool:
    return (told.kind, told.details) == (wanted.kind, wanted.details)
