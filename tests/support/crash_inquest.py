"""The inquest after a kill: what was answered stands exactly once, what was not is whole or was never there."""

import asyncio
import random
from collections import Counter
from typing import Any, NamedTuple

from otcdesk.errors import Code
from otcdesk.secret_files import load_or_make_key
from otcdesk.storage import verify as storage
from tests.support.crash_load import Answer, Asked
from tests.support.crash_site import Kill, Moment, Site, Struck
from tests.support.server import run_cli
from tests.support.soundness import assert_sound

_AT_ONCE = 8
_ASKED_ANEW = 20
_PATIENCE_SECONDS = 20

_LEGS = "('conversion collection', 'conversion payout', 'conversion return')"

#: Each must return nothing at any instant: whatever a command does is done together, and once.
_HALVES = {
    "a confirm is not whole: its order, its event, its key and its debit do not agree": """
        with keys as (
            select (answer::jsonb ->> 'order_id')::uuid as order_id, count(*) as number from idempotency_keys
            where lane = $1 and scope = 'confirm_conversion' and outcome = 'done' group by 1
        ), confirms as (
            select order_id, count(*) as number from events
            where lane = $1 and name = 'conversion.confirm' group by 1
        ), debits as (
            select t.order_id, count(*) as number, sum(p.units) as units
            from ledger_transactions as t join postings as p on p.lane = t.lane and p.transaction_id = t.id
            where t.lane = $1 and t.reason = 'conversion debit' group by 1
        )
        select o.id, o.side, o.state, o.confirmed_at, c.number as confirms, k.number as keys, d.number as debits
        from (select *, (confirmed_at is not null)::int as confirmed from orders where lane = $1) as o
        full join keys as k on k.order_id = o.id
        full join confirms as c on c.order_id = coalesce(o.id, k.order_id)
        full join debits as d on d.order_id = coalesce(o.id, k.order_id, c.order_id)
        where o.id is null or o.confirmed <> coalesce(k.number, 0) or o.confirmed <> coalesce(c.number, 0)
            or case when o.side = 'buy' then o.confirmed else 0 end <> coalesce(d.number, 0)
            or o.source_units <> coalesce(d.units, o.source_units)""",
    "a deposit is not whole: its key and its ledger transaction do not agree": """
        select coalesce(k.idempotency_key, t.reference), k.keys, t.bookings
        from (
            select idempotency_key, count(*) as keys from idempotency_keys
            where lane = $1 and scope = 'booking' and outcome = 'done' group by 1
        ) as k
        full join (
            select reference, count(*) as bookings from ledger_transactions
            where lane = $1 and reason = 'deposit: wire' group by 1
        ) as t on t.reference = k.idempotency_key
        where k.keys is distinct from 1 or t.bookings is distinct from 1""",
    "a transfer is booked more than once for its reference": f"""
        select reference, count(*) from ledger_transactions where lane = $1 and reason in {_LEGS}
        group by reference having reference is null or count(*) > 1""",
    "an order has not the transfers of its state": f"""
        select o.id, o.side, o.state, count(t.id) from orders as o
        left join ledger_transactions as t on t.lane = o.lane and t.order_id = o.id and t.reason in {_LEGS}
        where o.lane = $1 group by o.id, o.side, o.state having count(t.id) <> case
            when o.state = 'completed' then case when o.side = 'sell' then 2 else 1 end
            when o.state = 'paying' and o.side = 'sell' then 1
            else 0
        end""",
}


class _Kept(NamedTuple):
    """What the books keep under a key."""

    outcome: str
    order_id: str | None


