"""The rail's memory: what is recorded of each send, before it is sent and when it has ended.

A nonce is given out, the transaction signed and both recorded in one database transaction that holds the sender's row,
so that several processes give out each nonce once and leave none out. Nobody outside is asked meanwhile.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import msgspec

from otcdesk.storage.database import Reads
from otcdesk.storage.queries import queries

Purpose = Literal["transfer", "gas", "gap", "cancelled"]
Outcome = Literal["done", "refused"]


class Fees(msgspec.Struct, frozen=True, kw_only=True):
    """What a transaction may cost, wei for one gas: at most, and the part that goes to who mines it."""

    max_fee_wei: int
    priority_fee_wei: int


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A signed transaction as it is sent; `number` counts those of one send."""

    number: int
    nonce: int
    hash: str
    raw: str
    max_fee_wei: int
    priority_fee_wei: int
    signed_at: datetime


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent, without a nonce. `amount` is what the contract counts, or wei without a contract.

    `seen_block` is the newest block when it was made. An empty `reference` is made of the sender and the nonce.
    """

    lane: int
    reference: str
    network: str
    purpose: Purpose
    sender: str
    recipient: str
    contract: str | None
    amount: int
    gas_limit: int
    seen_block: int


class Send(Draft, frozen=True, kw_only=True):
    """What is recorded of a send. An `outcome` is the last word; `transactions` begin with the newest."""

    nonce: int
    outcome: Outcome | None
    detail: str
    recorded_at: datetime
    transactions: list[Signed]

    @property
    def newest(self) -> Signed:
        """Return the transaction that is to be mined."""
        return self.transactions[0]

    @property
    def cost_wei(self) -> int:
        """Return what the sender's coin must cover at most."""
        value = self.amount if self.contract is None else 0
        return value + self.gas_limit * max(one.max_fee_wei for one in self.transactions)


#: So much of the rail's own is looked at in one go.
_OWN_MAX = 100


class _Key(msgspec.Struct, frozen=True):
    lane: int
    reference: str


#: Signs what a draft says under a nonce; returns the hash and the bytes.
Sign = Callable[[Draft, int, Fees], tuple[str, str]]


class ChainMoved(Exception):
    """A sender has sent on another chain under the same network's name; the message says so."""


