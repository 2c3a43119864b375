"""ERC-20 tokens between wallets of one network; implements `ChainRail`.

Before anything is sent it is recorded with its nonce and its signed bytes (`store.py`); from then on only the chain
says how it ends (`following.py`). So until it is recorded every failure is RailUnavailable, provably nothing has
happened; afterwards none is, and there is RailPending until there is a Receipt, which is recorded before it is told,
and told for ever.
"""

import asyncio
import contextlib
import time
from functools import partial

import structlog

from otcdesk.clock import Clock
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.ledger import Account
from otcdesk.money import Amount
from otcdesk.rails.evm.abi import UINT_MAX, balance_call, decimals_call, word_of
from otcdesk.rails.evm.following import Follower, Unclear
from otcdesk.rails.evm.keys import Keys
from otcdesk.rails.evm.nodes import NodeFailure, NodeRefusal, Nodes, View
from otcdesk.rails.evm.settings import NetworkSettings, TokenSettings
from otcdesk.rails.evm.store import ChainMoved, Draft, Send, Store
from otcdesk.rails.protocols import RailPending, RailUnavailable, RailUnknown, Receipt, Transfer
from otcdesk.storage.database import Reads

log = structlog.get_logger()


class EvmRail:
    """The rail of one network."""

    def __init__(
        self,
        network: str,
        settings: NetworkSettings,
        *,
        keys: Keys,
        reads: Reads,
        clock: Clock,
    ) -> None:
        self.network = network
        self.settings = settings
        self.keys = keys
        self.nodes = Nodes(
            settings.rpc_urls, network=network, chain_id=settings.chain_id, timeout_ms=settings.timeout_ms
        )
        self._reads = reads
        self._clock = clock
        self._store = Store(reads)
        self._follower = Follower(network, settings, self._store, keys, clock)
        self._checked: set[str] = set()

    async def close(self) -> None:
        """Close the connections."""
        await self.nodes.close()

    async def balance(self, lane: int, account: Account) -> int:
        """Return what the token's contract says that a wallet has, in units; finer parts of a unit are not told."""
        token = self._token(account.asset)
        owner = self._address(lane, account)
        listed = await self._reads.rows("lanes", "assets", ListedAsset, lane)
        scale = next((one.asset.scale for one in listed if one.code == account.asset), None)
        if scale is None:
            raise RailUnavailable(f"lane {lane} has no asset {account.asset}")
        try:
            view = await self.nodes.view()
            await self._check(token, view)
            counted = await _balance(view, token, owner)
        except (NodeFailure, NodeRefusal) as failure:
            raise RailUnavailable(f"{self.network}: {failure}") from None
        return counted * _ten(scale) // _ten(token.decimals)

    async def transfer(self, transfer: Transfer) -> Receipt:
        """Move tokens, once however often it is asked for under its reference.

        Looks at the chain again and again for `wait_ms`, then raises RailPending. Raises RailUnavailable only while
        nothing is recorded under the reference.
        """
        until = time.monotonic_ns() + self.settings.wait_ms * 1_000_000
        while True:
            try:
                return await self._step(transfer)
            except RailPending:
                if time.monotonic_ns() + self.settings.poll_ms * 1_000_000 > until:
                    raise
            await asyncio.sleep(self.settings.poll_ms / 1000)

    async def cancel(self, transfer: Transfer) -> Receipt:
        """Decide that a transfer is never made, unless it is recorded; then say what becomes of it.

        What is cancelled stays so, also for who asks for it at the same time. Raises RailPending for what is under way.
        """
        cancelled = "cancelled before anything was sent"
        key = (transfer.lane, transfer.reference)
        send = await self._store.cancel(*key, self.network, cancelled, self._clock.now())
        self._check_same(send, transfer)
        return _told(await self._look(send, transfer))

    async def tend(self) -> None:
        """Carry to its end what the rail has sent for itself, which nobody asks for: gas, and nonces used up."""
        if not (waiting := await self._store.own_under_way(self.network)):
            return
        try:
            view = await self.nodes.view()
            for send in waiting:
                with contextlib.suppress(NodeRefusal, RailUnavailable, ChainMoved):  # each is told where it is met
                    await self._follower.look(send, view)
        except (NodeFailure, NodeRefusal) as failure:
            log.warning("chain_not_seen", network=self.network, reference=waiting[0].reference, reason=str(failure))

    async def _step(self, transfer: Transfer) -> Receipt:
        send = await self._store.find(transfer.lane, transfer.reference)
        if send is not None:
            self._check_same(send, transfer)
            send = await self._look(send, transfer)
        else:
            try:
                send = await self._begin(transfer)
            except (RailUnavailable, NodeFailure, NodeRefusal, ChainMoved) as failure:
                send = await self._store.find(transfer.lane, transfer.reference)  # somebody else may be at it
                if send is None:
                    lasting = isinstance(failure, RailUnavailable) and failure.lasting
                    raise RailUnavailable(f"{self.network}: {failure}", lasting=lasting) from None
        return _told(send)

    async def _begin(self, transfer: Transfer) -> Send:
        """Record and send a transfer; raises RailUnavailable, or what its nodes fail with, while it is not recorded."""
        if self.settings.paused:
            raise RailUnknown(f"{self.network} is paused")
        token = self._token(transfer.amount.asset.code)
        value = _on_chain(transfer.amount, token)
        sender = self._address(transfer.lane, transfer.source)
        recipient = self._address(transfer.lane, transfer.destination)
        contract = token.contract.lower()
        if not self.keys.may_send(transfer.lane, transfer.source):
            raise RailUnavailable(f"the desk has no key of {sender}", lasting=True)
        if recipient == sender:
            raise RailUnavailable(f"{sender} is source and destination", lasting=True)
        if recipient == contract:
            raise RailUnavailable(f"{recipient} is the token's contract: what is sent there is lost", lasting=True)
        view = await self.nodes.view()
        await self._check(token, view)
        balance = await _balance(view, token, sender)
        if balance < value:
            raise RailUnavailable(f"{sender} has {balance} of {value} of {contract}")
        fees = await self._follower.fees(view)
        draft = partial(
            Draft,
            lane=transfer.lane,
            reference=transfer.reference,
            network=self.network,
            purpose="transfer",
            sender=sender,
            recipient=recipient,
            contract=contract,
            amount=value,
            seen_block=view.head,
        )
        gas_limit = await self._follower.gas_limit(view, draft)
        if not await self._follower.fund(transfer.lane, sender, gas_limit * fees.max_fee_wei, view):
            raise RailPending("")
        send = await self._follower.begin(draft(gas_limit=gas_limit), view, fees)
        assert send is not None, "only gas and gaps are recorded on a condition"
        return send

    async def _look(self, send: Send, transfer: Transfer) -> Send:
        """Do what a send needs now; a node that fails changes nothing about it."""
        if send.outcome is not None:
            return send
        with contextlib.suppress(RailUnavailable):  # its keys may be gone, and yet it may end
            self._address(transfer.lane, transfer.source)
        try:
            view = await self.nodes.view()
            send = await self._follower.look(send, view)
            if send.outcome is not None:
                await self._follower.end_gas(send.sender, view)
        except (NodeFailure, NodeRefusal, RailUnavailable, ChainMoved) as failure:
            log.warning("chain_not_seen", network=self.network, reference=send.reference, reason=str(failure))
            return await self._store.find(send.lane, send.reference) or send
        except Unclear as unclear:
            raise RailUnknown(str(unclear)) from None
        return send

    def _check_same(self, send: Send, transfer: Transfer) -> None:
        """See that a repeated reference is of the same transfer; raises RailUnknown."""
        if send.purpose == "cancelled":
            return
        token = self.settings.tokens.get(transfer.amount.asset.code)
        same = send.network == self.network
        if token is not None:
            meant = (token.contract.lower(), *_counted(transfer.amount, token))
            same = same and (send.contract, send.amount, 0) == meant
        where = transfer.destination.address
        if where is not None and send.recipient not in {where.lower(), ""}:  # it was changed; the money went before
            log.error("chain_recipient_changed", network=self.network, lane=send.lane, reference=send.reference)
        if not same:
            log.error("chain_reference_reused", network=self.network, lane=send.lane, reference=send.reference)
            raise RailUnknown(f"{send.reference} is the reference of another transfer")

    def _token(self, asset: str) -> TokenSettings:
        token = self.settings.tokens.get(asset)
        if token is None:
            raise RailUnavailable(f"{self.network} has no token for {asset}", lasting=True)
        return token

    def _address(self, lane: int, account: Account) -> str:
        """Return where an account's tokens are; raises RailUnavailable."""
        try:
            address = self.keys.address_of(lane, account)
        except ValueError as error:
            raise RailUnavailable(str(error), lasting=True) from None
        if address is None:
            raise RailUnavailable(f"account {account.id} has no address, and there is no master key", lasting=True)
        return address

    async def _check(self, token: TokenSettings, view: View) -> None:
        """See once that a contract is there and counts as the settings say; raises RailUnavailable."""
        if token.contract in self._checked:
            return
        decimals = word_of(await view.call(token.contract.lower(), decimals_call()))
        if decimals != token.decimals:
            said = "does not say its decimals" if decimals is None else f"has {decimals} decimals"
            raise RailUnavailable(f"{token.contract} {said}, not {token.decimals}", lasting=decimals is not None)
        self._checked.add(token.contract)


def _told(send: Send) -> Receipt:
    """Return the last word on a send; raises RailPending where there is none."""
    if send.outcome is None:
        raise RailPending(send.newest.hash)
    return Receipt(done=send.outcome == "done", detail=send.detail)


async def _balance(view: View, token: TokenSettings, owner: str) -> int:
    """Return what a contract says that an address has, as it counts; raises NodeFailure."""
    counted = word_of(await view.call(token.contract.lower(), balance_call(owner)))
    if counted is None:
        raise NodeFailure(f"{token.contract} does not say a balance")
    return counted


def _on_chain(amount: Amount, token: TokenSettings) -> int:
    """Return an amount as the contract counts it; raises RailUnavailable for what it cannot count exactly."""
    value, rest = _counted(amount, token)
    if rest or not 0 <= value <= UINT_MAX:
        raise RailUnavailable(f"{amount} cannot be counted with {token.decimals} decimals", lasting=True)
    return value


def _counted(amount: Amount, token: TokenSettings) -> tuple[int, int]:
    return divmod(amount.units * _ten(token.decimals), _ten(amount.asset.scale))


def _ten(power: int) -> int:
    return int("1" + "0" * power)
