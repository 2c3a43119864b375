"""The forms of the panel, read into what the sandbox's own routes take: what may be asked there may be asked here."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from otcdesk.actions.publish_price import PublishPrice
from otcdesk.actions.steer_sandbox import SetClock, SetDebitSettlement, SetFault
from otcdesk.api import steering
from otcdesk.api.payout_ends import PayoutRequest
from otcdesk.api.simulated_deposits import ChainDepositRequest, FiatDepositRequest
from otcdesk.console.fields import TEXT_LENGTH_MAX, rate_of, text_of, time_of, whole_of
from otcdesk.console.page import ConsoleCall
from otcdesk.domain.lanes import LaneClock
from otcdesk.errors import Code, Refusal

T = TypeVar("T")

#: A fault's delay and how long a price stays good are bounded as on the sandbox's routes.
_DELAY_MS_MAX, _STALE_MS_MAX = 600_000, 86_400_000

_MINUTES_MAX = 999_999_999
_BPS_LEAST, _BPS_MOST = -9_999, 100_000


def clock_command(call: ConsoleCall, current: LaneClock) -> SetClock:
    """Return the command that steers the clock as the button pressed says; refuses REQUEST_INVALID."""
    asked = _ASKED.get(call.field("how"), _nothing)(call)
    return steering.clock_command(current, call.desk.clock.now(), _read({**asked}, steering.ClockRequest))


def _nothing(call: ConsoleCall) -> Mapping[str, Any]:  # noqa: ARG001  (one of a table)
    raise Refusal(Code.REQUEST_INVALID, "Press one of the buttons.")


def _set(call: ConsoleCall) -> Mapping[str, Any]:
    moment = time_of(call.field("time"))
    if moment is None:
        raise Refusal(Code.REQUEST_INVALID, "Give a time, in UTC.")
    return {"set": moment}


def _advance(call: ConsoleCall) -> Mapping[str, Any]:
    minutes = whole_of(call, "minutes", "The number of minutes", least=1, most=_MINUTES_MAX)
    return {"advanceSeconds": 60 * (minutes or 0)}


_ASKED = {
    "freeze": lambda _: {"frozen": True},
    "run": lambda _: {"frozen": False},
    "reset": lambda _: {"reset": True},
    "set": _set,
    "advance": _advance,
}


def price_command(call: ConsoleCall) -> PublishPrice:
    """Return the command that publishes a rate; refuses REQUEST_INVALID."""
    asked = {
        "sourceAsset": call.field("source_asset"),
        "destinationAsset": call.field("destination_asset"),
        "rate": format(rate_of(call, "rate") or 0, "f"),
        "staleAfterMs": whole_of(call, "stale_after_ms", "The number of milliseconds", most=_STALE_MS_MAX),
    }
    return steering.price_command(_read(asked, steering.PriceRequest))


def fault_command(call: ConsoleCall) -> SetFault:
    """Return the command that makes a part of the outside fail; refuses REQUEST_INVALID."""
    asked = {
        "rail": call.field("rail"),
        "mode": call.field("mode"),
        "delayMs": whole_of(call, "delay_ms", "The delay", most=_DELAY_MS_MAX) or 0,
        "percent": _or(whole_of(call, "percent", "The share of requests", most=100), 100),
        "reason": text_of(call, "reason", "The reason", required=False, length_max=200) or None,
        "priceBps": _signed(call.field("price_bps")),
    }
    return steering.fault_command(_read(asked, steering.FaultRequest))


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


def _signed(text: str) -> int:
    """Return ten-thousandths that may be negative, 0 for an empty text; refuses REQUEST_INVALID."""
    digits = text.removeprefix("-")
    if not text:
        return 0
    if digits.isascii() and digits.isdigit() and len(digits) <= len(str(_BPS_MOST)):
        found = int(text)
        if _BPS_LEAST <= found <= _BPS_MOST:
            return found
    raise Refusal(Code.REQUEST_INVALID, f"The price is off by {_BPS_LEAST} to {_BPS_MOST} ten-thousandths.")


def debit_command(call: ConsoleCall) -> SetDebitSettlement:
    """Return the command that says how debits settle; refuses REQUEST_INVALID."""
    delay_ms = whole_of(call, "delay_ms", "The delay", most=_DELAY_MS_MAX) or 0
    body = _read({"mode": call.field("mode"), "delayMs": delay_ms}, steering.DebitSettlementRequest)
    return steering.debit_settlement_command(body)


def chain_deposit(call: ConsoleCall) -> ChainDepositRequest:
    """Return what arrives on a chain; refuses REQUEST_INVALID."""
    asked = {
        "tenant": text_of(call, "tenant", "The tenant", length_max=200),
        "customer": text_of(call, "customer", "The party", required=False, length_max=200) or None,
        "asset": call.field("asset"),
        "network": call.field("network"),
        "amount": call.field("amount"),
    }
    return _read(asked, ChainDepositRequest)


def fiat_deposit(call: ConsoleCall) -> FiatDepositRequest:
    """Return what arrives at a bank; refuses REQUEST_INVALID."""
    asked = {
        "destination": text_of(call, "destination", "Where it arrives", length_max=200),
        "fiat": call.field("asset"),
        "amount": call.field("amount"),
        "reference": text_of(call, "reference", "The reference", required=False, length_max=200) or None,
        "sender": text_of(call, "sender", "The sender", required=False, length_max=200) or None,
    }
    return _read(asked, FiatDepositRequest)


def payout_end(call: ConsoleCall) -> PayoutRequest:
    """Return how a payout ends; refuses REQUEST_INVALID."""
    reason = text_of(call, "reason", "The reason", required=False, length_max=TEXT_LENGTH_MAX)
    return _read({"outcome": call.field("outcome"), "reason": reason or None}, PayoutRequest)


def _read(asked: Mapping[str, Any], kind: type[T]) -> T:
    """Return what is asked for in the shape of the sandbox's routes; refuses REQUEST_INVALID for what they would."""
    try:
        return msgspec.convert(asked, kind)
    except msgspec.ValidationError:
        raise Refusal(Code.REQUEST_INVALID, "A field of this form is missing, or cannot be taken as it is.") from None
