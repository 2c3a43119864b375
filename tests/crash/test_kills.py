"""Kill the desk, and kill PostgreSQL, with a batch in flight: nothing answered is lost, nothing is done twice or half.

The load is drawn from a printed seed (TEST_SEED repeats it); the clock decides where a random kill falls. Each kill is
followed by an inquest: `tests/support/crash_inquest.py` tells what it asks.
"""

import random
from collections import Counter

from tests.support.clocks import seeds
from tests.support.crash_inquest import Inquest
from tests.support.crash_site import Kill, Moment, Victim, crash_site

#: The whole history is verified after so many kills, and at the end.
_VERIFIED_EVERY = 6

_PLACED = (Moment.UNSENT, Moment.WITHIN, Moment.COMMITTED, Moment.LEG)


def kills(*victims: Victim, at_random: int) -> list[Kill]:
    """Return for each victim a kill at each placed moment, and so many at random ones."""
    moments = (*_PLACED, *[Moment.ANY] * at_random)
    return [Kill(victim, moment) for victim in victims for moment in moments]


THE_DESK = kills(Victim.DESK, Victim.MACHINE, at_random=1)
POSTGRES = kills(Victim.POSTGRES, Victim.POSTMASTER, Victim.BACKEND, at_random=1)
POSTGRES_FOR_LONG = kills(Victim.POSTMASTER, at_random=0)


async def test_a_desk_that_is_killed_goes_on_where_it_was(fuzz_seconds: int | None) -> None:
    for seed in seeds(fuzz_seconds):
        await _carry_out(THE_DESK, seed, patient=True)


async def test_a_desk_finds_out_what_became_of_its_batch_when_postgres_is_killed(fuzz_seconds: int | None) -> None:
    for seed in seeds(fuzz_seconds):
        inquest = await _carry_out(POSTGRES, seed, patient=True)
        moments = Counter(kill.moment for kill in POSTGRES)
        assert inquest.found_out[True] >= moments[Moment.COMMITTED]
        assert inquest.found_out[False] >= moments[Moment.UNSENT] + moments[Moment.WITHIN] + moments[Moment.LEG]


async def test_a_desk_says_that_it_does_not_know_while_postgres_is_away(fuzz_seconds: int | None) -> None:
    for seed in seeds(fuzz_seconds):
        inquest = await _carry_out(POSTGRES_FOR_LONG, seed, patient=False)
        assert inquest.left_unknown == len(POSTGRES_FOR_LONG)
        assert inquest.load.told_to_wait


async def _carry_out(schedule: list[Kill], seed: int, *, patient: bool) -> Inquest:
    """Carry out all kills on one desk's books, in an order that the seed draws."""
    async with crash_site(seed, patient=patient) as site:
        inquest = Inquest(site)
        for number, kill in enumerate(random.Random(seed).sample(schedule, k=len(schedule)), start=1):
            await inquest.after(await site.strike(kill))
            if number % _VERIFIED_EVERY == 0:
                await inquest.verify()
        await inquest.close()
    print(inquest.told())
    assert inquest.kills == Counter(schedule)
    return inquest
