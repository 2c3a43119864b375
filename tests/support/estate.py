"""Resale on the world of the deals contract, step by step."""

from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import UUID

from otcdesk.actions.buy_resale import BuyResale, BuyUnsold
from otcdesk.actions.list_resale import ListResale
from otcdesk.actions.record_job import BeginJob, JobRecorded, RecordJob
from otcdesk.actions.take_resale import TakeResale
from otcdesk.actions.withdraw_resale import CloseResale, WithdrawResale
from otcdesk.domain.brokerage import holding_id
from otcdesk.domain.compact_ids import parse_compact_id
from otcdesk.domain.events import Event
from otcdesk.domain.jobs import FOLLOW, Job
from otcdesk.domain.ledger import Account, Hold
from otcdesk.domain.orders import Order
from otcdesk.domain.resale_rules import BranchRules, ResaleRule
from otcdesk.domain.resales import OTC, Branch, Mandate, Resale, branch_account_id
from otcdesk.domain.world import tenant_id
from tests.support.pure import PureDesk

DEALS_WORLD = (files("otcdesk") / "worlds" / "deals.toml").read_text(encoding="utf-8")

ESTATE = tenant_id("estate")


def compact(digits: str) -> UUID:
    """Return one of the fixture's ids by its last digits."""
    found = parse_compact_id(f"65a1b2c3d4e5f60718290{digits}")
    assert found is not None
    return found


# Who and what the world declares.
N, N2, N3 = compact("d01"), compact("d02"), compact("d03")
U1, U2, U3 = compact("a01"), compact("a02"), compact("a03")
T, C = compact("b01"), compact("c01")

#: Somebody who may do everything, everywhere; somebody of the third branch; and somebody who may do nothing.
ROOT, THIRD, NOBODY = Mandate("1", permitted=True), Mandate("1.3", permitted=True), Mandate("1", permitted=False)

HASH = "0x" + "ab" * 32
DAY_SECONDS = 86_400


@cache
def _declared(world: str) -> PureDesk:
    return PureDesk(world)


def estate_desk(world: str = DEALS_WORLD) -> PureDesk:
    """Return a desk of its own in which a world is declared."""
    desk = PureDesk(world=None)
    desk.rows = dict(_declared(world).rows)
    return desk


def listing(quantity: int = 3, price: str = "2.5", **fields: Any) -> ListResale:
    """List some of what U1 has over the counter, unless told otherwise."""
    told = {"party_id": U1, "instrument_id": T, "currency_id": C, "market": OTC, "mandate": ROOT, **fields}
    return ListResale(quantity=quantity, price=Decimal(price), **told)


def withdrawing(order_id: UUID | None, **fields: Any) -> WithdrawResale:
    """Let U1 take a listing back."""
    told = {"party_id": U1, "instrument_id": T, "market": OTC, "mandate": ROOT, **fields}
    return WithdrawResale(order_id=order_id, **told)


def taking(order_id: UUID | None, **fields: Any) -> TakeResale:
    """Let the root branch take a listing."""
    return TakeResale(**{"branch_id": N, "instrument_id": T, "order_id": order_id, "mandate": ROOT, **fields})


def closing(order_id: UUID | None, **fields: Any) -> CloseResale:
    """Let the root branch close a listing."""
    return CloseResale(**{"branch_id": N, "instrument_id": T, "order_id": order_id, "mandate": ROOT, **fields})


def buying(order_id: UUID | None, quantity: int, market: str = OTC, **fields: Any) -> BuyResale:
    """Let U2 buy of a listing."""
    told = {"party_id": U2, "instrument_id": T, "mandate": ROOT, **fields}
    return BuyResale(order_id=order_id, quantity=quantity, market=market, **told)


def buying_unsold(quantity: int, **fields: Any) -> BuyUnsold:
    """Let U2 buy of what the root branch has not sold."""
    return BuyUnsold(**{"party_id": U2, "instrument_id": T, "quantity": quantity, "mandate": ROOT, **fields})


def done(job: Job, detail: str = HASH) -> RecordJob:
    """Say that the chain has done it."""
    return RecordJob(job_id=job.id, reference=job.reference, outcome="done", detail=detail)


