"""A chain that is away, slow, loses its answers or refuses: jobs rest, nothing is let go meanwhile, all end once."""

import pytest

from tests.support.deals import U1, DealsWorld, T
from tests.support.server import DeskServer

BEFORE, LISTED = (10, 10, 0), (10, 7, 3)


@pytest.fixture
def estate(server: DeskServer) -> DealsWorld:
    return DealsWorld(server)


@pytest.mark.parametrize("mode", ["unavailable", "unknown"])
def test_a_job_rests_while_the_chain_does_not_answer_and_ends_when_it_does(estate: DealsWorld, mode: str) -> None:
    estate.fault("chain", mode)
    sold = estate.sold()
    estate.run_workers()
    told = estate.transaction(sold)
    assert told["status"] in {1, 2}
    assert (told["hash"], told["error"], told["data"]) == (None, None, None)
    assert (estate.deals(), estate.quantities()) == ([], LISTED)
    estate.fault("chain", "up")
    assert estate.finished(sold)["data"]["deal_id"] == 1
    assert [deal["status"] for deal in estate.deals()] == ["active"]
    assert estate.quantities() == LISTED


def test_a_slow_chain_is_waited_for(estate: DealsWorld) -> None:
    estate.fault("chain", "up", delay_ms=200)
    sold = estate.sold()
    assert estate.transaction(sold)["status"] in {1, 2}
    assert estate.finished(sold)["hash"].startswith("0x")


def test_what_the_chain_refuses_to_list_is_available_again_as_in_case_22(estate: DealsWorld) -> None:
    estate.fault("chain", "refuse")
    sold = estate.sold()
    estate.run_workers()
    told = estate.transaction(sold)
    assert told["status"] == 4
    assert told["error"]
    assert (estate.deals(), estate.quantities()) == ([], BEFORE)
    estate.fault("chain", "up")
    estate.run_workers()
    assert estate.transaction(sold) == told, "what has failed stays so"
    assert estate.active_deal() == 1


@pytest.mark.parametrize("mode", ["unavailable", "unknown"])
def test_a_deal_that_is_given_back_cannot_be_taken_while_the_chain_does_not_answer(
    estate: DealsWorld, mode: str
) -> None:
    deal_id = estate.active_deal()
    estate.fault("chain", mode)
    withdrawn = estate.cancel(deal_id).json()["transaction_id"]
    estate.run_workers()
    assert estate.transaction(withdrawn)["status"] == 2
    assert estate.quantities() == LISTED
    answer = estate.cancel(deal_id)
    assert (answer.status_code, answer.json()["error"]) == (409, "Deal cannot be cancelled")
    estate.fault("chain", "up")
    estate.finished(withdrawn)
    assert ([deal["status"] for deal in estate.deals()], estate.quantities()) == (["cancelled"], BEFORE)


def test_a_deal_that_the_chain_does_not_give_back_is_active_again(estate: DealsWorld) -> None:
    deal_id = estate.active_deal()
    estate.fault("chain", "refuse")
    withdrawn = estate.cancel(deal_id).json()["transaction_id"]
    estate.run_workers()
    assert estate.transaction(withdrawn)["status"] == 4
    assert [deal["status"] for deal in estate.deals(U1, T)] == ["active"]
    assert estate.quantities() == LISTED
    estate.fault("chain", "up")
    estate.finished(estate.cancel(deal_id).json()["transaction_id"])
    assert estate.quantities() == BEFORE


def test_many_jobs_that_rest_all_end(estate: DealsWorld) -> None:
    estate.fault("chain", "unavailable")
    sold = [estate.sold(quantity=1) for _ in range(10)]
    estate.run_workers()
    assert estate.quantities() == (10, 0, 10)
    estate.fault("chain", "up")
    numbers = sorted(estate.finished(one)["data"]["deal_id"] for one in sold)
    assert numbers == list(range(1, 11))
