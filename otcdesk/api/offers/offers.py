"""The verbs on offers: create, accept, and what has become of one (contract 3.1 to 3.4).

A request that accepts an offer waits a while for its trade, as a waiting task and nothing more: it holds neither a
connection of the database nor a place in a queue, and it is woken by whoever learns the outcome first.
"""

import asyncio
from uuid import UUID

from otcdesk.actions.accept_quote import AcceptQuote, QuoteAccepted
from otcdesk.actions.quote_brokerage import BrokerageQuoted
from otcdesk.api.dialect import Call
from otcdesk.api.http import Answer
from otcdesk.api.offers import shapes
from otcdesk.api.offers.listings import LaneListings
from otcdesk.api.offers.reads import brokered, user
from otcdesk.domain.brokerage import FAILED, FINISHED
from otcdesk.domain.orders import SELL, Order
from otcdesk.errors import Code, Refusal
from otcdesk.outcomes import Waiting
from otcdesk.rails.protocols import RailUnavailable, RailUnknown

#: Taken, and not a result yet: nothing to say (contract 3.3).
_TAKEN = Answer(202, b"")


async def create_offer(call: Call) -> shapes.OfferAnswer:
    """Make an offer to a user; the user's older ones can no longer be accepted."""
    made, listings = await _made(call)
    return shapes.offer_answer(made.order, made.quote, listings)


async def create_offer_v2(call: Call) -> shapes.OfferAnswerV2:
    """Make an offer; asset and fiat are named by pid."""
    made, listings = await _made(call)
    return shapes.offer_answer_v2(made.order, made.quote, listings)


async def _made(call: Call) -> tuple[BrokerageQuoted, LaneListings]:
    lane, party_id = call.caller.lane, shapes.user_of(call.request)
    codes = await call.services.listings.codes(lane, *shapes.named_ids(call.body))
    tax = await _tax(call, party_id)
    made: BrokerageQuoted = await call.submit(shapes.quote_command(call.body, party_id, codes, tax))
    return made, await call.services.listings.with_codes(lane, *codes)


async def accept_offer(call: Call) -> Answer:
    """Accept an offer; the same again, under the same external id, is told what has become of it."""
    return await _accept(call, repeats=True)


async def accept_offer_v1(call: Call) -> Answer:
    """Accept an offer, once."""
    return await _accept(call, repeats=False)


async def offer_status(call: Call) -> shapes.StatusAnswer:
    """Tell where an offer stands."""
    order_id = call.path_id("id", Code.QUOTE_NOT_FOUND)
    party = await user(call, unknown=Code.QUOTE_NOT_FOUND)
    return shapes.status_answer((await brokered(call, order_id, party.id, unknown=Code.QUOTE_NOT_FOUND)).order)


async def _accept(call: Call, *, repeats: bool) -> Answer:
    """Accept, having begun to wait before, so that no outcome is missed."""
    command = shapes.accept_command(call.path_text("id"), call.request, repeats=repeats)
    call.key = command.external_id
    with call.desk.outcomes.expected(call.caller.lane, command.order_id) as waiting:
        accepted: QuoteAccepted = await call.submit(command)
        return await _OUTCOMES.get(accepted.state, _in_progress)(call, command, accepted, waiting)


async def _failed(call: Call, command: AcceptQuote, accepted: QuoteAccepted, waiting: Waiting) -> Answer:  # noqa: ARG001
    raise Refusal(Code.EXECUTION_FAILED, reason=accepted.reason)


async def _finished(call: Call, command: AcceptQuote, accepted: QuoteAccepted, waiting: Waiting) -> Answer:  # noqa: ARG001
    found = await brokered(call, accepted.order_id, command.party_id, unknown=Code.QUOTE_GONE)
    return await _accepted_answer(call, found)


async def _in_progress(call: Call, command: AcceptQuote, accepted: QuoteAccepted, waiting: Waiting) -> Answer:  # noqa: ARG001
    ended = await waiting.within(call.desk.settings.offers_accept_wait_ms)
    if ended is None:
        return _TAKEN
    _check_finished(ended.order)
    return await _accepted_answer(call, shapes.Brokered(order=ended.order, quote=ended.quote))


_OUTCOMES = {FAILED: _failed, FINISHED: _finished}


def _check_finished(order: Order) -> None:
    if order.state != FINISHED:
        raise Refusal(Code.EXECUTION_FAILED, reason=order.reason)


async def _accepted_answer(call: Call, found: shapes.Brokered) -> Answer:
    quote = found.quote
    listings = await call.services.listings.with_codes(call.caller.lane, quote.asset, quote.fiat)
    return Answer(200, {"data": shapes.accepted_answer(found.order, quote, listings)})


async def _tax(call: Call, party_id: UUID) -> tuple[int | None, bool]:
    """Return what is withheld of a user's gains, and whether nobody can tell now; only sales are asked for."""
    if call.body.type != SELL:
        return None, False
    try:
        async with asyncio.timeout(call.desk.settings.tax_timeout_ms / 1000):
            return await call.desk.tax.rate_bps(call.caller.lane, party_id), False
    except (RailUnavailable, RailUnknown, TimeoutError):
        return None, True
