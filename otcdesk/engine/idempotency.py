"""At most once: what a command's key means, read from the policy in the command's row of the catalogue."""

import hashlib
from typing import Any

import msgspec

from otcdesk.domain.commands import Books, Command, Moment, Replay, Reply
from otcdesk.domain.keys import DONE, KeyRecord
from otcdesk.engine.queue import Ticket
from otcdesk.errors import Code, Refusal

_encode = msgspec.json.Encoder().encode


class _KeptRefusal(msgspec.Struct):
    detail: str
    facts: dict[str, Any]


def fingerprint(command: Command) -> str:
    """Return what tells this command's kind, and what its caller decided, from any other's."""
    return hashlib.sha256(type(command).__name__.encode() + _encode(command.compared)).hexdigest()


def record_key(ticket: Ticket) -> tuple[type[KeyRecord], Any]:
    """Return where the books keep what was answered under a ticket's key."""
    return KeyRecord, (ticket.owner_id, ticket.verb.policy.scope, ticket.key)


def replay(ticket: Ticket, record: KeyRecord, books: Books, moment: Moment) -> Reply:
    """Answer a key that was used before.

    Refuses, in this order: whom its verb does not permit, KEY_REUSED, again what was refused then.
    """
    verb = ticket.verb
    if verb.permits is not None:
        verb.permits(ticket.command, books, moment)
    if verb.policy.compares_body and record.fingerprint != ticket.fingerprint:
        raise Refusal(Code.KEY_REUSED)
    if record.outcome != DONE:
        kept = msgspec.json.decode(record.answer, type=_KeptRefusal)
        raise Refusal(Code[record.outcome], kept.detail, **kept.facts)
    stored = msgspec.json.decode(record.answer, type=verb.reply)
    if verb.policy.replay is Replay.CURRENT:
        if verb.current is None:
            raise AssertionError(f"{verb.name} replays its current state but names no function for it")
        return verb.current(ticket.command, stored, books, moment)
    return stored


def record_of(ticket: Ticket, moment: Moment, answer: Reply | Refusal) -> KeyRecord:
    """Return what will be answered under this ticket's key from now on."""
    refused = isinstance(answer, Refusal)
    told = _KeptRefusal(answer.detail, answer.facts) if isinstance(answer, Refusal) else answer.remembered
    return KeyRecord(
        owner_id=ticket.owner_id,
        scope=ticket.verb.policy.scope or "",
        idempotency_key=ticket.key or "",
        fingerprint=ticket.fingerprint,
        outcome=answer.code.name if refused else DONE,  # type: ignore[union-attr]
        answer=_encode(told).decode(),
        used_at=moment.now,
    )