def refused(job: Job, detail: str = "reverted") -> RecordJob:
    """Say that it has not and will not."""
    return RecordJob(job_id=job.id, reference=job.reference, outcome="refused", detail=detail)


def begun(job: Job, sent_as: str | None = None) -> BeginJob:
    """Say that the chain is asked."""
    return BeginJob(job_id=job.id, reference=job.reference, hash=sent_as)


def started(desk: PureDesk, command: Any) -> Job:
    """Ask for something and return its job."""
    job: Job = desk.act(command, owner_id=ESTATE, caller="client").job
    return job


def listed(desk: PureDesk, quantity: int = 3, price: str = "2.5", **fields: Any) -> Order:
    """List something and let the chain have it."""
    job = started(desk, listing(quantity, price, **fields))
    recorded(desk, done(job))
    return desk.get(Order, job.order_id)


def recorded(desk: PureDesk, command: BeginJob | RecordJob) -> JobRecorded:
    reply: JobRecorded = desk.act(command, caller="worker:jobs")
    return reply


def let_parties_trade(desk: PureDesk, branch_id: UUID = N) -> None:
    """Let the parties of a branch take each other's listings over the counter."""
    desk.put(desk.get(Branch, branch_id).with_(parties_trade=True))


def rule(desk: PureDesk, number: int = 1, **fields: Any) -> ResaleRule:
    """Set the stage: let the root branch have an active rule that takes everything, unless told otherwise."""
    now = desk.clock.now()
    made = ResaleRule(
        **{
            "id": compact(f"e{number:02}"),
            "tenant_id": ESTATE,
            "branch_id": N,
            "name": f"rule {number}",
            "side": "sells",
            "test": "unconditional",
            "action": "accept",
            "consume_on_match": False,
            "active": True,
            "priority": 1,
            "created_by": "root@example.com",
            "created_at": now,
            "updated_at": now,
            **fields,
        }
    )
    live = desk.rows.get((BranchRules, made.branch_id)) or BranchRules(branch_id=made.branch_id)
    assert isinstance(live, BranchRules)
    desk.put(made)
    if made.active:
        desk.put(live.with_(rule_ids=(*live.rule_ids, made.id)))
    return made


def units(desk: PureDesk, party_id: UUID = U1, asset: str = "EXT") -> tuple[int, int]:
    """Return what a party has of something, and how much of that is held."""
    return held_on(desk, holding_id(party_id, asset))


def branch_units(desk: PureDesk, purpose: str, asset: str = "VUSD", branch_id: UUID = N) -> int:
    """Return what a branch has on one of its accounts."""
    return held_on(desk, branch_account_id(branch_id, purpose, asset))[0]


def held_on(desk: PureDesk, account_id: UUID) -> tuple[int, int]:
    """Return an account's balance and what is held of it; nothing of one that was never opened."""
    account = desk.rows.get((Account, account_id))
    return (account.balance, account.held) if isinstance(account, Account) else (0, 0)


def parts(desk: PureDesk, order_id: UUID) -> tuple[int, int, int]:
    """Return how much of a listing is available, promised and sold."""
    resale = desk.get(Resale, order_id)
    return resale.available, resale.promised, resale.sold


def follows(desk: PureDesk, order_id: UUID | None = None) -> list[tuple[str, int]]:
    """Return what moves of what on the chain because of an order (None: any), in the order in which it was staged."""
    jobs = [job for job in desk.all(Job) if job.kind == FOLLOW and order_id in {None, job.order_id}]
    return [(job.asset, job.units) for job in jobs]


def open_holds(desk: PureDesk, order_id: UUID) -> list[int]:
    """Return how much each open hold of an order is over."""
    return [hold.units for hold in desk.all(Hold) if hold.order_id == order_id and hold.state == "open"]


def told(desk: PureDesk, order_id: UUID) -> list[str]:
    """Return the names of an order's events, in their order: one for each version but its first."""
    events = sorted(
        (event for event in desk.all(Event) if event.order_id == order_id), key=lambda one: one.order_version
    )
    assert [event.order_version for event in events] == list(range(2, len(events) + 2))
    times = [event.happened_at for event in events]
    assert times == sorted(times)
    return [event.name.removeprefix("resale.") for event in events]
