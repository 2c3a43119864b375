"""Decide a batch: every ticket in turn on the same books, in memory, without waiting for anything.

Each ticket sees what those before it did. One that refuses or breaks leaves nothing behind. What comes out is each
ticket's answer and, in the working set, the rows to be saved.
"""

from datetime import datetime
from typing import Any

import msgspec
import structlog

from otcdesk.domain.acts import Act, InPerson
from otcdesk.domain.commands import Moment, Reply
from otcdesk.domain.keys import DONE, KeyRecord
from otcdesk.domain.lanes import ONLY, LaneClock
from otcdesk.engine.books import RowKey, Unread, WorkingSet
from otcdesk.engine.idempotency import record_key, record_of, replay
from otcdesk.engine.queue import Ticket
from otcdesk.errors import Code, Refusal

log = structlog.get_logger()

_encode = msgspec.json.Encoder().encode

Answer = Reply | Refusal


class Decided(msgspec.Struct, frozen=True):
    """The answers of a batch in its tickets' order, what to note of it, and rows that must be read first, if any.

    `audited`: something was refused that goes into the chain even if no row is written.
    """

    answers: list[Answer]
    notes: list[Any]
    unread: set[RowKey]
    audited: bool


def decide(tickets: list[Ticket], books: WorkingSet, machine_now: datetime, *, read_keys: bool) -> Decided:
    """Decide every ticket; with `read_keys` no ticket is decided before its key was read."""
    answers: list[Answer] = []
    notes: list[Any] = []
    unread: set[RowKey] = set()
    audited = False
    books.restart()
    for ticket in tickets:
        try:
            answer: Answer = _decide_one(ticket, books, machine_now, read_keys=read_keys)
            books.keep()
        except Refusal as refusal:
            books.discard()
            answer = refusal
        except Unread as more:
            books.discard()
            unread |= more.keys
            continue
        except Exception:
            books.discard()
            log.exception("command_crashed", command=ticket.verb.name, request_id=ticket.request_id)
            answer = Refusal(Code.CRASHED, request_id=ticket.request_id)
        answers.append(answer)
        outcome = answer.code.name if isinstance(answer, Refusal) else DONE
        audited |= outcome != DONE and ticket.verb.policy.audits_refusals
        notes.append((ticket.verb.name, ticket.caller, ticket.request_id, outcome))
    return Decided(answers, notes, unread, audited)


def _decide_one(ticket: Ticket, books: WorkingSet, machine_now: datetime, *, read_keys: bool) -> Reply:
    clock = books.find(LaneClock, ONLY) or LaneClock()
    moment = Moment(
        now=clock.business_time(machine_now),
        arrived_at=clock.business_time(ticket.arrived_at),
        command_id=ticket.command_id,
        caller=ticket.caller,
        owner_id=ticket.owner_id,
        in_person=ticket.in_person,
    )
    if ticket.key is None:
        return _acted(ticket, books, moment)
    return _decide_keyed(ticket, books, moment, read_keys=read_keys)


def _acted(ticket: Ticket, books: WorkingSet, moment: Moment) -> Reply:
    """Let the action decide; what was carried out for an operator is written down as theirs."""
    verb, asked = ticket.verb, moment.in_person
    if asked is not None and asked.duties is not None and verb.duty not in asked.duties:
        raise Refusal(Code.DUTY_MISSING, duty=verb.duty)
    if verb.admits is not None:
        verb.admits(ticket.command, books, moment)
    reply = verb.action(ticket.command, books, moment)
    if asked is not None:
        books.add(act_of(ticket, moment, asked))
    return reply


def act_of(ticket: Ticket, moment: Moment, asked: InPerson) -> Act:
    """Return what is kept of a command that an operator asked for."""
    return Act(
        id=ticket.command_id,
        verb=ticket.verb.name,
        content=_encode(ticket.command).decode(),
        subject_id=ticket.command.subject_id,
        caller=ticket.caller,
        address=asked.address,
        why=asked.why,
        request_id=ticket.request_id,
        happened_at=moment.now,
    )


def _decide_keyed(ticket: Ticket, books: WorkingSet, moment: Moment, *, read_keys: bool) -> Reply:
    key = record_key(ticket)
    if read_keys:
        books.want(key)
    if books.knows(key):
        used: KeyRecord | None = books.find(*key)
        if used is not None:
            return replay(ticket, used, books, moment)
    try:
        reply = _acted(ticket, books, moment)
    except Refusal as refusal:
        books.want(key)  # a refusal may only stand once it is known that the key was never used
        books.discard()
        if ticket.verb.policy.keeps_refusals and not refusal.code.retry_may_help:
            books.add(record_of(ticket, moment, refusal))
            books.keep()
        raise
    books.add(record_of(ticket, moment, reply))
    return reply
