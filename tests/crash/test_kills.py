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


def kills(*victims: Victim, moments: tuple[Moment, ...] = tuple(Moment)) -> list[Kill]:
    """Return a kill of each victim at each moment."""
    return [Kill(victim, moment) for victim in victims for moment in moments]


# Each victim and each moment; for fuzz each victim at each moment.
THE_DESK = [*kills(Victim.DESK), Kill(Victim.MACHINE, Moment.COMMITTED)]
THE_DESK_FOR_FUZZ = kills(Victim.DESK, Victim.MACHINE)
POSTGRES = [
    *kills(Victim.POSTGRES),
    Kill(Victim.POSTMASTER, Moment.ANY),
    *kills(Victim.BACKEND, moments=(Moment.WITHIN, Moment.COMMITTED)),
]
POSTGRES_FOR_FUZZ = kills(Victim.POSTGRES, Victim.POSTMASTER, Victim.BACKEND)
POSTGRES_FOR_LONG = kills(Victim.POSTMASTER, moments=(Moment.WITHIN, Moment.COMMITTED))
POSTGRES_FOR_LONG_FOR_FUZZ = kills(Victim.POSTMASTER, moments=_PLACED)


async def test_a_desk_that_is_killed_goes_on_where_it_was(fuzz_seconds: int | None) -> None:
    schedule = THE_DESK if fuzz_seconds is None else THE_DESK_FOR_FUZZ
    for seed in seeds(fuzz_seconds):
        await _carry_out(schedule, seed, patient=True)


async def test_a_desk_finds_out_what_became_of_its_batch_when_postgres_is_killed(fuzz_seconds: int | None) -> None:
    schedule = POSTGRES if fuzz_seconds is None else POSTGRES_FOR_FUZZ
    moments = Counter(kill.moment for kill in schedule)
    for seed in seeds(fuzz_seconds):
        inquest = await _carry_out(schedule, seed, patient=True)
        assert inquest.found_out[True] >= moments[Moment.COMMITTED]
        assert inquest.found_out[False] >= moments[Moment.UNSENT] + moments[Moment.WITHIN] + moments[Moment.LEG]


async def test_a_desk_says_that_it_does_not_know_while_postgres_is_away(fuzz_seconds: int | None) -> None:
    schedule = POSTGRES_FOR_LONG if fuzz_seconds is None else POSTGRES_FOR_LONG_FOR_FUZZ
    for seed in seeds(fuzz_seconds):
        inquest = await _carry_out(schedule, seed, patient=False)
        assert inquest.left_unknown == len(schedule)
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
