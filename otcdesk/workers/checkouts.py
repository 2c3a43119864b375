"""Try again to buy for what has arrived for checkouts while it could not be bought for.

The payment is in the books and counted; only its purchase is late. There is no hurry and nothing to claim: whoever
tries, each deposit is bought for once.
"""

from otcdesk.actions.settle_checkout import PURCHASES_MAX, SettleCheckouts
from otcdesk.desk import Desk

WORKER = "worker:checkouts"


async def settle_paid_checkouts(desk: Desk) -> None:
    """Go once through all that waits to be bought for in open lanes, a command for so many places at a time."""
    after = (-1, "")
    while found := await desk.reads.records("checkouts", "unbought", *after, PURCHASES_MAX):
        places: dict[int, list[str]] = {}
        for lane, place in found:
            places.setdefault(lane, []).append(place)
        for lane, of_lane in places.items():
            await desk.submit_as_worker(lane, WORKER, SettleCheckouts(places=of_lane))
        after = tuple(found[-1])
        if len(found) < PURCHASES_MAX:
            return
