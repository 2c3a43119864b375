"""How what is listed or bid for ends before it is sold: what it holds is available again, and the chain follows."""

import pytest

from otcdesk.actions.bid_resale import PlaceBid
from otcdesk.actions.record_due import RecordDue
from otcdesk.domain.brokerage import holding_id
from otcdesk.domain.jobs import FOLLOW, STARTED, Job, job_reference
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import Order
from otcdesk.domain.resales import ESCROW, OTC, branch_account_id
from otcdesk.engine.lane import READINGS_MAX
from tests.support.estate import (
    DAY_SECONDS,
    ESTATE,
    ROOT,
    U1,
    U2,
    U3,
    N,
    T,
    buying,
    closing,
    done,
    estate_desk,
    follows,
    let_parties_trade,
    listed,
    parts,
    recorded,
    refused,
    started,
    told,
    units,
)
from tests.support.pure import READINGS_SPARE


def test_what_ends_is_given_back_in_the_books_and_on_the_chain() -> None:
    desk = estate_desk()
    order = listed(desk)
    desk.act(closing(order.id), owner_id=ESTATE, caller="root@example.com")
    (job,) = [job for job in desk.all(Job) if job.kind == FOLLOW]
    assert (job.order_id, job.party_id, job.instrument_id, job.tenant_id) == (order.id, None, T, ESTATE)
    assert job.source_account_id == branch_account_id(N, ESCROW, "EXT")
    assert job.destination_account_id == holding_id(U1, "EXT")
    assert (job.asset, job.units, job.market, job.state, job.tries) == ("EXT", 3, OTC, STARTED, 1)
    assert (job.reference, job.waits_for, job.caller) == (job_reference(job.id), "chain_job", "root@example.com")
    assert desk.get(Account, job.source_account_id).balance == 0


def test_what_ran_out_is_recorded_by_whoever_meets_it() -> None:
    """A closing that comes too late is refused and leaves it so; the worker records it, as of when it ran out."""
    desk = estate_desk()
    order = listed(desk)
    desk.clock.advance(seconds=31 * DAY_SECONDS + 5)
    desk.refuse(closing(order.id), owner_id=ESTATE)
    assert desk.get(Order, order.id) == order
    assert desk.act(RecordDue(order_ids=[order.id])).recorded == 1
    after = desk.get(Order, order.id)
    assert (after.state, after.ended_at, after.due_at, after.pay_hold_id) == ("expired", order.expires_at, None, None)
    assert told(desk, order.id) == ["place", "activate", "expire"]
    assert (units(desk), parts(desk, order.id), follows(desk, order.id)) == ((10, 0), (0, 0, 0), [("EXT", 3)])


def test_however_many_run_out_at_once_are_recorded_in_one_command() -> None:
    """Each needs rows of its own: if they were read one listing after another, no batch could do it."""
    desk = estate_desk()
    let_parties_trade(desk)
    many = READINGS_MAX - READINGS_SPARE + 10
    orders = [listed(desk, 1, party_id=U1 if number < 10 else U3) for number in range(15)]
    desk.put(desk.get(Account, holding_id(U1, "EXT")).with_(balance=10 + many))
    orders += [listed(desk, 1) for _ in range(many)]
    bids = [
        PlaceBid(party_id=U2, instrument_id=T, order_id=orders[0].id, quantity=1, price=orders[0].rate, mandate=ROOT)
        for _ in range(many)
    ]
    orders += [desk.act(bid, owner_id=ESTATE).order for bid in bids]
    desk.clock.advance(seconds=32 * DAY_SECONDS)
    asked = [order.id for order in orders]
    assert desk.act(RecordDue(order_ids=[*asked, asked[0]])).recorded == len(asked)
    assert {desk.get(Order, order_id).state for order_id in asked} == {"expired"}
    assert {units(desk, party)[1] for party in (U1, U3)} == {0}
    assert units(desk, U2, "VUSD")[1] == 0


def test_a_bid_that_runs_out_gives_back_its_money_and_nothing_of_the_listing() -> None:
    desk = estate_desk()
    let_parties_trade(desk)
    order = listed(desk)
    asked = PlaceBid(party_id=U2, instrument_id=T, order_id=order.id, quantity=2, price=order.rate, mandate=ROOT)
    bid = desk.act(asked, owner_id=ESTATE).order
    assert units(desk, U2, "VUSD") == (500_000_000, 5_000_000)
    assert bid.due_at is not None
    desk.clock.advance(seconds=int((bid.due_at - desk.clock.now()).total_seconds()))
    assert desk.act(RecordDue(order_ids=[bid.id])).recorded == 1
    assert (units(desk, U2, "VUSD"), parts(desk, order.id)) == ((500_000_000, 0), (3, 0, 0))
    assert follows(desk) == []


@pytest.mark.parametrize("word", [done, refused])
def test_what_was_promised_of_what_ran_out_waits_for_its_own_end(word: object) -> None:
    desk = estate_desk()
    let_parties_trade(desk)
    order = listed(desk)
    job = started(desk, buying(order.id, 1))
    desk.clock.advance(seconds=32 * DAY_SECONDS)
    desk.act(RecordDue(order_ids=[order.id]))
    assert (desk.get(Order, order.id).state, parts(desk, order.id), units(desk)) == ("expired", (0, 1, 0), (10, 1))
    recorded(desk, word(job))  # type: ignore[operator]
    assert desk.get(Order, order.id).state == "expired"
    bought = word is done
    assert (parts(desk, order.id), units(desk)) == (((0, 0, 1), (9, 0)) if bought else ((0, 0, 0), (10, 0)))
    moved = sum(moved_units for asset, moved_units in follows(desk) if asset == "EXT")
    assert moved == 3, "all that was listed has left the chain's escrow"
