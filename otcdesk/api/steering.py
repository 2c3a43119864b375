"""How a sandbox is steered, by its routes and by its panel: clock, prices, faults and debits, as they are asked for."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from otcdesk.actions.publish_price import PublishPrice, SwitchFeed
from otcdesk.actions.steer_sandbox import SetClock, SetDebitSettlement, SetFault
from otcdesk.api.dialect import Call
from otcdesk.api.wire import KEPT_TEXT, AssetCode
from otcdesk.clock import milliseconds_between
from otcdesk.domain.brokerage import FAILURES
from otcdesk.domain.lanes import FaultMode, LaneClock
from otcdesk.domain.payouts import PAYOUT_RAIL
from otcdesk.domain.pricing import Price
from otcdesk.errors import Code, Refusal
from otcdesk.money import parse_rate
from otcdesk.rails.simulated.custody import CHAIN, FIAT
from otcdesk.rails.simulated.venue import VENUE

DelayMs = Annotated[int, Meta(ge=0, le=600_000)]
#: Business time may be moved this far from the machine's, both ways.
_YEARS_MAX = timedelta(days=36_525)


class ClockRequest(msgspec.Struct, kw_only=True):
    """How to steer business time: go to a time, go on by a while, stand still or run; or be as the machine's."""

    set: datetime | None = None
    advanceSeconds: Annotated[int, Meta(ge=0, le=3_155_760_000)] = 0  # noqa: N815  (wire name)
    advanceMs: Annotated[int, Meta(ge=0, le=3_155_760_000_000)] = 0  # noqa: N815
    frozen: bool | None = None
    reset: bool = False


class PriceRequest(msgspec.Struct, kw_only=True):
    """What the simulated feed sees from now on."""

    sourceAsset: AssetCode  # noqa: N815
    destinationAsset: AssetCode  # noqa: N815
    rate: Annotated[str, Meta(max_length=64)]
    staleAfterMs: Annotated[int, Meta(ge=0, le=86_400_000)] | None = None  # noqa: N815


class FaultRequest(msgspec.Struct, kw_only=True):
    """How a part of the outside behaves from now on; `price` knows only up and unavailable.

    `percent` of all requests meet this, the others find the rail as it should be; a request that is repeated meets the
    same again. `reason`: why the venue refuses, one of the contract's words, or why the payout provider does, in any.
    For `venue` only: `priceBps`, how far its price is from the market's, in ten-thousandths. For `payout` only: the
    mode `pending`, in which it takes payouts and is told how each ends. Its delay is of the world's own time.
    """

    rail: Literal["balance", "chain", "fiat", "payout", "price", "tax", "venue"]
    mode: FaultMode = "up"
    delayMs: DelayMs = 0  # noqa: N815
    percent: Annotated[int, Meta(ge=0, le=100)] = 100
    reason: Annotated[str, Meta(min_length=1, max_length=200, pattern=KEPT_TEXT)] | None = None
    priceBps: Annotated[int, Meta(gt=-10_000, le=100_000)] = 0  # noqa: N815


class DebitSettlementRequest(msgspec.Struct, kw_only=True):
    """Whether a buy's debit settles by itself, and how long after its confirm."""

    mode: Literal["automatic", "manual"]
    delayMs: DelayMs = 0  # noqa: N815


def clock_command(current: LaneClock, machine_now: datetime, body: ClockRequest) -> SetClock:
    """Return the command that steers a clock; refuses REQUEST_INVALID for times out of reach."""
    if body.reset:
        return SetClock(offset_ms=0, frozen_at=None)
    try:
        time = _aware(body.set) if body.set is not None else current.business_time(machine_now)
        time += timedelta(seconds=body.advanceSeconds, milliseconds=body.advanceMs)
    except OverflowError:  # a time at the calendar's end, in another zone or moved on
        raise _too_far() from None
    if abs(time - machine_now) > _YEARS_MAX:
        raise _too_far()
    frozen = body.frozen if body.frozen is not None else current.frozen_at is not None
    return SetClock(offset_ms=milliseconds_between(machine_now, time), frozen_at=time if frozen else None)


def _too_far() -> Refusal:
    return Refusal(Code.REQUEST_INVALID, "The clock may be moved by at most a hundred years.")


def _aware(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def price_command(body: PriceRequest) -> PublishPrice:
    """Return the command that publishes a rate."""
    rate = parse_rate(body.rate)
    if rate is None:
        raise Refusal(Code.REQUEST_INVALID, "The rate must be a positive decimal with at most 6 places.")
    return PublishPrice(
        source_asset=body.sourceAsset,
        destination_asset=body.destinationAsset,
        rate=rate,
        feed="sandbox",
        stale_after_ms=body.staleAfterMs,
    )


def fault_command(body: FaultRequest) -> SetFault:
    """Return the command that sets a rail's behaviour."""
    if body.mode == "refuse" and body.rail not in {CHAIN, FIAT, VENUE, PAYOUT_RAIL}:
        raise Refusal(Code.REQUEST_INVALID, "Only transfers, executions and payouts can be refused.")
    if body.mode == "pending" and body.rail != PAYOUT_RAIL:
        raise Refusal(Code.REQUEST_INVALID, "Only payouts can stay pending.")
    if body.rail == VENUE and body.reason is not None and body.reason not in FAILURES:
        raise Refusal(Code.REQUEST_INVALID, f"The venue's reason must be one of {', '.join(FAILURES)}.")
    if (body.rail not in {VENUE, PAYOUT_RAIL} and body.reason is not None) or (body.rail != VENUE and body.priceBps):
        raise Refusal(Code.REQUEST_INVALID, "Only the venue and payouts have a reason, and only the venue a price.")
    return SetFault(
        rail=body.rail,
        mode=body.mode,
        delay_ms=body.delayMs,
        reason=body.reason or "",
        percent=body.percent,
        price_bps=body.priceBps,
    )


def price_is_up(body: FaultRequest) -> bool:
    """Tell whether prices are to be had from now on; refuses REQUEST_INVALID for what prices cannot do."""
    wanted = FaultRequest(rail=body.rail, mode=body.mode, delayMs=body.delayMs)
    if body.mode not in {"up", "unavailable"} or body != wanted:
        raise Refusal(Code.REQUEST_INVALID, "Prices can only be up or unavailable.")
    return body.mode == "up"


def debit_settlement_command(body: DebitSettlementRequest) -> SetDebitSettlement:
    """Return the command that sets how debits settle."""
    return SetDebitSettlement(after_ms=body.delayMs if body.mode == "automatic" else None)


async def switch_feeds(call: Call, *, up: bool, why: str = "") -> None:
    """Switch the feed of every pair of the caller's lane off or on."""
    for price in await call.desk.reads.rows("lanes", "prices", Price, call.caller.lane):
        command = SwitchFeed(source_asset=price.source_asset, destination_asset=price.destination_asset, up=up)
        await call.submit(command, why=why)
