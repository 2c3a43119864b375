"""The blotter shows what a slow and obvious filter shows, each order once, and never another lane's."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from otcdesk.console.orders import reads as blotters
from otcdesk.console.orders.filters import NEVER, Cursor, Filters, cursor_of
from otcdesk.console.orders.reads import COUNTED_MAX, Count, Page, blotter, count
from otcdesk.console.orders.states import KIND_OF, attention_of
from otcdesk.domain.orders import Order
from otcdesk.domain.products import LIFECYCLES, by_the_clock
from otcdesk.errors import Code, Refusal
from otcdesk.storage.database import Reads
from tests.support.clocks import new_seed
from tests.support.desk import Lane, make_engine
from tests.support.populated import Story

FILTERS_TRIED = 150


async def failed_jobs(book: Reads, lane: int) -> set[UUID]:
    found = await book.pool.fetch(
        """select order_id from jobs as j where lane = $1 and state = 'failed' and kind = 'follow'
        and not exists (select from jobs as n where n.lane = j.lane and n.replaces = j.id)""",
        lane,
    )
    return {record[0] for record in found}


def is_wanted(filters: Filters, now: datetime, failed: set[UUID]) -> Callable[[Order], bool]:
    """Return the slow and obvious filter."""

    def wanted(stored: Order) -> bool:
        order = by_the_clock(stored, now)
        return (
            (not filters.products or order.product in filters.products)
            and (not filters.sides or order.side in filters.sides)
            and (not filters.states or order.state in filters.states)
            and (filters.tenant_id is None or order.tenant_id == filters.tenant_id)
            and (filters.asset is None or filters.asset in {order.source_asset, order.destination_asset})
            and (filters.created_from is None or order.created_at >= filters.created_from)
            and (filters.created_to is None or order.created_at < filters.created_to)
            and (not filters.open_only or order.state not in LIFECYCLES[order.product].ended)
            and (not filters.needs_attention or attention_of(order, now, job_failed=order.id in failed) is not None)
        )

    return wanted


def some_filters(chance: random.Random, orders: list[Order], now: datetime) -> Filters:
    """Return a random filter that some order may fit."""
    one = chance.choice(orders)
    state = chance.choice([one.state, by_the_clock(one, now).state])
    return Filters(
        products=chance.choice([(), (), (one.product,), (one.product, chance.choice(orders).product)]),
        sides=chance.choice([(), (), (one.side,)]),
        states=chance.choice([(), (), (state,), (state, chance.choice(orders).state)]),
        tenant_id=chance.choice([None, None, one.tenant_id]),
        asset=chance.choice([None, None, one.source_asset, chance.choice(orders).destination_asset]),
        created_from=chance.choice([None, None, one.created_at]),
        created_to=chance.choice([None, None, one.created_at, one.created_at + timedelta(days=1)]),
        open_only=chance.random() < 0.3,
        needs_attention=chance.random() < 0.2,
    )


async def all_pages(book: Reads, lane: int, filters: Filters, now: datetime, size: int) -> list[Page]:
    pages, cursor = [], None
    while True:
        page = await blotter(book, lane, filters, now, cursor=cursor, size=size)
        pages.append(page)
        if page.older is None:
            return pages
        cursor = cursor_of(page.older)


async def check_some(book: Reads, lane: int, orders: list[Order], now: datetime) -> None:
    chance = random.Random(new_seed())
    failed = await failed_jobs(book, lane)
    for _ in range(FILTERS_TRIED):
        filters = some_filters(chance, orders, now)
        wanted = [order.id for order in orders if is_wanted(filters, now, failed)(order)]
        pages = await all_pages(book, lane, filters, now, chance.choice([1, 3, 50]))
        assert [row.order.id for page in pages for row in page.rows] == wanted, filters
        assert pages[0].count.number <= len(wanted)
        if pages[0].count.is_exact:
            assert pages[0].count.number == len(wanted), filters


@pytest.mark.parametrize("later_days", [0, 60])
async def test_filters_agree_with_a_slow_filter(
    book: Reads, populated_lane: Lane, orders: list[Order], later_days: int
) -> None:
    now = populated_lane.clock.now() + timedelta(days=later_days)
    await check_some(book, populated_lane.number, orders, now)


@pytest.mark.parametrize("looked", [1, 5, 40])
async def test_however_little_is_looked_at_for_a_page_nothing_is_left_out(
    book: Reads, populated_lane: Lane, orders: list[Order], looked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blotters, "LOOKED_MAX", looked)
    monkeypatch.setattr(blotters, "LOOKED_FIRST", 2)
    await check_some(book, populated_lane.number, orders, populated_lane.clock.now())


async def test_a_page_that_is_not_full_says_how_far_it_looked(
    book: Reads, populated_lane: Lane, orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blotters, "LOOKED_MAX", 20)
    page = await blotter(book, populated_lane.number, Filters(asset="nothing"), populated_lane.clock.now(), size=10)
    assert (page.rows, page.looked_back_to) == ([], orders[19].created_at)
    assert page.count == Count(number=0, is_exact=False)
    assert page.count.text == "0+"


async def test_what_needs_somebody_is_listed_with_the_cause(
    book: Reads, populated_lane: Lane, orders: list[Order]
) -> None:
    now = populated_lane.clock.now()
    page = await blotter(book, populated_lane.number, Filters(needs_attention=True), now, size=200)
    causes = {row.attention for row in page.rows}
    assert None not in causes
    assert {"waits to be approved", "is held, to be looked into", "is to be sent back"} <= causes
    assert any((cause or "").startswith("has waited long") for cause in causes)
    everything = await blotter(book, populated_lane.number, Filters(), now, size=200)
    assert {row.order.id for row in everything.rows if row.attention} <= {row.order.id for row in page.rows}


async def test_a_row_names_tenant_party_assets_and_rail(book: Reads, populated_lane: Lane) -> None:
    now = populated_lane.clock.now()
    pages = await all_pages(book, populated_lane.number, Filters(), now, 200)
    rows = [row for page in pages for row in page.rows]
    assert all(row.tenant for row in rows)
    assert all(row.kind == KIND_OF[row.order.product][row.order.state] for row in rows)
    with_party = {row.order.product for row in rows if row.party}
    assert with_party == set(LIFECYCLES) - {"conversion", "chain_payout"}  # those are the tenant's own here
    assert all(row.party for row in rows if row.order.product in {"brokerage", "checkout", "resale"})
    settled = [
        row for row in rows if (row.order.product, row.order.side, row.order.state) == ("payout", "sell", "settled")
    ]
    assert all(row.rail_reference for row in settled)
    assert all(row.rail_reference for row in rows if row.order.waits_for)
    assert {row.order.product for row in rows} == set(LIFECYCLES)
    assert {row.source_scale for row in rows} > {2}


async def test_new_orders_move_nothing_and_are_found_towards_the_newer(book: Reads, populated_lane: Lane) -> None:
    lane, now = populated_lane.number, populated_lane.clock.now()
    before = {row.order.id for page in await all_pages(book, lane, Filters(), now, 200) for row in page.rows}
    first = await blotter(book, lane, Filters(), now, size=9)
    seen, page = [row.order.id for row in first.rows], first
    added: list[UUID] = []
    async with make_engine(populated_lane.dsn, clock=populated_lane.clock) as engine:
        story = Story(engine, populated_lane)
        while page.older is not None:
            if len(added) < 5:
                added.append((await story.buy()).id)
            page = await blotter(book, lane, Filters(), now, cursor=cursor_of(page.older), size=9)
            seen += [row.order.id for row in page.rows]
    assert len(seen) == len(set(seen))
    assert set(seen) == before
    assert first.newer is not None
    newer = first.newer
    found: list[UUID] = []
    while True:
        page = await blotter(book, lane, Filters(), now, cursor=cursor_of(newer), size=2)
        if not page.rows:
            break
        found += [row.order.id for row in page.rows][::-1]
        assert page.newer is not None
        newer = page.newer
    assert found == added
    assert page.newer == newer  # where the next ones will come


async def test_going_back_leads_to_where_one_came_from(book: Reads, populated_lane: Lane) -> None:
    lane, now, filters = populated_lane.number, populated_lane.clock.now(), Filters(products=("payout", "resale"))
    first = await blotter(book, lane, filters, now, size=6)
    second = await blotter(book, lane, filters, now, size=6, cursor=cursor_of(first.older or ""))
    back = await blotter(book, lane, filters, now, size=6, cursor=cursor_of(second.newer or ""))
    assert [row.order.id for row in back.rows] == [row.order.id for row in first.rows]


async def test_another_lane_sees_nothing(book: Reads, populated_lane: Lane) -> None:
    page = await blotter(book, populated_lane.number + 1, Filters(), populated_lane.clock.now())
    assert (page.rows, page.older, page.newer, page.count) == ([], None, None, Count(number=0, is_exact=True))


async def test_more_than_a_thousand_are_not_counted(
    book: Reads, populated_lane: Lane, orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = populated_lane.clock.now()
    assert await count(book, populated_lane.number, Filters(), now) == Count(number=len(orders), is_exact=True)
    monkeypatch.setattr(blotters, "COUNTED_MAX", 10)
    assert await count(book, populated_lane.number, Filters(), now) == Count(number=10, is_exact=False)
    assert Count(number=COUNTED_MAX, is_exact=False).text == "1,000+"


def test_a_place_survives_being_written() -> None:
    cursor = Cursor(newer=True, at=datetime.fromisoformat("2026-01-02T03:04:05.678901+00:00"), id=UUID(int=7))
    assert cursor_of(cursor.text) == cursor
    assert cursor_of("") is None


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "?" * 50,
        "A" * 10_000,
        "\x00",
        "é",
        Cursor(newer=True, at=datetime(2026, 1, 1), id=UUID(int=7)).text,  # noqa: DTZ001  (what has no zone is refused)
        Cursor(newer=True, at=NEVER + timedelta(days=1), id=UUID(int=7)).text,
    ],
    ids=["short", "no base64", "long", "NUL", "not ASCII", "no zone", "too late"],
)
def test_a_text_that_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        cursor_of(text)
    assert refused.value.code is Code.REQUEST_INVALID