class Inquest:
    """All that is asked of one site after its kills."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.load = site.load
        self.dice = random.Random(site.load.seed)
        self.kills: Counter[Kill] = Counter()
        self.fates: Counter[str] = Counter()
        self.found_out: Counter[bool] = Counter()
        self.left_unknown = 0
        self._asked_anew: list[Asked] = []

    async def after(self, struck: Struck) -> None:
        """Look at the books as the kill left them, then let every client ask again."""
        self.kills[struck.kill] += 1
        await self._assert_whole()
        kept = await self._kept()
        self._assert_answers_stand(kept)
        await self._assert_quotes_stand()
        self._assert_fate(struck, kept)
        await self._assert_found_out(struck)
        new = [asked for asked in self.load.keyed.values() if asked not in self._asked_anew]
        old = self.dice.sample(self._asked_anew, k=min(len(self._asked_anew), _ASKED_ANEW))
        await self._ask_anew([*new, *old])
        self._asked_anew += new
        await self._assert_whole()
        self._assert_answers_stand(await self._kept())
        self._assert_confirmed_once()

    async def verify(self) -> None:
        """Verify the audit chain and every invariant, by the product's means and by the tests' own."""
        key = load_or_make_key(self.site.desk.home, "audit.key", may_make=False)
        report = await storage.verify(self.site.dsn, key)
        assert report.sound, [storage.describe(finding) for finding in report.findings[:20]]
        await assert_sound(self.site.dsn, self.site.lane, key)

    async def close(self) -> None:
        """Ask everybody once more, see all transfers through, and verify as an operator would."""
        await self._ask_anew([*self.load.keyed.values()])
        await self.site.all_settled()
        await self._assert_whole()
        unsettled = await self.site.rows(
            "select id, state from orders where lane = $1 and id = any($2::text[]::uuid[]) and state <> 'completed'",
            self.site.lane,
            [*self.load.approved],
        )
        assert not unsettled, "approved, and everything is settled"
        await self.verify()
        printed = await asyncio.to_thread(run_cli, self.site.desk, "verify")
        assert printed.endswith(" 0 findings.\n"), printed
        assert not self.site.errors()

    # -- the books -------------------------------------------------------------------------------------------------

    async def _assert_whole(self) -> None:
        for fault, question in _HALVES.items():
            found = await self.site.rows(question, self.site.lane)
            assert not found, f"{fault}: {[tuple(record) for record in found]}"

    async def _kept(self) -> dict[str, _Kept]:
        rows = await self.site.rows(
            """select idempotency_key, outcome, answer::jsonb ->> 'order_id' from idempotency_keys
            where lane = $1 and scope in ('confirm_conversion', 'booking')""",
            self.site.lane,
        )
        return {key: _Kept(outcome, order_id) for key, outcome, order_id in rows}

    def _assert_answers_stand(self, kept: dict[str, _Kept]) -> None:
        """Assert that the books keep what was answered."""
        for key, asked in self.load.keyed.items():
            if asked.done:
                assert kept.get(key) == _Kept("done", asked.order_id), f"{key} was done, and is {kept.get(key)}"
            elif asked.answer is not None:
                assert asked.answer[0] == 409, asked.answer
                assert kept.get(key) == _Kept(Code.NOT_CONFIRMABLE.name, None), f"{key}: {kept.get(key)}"

    async def _assert_quotes_stand(self) -> None:
        """Assert that every quote that was given is in the books."""
        found = await self.site.rows("select id::text from orders where lane = $1", self.site.lane)
        assert self.load.quoted <= {row["id"] for row in found}

    def _assert_fate(self, struck: Struck, kept: dict[str, _Kept]) -> None:
        """Assert what became of the batch that was in flight, as far as the moment tells it."""
        victim, moment = struck.kill
        there = {asked.key in kept for asked in struck.named}
        answered = {asked.answer is not None for asked in struck.named}
        if not victim.takes_the_desk and self.load.repeats:
            assert there | answered <= {True}, "the desk lived, and did not carry out what it was asked"
        else:
            assert answered <= {False}, "answered by a desk that could not know"
            assert len(there) <= 1, "half of a batch is there"
            # A server process whose desk died in the middle of a statement goes on and commits.
            stands = moment is Moment.COMMITTED or (moment is Moment.WITHIN and not victim.takes_postgres)
            assert moment is Moment.ANY or there <= {stands}, f"what was in flight is {there}, not {stands}"
        self.fates["nobody's" if not there else "there" if there == {True} else "absent"] += 1

    async def _assert_found_out(self, struck: Struck) -> None:
        """Assert that the desk found out what became of its save, and that the chain says the same."""
        victim, moment = struck.kill
        found_out = self.site.events("commit_found_out", struck.log_bytes)
        unknown = self.site.events("commit_unknown", struck.log_bytes)
        rows = await self.site.rows("select seq, kind from batches where lane = $1", self.site.lane)
        links = {row["seq"]: row["kind"] for row in rows}
        for event in found_out:
            assert links.get(event["seq"]) == ("batch" if event["committed"] else "void"), event
            self.found_out[event["committed"]] += 1
        if victim.takes_the_desk:
            assert not found_out + unknown, "a desk that has just begun knows of nothing lost"
        elif not self.load.repeats:
            assert unknown, "the desk says that it knows"
            self.left_unknown += 1
        elif moment is not Moment.ANY:
            assert found_out, "the desk did not ask what became of its batch"
            assert found_out[0]["committed"] is (moment is Moment.COMMITTED), found_out[0]

    # -- the clients -----------------------------------------------------------------------------------------------

    async def _ask_anew(self, requests: list[Asked]) -> None:
        """Let every request be repeated: the first answer is the only one that there ever is."""
        waiting = list(requests)

        async def client() -> None:
            while waiting:
                asked = waiting.pop()
                if asked.answer is None:
                    asked.answer = await self._answer_to(asked)
                assert await self._answer_to(asked) == asked.answer, asked.key

        async with asyncio.TaskGroup() as clients:
            for _ in range(_AT_ONCE):
                clients.create_task(client())

    async def _answer_to(self, asked: Asked) -> Answer:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while (answer := await self.load.again(asked)) is None:
                await asyncio.sleep(0.02)
        return answer

    def _assert_confirmed_once(self) -> None:
        """Assert that of an order's keys, all of which are answered by now, exactly one confirmed it."""
        statuses: dict[str, list[int]] = {}
        for asked in self.load.keyed.values():
            assert asked.answer is not None
            statuses.setdefault(asked.order_id or asked.key, []).append(asked.answer[0])
        wrong = {name: each for name, each in statuses.items() if sorted(each) not in ([201], [201, 409])}
        assert not wrong

    def told(self) -> dict[str, Any]:
        """Return what there was, for those who read the tests' output."""
        return {
            "kills": sum(self.kills.values()),
            "requests under keys": len(self.load.keyed),
            "batches in flight": dict(self.fates),
            "found out": dict(self.found_out),
            "left unknown": self.left_unknown,
            "told to come again": self.load.told_to_wait,
        }
