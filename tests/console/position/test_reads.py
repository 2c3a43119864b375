"""The position: every number is what the books say, and all accounts of an asset are in it once."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal

import asyncpg

from otcdesk.actions.publish_price import PublishPrice, SwitchFeed
from otcdesk.console.position.reads import IN_TRANSIT, OWNERS, AssetPosition, Position, position
from otcdesk.domain.products import LIFECYCLES
from otcdesk.storage.database import Reads
from tests.support.desk import TREASURY_EUR, TREASURY_USDC, Lane, make_engine, new_lane, submit
from tests.support.populated import Story


async def position_of(lane: Lane) -> Position:
    async with Reads.opened(lane.dsn, connections_max=2, statement_timeout_ms=10_000) as reads:
        return await position(reads, lane.number, lane.clock.now())


def of(found: Position, code: str) -> AssetPosition:
    return next(each for each in found.assets if each.asset.code == code)


def test_every_state_that_waits_for_a_rail_says_what_it_moves() -> None:
    waiting = {
        (product, side, state) for product, lifecycle in LIFECYCLES.items() for side, state in lifecycle.waits_for
    }
    assert waiting <= set(IN_TRANSIT)
    for product, side, state in IN_TRANSIT:
        assert state in {after for _, after in LIFECYCLES[product].machines[side].moves} | {
            LIFECYCLES[product].machines[side].move(*place) for place in LIFECYCLES[product].machines[side].moves
        }


async def test_every_account_is_in_it_once_and_each_asset_sums_to_zero(populated_lane: Lane) -> None:
    found = await position_of(populated_lane)
    connection = await asyncpg.connect(populated_lane.dsn)
    accounts = await connection.fetch(
        "select asset, count(*) as number, sum(held) as held from accounts where lane = $1 group by asset",
        populated_lane.number,
    )
    purposes = await connection.fetch("select distinct purpose, owner_id from accounts where lane = $1", 1)
    owners = {
        kind: {row[0] for row in await connection.fetch(f"select id from {table} where lane = $1", 1)}
        for kind, table in (("tenant", "tenants"), ("party", "parties"), ("branch", "branches"))
    }
    await connection.close()
    numbers, holds = Counter[str](), Counter[str]()
    for each in found.assets:
        sides = (*each.own, *each.owed, *each.counterparts)
        numbers[each.asset.code] = sum(side.accounts for side in sides)
        holds[each.asset.code] = sum(side.held for side in sides)
        assert sum(side.balance for side in sides) == 0
    assert numbers == {record["asset"]: record["number"] for record in accounts}
    assert +holds == {record["asset"]: record["held"] for record in accounts if record["held"]}
    for purpose, owner_id in purposes:
        if purpose in OWNERS:
            assert owner_id in owners[OWNERS[purpose]], purpose
        else:
            assert all(owner_id not in ids for ids in owners.values()) or purpose == "treasury", purpose


async def test_what_is_owned_promised_awaited_and_under_way_are_different_numbers(dsn: str) -> None:
    lane = await new_lane(dsn)
    before = await position_of(lane)
    async with make_engine(dsn, clock=lane.clock) as engine:
        story = Story(engine, lane)
        waiting = await story.confirm(await story.buy(units=10_000))
        approved = await story.approve(await story.confirm(await story.buy(units=20_000)))
        collecting = await story.approve(await story.confirm(await story.sell()))
    found = await position_of(lane)
    usdc, eur = of(found, "USDC"), of(found, "EUR")
    assert usdc.owned_units == of(before, "USDC").owned_units
    assert eur.owned_units == of(before, "EUR").owned_units + 30_000
    assert usdc.promised_units == usdc.out_units == approved.approved_units
    assert usdc.awaiting_units == waiting.destination_units
    assert [waits.orders for waits in usdc.awaiting] == [1]
    assert usdc.in_units == collecting.source_units
    assert usdc.available_units == usdc.owned_units - usdc.promised_units
    assert eur.promised_units == collecting.approved_units
    assert (eur.out_units, eur.in_units, eur.awaiting_units) == (0, 0, 0)
    assert [side.account_ids for side in usdc.own if side.balance] == [(TREASURY_USDC,)]
    assert TREASURY_EUR in {identity for side in eur.own for identity in side.account_ids or ()}


async def test_a_debit_that_the_clock_has_settled_waits_for_the_operator(dsn: str) -> None:
    lane = await new_lane(dsn)
    async with make_engine(dsn, clock=lane.clock) as engine:
        from otcdesk.actions.steer_sandbox import SetDebitSettlement

        story = Story(engine, lane)
        await story.tell(SetDebitSettlement(after_ms=5_000))
        order = await story.confirm(await story.buy())
        assert of(await position_of(lane), "USDC").awaiting == ()
        lane.clock.advance(seconds=6)  # type: ignore[attr-defined]
        assert of(await position_of(lane), "USDC").awaiting_units == order.destination_units


async def test_values_are_at_the_prices_in_force_and_without_one_there_is_none(dsn: str) -> None:
    lane = await new_lane(dsn)
    pair = {"source_asset": "USDC", "destination_asset": "EUR"}
    back = {"source_asset": "EUR", "destination_asset": "USDC"}
    async with make_engine(dsn, clock=lane.clock) as engine:
        await submit(
            engine, lane.number, PublishPrice(**pair, rate=Decimal("0.90"), feed="ticker", stale_after_ms=5_000)
        )
        found = await position_of(lane)
        value = of(found, "USDC").value
        assert value is not None
        owned = of(found, "USDC").owned_units
        assert (value.units, value.rate, value.source) == (
            (owned * 90 // 100 + 5_000) // 10_000,
            Decimal("0.9"),
            "ticker",
        )
        assert found.value_units == value.units + of(found, "EUR").owned_units
        assert found.unvalued == ()
        await submit(engine, lane.number, SwitchFeed(**pair, up=False))
        inverse = of(await position_of(lane), "USDC").value
        assert inverse is not None
        assert inverse.source.endswith(", inverse")
        await submit(engine, lane.number, SwitchFeed(**back, up=False))
        found = await position_of(lane)
        assert of(found, "USDC").value is None
        assert found.unvalued == ("USDC",)
        assert found.at - lane.clock.now() == timedelta()


async def test_exposure_is_held_against_the_guard(dsn: str) -> None:
    lane = await new_lane(dsn)
    owned = of(await position_of(lane), "USDC").owned_units
    assert not of(await position_of(lane), "USDC").is_over_limit
    connection = await asyncpg.connect(dsn)
    for limit, over in ((owned, False), (owned - 1, True)):
        await connection.execute("set session_replication_role = replica")
        await connection.execute(
            """insert into guards (lane, seq, asset, exposure_units_max) values ($1, 1, 'USDC', $2)
               on conflict (lane, asset) do update set exposure_units_max = excluded.exposure_units_max""",
            lane.number,
            limit,
        )
        assert of(await position_of(lane), "USDC").is_over_limit is over
    await connection.close()
