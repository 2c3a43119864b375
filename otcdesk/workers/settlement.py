"""Carry out the transfers that approved conversions wait for, each once.

An order that waits for a rail is claimed by a lease, committed before the outside call; the call carries the order's
recorded reference; its outcome comes back as `RecordLeg`. Wherever this process dies, the lease runs out and whoever
claims next repeats the call with the same reference. No database transaction is open while the outside is asked.

What a rail does not take at the first attempt, or never will, it is made to decide on. Tokens that must go back are
asked for until they have gone: after each refusal under the next reference, and after a longer rest.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog

from otcdesk.actions.conversion_checks import treasury_ids
from otcdesk.actions.record_leg import LegRecorded, RecordLeg
from otcdesk.desk import Desk
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.conversions import CHAIN, CONVERSIONS, FIAT, PAYING, RETURN_REFUSED, RETURNING
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import Order
from otcdesk.money import Amount
from otcdesk.rails.protocols import ChainRail, FiatRail, RailPending, RailUnavailable, RailUnknown, Receipt, Transfer
from otcdesk.storage.database import Reads
from otcdesk.workers.deciding import decided
from otcdesk.workers.waves import UNAVAILABLE, UNKNOWN

log = structlog.get_logger()

WORKER = "worker:settlement"

#: A return that was refused rests for `rail_retry_ms`, and for as much longer after each refusal, up to so many times
#: as long.
_RESTS_MAX = 60


#: Told which rail was called, and how that ended.
Watch = Callable[[str, str], None]


def _nobody_watches(rail: str, outcome: str) -> None:
    pass


class Waiting(msgspec.Struct, frozen=True):
    """An order that waits for a rail, and its lane."""

    lane: int
    order: Order


class Settlement:
    """The settlement worker of this process; also lets a request wait for one order's outcome."""

    def __init__(self, desk: Desk, holder: str, reads: Reads, watch: Watch = _nobody_watches) -> None:
        self.desk = desk
        self.watch = watch
        self.holder = holder
        self.reads = reads
        self._working: dict[tuple[int, UUID], asyncio.Task[None]] = {}

    async def settle_waiting(self) -> bool:
        """Start work on orders that wait and that nobody works on; returns whether there may be more."""
        room = self.desk.settings.settlement_orders_max - len(self._working)
        if room <= 0:
            return False
        found = await self.reads.rows("orders", "waiting", Waiting, self.desk.clock.now(), room, [CHAIN, FIAT])
        for waiting in found:
            self.start(waiting.lane, waiting.order)
        return False

    def start(self, lane: int, order: Order) -> asyncio.Task[None]:
        """Work on an order, unless this process already does."""
        key = (lane, order.id)
        task = self._working.get(key)
        if task is None:
            task = self._working[key] = asyncio.create_task(self._settle(lane, order), name=f"settle {order.id}")
            task.add_done_callback(lambda _: self._working.pop(key, None))
        return task

    async def outcome(self, lane: int, order: Order, within_ms: int) -> Order:
        """Work on an order and return it once it waits no more, or as it is when the time is up."""
        await asyncio.wait({self.start(lane, order)}, timeout=within_ms / 1000)
        return await self.desk.order(lane, order.id) or order

    async def forget_ended(self) -> int:
        """Drop claims that died with their holders and that nobody needs; returns how many there were."""
        dropped: int = await self.reads.value("leases", "forget_ended", self.desk.clock.now())
        return dropped

    async def stop(self) -> None:
        """Wait for the calls that are under way; what they leave undone is repeated by whoever claims it next."""
        if self._working:
            await asyncio.wait(set(self._working.values()), timeout=self.desk.settings.stop_seconds_max)

    async def _settle(self, lane: int, order: Order | None) -> None:
        """Carry an order through its legs until it waits for nothing, or for somebody else."""
        try:
            while order is not None and order.waits_for is not None:
                order = await self._leg(lane, order)
        except Exception as error:  # noqa: BLE001  (the lease runs out and the leg is repeated)
            log.warning("settlement_failed", lane=lane, order_id=str(order and order.id), error=repr(error))

    async def _leg(self, lane: int, order: Order) -> Order | None:
        """Carry out one leg; returns the order after it, None when it is somebody else's or must wait."""
        reference = order.rail_reference or ""
        attempts = await self._claim(lane, reference)
        if attempts is None:
            return None
        current = await self.desk.order(lane, order.id)
        if current is None or current.rail_reference != reference:  # somebody ended this leg after it was read
            await self.reads.value("leases", "give_back", lane, reference, self.holder)
            return current
        try:
            receipt = await self._transfer(lane, order, reference)
        except RailPending as pending:
            log.debug("rail_pending", lane=lane, reference=reference, detail=pending.detail)
            await self._try_again_later(lane, reference)
            return None
        except RailUnknown as error:
            log.warning("rail_unknown", lane=lane, reference=reference, error=str(error))
            await self._try_again_later(lane, reference)
            return None
        command = RecordLeg(
            order_id=order.id,
            reference=reference,
            outcome="done" if receipt.done else "refused",
            detail=receipt.detail,
        )
        recorded: LegRecorded = await self.desk.submit_as_worker(lane, WORKER, command)
        if recorded.applied and recorded.order.state == RETURNING == order.state:
            await self._rest(lane, recorded.order, receipt.detail)
        await self.reads.value("leases", "give_back", lane, reference, self.holder)
        return recorded.order

    async def _transfer(self, lane: int, order: Order, reference: str) -> Receipt:
        """Ask the rail; raises RailUnknown when money may have moved, by this call or by another."""
        transfer = await self._transfer_of(lane, order, reference)
        rail: ChainRail | FiatRail
        name, rail = (CHAIN, self.desk.chain) if order.waits_for == CHAIN else (FIAT, self.desk.fiat)
        try:
            receipt = await self._in_time(rail.transfer(transfer))
        except RailUnavailable as error:
            self.watch(name, UNAVAILABLE)
            attempts = await self._keep(lane, reference, 2 * self.desk.settings.rail_timeout_ms)
            if not _ends_at(order, attempts, error):
                raise RailUnknown(str(error)) from None
            receipt = await self._in_time(decided(rail, transfer, error))
        except RailUnknown:
            self.watch(name, UNKNOWN)
            raise
        self.watch(name, "done" if receipt.done else "refused")
        return receipt

    async def _in_time(self, call: Coroutine[Any, Any, Receipt]) -> Receipt:
        try:
            async with asyncio.timeout(self.desk.settings.rail_timeout_ms / 1000):
                return await call
        except TimeoutError:
            raise RailUnknown("no answer in time") from None

    async def _transfer_of(self, lane: int, order: Order, reference: str) -> Transfer:
        """Say which transfer an order waits for: pay the tenant, collect from it, or give back what was collected."""
        reads = self.reads
        source = await reads.row("accounts", "account", Account, lane, order.source_account_id)
        destination = await reads.row("accounts", "account", Account, lane, order.destination_account_id)
        assets = {row.code: row.asset for row in await reads.rows("lanes", "assets", ListedAsset, lane)}
        if source is None or destination is None:
            raise AssertionError(f"order {order.id} has no accounts")
        collects_id, pays_id = treasury_ids(source, destination)
        pays = order.state == PAYING
        treasury = await reads.row("accounts", "account", Account, lane, pays_id if pays else collects_id)
        if treasury is None:
            raise AssertionError(f"order {order.id} has no treasury")
        if pays:
            sides = (treasury, destination)
            amount = Amount(order.approved_units or 0, assets[order.destination_asset])
        else:
            sides = (treasury, source) if order.state == RETURNING else (source, treasury)
            amount = Amount(order.source_units, assets[order.source_asset])
        return Transfer(lane=lane, reference=reference, source=sides[0], destination=sides[1], amount=amount)

    async def _claim(self, lane: int, reference: str) -> int | None:
        """Claim a leg; returns which attempt at it this is, None when somebody else holds it."""
        now = self.desk.clock.now()
        until = now + timedelta(milliseconds=2 * self.desk.settings.rail_timeout_ms)
        attempts: int | None = await self.reads.value("leases", "claim", lane, reference, self.holder, now, until)
        return attempts

    async def _rest(self, lane: int, order: Order, detail: str) -> None:
        """Let a return rest that was refused and has its next reference, and tell the operator."""
        log.warning("return_refused", lane=lane, order_id=str(order.id), detail=detail)
        event = CONVERSIONS.event_name(RETURN_REFUSED)
        now, retry_ms = self.desk.clock.now(), self.desk.settings.rail_retry_ms
        await self.reads.value(
            "leases", "rest_refused", lane, order.rail_reference, order.id, now, retry_ms, event, _RESTS_MAX
        )

    async def _try_again_later(self, lane: int, reference: str) -> None:
        await self._keep(lane, reference, self.desk.settings.rail_retry_ms)

    async def _keep(self, lane: int, reference: str, milliseconds: int) -> int | None:
        """Hold a claim for so long from now; returns which attempt it is, None when somebody else holds it by now."""
        until = self.desk.clock.now() + timedelta(milliseconds=milliseconds)
        attempts: int | None = await self.reads.value("leases", "keep", lane, reference, self.holder, until)
        return attempts


def _ends_at(order: Order, attempts: int | None, error: RailUnavailable) -> bool:
    """Tell whether the rail is to decide on what it did not take at this attempt, None where another holds the claim.

    It is at the first, while who approved waits for its word; later only where asking again is in vain, as what passes
    by itself is waited out. A return is never given up: refused or not, the rail would be asked for it again.
    """
    if attempts is None or order.state == RETURNING:
        return False
    return attempts == 1 or error.lasting
