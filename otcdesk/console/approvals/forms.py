"""The forms by which orders are decided about, read into commands.

Whoever leaves the rate empty approves at the live rate that the page has shown them, to the digit: nobody is bound to a
rate that they have not seen. If the market has moved meanwhile by more than a little, they are asked to look again.
"""

from decimal import Decimal
from typing import Final
from uuid import UUID

from otcdesk.actions.approve_conversion import ApproveConversion
from otcdesk.actions.requote_conversion import RequoteConversion
from otcdesk.actions.unwind_conversion import RejectConversion
from otcdesk.console.approvals.reads import Decision
from otcdesk.console.fields import rate_of, seconds_of, text_of, units_of
from otcdesk.console.page import ConsoleCall
from otcdesk.errors import Code, Refusal
from otcdesk.money import PRICE_DECIMALS, bps_apart, print_rate, print_units

#: How far the live rate may have moved since the page was made, in ten-thousandths, before somebody looks again.
MOVED_BPS_MAX: Final = 10

_TTL_SECONDS_MAX: Final = 86_400


def approve_command(call: ConsoleCall, decision: Decision, scales: dict[str, int]) -> ApproveConversion:
    """Read an approval.

    Refuses REQUEST_INVALID for what is no rate, and unless an amount that has to be typed was; PRICE_UNAVAILABLE
    without a rate where there is none, RATE_DEVIATES where the live one has moved since it was shown.
    """
    _check_typed(call, decision, scales)
    rate = rate_of(call, "rate")
    if rate is None:
        rate = _shown(call, decision)
    return ApproveConversion(order_id=decision.order.id, rate=rate)


def _shown(call: ConsoleCall, decision: Decision) -> Decimal:
    shown, live = rate_of(call, "shown", PRICE_DECIMALS), decision.live_rate
    if live is None or shown is None:
        raise Refusal(Code.PRICE_UNAVAILABLE, "There is no live price now. Type a rate, or wait for one.")
    if abs(bps_apart(live, shown)) > MOVED_BPS_MAX:
        said = f"The live rate has moved from {print_rate(shown)} to {print_rate(live)}. Look again, and approve again."
        raise Refusal(Code.RATE_DEVIATES, said)
    return shown


def _check_typed(call: ConsoleCall, decision: Decision, scales: dict[str, int]) -> None:
    if decision.typed is None:
        return
    asset, units = decision.typed
    if units_of(call, "typed", scales[asset], required=False) != units:
        wanted = print_units(units, scales[asset])
        raise Refusal(Code.REQUEST_INVALID, f"An amount of this size is confirmed by typing it: {wanted} ({asset}).")


def reject_command(call: ConsoleCall, order_id: UUID) -> RejectConversion:
    """Read a rejection; refuses REQUEST_INVALID without a reason."""
    return RejectConversion(order_id=order_id, reason=text_of(call, "why", "The reason"))


def requote_command(call: ConsoleCall, order_id: UUID) -> RequoteConversion:
    """Read a requote: at a rate, or at the live price; refuses REQUEST_INVALID."""
    return RequoteConversion(
        order_id=order_id,
        rate=rate_of(call, "rate"),
        ttl_seconds=seconds_of(call, "ttl_seconds", _TTL_SECONDS_MAX),
    )
