"""What becomes of a send that is recorded: it is sent, sent again, paid better, given another nonce, and ended.

What is done is decided from the chain as it is seen now, so that a reorganisation needs no case of its own: a receipt
that is gone is not there, one in another block is counted anew. A send ends when one of its transactions has a receipt
in a block that is on the chain and deep enough. Transactions of one nonce exclude one another. A new nonce is used only
if the block in which the old one was used up is found, deep enough, and has none of ours in it, nor one that does what
ours would have done: a database that was restored does not know every transaction that it has signed.
"""

from datetime import timedelta
from functools import partial

import structlog

from otcdesk.clock import Clock
from otcdesk.rails.evm.abi import UINT_MAX, printable, reason_of, transfer_call, transferred_topics, word_of
from otcdesk.rails.evm.keys import Keys, Payload, sign
from otcdesk.rails.evm.nodes import Mined, NodeFailure, NodeRefusal, Receipt, View
from otcdesk.rails.evm.settings import BUMP_PERCENT, NetworkSettings
from otcdesk.rails.evm.store import Draft, Fees, Outcome, Send, Sign, Signed, Store
from otcdesk.rails.protocols import RailUnavailable

log = structlog.get_logger()

_SUCCEEDED = 1

#: What a wallet sends to itself when it only uses up a nonce.
_NOTHING = 0

#: What nodes say of a transaction that they have already.
_KNOWN = ("already known", "known transaction", "already imported", "alreadyknown", "already exists")

#: The estimate of a moment ago may be a little short: a quarter more is allowed for.
_MARGIN_PERCENT = 125

#: One node alone is not believed that a sender has used so many nonces more than the desk ever gave it.
_FOREIGN_NONCES_MAX = 10_000

_DAY = timedelta(days=1)


class Unclear(Exception):
    """A transaction was mined of which nobody but a person can say whether it is what was meant."""


