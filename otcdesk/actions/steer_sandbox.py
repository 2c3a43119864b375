"""Steer a sandbox: its business clock and the faults of its simulated rails."""

from datetime import UTC, datetime

from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.conversions import ConversionTerms
from otcdesk.domain.lanes import ONLY, Fault, FaultMode, LaneClock


class SetClock(Command, frozen=True, kw_only=True):
    """Move the lane's business time by an offset from the machine's, or let it stand still."""

    offset_ms: int
    frozen_at: datetime | None


class SetFault(Command, frozen=True, kw_only=True):
    """Say how a simulated rail behaves from now on; see `domain.lanes.Fault`."""

    rail: str
    mode: FaultMode
    delay_ms: int
    reason: str = ""
    percent: int = 100
    price_bps: int = 0


class SetDebitSettlement(Command, frozen=True, kw_only=True):
    """Let a buy's debit settle by itself after a while, or (None) only when somebody says so."""

    after_ms: int | None


class Steered(Reply, frozen=True, kw_only=True):
    """The command was carried out."""


def set_clock(command: SetClock, books: Books, moment: Moment) -> Steered:  # noqa: ARG001  (an action's shape)
    """Set the lane's clock. Set back, business time repeats; the order of the chain and of events does not."""
    frozen_at = command.frozen_at and command.frozen_at.astimezone(UTC)
    clock = LaneClock(offset_ms=command.offset_ms, frozen_at=frozen_at)
    (books.put if books.find(LaneClock, ONLY) else books.add)(clock)
    return Steered()


def set_fault(command: SetFault, books: Books, moment: Moment) -> Steered:  # noqa: ARG001  (an action's shape)
    """Set a simulated rail's behaviour."""
    fault = Fault(
        rail=command.rail,
        mode=command.mode,
        delay_ms=command.delay_ms,
        reason=command.reason,
        percent=command.percent,
        price_bps=command.price_bps,
    )
    (books.put if books.find(Fault, command.rail) else books.add)(fault)
    return Steered()


def set_debit_settlement(command: SetDebitSettlement, books: Books, moment: Moment) -> Steered:  # noqa: ARG001  (an action's shape)
    """Set how debits settle for orders confirmed from now on."""
    terms = books.find(ConversionTerms, ONLY)
    if terms is None:
        books.add(ConversionTerms(debit_settles_after_ms=command.after_ms))
    else:
        books.put(terms.with_(debit_settles_after_ms=command.after_ms))
    return Steered()
