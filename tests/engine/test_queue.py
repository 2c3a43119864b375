"""The fair queue."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest

from otcdesk.domain.commands import Command, Reply
from otcdesk.engine.queue import FairQueue, Ticket
from otcdesk.errors import Code, Refusal
from tests.support.clocks import START
from tests.support.verbs import TEST_CATALOGUE, Count

Make = Callable[[int], Ticket]


@pytest.fixture
async def make() -> Make:
    loop = asyncio.get_running_loop()

    def ticket(owner: int) -> Ticket:
        command: Command = Count(name="one")
        future: asyncio.Future[Reply] = loop.create_future()
        return Ticket(
            command=command,
            verb=TEST_CATALOGUE[type(command)],
            caller="test",
            owner_id=UUID(int=owner),
            key=None,
            fingerprint=None,
            arrived_at=START,
            command_id=UUID(int=0),
            request_id="r",
            future=future,
        )

    return ticket


def owners(tickets: list[Ticket]) -> list[int]:
    return [ticket.owner_id.int for ticket in tickets]


async def test_tickets_of_a_batch_stand_in_the_order_of_their_arrival(make: Make) -> None:
    queue = FairQueue(waiting_max=100, waiting_per_owner_max=100)
    put = [make(owner) for owner in (1, 1, 2, 1, 3, 2)]
    for ticket in put:
        queue.put(ticket)
    assert queue.take(100) == put
    assert queue.waiting == 0
    assert queue.take(100) == []


async def test_a_batch_takes_from_all_owners_in_turn(make: Make) -> None:
    queue = FairQueue(waiting_max=100, waiting_per_owner_max=100)
    for owner in (1, 1, 1, 1, 1, 2, 3):
        queue.put(make(owner))
    assert owners(queue.take(3)) == [1, 2, 3]
    assert owners(queue.take(3)) == [1, 1, 1]


async def test_owners_that_were_not_reached_come_first_the_next_time(make: Make) -> None:
    queue = FairQueue(waiting_max=100, waiting_per_owner_max=100)
    for owner in range(1, 6):
        for _ in range(4):
            queue.put(make(owner))
    taken = [sorted(owners(queue.take(2))) for _ in range(5)]
    assert sorted(owner for batch in taken for owner in batch) == sorted([1, 2, 3, 4, 5] * 2)


async def test_bounds(make: Make) -> None:
    queue = FairQueue(waiting_max=5, waiting_per_owner_max=3)
    for owner in (1, 1, 1, 2, 2):
        queue.put(make(owner))
    for owner in (1, 3):
        with pytest.raises(Refusal) as caught:
            queue.put(make(owner))
        assert caught.value.code is Code.OVERLOADED
    queue.take(1)
    queue.put(make(3))
    assert queue.waiting == 5


async def test_those_who_hung_up_are_dropped_and_take_nobodys_place(make: Make) -> None:
    queue = FairQueue(waiting_max=100, waiting_per_owner_max=100)
    put = [make(owner) for owner in (1, 2, 1, 2)]
    for ticket in put:
        queue.put(ticket)
    put[0].future.cancel()
    put[3].future.cancel()
    assert queue.take(2) == [put[1], put[2]]
    assert queue.take(2) == []
    assert queue.waiting == 0
