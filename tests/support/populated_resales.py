"""Everything that happens to what is listed, bought, bid for and burnt, once each."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from otcdesk.actions.bid_resale import AcceptBid, DeclineBid, PlaceBid, WithdrawBid
from otcdesk.actions.burn_holding import BurnHolding
from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.actions.make_resale_rule import EndResaleRule, MakeResaleRule, RuleFields
from otcdesk.actions.record_due import RecordDue
from otcdesk.actions.record_job import RecordJob
from otcdesk.actions.register_holder import RegisterHolder
from otcdesk.actions.retry_job import RetryJob
from otcdesk.actions.send_funds import SendFunds
from otcdesk.actions.set_fees import SetBranchFees, SetDeskFees
from otcdesk.actions.switch_negotiation import SwitchNegotiation
from otcdesk.domain.brokerage import holding_id
from otcdesk.domain.compact_ids import declared_compact_id
from otcdesk.domain.jobs import Job, job_reference
from otcdesk.domain.resales import SECONDARY
from otcdesk.domain.world import declaration_of, parse_world
from tests.support.clocks import SteeredClock
from tests.support.estate import (
    DAY_SECONDS,
    DEALS_WORLD,
    ESTATE,
    HASH,
    ROOT,
    U1,
    U2,
    U3,
    C,
    N,
    T,
    begun,
    buying,
    buying_unsold,
    closing,
    done,
    listing,
    refused,
    taking,
    withdrawing,
)

_FEES = {f"{market}_fee_percent": Decimal(3) for market in ("otc", "secondary", "primary")}
_RULE = RuleFields(
    name="takes what is cheap",
    side="sells",
    test="percent",
    consume_on_match=True,
    active=True,
    priority=1,
    above_percent=Decimal(0),
)


async def resold(story: Any, clock: SteeredClock) -> None:
    """Let it happen, in a lane of any world, to the parties and branches of the deals contract's."""
    await story.tell(DeclareWorld(declaration=declaration_of(parse_world(DEALS_WORLD))))
    await story.tell(SetBranchFees(branch_id=N, fees="{}", mandate=ROOT, **_FEES), ESTATE)
    await story.tell(SetDeskFees(fees="{}", **_FEES))
    await story.tell(SwitchNegotiation(branch_id=N, is_open=True, mandate=ROOT), ESTATE)
    await story.tell(RegisterHolder(branch_id=N, identity_number="7", details="{}", mandate=ROOT), ESTATE)
    await _bought_unsold(story)
    await _ended(story, clock)
    await _decided_by_rules(story)
    await _bought(story)
    await _bid(story, clock)
    await _burnt(story)
    await _sent(story)
    await _under_way(story)


async def _job(story: Any, command: Any) -> Job:
    """Ask for something, twice with the same key."""
    key = str(uuid4())
    first = await story.tell(command, ESTATE, key)
    assert await story.tell(command, ESTATE, key) == first
    job: Job = first.job
    return job


async def _listed(story: Any, quantity: int = 2, price: str = "2.5", **fields: Any) -> UUID:
    job = await _job(story, listing(quantity, price, **fields))
    await story.tell(done(job))
    return job.order_id


async def _bought_unsold(story: Any) -> None:
    await story.tell(done(await _job(story, buying_unsold(8))))
    await story.tell(refused(await _job(story, buying_unsold(1))))
    await story.tell(done(await _job(story, buying_unsold(20, party_id=U2))))


async def _ended(story: Any, clock: SteeredClock) -> None:
    await story.tell(refused(await _job(story, listing(1))))
    withdrawn = await _listed(story, 1, "2.6")
    job, lost = [await _job(story, withdrawing(withdrawn)) for _ in range(2)]
    await story.tell(begun(job))
    await story.tell(begun(job, HASH))
    assert (await story.tell(begun(lost))).job.state == "failed"
    await story.tell(done(job))
    late = await _listed(story, 1, "2.7")
    tried = await _listed(story, 1, "2.8")
    job = await _job(story, withdrawing(tried))
    await story.tell(begun(job))
    await story.tell(refused(job))
    clock.advance(seconds=32 * DAY_SECONDS)
    assert (await story.tell(RecordDue(order_ids=[late, tried]))).recorded == 2
    await story.tell(closing(await _listed(story, 1, "2.9")), ESTATE)
    taken = await _listed(story, 2, "3.1")
    lost = await _job(story, withdrawing(taken))
    order = (await story.tell(taking(taken), ESTATE)).order
    assert (await story.tell(begun(lost))).job.state == "failed"
    await _followed(story, order.id, order.version)


