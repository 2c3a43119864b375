"""Reading trades: a user's history, searches over a partner's, one trade and what of it is taxed (contract 3.5).

A search by page counts trades by when they were executed, oldest first, so that new ones come last; a search by cursor
counts offers by when they were made, newest first, so that new ones come before what is being read. Neither shows a row
twice or leaves one out because of what is traded meanwhile.
"""

from datetime import datetime
from uuid import UUID

from otcdesk.api.dialect import Call
from otcdesk.api.http import Answer
from otcdesk.api.offers import shapes
from otcdesk.api.offers import trade_shapes as trades
from otcdesk.api.offers.errors import invalid
from otcdesk.api.offers.listings import LaneListings
from otcdesk.api.offers.queries import MOMENT, Query, bounded
from otcdesk.api.offers.reads import brokered, check_verified, party_of, user
from otcdesk.api.offers.shapes import Brokered, BrokeredPage
from otcdesk.domain.brokerage import ASSET
from otcdesk.errors import Code, Refusal


async def history(call: Call) -> Answer:
    """List what a user has traded, newest first; assets by integer."""
    query = Query(call.request)
    asset = query.number("asset_id", most=2**31 - 1)
    found, listings = await _history(call, query, asset)
    rows = [trades.trade_row(row, listings) for row in found.rows]
    return trades.page_answer(rows, query, found.total)


async def history_v2(call: Call) -> Answer:
    """List what a user has traded, newest first; assets by pid."""
    query = Query(call.request)
    found, listings = await _history(call, query, query.uuid("asset_id"))
    rows = [trades.trade_row_v2(row, listings) for row in found.rows]
    return trades.unlinked_answer(rows, query.page(), found.total)


async def _history(call: Call, query: Query, asset: int | UUID | None) -> tuple[BrokeredPage, LaneListings]:
    sides, page, lane = query.words("types", trades.SIDES), query.page(), call.caller.lane
    party = await user(call)
    listings = call.services.listings
    code = None if asset is None else (await listings.codes(lane, (ASSET, asset)))[0]
    reads = call.desk.reads
    found = await reads.row(
        "brokerage", "history", BrokeredPage, lane, party.id, sides, code, page.page_size, page.offset
    )
    return await _with_listings(call, found or BrokeredPage(rows=[]))


async def search(call: Call) -> Answer:
    """Search what a partner's users have traded, oldest first; at most 31 days, unless a trade is named."""
    query, page = await _searched(call, Query(call.request))
    found, listings = await _with_listings(call, page)
    rows = [trades.trade_row(row, listings) for row in found.rows]
    return trades.page_answer(rows, query, found.total)


async def _searched(call: Call, query: Query) -> tuple[Query, BrokeredPage]:
    """Return what is found, and the query by which its other pages are found."""
    lane, owner_id, reads = call.caller.lane, call.caller.owner_id, call.desk.reads
    period, party_id, page = query.dates(), query.uuid("user_pid"), query.page()
    ids = {one for one in (query.uuid("internal_trade_id"), query.uuid("offer_id")) if one is not None}
    external_id = shapes.searched_external_id(query)
    if len(ids) > 1:  # a trade has the id of its offer
        return query, BrokeredPage(rows=[])
    if ids or external_id is not None:
        named = (next(iter(ids), None), external_id, period.start, period.end, party_id)
        found = await reads.row("brokerage", "traded_as", BrokeredPage, lane, owner_id, *named)
        return query, trades.part(found or BrokeredPage(rows=[]), page)
    query = query.with_days(await call.desk.business_time(lane))
    period = query.dates()
    wanted = (period.start, period.end, party_id, page.page_size, page.offset)
    found = await reads.row("brokerage", "traded_between", BrokeredPage, lane, owner_id, *wanted)
    return query, found or BrokeredPage(rows=[])


async def search_v2(call: Call) -> Answer:
    """Search what a partner's users were offered, newest first, whatever became of it; at most 31 days."""
    query = Query(call.request)
    size = query.page_size()
    found, listings = await _with_listings(call, BrokeredPage(rows=await _searched_v2(call, query, size + 1)))
    return trades.cursor_answer([trades.trade_row_v2(row, listings) for row in found.rows], size)


async def _searched_v2(call: Call, query: Query, most: int) -> list[Brokered]:
    lane, owner_id, reads = call.caller.lane, call.caller.owner_id, call.desk.reads
    now = await call.desk.business_time(lane)
    period, order_id, cursor = query.times(), query.uuid("id"), query.uuid("cursor")
    filters = (
        trades.states_of(query),
        query.word("type", trades.SIDES),
        query.text("asset_symbol"),
        query.uuid("user_id"),
    )
    before = None if cursor is None else await _made_at(call, cursor)
    if order_id is not None:
        span = (period.start, period.end, now)
        found = await reads.rows("brokerage", "made_as", Brokered, lane, owner_id, order_id, *span, *filters)
    else:
        start, end = bounded(period, now + MOMENT)
        end = end if before is None else min(end, before + MOMENT)  # so that an index leads to the place
        place = (start, end, cursor, most, now)
        found = await reads.rows("brokerage", "made_between", Brokered, lane, owner_id, *place, *filters)
    return [shapes.by_the_clock(row, now) for row in found]


async def _made_at(call: Call, cursor: UUID) -> datetime:
    """Return when the offer that a cursor names was made; refuses REQUEST_INVALID for one that is not the caller's."""
    caller = call.caller
    found: datetime | None = await call.desk.reads.value("brokerage", "made_at", caller.lane, cursor, caller.owner_id)
    if found is None:
        raise invalid("cursor", "The cursor is no row of this search.")
    return found


async def read_trade(call: Call) -> trades.TradeAnswer:
    """Show one trade."""
    order_id, party_id = call.path_id("id", Code.TRADE_NOT_FOUND), shapes.user_or_none(call.request)
    found = await brokered(call, order_id, party_id, unknown=Code.TRADE_NOT_FOUND)
    return trades.trade_answer(found, await _listings_of(call, found))


async def tax_details(call: Call) -> trades.TaxDetailsAnswer:
    """Show what of a trade is taxed."""
    order_id, party_id = shapes.path_id(call.path_text("id"), "trade_id"), shapes.user_or_none(call.request)
    found = await finished_trade(call, order_id, party_id)
    check_verified(await party_of(call, found.quote.party_id))
    return trades.tax_details_answer(found, await _listings_of(call, found))


async def _listings_of(call: Call, found: Brokered) -> LaneListings:
    listings: LaneListings = await call.services.listings.with_codes(
        call.caller.lane, found.quote.asset, found.quote.fiat
    )
    return listings


async def _with_listings(call: Call, found: BrokeredPage) -> tuple[BrokeredPage, LaneListings]:
    codes = {code for row in found.rows for code in (row.quote.asset, row.quote.fiat)}
    return found, await call.services.listings.with_codes(call.caller.lane, *codes)


async def finished_trade(call: Call, trade_id: UUID, party_id: UUID | None = None) -> Brokered:
    """Return a finished trade of the caller's, of one user unless None; refuses TRADE_NOT_FOUND."""
    found = await brokered(call, trade_id, party_id, unknown=Code.TRADE_NOT_FOUND)
    if not trades.is_finished(found):
        raise Refusal(Code.TRADE_NOT_FOUND)
    return found
