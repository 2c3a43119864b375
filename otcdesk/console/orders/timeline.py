"""The story of one order: everything that happened to it, in the order of time, as moments of one shape."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import Final
from uuid import UUID

import msgspec

from otcdesk.actions.note_act import NoteAct, note_act
from otcdesk.console.orders.order_page import Callback, ChainSend, OrderPage
from otcdesk.console.orders.states import words
from otcdesk.domain.acts import Act
from otcdesk.domain.events import Event
from otcdesk.domain.jobs import Job
from otcdesk.domain.ledger import Entry, Hold, LedgerTransaction
from otcdesk.domain.proposals import Proposal

# Kinds of moments, in the order in which those of one time are told: what was asked, what it led to, what follows.
ACT: Final = "act"
PROPOSAL: Final = "proposal"
EVENT: Final = "event"
HOLD: Final = "hold"
LEDGER: Final = "ledger"
JOB: Final = "job"
CHAIN: Final = "chain"
BANK: Final = "bank"
CALLBACK: Final = "callback"
MOMENT_KINDS: Final = (ACT, PROPOSAL, EVENT, HOLD, LEDGER, JOB, CHAIN, BANK, CALLBACK)


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """An amount of a moment, in smallest units: signed for an entry, which has the balance after it as well."""

    units: int
    asset: str
    account_id: UUID | None = None
    account: str | None = None
    balance_after: int | None = None


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened: when, of which kind, in a few words, by whom, and with which amounts.

    `id` is of what it is about: an event's is the order's version, a hold's, a transaction's or a delivery's their own.
    """

    at: datetime
    kind: str
    title: str
    who: str | None = None
    detail: str | None = None
    amounts: tuple[Figure, ...] = ()
    id: str = ""


def timeline(page: OrderPage) -> list[Moment]:
    """Return everything that happened to an order, oldest first."""
    moments = chain(
        (_act(page, place) for place in range(len(page.whole.acts))),
        chain.from_iterable(_proposed(one) for one in page.whole.proposals),
        (_event(page, one) for one in page.whole.events),
        chain.from_iterable(_held(page, one) for one in page.whole.holds),
        _booked(page),
        chain.from_iterable(_worked(page, one) for one in page.whole.jobs),
        chain.from_iterable(_sent(one) for one in page.whole.sends),
        _bank(page),
        chain.from_iterable(_told(one) for one in page.whole.deliveries),
    )
    return sorted(moments, key=lambda moment: moment.at)  # stable: kinds of one time stay in their order


def _act(page: OrderPage, place: int) -> Moment:
    act = page.whole.acts[place]
    return Moment(
        at=act.happened_at,
        kind=ACT,
        title=_done(act),
        who=act.caller,
        detail=act.why or None,
        id=str(act.id),
    )


def _done(act: Act) -> str:
    """Return what an act was; of one that is only noted, what the note says."""
    if act.verb != note_act.__name__:
        return words(act.verb)
    return msgspec.json.decode(act.content, type=NoteAct).what


def _proposed(proposal: Proposal) -> Iterator[Moment]:
    yield Moment(
        at=proposal.proposed_at,
        kind=PROPOSAL,
        title=f"proposed: {words(proposal.verb)}",
        who=proposal.proposed_by,
        detail=proposal.why or None,
        id=str(proposal.id),
    )
    if proposal.decided_at is not None:
        yield Moment(
            at=proposal.decided_at,
            kind=PROPOSAL,
            title=f"proposal {words(proposal.state)}: {words(proposal.verb)}",
            who=proposal.decided_by,
            detail=proposal.decided_why or None,
            id=str(proposal.id),
        )


def _event(page: OrderPage, event: Event) -> Moment:
    figures: tuple[Figure, ...] = ()
    if isinstance(event.destination_units, int):
        figures = (Figure(units=event.destination_units, asset=page.order.destination_asset),)
    return Moment(
        at=event.happened_at,
        kind=EVENT,
        title=f"{words(event.name.partition('.')[2])}, now {words(event.state)}",
        who=event.caller,
        detail=event.detail,
        amounts=figures,
        id=str(event.order_version),
    )


