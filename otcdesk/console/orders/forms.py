"""The forms of the pages of orders, read: what the blotter is asked for, and what is to be done about one order.

Everything comes from an address or a form that anybody can write, so each field is refused with a sentence or read into
a clean value.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from otcdesk.actions.adjust_payout import AdjustPayout
from otcdesk.actions.record_deposit import ConcludeDeposit
from otcdesk.actions.record_payout import RecordReturn
from otcdesk.actions.requote_conversion import RequoteConversion
from otcdesk.actions.review_payout import CancelPayout, HoldPayout, ReleasePayout
from otcdesk.actions.settle_payout import SettlePayout
from otcdesk.actions.take_resale import TakeResale
from otcdesk.actions.unwind_conversion import RejectConversion, SettleDebit
from otcdesk.actions.withdraw_resale import CloseResale
from otcdesk.console.approvals.forms import reject_command, requote_command
from otcdesk.console.fields import beginning_of, day_of, named_id, text_of, units_of
from otcdesk.console.orders.filters import Filters
from otcdesk.console.orders.order_page import OrderPage
from otcdesk.console.orders.states import KINDS, PLACES
from otcdesk.console.page import ConsoleCall
from otcdesk.domain.deposits import FAILED, REFUNDED, SETTLED
from otcdesk.domain.payouts import CREDIT, DEBIT
from otcdesk.domain.resales import Mandate
from otcdesk.errors import Code, Refusal

PRODUCTS: Final = tuple(sorted({place.product for place in PLACES}))
SIDES: Final = tuple(sorted({place.side for place in PLACES}))
STATES: Final = tuple(sorted({place.state for place in PLACES}))

#: What the address of the blotter may ask for.
FIELDS: Final = ("product", "side", "state", "tenant", "asset", "from", "to", "open", "attention")

_ASSET_LENGTH_MAX: Final = 20
_REFERENCE_LENGTH_MAX: Final = 200
_YES: Final = "1"

#: No desk has orders of other years; days beyond cannot be counted on.
_YEARS: Final = range(1970, 9000)


def asked_for(query: Mapping[str, str]) -> dict[str, str]:
    """Return what of an address the blotter is asked for, without what is empty."""
    return {name: value for name in FIELDS if (value := query.get(name, "").strip())}


def filters_of(query: Mapping[str, str]) -> Filters:
    """Read what the blotter is asked for; a state may also be a kind of states. Refuses REQUEST_INVALID."""
    state, tenant, asset = query.get("state", ""), query.get("tenant", ""), query.get("asset", "")
    tenant_id = named_id(tenant) if tenant else None
    if tenant and tenant_id is None:
        raise Refusal(Code.REQUEST_INVALID, "There is no such tenant.")
    if not asset.isprintable() or len(asset) > _ASSET_LENGTH_MAX:
        raise Refusal(Code.REQUEST_INVALID, "There is no such asset.")
    until = _day(query.get("to", ""))
    return Filters(
        products=_among(query.get("product", ""), PRODUCTS, "product"),
        sides=_among(query.get("side", ""), SIDES, "side"),
        states=() if state in KINDS else _among(state, STATES, "state"),
        kinds=(state,) if state in KINDS else (),
        tenant_id=tenant_id,
        asset=asset or None,
        created_from=_beginning(_day(query.get("from", ""))),
        created_to=_beginning(until + timedelta(days=1) if until else None),
        open_only=query.get("open") == _YES,
        needs_attention=query.get("attention") == _YES,
    )


def _among(text: str, known: tuple[str, ...], said: str) -> tuple[str, ...]:
    if text and text not in known:
        raise Refusal(Code.REQUEST_INVALID, f"There is no such {said}.")
    return (text,) if text else ()


def _day(text: str) -> date | None:
    day = day_of(text)
    if day is not None and day.year not in _YEARS:
        raise Refusal(Code.REQUEST_INVALID, "There are no orders of that day.")
    return day


def _beginning(day: date | None) -> datetime | None:
    return None if day is None else beginning_of(day)


def reject(call: ConsoleCall, page: OrderPage) -> RejectConversion:
    """Read why a conversion is rejected."""
    return reject_command(call, page.order.id)


def requote(call: ConsoleCall, page: OrderPage) -> RequoteConversion:
    """Read a new rate, and how long it is good."""
    return requote_command(call, page.order.id)


def settle_debit(call: ConsoleCall, page: OrderPage) -> SettleDebit:
    """Read how a buy's debit went at the bank."""
    outcome = call.field("outcome")
    if outcome not in {"settled", "failed"}:
        raise Refusal(Code.REQUEST_INVALID, "Say how the debit went: it is settled, or it failed.")
    return SettleDebit(order_id=page.order.id, outcome=outcome)  # type: ignore[arg-type]