class Follower:
    """Carries the recorded sends of one network to their end, a step at each look."""

    def __init__(self, network: str, settings: NetworkSettings, store: Store, keys: Keys, clock: Clock) -> None:
        self.network = network
        self.settings = settings
        self.store = store
        self.keys = keys
        self.clock = clock

    async def look(self, send: Send, view: View) -> Send:
        """Do what a send needs now, and return what is recorded of it then.

        Raises NodeFailure and NodeRefusal where that cannot be found out, and Unclear.
        """
        if send.outcome is not None:
            return send
        mined = await view.mined(send.sender)
        for one in send.transactions:
            receipt = await view.receipt(one.hash) if one.nonce < mined else None
            if receipt is None:
                continue
            block = await view.block(receipt.block)
            if block is None or block.hash != receipt.block_hash:
                continue  # reorganised while we looked
            if view.head - receipt.block + 1 < self.settings.confirmations:
                return send
            return await self._conclude(send, receipt, view)
        return await self._press(send, mined, view)

    async def begin(self, draft: Draft, view: View, fees: Fees, *, only_nonce: int | None = None) -> Send | None:
        """Record what a draft says under a nonce of its own, then send it; see `Store.record`."""
        send = await self.store.record(
            draft,
            chain_id=self.settings.chain_id,
            mined=await self._used(draft.sender, view),
            fees=fees,
            sign=self._signing(draft.sender),
            now=self.clock.now(),
            only_nonce=only_nonce,
        )
        if send is not None and send.outcome is None:
            await self.broadcast(send, view)
        return send

    async def broadcast(self, send: Send, view: View) -> bool:
        """Hand the newest transaction to the nodes; returns whether one of them has it."""
        try:
            await view.send(send.newest.raw)
        except NodeRefusal as refusal:
            if any(known in refusal.said.lower() for known in _KNOWN):
                return True
            log.warning("chain_send_not_taken", **_told(send), reason=refusal.said)
            return False
        except NodeFailure as failure:
            log.warning("chain_send_not_taken", **_told(send), reason=str(failure))
            return False
        log.info("chain_sent", **_told(send))
        return True

    async def fees(self, view: View) -> Fees:
        """Return what a transaction should cost now; raises RailUnavailable where that is more than the cap.

        There is room for the base fee to double while it waits.
        """
        block = await view.block()
        if block is None or block.base_fee_wei is None:
            raise RailUnavailable(f"{self.network} has no base fee")
        settings = self.settings
        least = block.base_fee_wei + settings.priority_fee_wei
        if least > settings.max_fee_wei:
            raise RailUnavailable(f"gas on {self.network} costs {least} wei, more than {settings.max_fee_wei}")
        return Fees(
            max_fee_wei=min(settings.max_fee_wei, least + block.base_fee_wei),
            priority_fee_wei=settings.priority_fee_wei,
        )

    async def gas_limit(self, view: View, draft_of: partial[Draft]) -> int:
        """Return how much gas a draft may take; raises RailUnavailable where it would be refused or takes too much."""
        draft = draft_of(gas_limit=self.settings.gas_limit_max)
        to, value, data = _content(draft)
        try:
            estimate = await view.gas(draft.sender, to, value, data)
        except NodeRefusal as refusal:
            raise RailUnavailable(f"{self.network} would refuse it: {_reason(refusal)}") from None
        if estimate > self.settings.gas_limit_max:
            raise RailUnavailable(f"it takes {estimate} gas, more than {self.settings.gas_limit_max}")
        return min(self.settings.gas_limit_max, estimate * _MARGIN_PERCENT // 100)

    # -- not mined yet ---------------------------------------------------------------------------------------------

    async def _press(self, send: Send, mined: int, view: View) -> Send:
        """Help a send on that is in no block: find out what stands in its way. So many of its sender's are in one."""
        if mined > send.nonce:  # by one of ours that the node does not tell of yet, or by another's
            deep = view.head - self.settings.confirmations + 1
            if deep < 0 or await view.mined(send.sender, deep) <= send.nonce:
                return send
            return await self._displaced(send, view, deep)
        if mined < send.nonce:
            await self._help_before(send, mined, view)
        else:
            send = await self._bumped(send, view)
        if not await view.knows(send.newest.hash) and not await self.broadcast(send, view):
            await self._give_gas_for(send, view)
        return send

    async def _used(self, sender: str, view: View) -> int:
        """Return how many nonces of a sender are used, where one is about to be given out; raises NodeFailure."""
        used, nodes = await view.agreed(sender)
        known = await self.store.next_nonce(self.network, sender)
        if nodes == 1 and known and used > known + _FOREIGN_NONCES_MAX:
            raise NodeFailure(f"one node alone counts {used} nonces of {sender}, of which the desk gave {known}")
        return used

    async def _help_before(self, send: Send, mined: int, view: View) -> None:
        """See to the nonce that the chain waits for, which is before this send's."""
        before = await self.store.holding(self.network, send.sender, mined)
        if before is None:
            await self._fill(send, mined, view)
        elif before.outcome is None:
            try:
                await self.look(before, view)
            except Unclear as unclear:
                log.warning("chain_send_behind_an_unclear_one", **_told(send), reason=str(unclear))
        elif before.outcome == "refused":  # it was told that nothing has moved, so nothing of it may move any more
            await self._fill(send, mined, view, before)
        elif not await view.knows(before.newest.hash):  # it was mined, deep enough, and is not any more
            log.error("chain_lost_what_was_confirmed", **_told(before))
            await self.broadcast(before, view)

    async def _fill(self, send: Send, nonce: int, view: View, instead: Send | None = None) -> None:
        """Use up a nonce that nobody has, so that those after it can be mined: another's took it and was lost.

        Or one that a send has which was refused; its own transaction may still wait at some node, and is outbid.
        """
        if self.settings.paused or self.keys.signer(send.sender) is None:
            return
        draft = partial(
            Draft,
            lane=send.lane,
            reference="",
            network=self.network,
            purpose="gap",
            sender=send.sender,
            recipient=send.sender,
            contract=None,
            amount=_NOTHING,
            seen_block=view.head,
        )
        fees = await self.fees(view)
        if instead is not None:
            log.error("chain_lost_what_was_refused", **_told(instead))
            most, raised = self.settings.max_fee_wei, _raised(fees, instead.newest)
            fees = Fees(max_fee_wei=min(most, raised.max_fee_wei), priority_fee_wei=min(most, raised.priority_fee_wei))
        filled = await self.begin(draft(gas_limit=await self.gas_limit(view, draft)), view, fees, only_nonce=nonce)
        if filled is not None:
            log.warning("chain_nonce_filled", **_told(filled))

    async def _bumped(self, send: Send, view: View) -> Send:
        """Replace a transaction that has waited for long by one with higher fees, as far as the cap lets it."""
        newest, now = send.newest, self.clock.now()
        if self.settings.paused or now - newest.signed_at < timedelta(seconds=self.settings.replace_after_seconds):
            return send
        try:
            fees = await self.fees(view)
        except RailUnavailable:
            return send
        raised = _raised(fees, newest)
        if raised.max_fee_wei > self.settings.max_fee_wei or self.keys.signer(send.sender) is None:
            return send
        sign, chain_id = self._signing(send.sender), self.settings.chain_id
        replaced = await self.store.replace(send, chain_id=chain_id, fees=raised, sign=sign, now=now)
        log.info("chain_fee_raised", **_told(replaced), max_fee_wei=replaced.newest.max_fee_wei)
        return replaced

    # -- a nonce that another has used -----------------------------------------------------------------------------

    async def _displaced(self, send: Send, view: View, deep: int) -> Send:
        """Give a transfer another nonce, if it is proved that its own was used up, deep enough, by another's.

        What the rail sends for itself ends instead: a nonce has been used up as it should, and whether a wallet still
        lacks gas is seen anew. Raises Unclear where what used the nonce does what the transfer would have done.
        """
        number = await self._used_in(send, view, deep)
        there = await view.transactions(number)
        if not there or {one.hash for one in send.transactions} & {one.hash.lower() for one in there}:
            return send  # the node has it and does not tell what became of it yet
        by = next(
            (one for one in there if one.sender.lower() == send.sender and int(one.nonce, 16) == send.nonce), None
        )
        if send.purpose != "transfer":
            detail = f"its nonce was used in block {number}" if by is None else f"its nonce was used by {by.hash}"
            return await self._end(send, "done" if send.purpose == "gap" else "refused", detail)
        if by is not None and _does_the_same(by, send):
            log.error("chain_send_unclear", **_told(send), mined=by.hash)
            raise Unclear(f"{by.hash} has moved the same under its nonce, and is not recorded as ours")
        if self.settings.paused or self.keys.signer(send.sender) is None:
            return send
        fees = await self.fees(view)
        moved = await self.store.move(
            send,
            chain_id=self.settings.chain_id,
            mined=await self._used(send.sender, view),
            seen_block=view.head,
            fees=fees,
            sign=self._signing(send.sender),
            now=self.clock.now(),
        )
        log.warning("chain_nonce_taken", **_told(moved), block=number)
        if moved.outcome is None:
            await self.broadcast(moved, view)
        return moved

    async def _used_in(self, send: Send, view: View, deep: int) -> int:
        """Return the block by which a nonce was used up: the first after which the sender has used more."""
        before, after = send.seen_block, deep
        if before >= after or await view.mined(send.sender, before) > send.nonce:
            before = 0  # a reorganisation came between
        while after - before > 1:
            middle = (before + after) // 2
            if await view.mined(send.sender, middle) > send.nonce:
                after = middle
            else:
                before = middle
        return after

    # -- gas ---------------------------------------------------------------------------------------------------------

    async def _give_gas_for(self, send: Send, view: View) -> None:
        """Give a wallet what its send lacks, if that is why nobody takes it."""
        if self.settings.paused:
            return
        try:
            await self.fund(send.lane, send.sender, send.cost_wei, view, but=send)
        except RailUnavailable as error:
            log.warning("chain_send_lacks_gas", **_told(send), reason=str(error))

    async def fund(self, lane: int, wallet: str, cost_wei: int, view: View, but: Send | None = None) -> bool:
        """Tell whether a wallet can pay for a send beside its others; else see that it is given the coin for it.

        Raises RailUnavailable where there is nobody to give it.
        """
        under_way = await self.end_gas(wallet, view)
        lacking = cost_wei + await self._promised(wallet, view, but) - await view.coin(wallet)
        if lacking <= 0:
            return True
        if under_way:
            return False
        giver = (self.settings.gas_wallet or "").lower()
        if not giver or giver == wallet or self.keys.signer(giver) is None:
            raise RailUnavailable(f"{wallet} lacks {lacking} wei for gas on {self.network}, and nobody gives it any")
        given = await self.store.gas_given(self.network, wallet, self.clock.now() - _DAY)
        if given >= self.settings.top_ups_per_day:
            log.error("chain_gas_given_too_often", network=self.network, address=wallet, times=given)
            raise RailUnavailable(f"{wallet} on {self.network} was given gas {given} times within a day")
        draft_of = partial(
            Draft,
            lane=lane,
            reference="",
            network=self.network,
            purpose="gas",
            sender=giver,
            recipient=wallet,
            contract=None,
            amount=max(lacking, self.settings.top_up_wei),
            seen_block=view.head,
        )
        fees = await self.fees(view)
        has = await view.coin(giver) - await self._promised(giver, view)
        if has >= draft_of.keywords["amount"]:  # else not even an estimate is given
            draft = draft_of(gas_limit=await self.gas_limit(view, draft_of))
            if has >= draft.amount + draft.gas_limit * fees.max_fee_wei:
                await self.begin(draft, view, fees)
                return False
        log.error("chain_gas_wallet_empty", network=self.network, address=giver)
        raise RailUnavailable(f"the gas wallet {giver} on {self.network} is empty")

    async def end_gas(self, wallet: str, view: View) -> bool:
        """Follow the gas that is on its way to a wallet; returns whether it still is."""
        under_way = await self.store.gas_under_way(self.network, wallet)
        return under_way is not None and (await self.look(under_way, view)).outcome is None

    async def _promised(self, wallet: str, view: View, but: Send | None = None) -> int:
        return await self.store.promised(self.network, wallet, await view.mined(wallet), but)

    # -- the end -----------------------------------------------------------------------------------------------------

    async def _conclude(self, send: Send, receipt: Receipt, view: View) -> Send:
        return await self._end(send, *await self._word(send, receipt, view))

    async def _end(self, send: Send, outcome: Outcome, detail: str) -> Send:
        ended = await self.store.conclude(send, outcome, detail, self.clock.now())
        log.info("chain_send_ended", **_told(ended), outcome=ended.outcome, detail=ended.detail)
        return ended

    async def _word(self, send: Send, receipt: Receipt, view: View) -> tuple[Outcome, str]:
        """Say what a confirmed transaction has done: a token's own log tells whether it has moved.

        Without a log it is refused if the same call, done again on the block before, says no: some tokens answer false.
        A token that moved all the same, and a node that leaves logs out, say yes or nothing there. Raises Unclear.
        """
        if int(receipt.status, 16) != _SUCCEEDED:
            return "refused", f"reverted in {receipt.transaction_hash}: {await self._why(send, receipt, view)}"
        if send.contract is None:
            return "done", receipt.transaction_hash
        meant = transferred_topics(send.sender, send.recipient)
        told = [one for one in receipt.logs if one.address.lower() == send.contract]
        moves = [one for one in told if one.topics[:2] == meant[:2]]
        if [(one.topics, word_of(one.data)) for one in moves] == [(meant, send.amount)]:
            return "done", receipt.transaction_hash
        if not moves and await self._says_no(send, receipt, view):
            return "refused", f"nothing moved in {receipt.transaction_hash}: the contract says no"
        log.error("chain_send_unclear", **_told(send), mined=receipt.transaction_hash)
        said = "has moved something else than it should have" if moves else "does not say whether it has moved anything"
        raise Unclear(f"{receipt.transaction_hash} {said}")

    async def _says_no(self, send: Send, receipt: Receipt, view: View) -> bool:
        """Tell whether a contract answers false to a call that it let pass; raises NodeFailure and NodeRefusal."""
        to, _, data = _content(send)
        try:
            return word_of(await view.replay(send.sender, to, data, receipt.block - 1)) == 0
        except NodeRefusal as refusal:
            if refusal.reverts:
                return False
            raise

    async def _why(self, send: Send, receipt: Receipt, view: View) -> str:
        """Return why a transaction was reverted, as far as it can be found out."""
        to, _, data = _content(send)
        try:
            await view.replay(send.sender, to, data, receipt.block - 1)
        except NodeRefusal as refusal:
            return _reason(refusal)
        except NodeFailure:
            return "the node does not say why"
        return "out of gas, or by what came before it in its block"

    def _signing(self, sender: str) -> Sign:
        signer = self.keys.signer(sender)
        assert signer is not None, "who has no key does not get here"

        def signing(draft: Draft, nonce: int, fees: Fees) -> tuple[str, str]:
            to, value, data = _content(draft)
            payload = Payload(
                chain_id=self.settings.chain_id,
                nonce=nonce,
                to=to,
                value=value,
                data=data,
                gas_limit=draft.gas_limit,
                max_fee_wei=fees.max_fee_wei,
                priority_fee_wei=fees.priority_fee_wei,
            )
            return sign(signer, payload)

        return signing


def _content(draft: Draft) -> tuple[str, int, str]:
    """Return whom a transaction is for, how much coin it carries, and its data."""
    if draft.contract is None:
        return draft.recipient, draft.amount, "0x"
    assert draft.amount <= UINT_MAX
    return draft.contract, 0, transfer_call(draft.recipient, draft.amount)


def _bump(fee_wei: int) -> int:
    return fee_wei * BUMP_PERCENT // 100 + 1


def _raised(fees: Fees, replaced: Signed) -> Fees:
    """Return present fees, but as much above those of a transaction as nodes ask for before they replace it."""
    return Fees(
        max_fee_wei=max(fees.max_fee_wei, _bump(replaced.max_fee_wei)),
        priority_fee_wei=max(fees.priority_fee_wei, _bump(replaced.priority_fee_wei)),
    )


def _does_the_same(mined: Mined, send: Send) -> bool:
    to, value, data = _content(send)
    return ((mined.to or "").lower(), int(mined.value, 16), mined.input.lower()) == (to, value, data)


def _reason(refusal: NodeRefusal) -> str:
    return reason_of(refusal.data) or printable(refusal.said) or "it does not say why"


def _told(send: Send) -> dict[str, object]:
    return {
        "network": send.network,
        "lane": send.lane,
        "reference": send.reference,
        "nonce": send.nonce,
        "hash": send.newest.hash,
    }