class Store:
    """What is recorded of the sends of all networks."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def find(self, lane: int, reference: str) -> Send | None:
        """Return what is recorded under a reference."""
        return await self._reads.row("chain_sends", "find", Send, lane, reference)

    async def holding(self, network: str, sender: str, nonce: int) -> Send | None:
        """Return the send that has a nonce of a sender now, ended or not."""
        return await self._found("holding", network, sender, nonce)

    async def gas_under_way(self, network: str, wallet: str) -> Send | None:
        """Return the gas that is on its way to a wallet."""
        return await self._found("gas_under_way", network, wallet)

    async def own_under_way(self, network: str) -> list[Send]:
        """Return what the rail sends for itself and has not ended, the oldest first."""
        keys = await self._reads.rows("chain_sends", "own_under_way", _Key, network, _OWN_MAX)
        found = [await self.find(key.lane, key.reference) for key in keys]
        return [send for send in found if send is not None]

    async def gas_given(self, network: str, wallet: str, since: datetime) -> int:
        """Return how often a wallet was given gas since a time."""
        return int(await self._reads.value("chain_sends", "gas_given", network, wallet, since))

    async def next_nonce(self, network: str, sender: str) -> int:
        """Return the nonce after the highest that a sender was ever given."""
        return int(await self._reads.value("chain_sends", "next_nonce", network, sender))

    async def promised(self, network: str, sender: str, mined: int, but: Send | None = None) -> int:
        """Return how much of a sender's coin its other sends from a nonce on may cost, in wei."""
        key = (None, None) if but is None else (but.lane, but.reference)
        return int(await self._reads.value("chain_sends", "promised", network, sender, mined, *key))

    async def record(
        self,
        draft: Draft,
        *,
        chain_id: int,
        mined: int,
        fees: Fees,
        sign: Sign,
        now: datetime,
        only_nonce: int | None = None,
    ) -> Send | None:
        """Give out a nonce and record a draft's first transaction; returns what is recorded under its reference.

        `mined` is the number of the sender's transactions on the chain: the nonce is the lowest from there on that we
        never used. Also one of ours may be the `only_nonce` if whoever had it was refused. None where it would be
        another than that, or where gas is under way to the recipient already. Raises ChainMoved.
        """
        async with self._reads.pool.acquire() as connection, connection.transaction():
            await connection.execute(_sql("add_sender"), draft.network, draft.sender, chain_id)
            await _lock(connection, draft, chain_id)
            if draft.purpose == "gas" and await connection.fetchval(
                _sql("gas_under_way"), draft.network, draft.recipient
            ):
                return None
            if draft.reference and await connection.fetchval(_sql("find"), draft.lane, draft.reference):
                return await self._recorded(connection, draft)
            nonce = await _free_nonce(connection, draft, mined)
            if only_nonce is not None and nonce != only_nonce:
                if not await connection.fetchval(_sql("given_up"), draft.network, draft.sender, only_nonce):
                    return None
                nonce = only_nonce
            if not draft.reference:
                reference = f"{draft.purpose}:{draft.network}:{draft.sender}:{nonce}"
                draft = msgspec.structs.replace(draft, reference=reference)
            added = await connection.fetchval(
                _sql("add"),
                *(draft.lane, draft.reference, draft.network, draft.purpose, draft.sender, draft.recipient),
                *(draft.contract, draft.amount, draft.gas_limit, nonce, draft.seen_block, now),
            )
            if added:
                await _sign(connection, draft, 1, nonce, fees, sign, now)
            return await self._recorded(connection, draft)

    async def replace(self, send: Send, *, chain_id: int, fees: Fees, sign: Sign, now: datetime) -> Send:
        """Record another transaction with the same nonce and higher fees; returns what is recorded then.

        Raises ChainMoved.
        """
        async with self._reads.pool.acquire() as connection, connection.transaction():
            await _lock(connection, send, chain_id)
            current = await self._held(connection, send)
            if _as_it_was(current, send):
                await _sign(connection, send, send.newest.number + 1, send.nonce, fees, sign, now)
                current = await self._recorded(connection, send)
            return current

    async def move(
        self, send: Send, *, chain_id: int, mined: int, seen_block: int, fees: Fees, sign: Sign, now: datetime
    ) -> Send:
        """Record a transaction under a new nonce; the caller has proved that none of those so far can be mined.

        Raises ChainMoved.
        """
        async with self._reads.pool.acquire() as connection, connection.transaction():
            await _lock(connection, send, chain_id)
            current = await self._held(connection, send)
            if _as_it_was(current, send):
                nonce = await _free_nonce(connection, send, mined)
                key = (send.lane, send.reference)
                await connection.fetchval(_sql("move_nonce"), *key, send.nonce, nonce, seen_block)
                await _sign(connection, send, send.newest.number + 1, nonce, fees, sign, now)
                current = await self._recorded(connection, send)
            return current

    async def cancel(self, lane: int, reference: str, network: str, detail: str, now: datetime) -> Send:
        """Record that nothing is ever sent under a reference, unless a send is recorded; returns what is then."""
        await self._reads.value("chain_sends", "cancel", lane, reference, network, detail, now)
        recorded = await self.find(lane, reference)
        assert recorded is not None, "what is recorded stays"
        return recorded

    async def conclude(self, send: Send, outcome: Outcome, detail: str, now: datetime) -> Send:
        """Record the last word on a send, unless there is one; returns what is recorded then."""
        await self._reads.value("chain_sends", "conclude", send.lane, send.reference, outcome, detail, now)
        ended = await self.find(send.lane, send.reference)
        assert ended is not None, "what is recorded stays"
        return ended

    async def under_way(self, now: datetime) -> tuple[int, int]:
        """Return how many sends are not confirmed, and for how many milliseconds the oldest."""
        (row,) = await self._reads.records("chain_sends", "under_way", now)
        return row["number"], row["longest_ms"]

    async def _found(self, name: str, *arguments: Any) -> Send | None:
        key = await self._reads.row("chain_sends", name, _Key, *arguments)
        return None if key is None else await self.find(key.lane, key.reference)

    async def _held(self, connection: Any, send: Send) -> Send:
        """Return what is recorded of a send, which nobody ends until this transaction does."""
        await connection.fetchval(_sql("hold"), send.lane, send.reference)
        return await self._recorded(connection, send)

    async def _recorded(self, connection: Any, draft: Draft) -> Send:
        row = await connection.fetchval(_sql("find"), draft.lane, draft.reference)
        return msgspec.json.decode(row, type=Send)


def _as_it_was(current: Send, send: Send) -> bool:
    """Tell whether nobody has signed or ended anything since a send was read."""
    return current.outcome is None and current.newest.number == send.newest.number


def _sql(name: str) -> str:
    return queries("chain_sends")[name]


async def _lock(connection: Any, draft: Draft, chain_id: int) -> None:
    """Be the only one that gives out a sender's nonces; raises ChainMoved. What is recorded then is safe on disk."""
    await connection.fetchval(_sql("surely"))
    was: int = await connection.fetchval(_sql("lock_sender"), draft.network, draft.sender)
    if was != chain_id:
        raise ChainMoved(f"{draft.network} is chain {chain_id} now and was chain {was} when {draft.sender} first sent")


async def _free_nonce(connection: Any, draft: Draft, mined: int) -> int:
    nonce: int = await connection.fetchval(_sql("free_nonce"), draft.network, draft.sender, mined)
    return nonce


async def _sign(connection: Any, draft: Draft, number: int, nonce: int, fees: Fees, sign: Sign, now: datetime) -> None:
    digest, raw = await asyncio.to_thread(sign, draft, nonce, fees)
    signed = await connection.fetchval(
        _sql("sign"),
        *(draft.lane, draft.reference, number, draft.network, draft.sender, nonce, digest, raw),
        *(fees.max_fee_wei, fees.priority_fee_wei, now),
    )
    assert signed, "who holds the sender's row is alone"
