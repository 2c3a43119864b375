"""A program with webhooks on a database of the test's own, and conversions to be told of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from otcdesk.actions.approve_conversion import ApproveConversion
from otcdesk.actions.cancel_conversion import CancelConversion
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.move_value import Deposit
from otcdesk.app import Program
from otcdesk.domain.event_types import CATALOGUE
from otcdesk.domain.orders import BUY, Order
from otcdesk.domain.parties import DESK_ID
from otcdesk.webhooks.deliveries import Delivery
from otcdesk.webhooks.envelope import SigningKey
from otcdesk.webhooks.subscriptions import Made, Subscription, Wanted
from tests.support.clocks import SteeredClock
from tests.support.conversions import buying, selling
from tests.support.desk import FA1, A, Lane, new_lane, submit
from tests.support.program import opened, put_audit_key

EVERYTHING = sorted(CATALOGUE)
OF_TENANTS = sorted(name for name, kind in CATALOGUE.items() if kind.for_tenants)
OF_ORDERS = [name for name in OF_TENANTS if name.startswith("conversion.")]
EXCHANGES = ["otc_exchange.created", "otc_exchange.status_updated"]


class Hooked:
    """The program, its lane, and short ways to ask things of both."""

    def __init__(self, program: Program, lane: Lane, connection: asyncpg.Connection) -> None:
        self.program = program
        self.lane = lane
        self.connection = connection
        self.webhooks = program.webhooks
        self.worker = program.webhook_worker

    @property
    def clock(self) -> SteeredClock:
        assert isinstance(self.lane.clock, SteeredClock)
        return self.lane.clock

    async def made(
        self,
        url: str,
        *,
        owner_id: UUID = A,
        envelope: str = "standard",
        event_types: list[str] | None = None,
        lane: int | None = None,
    ) -> Made:
        """Make a subscription: to everything that its owner may hear, unless it is said to what."""
        types = event_types or (
            EXCHANGES if envelope == "exchanges" else EVERYTHING if owner_id == DESK_ID else OF_TENANTS
        )
        wanted = Wanted(lane=lane or self.lane.number, owner_id=owner_id, envelope=envelope, url=url, event_types=types)
        return await self.webhooks.subscriptions.create(wanted)

    async def subscribed(self, url: str, **how: Any) -> Subscription:
        """Make a subscription and return it alone."""
        return (await self.made(url, **how)).subscription

    async def now(self, subscription: Subscription) -> Subscription:
        """Return a subscription as it is by now."""
        return await self.webhooks.subscriptions.find(subscription.lane, subscription.id)

    async def told(self) -> None:
        """Make deliveries of everything that is committed."""
        while await self.worker.fan_out():
            pass

    async def deliveries(self, subscription: Subscription | None = None) -> list[Delivery]:
        """Return deliveries, the oldest first."""
        page = await self.webhooks.deliveries.page(
            self.lane.number, subscription_id=subscription.id if subscription else None, limit=1_000, offset=0
        )
        return sorted(page.rows, key=lambda row: (row.created_at, row.id))

    async def types(self, subscription: Subscription) -> list[str]:
        """Return the types of a subscription's deliveries, the oldest first."""
        return [row.event_type for row in await self.deliveries(subscription)]

    async def keys(self, subscription: Subscription) -> list[SigningKey]:
        """Return what signs for a subscription."""
        return await self.webhooks.keys.signing(subscription)

    # -- conversions -----------------------------------------------------------------------------------------------

    async def act(self, command: Any, *, owner_id: UUID = A, key: str | None = None) -> Any:
        return await submit(self.program.desk.engine, self.lane.number, command, owner_id=owner_id, key=key)

    async def quoted(self, side: str = BUY, units: int | None = None) -> Order:
        ask = buying(units or 10_000) if side == BUY else selling(units or 10_000_000)
        order: Order = (await self.act(ask)).order
        return order

    async def confirmed(self, side: str = BUY) -> Order:
        order = await self.quoted(side)
        await self.act(ConfirmConversion(order_id=order.id, side=side), key=str(uuid4()))
        return order

    async def cancelled(self) -> Order:
        order = await self.quoted()
        await self.act(CancelConversion(order_id=order.id))
        return order

    async def completed(self, side: str = BUY) -> Order:
        order = await self.confirmed(side)
        approved = (await self.act(ApproveConversion(order_id=order.id), owner_id=DESK_ID)).order
        return await self.program.settlement.outcome(self.lane.number, approved, 5_000)

    async def deposited(self, units: int = 100) -> None:
        await self.act(Deposit(account_id=FA1, units=units, reason="wire", reference="1"), owner_id=DESK_ID)


@asynccontextmanager
async def hooked(dsn: str, home: Path, **settings: Any) -> AsyncIterator[Hooked]:
    """Open a program on a lane of its own, which is closed in the end: then nobody sends what it leaves behind."""
    lane = await new_lane(dsn, clock=SteeredClock())
    connection = await asyncpg.connect(dsn)
    put_audit_key(home)
    wanted = {
        "webhooks_local": True,
        "webhooks_jitter_percent": 0,
        "webhooks_in_flight_per_owner_max": 1_000,
        **settings,
    }
    try:
        async with opened(lane, home, **wanted) as program:
            yield Hooked(program, lane, connection)
    finally:
        await connection.execute("update lanes set closed_at = now() where lane = $1", lane.number)
        await connection.close()
