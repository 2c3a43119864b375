"""Record in bulk what the clock has brought about: quotes that expired, debits that settled.

Nobody waits for this: every reader and every action derives the same from the clock. It keeps the tables and the
audit trail complete.
"""

import structlog

from otcdesk.actions.record_due import RecordDue
from otcdesk.desk import Desk
from otcdesk.domain.brokerage import EXPIRE
from otcdesk.domain.products import LIFECYCLES

log = structlog.get_logger()

WORKER = "worker:deadlines"

#: The states in which a deadline means that it is too late.
_EXPIRING = sorted({state for one in LIFECYCLES.values() for state, event in one.overdue.items() if event == EXPIRE})


async def record_what_is_due(desk: Desk, *, grace_ms: int = 0) -> bool:
    """Record what is due in all open lanes; returns whether some lane had as much as one command takes.

    Expiries are recorded `grace_ms` late: a command that came in time may still wait its turn, and would find the order
    ended by a record that came after it.
    """
    orders_max = desk.settings.deadlines_orders_max
    full = False
    for lane, order_ids in await desk.reads.records("orders", "due", desk.clock.now(), orders_max, _EXPIRING, grace_ms):
        reply = await desk.submit_as_worker(lane, WORKER, RecordDue(order_ids=order_ids))
        full |= len(order_ids) == orders_max and reply.recorded > 0
    return full