async def _decided_by_rules(story: Any) -> None:
    await story.tell(MakeResaleRule(branch_id=N, fields=_RULE, created_by="root", mandate=ROOT), ESTATE)
    asked = RuleFields(
        **{**_RULE.said, "name": "wants no small ones", "action": "reject", "test": "unconditional", "priority": 2},
        quantity_max=1,
    )
    await story.tell(MakeResaleRule(branch_id=N, fields=asked, created_by="root", mandate=ROOT), ESTATE)
    other = RuleFields(**{**asked.said, "active": False})
    await story.tell(MakeResaleRule(branch_id=N, fields=other, created_by="root", mandate=ROOT), ESTATE)
    for quantity, price in ((2, "1.9"), (1, "1.8"), (2, "3.3")):
        await _listed(story, quantity, price)
    last = RuleFields(**{**asked.said, "consume_on_match": False, "quantity_max": None, "quantity_min": 1_000})
    await story.tell(MakeResaleRule(branch_id=N, fields=last, created_by="root", mandate=ROOT), ESTATE)
    ended = await story.tell(MakeResaleRule(branch_id=N, fields=last, created_by="root", mandate=ROOT), ESTATE)
    await story.tell(EndResaleRule(rule_id=ended.rule.id, mandate=ROOT), ESTATE)


async def _bought(story: Any) -> None:
    """Let U2 and U3 buy on the market: all of it, a part of what is then taken back, and of what is then closed."""
    whole = await _listed(story, 2, "2.1", party_id=U3, market=SECONDARY)
    for _ in range(2):
        await story.tell(done(await _job(story, buying(whole, 1, SECONDARY))))
    part = await _listed(story, 3, "2.2", party_id=U3, market=SECONDARY)
    first, second = [await _job(story, buying(part, quantity, SECONDARY)) for quantity in (1, 2)]
    await story.tell(refused(second))
    job = await _job(story, withdrawing(part, party_id=U3, market=SECONDARY))
    await story.tell(begun(job))
    await story.tell(done(first))
    await story.tell(done(job))


async def _bid(story: Any, clock: SteeredClock) -> None:
    listed = await _listed(story, 10, "3", party_id=U2)
    party: dict[str, Any] = {"party_id": U3, "instrument_id": T, "mandate": ROOT}
    answering: dict[str, Any] = {"party_id": U2, "instrument_id": T, "mandate": ROOT}

    async def bid(cents: int) -> UUID:
        asked = PlaceBid(order_id=listed, quantity=1, price=Decimal(cents).scaleb(-2), **party)
        key = f"bid {cents}"
        first = await story.tell(asked, ESTATE, key)
        assert await story.tell(asked, ESTATE, key) == first
        order_id: UUID = first.order.id
        return order_id

    late = await bid(20)
    clock.advance(seconds=30 * DAY_SECONDS)
    await story.tell(RecordDue(order_ids=[late]))
    accepted, failed, pending, declined, withdrawn, _ = [await bid(30 + number) for number in range(6)]
    await story.tell(DeclineBid(order_id=declined, **answering), ESTATE)
    await story.tell(WithdrawBid(order_id=withdrawn, **party), ESTATE)
    for order_id, word in ((accepted, done), (failed, refused), (pending, None)):
        job = await _job(story, AcceptBid(order_id=order_id, **answering))
        if word is not None:
            await story.tell(word(job))


async def _burnt(story: Any) -> None:
    await story.tell(refused(await _job(story, BurnHolding(party_id=U3, instrument_id=T, mandate=ROOT))))
    await story.tell(done(await _job(story, BurnHolding(party_id=U1, instrument_id=T, mandate=ROOT))))
    await _job(story, BurnHolding(party_id=U3, instrument_id=T, mandate=ROOT))


async def _followed(story: Any, order_id: UUID, version: int) -> None:
    """Let the chain refuse what follows an order at first, and carry the second of its movements out."""
    for number in range(2):
        job_id = declared_compact_id("job", str(order_id), str(version), str(number))
        told = RecordJob(job_id=job_id, reference=job_reference(job_id), outcome="refused", detail="reverted")
        await story.tell(told)
        await story.tell(done((await story.tell(RetryJob(job_id=job_id))).job) if number else RetryJob(job_id=job_id))


async def _sent(story: Any) -> None:
    await story.tell(
        SendFunds(
            currency_id=C,
            address="0x" + "a2".rjust(40, "0"),
            recipient_id=holding_id(U2, "VUSD"),
            amount=Decimal("1.25"),
            mandate=ROOT,
        ),
        ESTATE,
        "sent",
    )


async def _under_way(story: Any) -> None:
    """Leave something in each state in which it waits."""
    await story.tell(done(await _job(story, buying_unsold(9))))
    await _listed(story, 4, "2.5", party_id=U2, market=SECONDARY)
    back = await _listed(story, 1, "2.4", party_id=U2, market=SECONDARY)
    await story.tell(begun(await _job(story, withdrawing(back, party_id=U2, market=SECONDARY))))
    await _job(story, listing(1, "2.3", party_id=U2))
    await _job(story, buying_unsold(2))
