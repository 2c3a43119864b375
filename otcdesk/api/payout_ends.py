"""How a simulated payout ends: the provider is told, by the sandbox's route or by its panel, and the books follow."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from otcdesk.api.dialect import Call
from otcdesk.api.wire import KEPT_TEXT
from otcdesk.domain.payouts import CANCELLING, PAYOUT_RAIL, PENDING, SETTLED
from otcdesk.errors import Code, Refusal
from otcdesk.money import parse_units
from otcdesk.rails.payout_work import PayoutWork

#: A payout that waits for its provider, which may be told of it before it is asked.
_ASKED_FOR = frozenset({PENDING, CANCELLING})

_DECIDED_OTHERWISE = "The provider has said before how this payout ends, and otherwise."
_NEVER_ASKED = "The provider was not asked for this payout."
_CANNOT_RETURN = "The provider has not made this payout, or it has come back already."


class PayoutRequest(msgspec.Struct, kw_only=True):
    """How a payout ends, and why; of one that comes back, how much of its fiat, all of it unless told."""

    outcome: Literal["settled", "failed", "returned"]
    reason: Annotated[str, Meta(min_length=1, max_length=500, pattern=KEPT_TEXT)] | None = None
    fiatAmount: Annotated[str, Meta(max_length=64)] | None = None  # noqa: N815


async def end_payout(call: Call, order_id: UUID, body: PayoutRequest) -> None:
    """Tell the provider how a payout of the caller's lane ends, and book it at once.

    Refuses ORDER_NOT_FOUND, INVALID_STATE, REQUEST_INVALID, RETURN_EXCEEDS_PAYOUT.
    """
    payout = _checked(await call.services.payouts.payout(call.caller.lane, order_id))
    await _ENDS[body.outcome](call, payout, body)


async def _decide(call: Call, payout: PayoutWork, body: PayoutRequest) -> None:
    outcome = _outcome_of(body)
    word = await call.services.simulated_payouts.end(
        payout.instruction, outcome, body.reason or "", also_unheard=payout.state in _ASKED_FOR
    )
    if word is None or word.outcome != outcome:
        raise Refusal(Code.INVALID_STATE, _DECIDED_OTHERWISE if word else _NEVER_ASKED)
    await call.services.payouts.record(payout, word.outcome, word.detail)


async def _send_back(call: Call, payout: PayoutWork, body: PayoutRequest) -> None:
    units = _returned_units(body, payout)
    sent_back = call.services.simulated_payouts.send_back
    if not await sent_back(payout.lane, payout.reference, units, body.reason or ""):
        raise Refusal(Code.INVALID_STATE, _CANNOT_RETURN)
    await call.services.payouts.book_returns(payout.lane)


_ENDS = {"settled": _decide, "failed": _decide, "returned": _send_back}


def _checked(found: PayoutWork | None) -> PayoutWork:
    """Return a payout that the simulated provider makes; refuses ORDER_NOT_FOUND, INVALID_STATE."""
    if found is None:
        raise Refusal(Code.ORDER_NOT_FOUND)
    if found.rail != PAYOUT_RAIL:
        raise Refusal(Code.INVALID_STATE, "The payouts of this channel are not made by the provider.")
    return found


def _outcome_of(body: PayoutRequest) -> Literal["done", "refused"]:
    """Return the provider's word for how a payout ends."""
    return "done" if body.outcome == "settled" else "refused"


def _returned_units(body: PayoutRequest, payout: PayoutWork) -> int:
    """Return how much of a settled payout comes back, all of it unless the body says less.

    Refuses INVALID_STATE for one that is not settled, REQUEST_INVALID, RETURN_EXCEEDS_PAYOUT.
    """
    if payout.state != SETTLED:
        raise Refusal(Code.INVALID_STATE, "Only a settled payout can come back.")
    if body.fiatAmount is None:
        return payout.amount.units
    units = parse_units(body.fiatAmount, payout.amount.asset.scale)
    if not units:
        raise Refusal(Code.REQUEST_INVALID, "The fiatAmount must be a positive decimal of the payout's fiat.")
    if units > payout.amount.units:
        raise Refusal(Code.RETURN_EXCEEDS_PAYOUT)
    return units
