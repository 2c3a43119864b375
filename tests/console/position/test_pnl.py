"""P&L by day: the definition and its SQL agree, the components add up, and they are what was posted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.console.position import pnl
from otcdesk.console.position.pnl import COMPONENTS, Components, TradeFacts, WonTrade, components_of, shown
from otcdesk.domain.orders import BUY, SELL
from otcdesk.domain.resales import BID
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.storage.database import Reads
from otcdesk.storage.queries import queries
from tests.support.brokerage import OFFERS_WORLD, TENANT_OF, P, U, accepting, quoting
from tests.support.brokerage import done as executed
from tests.support.clocks import START
from tests.support.desk import Lane, make_engine, new_lane
from tests.support.populated import Story

TODAY = START.date()
SINCE, UNTIL = TODAY - timedelta(days=1), TODAY + timedelta(days=90)


@asynccontextmanager
async def opened(lane: Lane) -> AsyncIterator[Reads]:
    async with Reads.opened(lane.dsn, connections_max=4, statement_timeout_ms=10_000) as reads:
        yield reads


async def every_trade(reads: Reads, lane: int) -> list[WonTrade]:
    found: list[WonTrade] = []
    while page := await pnl.trades_of(reads, lane, SINCE, UNTIL, after=found[-1] if found else None, limit=7):
        found += page
    return found


async def test_each_trade_of_each_product_is_what_the_definition_says_and_what_was_posted(populated_lane: Lane) -> None:
    async with opened(populated_lane) as reads:
        trades = await every_trade(reads, populated_lane.number)
        assert await pnl.untied(reads, populated_lane.number, SINCE, UNTIL) == []
    connection = await asyncpg.connect(populated_lane.dsn)
    assert (
        len({each.trade.order_id for each in trades})
        == len(trades)
        == await connection.fetchval("select count(*) from trades where lane = $1", populated_lane.number)
    )
    await connection.close()
    kinds = {(each.trade.product, each.trade.side) for each in trades}
    assert kinds >= {(product, side) for product in ("conversion", "brokerage", "payout") for side in (BUY, SELL)}
    assert kinds >= {("resale", BUY), ("resale", BID)}
    for each in trades:
        trade = each.trade
        assert components_of(trade) == Components(*(Fraction(getattr(trade, name)) for name in COMPONENTS)), trade
        assert components_of(trade).total == Fraction(each.total)
    won = {name for each in trades for name in COMPONENTS if getattr(each.trade, name)}
    assert won >= {"spread", "fees", "other"}


async def test_an_approval_at_another_rate_and_a_venue_off_the_market_are_slippage(dsn: str) -> None:
    lane = await new_lane(dsn)
    async with make_engine(dsn, clock=lane.clock) as engine:
        story = Story(engine, lane)
        order = await story.confirm(await story.buy(units=10_000))
        await story.leg(await story.approve(order, rate="1.05"))
        await story.tell(DeclareWorld(declaration=declaration_of(parse_world(OFFERS_WORLD))))
        for side, given_by in (("buy", "fiat"), ("sell", "asset")):
            amount = "40.00" if side == "buy" else "0.01"
            quoted = (await story.tell(quoting(side, amount, given_by, party_id=U), TENANT_OF.get(U, P))).order
            await story.tell(accepting(quoted, str(quoted.id), party_id=U), quoted.tenant_id, str(quoted.id))
            venue = quoted.market_rate * Decimal("1.01")
            await story.tell(executed(quoted.with_(rail_reference=f"{quoted.id}:2"), price=venue))
    async with opened(lane) as reads:
        assert await pnl.untied(reads, lane.number, SINCE, UNTIL) == []
        trades = {(each.trade.product, each.trade.side): each.trade for each in await every_trade(reads, lane.number)}
    converted, bought, sold = (trades[key] for key in (("conversion", BUY), ("brokerage", BUY), ("brokerage", SELL)))
    assert converted.asset == "USDC"
    assert Fraction(converted.slippage) == 10_000 * Fraction(order.quoted_rate - Decimal("1.05")) * 10_000
    assert Fraction(converted.spread) == 10_000 * Fraction(order.market_rate - order.quoted_rate) * 10_000
    assert bought.asset == sold.asset == "EUR"
    for trade, sign, asset_units in ((bought, -1, bought.destination_units), (sold, 1, sold.source_units)):
        scale = trade.destination_scale if sign < 0 else trade.source_scale
        hundredth = Fraction(trade.market_rate) / 100 * Fraction(asset_units, 10**scale) * 100
        assert Fraction(trade.slippage) == sign * hundredth
        assert components_of(trade) == Components(*(Fraction(getattr(trade, name)) for name in COMPONENTS))


async def test_what_was_not_posted_as_the_trade_says_is_named(populated_lane: Lane) -> None:
    connection = await asyncpg.connect(populated_lane.dsn)
    await connection.execute("set session_replication_role = replica")
    changed: UUID = await connection.fetchval(
        """update postings as p set units = units + 1 from ledger_transactions as t
           where p.lane = $1 and t.lane = p.lane and t.id = p.transaction_id and t.reason = 'conversion payout'
           returning t.order_id""",
        populated_lane.number,
    )
    await connection.close()
    async with opened(populated_lane) as reads:
        assert changed in await pnl.untied(reads, populated_lane.number, SINCE, UNTIL)


async def test_days_are_the_sums_of_their_trades_however_often_and_in_what_parts_they_are_added(
    populated_lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pnl, "ADDED_AT_ONCE", 2)
    async with opened(populated_lane) as reads:
        trades = await every_trade(reads, populated_lane.number)
        pages = 0
        while not (found := await pnl.days(reads, populated_lane.number, SINCE, UNTIL)).is_complete:
            pages += 1
        assert pages > 1
        assert await pnl.days(reads, populated_lane.number, SINCE, UNTIL) == found
        first = found.days
    expected: dict[tuple[date, str], list[TradeFacts]] = {}
    for each in trades:
        expected.setdefault((each.trade.executed_at.date(), each.trade.asset), []).append(each.trade)
    assert {(day.day, day.asset): (day.trades, day.won) for day in first} == {
        place: (len(of_day), Components(*(sum(part) for part in zip(*map(components_of, of_day), strict=True))))
        for place, of_day in expected.items()
    }
    for day in first:
        assert day.won.total == sum(Fraction(part.total) for part in day.sums)


async def test_who_adds_up_while_another_does_waits_and_counts_nothing_twice(populated_lane: Lane) -> None:
    lane, add = populated_lane.number, queries("console_position")["add_trades"]
    connection = await asyncpg.connect(populated_lane.dsn)
    async with opened(populated_lane) as reads:
        every = await every_trade(reads, lane)
        await reads.records("console_position", "begin_adding", lane)
        async with connection.transaction():
            assert await connection.fetchval(add, lane, 1_000) == len(every)
            other = asyncio.create_task(reads.value("console_position", "add_trades", lane, 1_000))
            while not await connection.fetchval("select exists (select from pg_locks where not granted)"):
                await asyncio.sleep(0)
        assert await other == 0
        days, is_complete = await pnl.days(reads, lane, SINCE, UNTIL)
    await connection.close()
    assert is_complete
    assert sum(day.trades for day in days) == len(every)


async def test_a_component_leads_to_its_trades(populated_lane: Lane) -> None:
    async with opened(populated_lane) as reads:
        every = await every_trade(reads, populated_lane.number)
        for component in COMPONENTS:
            for asset in {each.trade.asset for each in every}:
                found = await pnl.trades_of(
                    reads, populated_lane.number, SINCE, UNTIL, asset=asset, component=component, limit=200
                )
                assert found == [each for each in every if each.trade.asset == asset and getattr(each.trade, component)]


async def test_corrections_stand_apart_with_the_sign_of_the_desk(populated_lane: Lane) -> None:
    async with opened(populated_lane) as reads:
        found = await pnl.adjustments(reads, populated_lane.number, SINCE, UNTIL)
        usdc = next(each for each in found if each.asset == "USDC")
        # the operator took 5 of a tenant's dust, gave a payout's tenant 5 and took 7 of another's
        assert (usdc.own_units, usdc.owed_units, usdc.total) == (0, 7, 7)


async def test_series_carry_balances_on_and_end_with_what_accounts_have(populated_lane: Lane) -> None:
    async with opened(populated_lane) as reads:
        drawn = await pnl.series(reads, populated_lane.number, SINCE, UNTIL)
        days, is_complete = await pnl.days(reads, populated_lane.number, SINCE, UNTIL)
        assert is_complete
    connection = await asyncpg.connect(populated_lane.dsn)
    balances = await connection.fetch(
        """select asset, sum(balance)::bigint as balance from accounts
           where lane = $1 and floor is not null and purpose in ('treasury', 'fee_income') group by asset""",
        populated_lane.number,
    )
    await connection.close()
    assert {asset: ends[-1] for asset, ends in drawn.position.items() if ends[-1]} == {
        record["asset"]: record["balance"] for record in balances if record["balance"]
    }
    assert all(len(values) == len(drawn.days) for values in drawn.position.values())
    for asset, values in drawn.won.items():
        assert values[-1] == sum(day.won.total for day in days if day.asset == asset)
    assert drawn.turnover["EUR"] == tuple(
        sum(
            (part.source_sum if part.source_asset == "EUR" else 0)
            + (part.destination_sum if part.destination_asset == "EUR" else 0)
            for day in days
            if day.day == each
            for part in day.sums
        )
        for each in drawn.days
    )


rates = st.decimals(min_value="0.000001", max_value="100000", places=6)
units = st.integers(min_value=1, max_value=10**15)
scales = st.integers(min_value=0, max_value=18)


@st.composite
def trades(draw: st.DrawFn) -> TradeFacts:
    product = draw(st.sampled_from(("conversion", "brokerage", "payout", "resale")))
    source, destination = draw(units), draw(units)
    side = draw(st.sampled_from((BUY, SELL)))
    fee = draw(st.integers(min_value=0, max_value=source - 1)) if product == "payout" else 0
    return TradeFacts(
        order_id=uuid4(),
        tenant_id=uuid4(),
        executed_at=START,
        product=product,
        side=side,
        asset="B" if side == SELL or product == "conversion" else "A",
        source_asset="A",
        source_scale=draw(scales),
        source_units=source,
        destination_asset="B",
        destination_scale=draw(scales),
        destination_units=destination,
        market_rate=draw(rates),
        market_source="feed",
        market_at=START,
        quoted_rate=draw(rates),
        quoted_by="worker",
        quoted_at=START,
        executed_rate=draw(rates),
        executed_by="operator",
        approved_market_rate=draw(rates) if product == "brokerage" else None,
        approved_market_source=None,
        approved_market_at=None,
        fee_units=fee,
        surcharge_units=draw(units) if product == "payout" and side == SELL else 0,
        total_units=draw(units) if product == "brokerage" else None,
        cost_units=draw(units) if product == "brokerage" else 0,
        share_units=draw(units) if product == "brokerage" else 0,
        desk_fee_units=draw(units) if product == "resale" else 0,
        spread=Decimal(0),
        slippage=Decimal(0),
        fees=Decimal(0),
        other=Decimal(0),
    )


def left_with_the_desk(trade: TradeFacts) -> Fraction:
    """Say what a trade leaves with the desk at the market of its quote, by what goes in and out alone."""
    into = Fraction(trade.source_units, 10**trade.source_scale)
    out = Fraction(trade.destination_units, 10**trade.destination_scale)
    market = Fraction(trade.market_rate)
    out_scale, in_scale = (Fraction(10) ** scale for scale in (trade.destination_scale, trade.source_scale))
    match trade.product, trade.side:
        case "resale", _:
            return Fraction(trade.desk_fee_units)
        case "conversion", _:
            return (into * market - out) * out_scale
        case "payout", "sell":
            return (into * market - out) * out_scale - trade.surcharge_units
        case "payout", _:
            return (into - out * market) * in_scale
    assert trade.total_units is not None
    assert trade.approved_market_rate is not None
    if trade.side == BUY:
        paid = -((-out * Fraction(trade.approved_market_rate) * 10**trade.source_scale).__floor__())
        kept = trade.total_units - paid
    else:
        kept = (into * Fraction(trade.approved_market_rate) * 10**trade.destination_scale).__floor__()
        kept -= trade.total_units
    return Fraction(kept - trade.cost_units - trade.share_units)


@settings(max_examples=1_000)
@given(trades())
def test_the_components_of_any_trade_add_up_to_what_it_leaves_with_the_desk(trade: TradeFacts) -> None:
    # Units that are brokered go out at the quoted rate; elsewhere the executed one may be another.
    if trade.product == "brokerage":
        trade = _as_quoted(trade)
    assert components_of(trade).total == left_with_the_desk(trade)


def _as_quoted(trade: TradeFacts) -> TradeFacts:
    return msgspec.structs.replace(trade, executed_rate=trade.quoted_rate)


def test_units_are_shown_as_the_nearest_whole_number() -> None:
    assert [shown(Decimal(text)) for text in ("0.5", "-0.5", "1.4999", "-1.5", "0")] == [1, -1, 1, -2, 0]