def _held(page: OrderPage, hold: Hold) -> Iterator[Moment]:
    name = page.account_names.get(hold.account_id)
    figure = Figure(units=hold.units, asset=_asset(page, hold.account_id), account_id=hold.account_id, account=name)
    yield Moment(at=hold.placed_at, kind=HOLD, title="hold placed", amounts=(figure,), id=str(hold.id))
    if hold.ended_at is not None:
        yield Moment(at=hold.ended_at, kind=HOLD, title=f"hold {hold.state}", amounts=(figure,), id=str(hold.id))


def _booked(page: OrderPage) -> Iterator[Moment]:
    entries: dict[UUID, list[Entry]] = defaultdict(list)
    for entry in page.whole.entries:
        entries[entry.transaction_id].append(entry)
    for transaction in page.whole.transactions:
        yield _transaction(page, transaction, entries[transaction.id])


def _transaction(page: OrderPage, transaction: LedgerTransaction, entries: list[Entry]) -> Moment:
    return Moment(
        at=transaction.booked_at,
        kind=LEDGER,
        title=f"booked: {transaction.reason}",
        who=transaction.caller,
        detail=transaction.reference,
        amounts=tuple(
            Figure(
                units=entry.units,
                asset=_asset(page, entry.account_id),
                account_id=entry.account_id,
                account=page.account_names.get(entry.account_id),
                balance_after=entry.balance_after,
            )
            for entry in entries
        ),
        id=str(transaction.id),
    )


def _worked(page: OrderPage, job: Job) -> Iterator[Moment]:
    source, destination = (page.account_names.get(one) for one in (job.source_account_id, job.destination_account_id))
    figure = Figure(units=job.units, asset=job.asset, account_id=job.destination_account_id, account=destination)
    yield Moment(
        at=job.created_at,
        kind=JOB,
        title=f"job to {words(job.kind)}",
        who=job.caller,
        detail=f"from {source}" if source else None,
        amounts=(figure,),
        id=str(job.id),
    )
    if job.version > 1:
        yield Moment(
            at=job.updated_at,
            kind=JOB,
            title=f"job to {words(job.kind)} is {words(job.state)}",
            detail=job.error or job.hash,
            id=str(job.id),
        )


def _sent(send: ChainSend) -> Iterator[Moment]:
    yield Moment(
        at=send.recorded_at,
        kind=CHAIN,
        title=f"{send.purpose} on {send.network}",
        detail=", ".join(send.hashes) or None,
        id=send.reference,
    )
    if send.ended_at is not None:
        title = f"{send.purpose} on {send.network} {send.outcome}"
        yield Moment(at=send.ended_at, kind=CHAIN, title=title, detail=send.detail or None, id=send.reference)


def _bank(page: OrderPage) -> Iterator[Moment]:
    for entry in page.whole.statement_lines:
        yield Moment(
            at=entry.imported_at,
            kind=BANK,
            title=f"{entry.direction} on the bank's statement of {entry.booked_on}",
            who=entry.resolved_by,
            detail=entry.bank_reference,
            id=str(entry.id),
        )


def _told(callback: Callback) -> Iterator[Moment]:
    yield Moment(
        at=callback.created_at,
        kind=CALLBACK,
        title=f"{callback.event_type} to be told",
        detail=callback.url,
        id=str(callback.id),
    )
    for attempt in callback.made:
        answer = f"answered {attempt.response_status}" if attempt.response_status else "no answer"
        yield Moment(
            at=attempt.attempted_at,
            kind=CALLBACK,
            title=f"{callback.event_type}, attempt {attempt.number}: {answer}",
            detail=attempt.error or callback.url,
            id=str(callback.id),
        )


def _asset(page: OrderPage, account_id: UUID) -> str:
    return next(one.account.asset for one in page.whole.accounts if one.account.id == account_id)
