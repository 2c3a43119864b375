"""Kill the desk while it tells receivers what happens: whatever is in the books arrives, in its order, and no more.

The load is drawn from a printed seed (TEST_SEED repeats it). Most kills are placed: by a receiver in the middle of a
message, or by a relay that stops a statement of the desk. `tests/support/hook_inquest.py` tells what is asked.
"""

import random
from collections import Counter

from tests.support.clocks import seeds
from tests.support.crash_site import Victim
from tests.support.hook_inquest import HookInquest
from tests.support.hook_site import Kill, Window, hook_site

SCHEDULE = [*[Kill(Victim.DESK, window) for window in Window], Kill(Victim.MACHINE, Window.ANSWERED)]
SCHEDULE_FOR_FUZZ = [
    *[Kill(Victim.DESK, window) for window in (*Window, Window.ANY)],
    *[Kill(Victim.MACHINE, window) for window in (Window.TELLING, Window.CLAIMED, Window.SENDING, Window.ANSWERED)],
]


async def test_a_killed_desk_loses_no_callback_and_invents_none(fuzz_seconds: int | None) -> None:
    schedule = SCHEDULE if fuzz_seconds is None else SCHEDULE_FOR_FUZZ
    for seed in seeds(fuzz_seconds):
        async with hook_site(seed) as site:
            inquest = HookInquest(site)
            for kill in random.Random(seed).sample(schedule, k=len(schedule)):
                await inquest.strike(kill)
            await inquest.close()
        print(inquest.told())
        assert inquest.kills == Counter(schedule)
