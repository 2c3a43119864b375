"""Files and statements over a database: what waits is filed once, and a statement taken in as often as one likes."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from lxml import etree

from otcdesk.actions.review_payout import HoldPayout
from otcdesk.app import Program
from otcdesk.banking.service import Banking, Filed, TakenIn
from otcdesk.credentials import OPERATOR
from otcdesk.desk import Caller
from otcdesk.domain.bank_files import FiledPayout, StatementLine
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.payouts import return_id
from otcdesk.engine.lane import READINGS_MAX
from otcdesk.errors import Code, Refusal
from otcdesk.storage.verify import verify
from tests.support.bank import HOLDER
from tests.support.clocks import SteeredClock
from tests.support.desk import AUDIT_KEY, Lane, new_lane
from tests.support.payouts import B2, PARTY_OF, RAMP_WORLD, SEPA_FILE, given, preparing, selling
from tests.support.program import opened
from tests.support.statements import (
    STATEMENT_TAIL,
    Entry,
    came_back,
    entry_xml,
    paid,
    paid_as_a_sum,
    statement,
    statement_head,
)


class Bank:
    """A desk on a lane of its own, and its bank."""

    def __init__(self, program: Program, lane: Lane) -> None:
        self.program = program
        self.lane = lane
        self.banking = Banking(program.desk)
        self.caller = Caller(lane=lane.number, owner_id=DESK_ID, name="operator:ann", kind=OPERATOR, scopes=frozenset())
        self.tenant = Caller(lane=lane.number, owner_id=B2, name="key", kind="api_key", scopes=frozenset())

    async def sell(self, arrives: str = "2.00", details: str = HOLDER) -> UUID:
        asked = preparing(arrives, channel_id=SEPA_FILE, party_id=PARTY_OF[B2], given=given(details=details))
        prepared = (await self.program.desk.submit(self.tenant, asked, request_id="r")).prepared
        sold = await self.program.desk.submit(self.tenant, selling(prepared), request_id="r", key=str(uuid4()))
        order_id: UUID = sold.order_id
        return order_id

    async def file(self, key: str | None = None) -> Filed:
        return await self.banking.file(self.caller, request_id="r", key=key)

    async def filed(self, *arrives: str) -> list[FiledPayout]:
        """Sell and file payouts."""
        order_ids = [await self.sell(amount) for amount in arrives]
        file = (await self.file()).filed
        detail = await self.banking.detail(self.lane.number, file.file_id)
        assert [each.payout.order_id for each in detail.payouts] == order_ids
        return [each.payout for each in detail.payouts]

    async def take_in(self, content: bytes) -> TakenIn:
        return await self.banking.take_in(self.caller, BytesIO(content), request_id="r")

    async def state(self, order_id: UUID) -> str:
        order = await self.program.desk.order(self.lane.number, order_id)
        assert isinstance(order, Order)
        return order.state

    async def lines(self, state: str | None = None) -> list[StatementLine]:
        wanted = (self.lane.number, state, 1_000, 0)
        return await self.program.desk.reads.rows("bank_files", "lines", StatementLine, *wanted)

    async def is_sound(self) -> bool:
        report = await verify(self.lane.dsn, AUDIT_KEY, lane=self.lane.number)
        assert report.sound, report.findings
        return report.sound


@pytest.fixture
async def bank(dsn: str, tmp_path: Path) -> AsyncIterator[Bank]:
    lane = await new_lane(dsn, RAMP_WORLD, SteeredClock())
    async with opened(lane, tmp_path, payout_file_payments_max=3, statement_lines_max=4) as program:
        yield Bank(program, lane)


async def test_what_waits_is_filed_the_longest_waiting_first_and_once(bank: Bank) -> None:
    order_ids = [await bank.sell() for _ in range(5)]
    first, second = (await bank.file()).filed, (await bank.file()).filed
    assert first.file is not None
    assert second.file is not None
    assert [*first.file.order_ids, *second.file.order_ids] == order_ids
    with pytest.raises(Refusal) as caught:
        await bank.file()
    assert caught.value.code is Code.NOTHING_TO_FILE
    assert await bank.is_sound()


async def test_files_made_at_the_same_time_share_nothing(bank: Bank) -> None:
    order_ids = {await bank.sell() for _ in range(4)}
    answers = await asyncio.gather(*[bank.file() for _ in range(6)], return_exceptions=True)
    made = [answer.filed.file for answer in answers if isinstance(answer, Filed)]
    named = [order_id for file in made if file is not None for order_id in file.order_ids]
    assert len(named) == len(set(named))
    assert set(named) <= order_ids
    assert all(isinstance(answer, Filed | Refusal) for answer in answers)
    assert await bank.is_sound()


async def test_a_request_that_is_repeated_is_given_its_file(bank: Bank) -> None:
    await bank.sell()
    first = await bank.file(key="k")
    await bank.sell()
    assert (await bank.file(key="k")).filed == first.filed


async def test_who_cannot_be_paid_is_told_of_and_keeps_nobody_waiting(bank: Bank) -> None:
    nameless = [await bank.sell(details='{"AccountHolder":"🙂"}') for _ in range(4)]
    good = await bank.sell()
    made = await bank.file()
    assert made.filed.file is not None
    assert made.filed.file.order_ids == (good,)
    assert made.unpayable == nameless
    assert await bank.state(nameless[0]) == "pending"


async def test_what_is_held_meanwhile_is_left_out(bank: Bank) -> None:
    stopped, good = await bank.sell(), await bank.sell()
    await bank.program.desk.submit(bank.caller, HoldPayout(order_id=stopped, reason="odd"), request_id="r")
    made = (await bank.file()).filed
    assert made.file is not None
    assert made.file.order_ids == (good,)


async def test_a_file_can_be_fetched_again_and_is_the_same(bank: Bank) -> None:
    await bank.sell("12.34")
    day = (await bank.program.desk.business_time(bank.lane.number)).date() + timedelta(days=11)
    file_id = (await bank.banking.file(bank.caller, execution_on=day, request_id="r")).filed.file_id
    content = await bank.banking.content(bank.lane.number, file_id)
    assert content == await bank.banking.content(bank.lane.number, file_id)
    root = etree.fromstring(content)
    assert [element.text for element in root.iter("{*}InstdAmt", "{*}Dt")] == [day.isoformat(), "12.34"]
    with pytest.raises(Refusal) as caught:
        await bank.banking.content(bank.lane.number, uuid4())
    assert caught.value.code is Code.PAYOUT_FILE_NOT_FOUND


async def test_a_statement_settles_and_returns(bank: Bank) -> None:
    one, two, three = await bank.filed("2.00", "3.00", "4.00")
    taken = await bank.take_in(statement(paid(one), came_back(two), Entry("9.99"), paid(three), came_back(three)))
    assert (taken.read, taken.new, taken.matched, taken.unmatched) == (5, 5, 4, {"unknown_reference": 1})
    assert taken.amiss == []
    assert [await bank.state(each.order_id) for each in (one, two, three)] == ["settled", "failed", "settled"]
    assert await bank.is_sound()


async def test_a_statement_may_come_twice_in_parts_and_in_any_order(bank: Bank) -> None:
    payouts = await bank.filed("2.00", "3.00", "4.00")
    entries = [paid(each) for each in payouts] + [came_back(payouts[0]), Entry("1.00"), Entry("1.00")]
    rng = random.Random(7)
    for _ in range(4):
        shuffled = rng.sample(entries, len(entries))
        await asyncio.gather(*[bank.take_in(statement(*shuffled)) for _ in range(2)])
    assert len(await bank.lines()) == 6
    assert len(await bank.lines("unmatched")) == 2
    again = await bank.take_in(statement(*entries))
    assert (again.new, again.known, again.matched) == (0, 4, 0)
    assert await bank.is_sound()


async def test_a_sum_for_a_whole_file(bank: Bank) -> None:
    payouts = await bank.filed("2.00", "3.00", "4.00")
    detail = await bank.banking.detail(bank.lane.number, payouts[0].file_id)
    taken = await bank.take_in(statement(Entry("1.00"), paid_as_a_sum(detail.file), Entry("1.00")))
    assert taken.matched == 1
    assert {await bank.state(each.order_id) for each in payouts} == {"settled"}
    assert await bank.is_sound()


async def test_a_damaged_statement_is_taken_in_not_at_all_and_later_whole(bank: Bank) -> None:
    one, two = await bank.filed("2.00", "3.00")
    content = statement(paid(one), paid(two))
    with pytest.raises(Refusal, match="STATEMENT_INVALID") as caught:
        await bank.take_in(content[:-200])
    assert "cut short or damaged after 1 whole entries" in caught.value.detail
    assert await bank.lines() == []
    assert (await bank.take_in(content)).matched == 2


@pytest.mark.parametrize("as_a_sum", [False, True])
async def test_what_many_lines_are_about_is_read_together(dsn: str, tmp_path: Path, *, as_a_sum: bool) -> None:
    """A command names what it needs in few readings, however many payouts its lines are about (`READINGS_MAX`)."""
    lane = await new_lane(dsn, RAMP_WORLD, SteeredClock())
    number = 2 * READINGS_MAX
    async with opened(lane, tmp_path) as program:
        payouts = await Bank(program, lane).filed(*["2.00"] * number)
    async with opened(lane, tmp_path) as program:  # a desk that has read nothing yet
        bank = Bank(program, lane)
        detail = await bank.banking.detail(lane.number, payouts[0].file_id)
        debits = [paid_as_a_sum(detail.file)] if as_a_sum else [paid(each) for each in payouts]
        taken = await bank.take_in(statement(*debits, *[came_back(each) for each in payouts]))
        assert (taken.read, taken.matched) == (len(debits) + number, len(debits) + number)
        assert {await bank.state(return_id(each.order_id)) for each in payouts} == {"settled"}
        assert await bank.is_sound()


async def test_a_statement_of_somebody_elses_account(bank: Bank) -> None:
    (one,) = await bank.filed("2.00")
    with pytest.raises(Refusal) as caught:
        await bank.take_in(statement(paid(one), account="DE89370400440532013000"))
    assert caught.value.code is Code.BANK_ACCOUNT_NOT_FOUND
    assert await bank.lines() == []


async def test_a_statement_that_does_not_add_up_is_told_of_and_taken_in(bank: Bank) -> None:
    (one,) = await bank.filed("2.00")
    taken = await bank.take_in(statement(paid(one), closing="1.00"))
    assert taken.matched == 1
    assert [each.id for each in taken.amiss] == ["2026-11-20"]


async def test_what_was_stopped_goes_on_where_it_was(bank: Bank) -> None:
    payouts = await bank.filed("2.00", "3.00", "4.00")
    content = statement(*[Entry(f"{number}.00") for number in range(20)], *[paid(each) for each in payouts])
    seen = 0

    def stopped() -> bool:
        nonlocal seen
        seen += 1
        return seen > 10

    taken = await bank.banking.take_in(bank.caller, BytesIO(content), request_id="r", stopped=stopped)
    assert not taken.whole
    assert 0 < len(await bank.lines()) == taken.read < 23
    rest = await bank.take_in(content)
    assert rest.whole
    assert (rest.new, rest.read) == (23 - taken.read, 23)
    assert {await bank.state(each.order_id) for each in payouts} == {"settled"}
    assert await bank.is_sound()


async def test_a_long_statement(dsn: str, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    entries = 100_000 if pytestconfig.option.fuzz else 10_000
    lane = await new_lane(dsn, RAMP_WORLD, SteeredClock())
    with (tmp_path / "long.xml").open("w", encoding="utf-8") as file:
        file.write(statement_head())
        for number in range(entries):
            file.write(entry_xml(Entry("1.00", end_to_end=f"{number:032x}", reference=f"r{number}")) + "\n")
        file.write(STATEMENT_TAIL)
    told: list[int] = []
    async with opened(lane, tmp_path / "home") as program:
        bank = Bank(program, lane)
        taken = TakenIn()
        for _ in range(2):
            started = time.monotonic()
            with (tmp_path / "long.xml").open("rb") as source:
                taken = await bank.banking.take_in(
                    bank.caller, source, request_id="r", tell=lambda taken: told.append(taken.read)
                )
            print(f"{entries} lines taken in within {time.monotonic() - started:.1f} s")
            assert (taken.read, taken.known, taken.unmatched) == (entries, 0, {"unknown_reference": entries})
        assert taken.new == 0
    assert sorted(told[: len(told) // 2]) == told[: len(told) // 2]
    assert len(told) > 20