def hold(call: ConsoleCall, page: OrderPage) -> HoldPayout:
    """Read why a payout is held."""
    return HoldPayout(order_id=page.order.id, reason=_reason(call))


def release(call: ConsoleCall, page: OrderPage) -> ReleasePayout:  # noqa: ARG001  (as all forms)
    """Let a payout go."""
    return ReleasePayout(order_id=page.order.id)


def cancel(call: ConsoleCall, page: OrderPage) -> CancelPayout:
    """Read why a payout is cancelled."""
    return CancelPayout(order_id=page.order.id, reason=_reason(call))


def settle(call: ConsoleCall, page: OrderPage) -> SettlePayout:
    """Read what the bank calls a payout that the desk has made itself."""
    return SettlePayout(order_id=page.order.id, outcome="done", detail=_reference(call))


def fail(call: ConsoleCall, page: OrderPage) -> SettlePayout:
    """Read why nobody makes a payout."""
    return SettlePayout(order_id=page.order.id, outcome="refused", detail=_reason(call))


def record_return(call: ConsoleCall, page: OrderPage) -> RecordReturn:
    """Read what came back of a payout: all that was paid unless told otherwise."""
    payment = page.whole.payment
    if payment is None or payment.fiat is None:
        raise Refusal(Code.INVALID_STATE, "Only a payout that was paid can come back.")
    units = units_of(call, "amount", page.whole.scales[payment.fiat], required=False)
    return RecordReturn(
        order_id=page.order.id,
        fiat_units=payment.fiat_units if units is None else units,
        reference=_reference(call),
        reason=text_of(call, "why", "The reason", required=False) or None,
    )


def adjust(call: ConsoleCall, page: OrderPage) -> AdjustPayout:
    """Read by how much what a payout took is corrected."""
    side = call.field("side")
    if side not in {CREDIT, DEBIT}:
        raise Refusal(Code.REQUEST_INVALID, "Say whether the tenant is given the amount, or it is taken.")
    units = units_of(call, "amount", page.whole.scales[page.order.source_asset])
    if not units:
        raise Refusal(Code.REQUEST_INVALID, "The amount must not be zero.")
    return AdjustPayout(order_id=page.order.id, side=side, units=units, reason=_reason(call))  # type: ignore[arg-type]


def conclude(call: ConsoleCall, page: OrderPage) -> ConcludeDeposit:
    """Read what became of a deposit; why is asked of one that does not settle."""
    stage = call.field("stage")
    if stage not in {SETTLED, FAILED, REFUNDED}:
        raise Refusal(Code.REQUEST_INVALID, "Say what became of the deposit: it settled, failed or was sent back.")
    reason = text_of(call, "why", "The reason", required=stage == FAILED)
    return ConcludeDeposit(order_id=page.order.id, stage=stage, reason=reason or None)  # type: ignore[arg-type]


def take(call: ConsoleCall, page: OrderPage) -> TakeResale:  # noqa: ARG001
    """Take what is listed for its branch, on the branch's behalf."""
    return TakeResale(**_for_branch(page))


def close(call: ConsoleCall, page: OrderPage) -> CloseResale:  # noqa: ARG001
    """End what is listed, on its branch's behalf."""
    return CloseResale(**_for_branch(page))


def _for_branch(page: OrderPage) -> dict[str, Any]:
    resale, branch = page.whole.resale, page.whole.branch
    if resale is None or branch is None:
        raise Refusal(Code.ORDER_NOT_FOUND, "Nothing is listed for resale by this order.")
    return {
        "branch_id": branch.id,
        "instrument_id": resale.instrument_id,
        "order_id": page.order.id,
        "mandate": Mandate(branch.path, permitted=True),
    }


def _reason(call: ConsoleCall) -> str:
    return text_of(call, "why", "The reason")


def _reference(call: ConsoleCall) -> str:
    return text_of(call, "reference", "The reference", length_max=_REFERENCE_LENGTH_MAX)
