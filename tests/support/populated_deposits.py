"""Everything that happens to deposits, to the rules that they set off and to what leaves for chains, once each."""

from typing import Any
from uuid import UUID, uuid4

from otcdesk.actions.deposit_checks import GivenAddress
from otcdesk.actions.make_rule import StopRule
from otcdesk.actions.record_chain_payout import RecordChainPayout
from otcdesk.actions.record_deposit import ConcludeDeposit, OpenPlace
from otcdesk.clock import derived_id
from otcdesk.domain.rules import Condition, execution_id
from tests.support.deposits import ADDRESS as PARTY_ADDRESS
from tests.support.deposits import (
    NETWORK,
    RULE_ADDRESS,
    RULE_BANK_NAME,
    arriving,
    bank,
    buying_action,
    ruling,
    selling_action,
    transferring,
)
from tests.support.payouts import ADA, B1, preparing


async def deposited(story: Any) -> None:
    """Let it happen, in a lane that has the world of the ramp contract and whose treasury has some of its asset."""
    address = GivenAddress(network=NETWORK, address=PARTY_ADDRESS)
    await story.tell(OpenPlace(tenant_id=B1, party_id=ADA, given=address, bank=bank()))
    prepared_id: UUID = (await story.tell(preparing("10.00", delayed=True), B1)).prepared.id
    own = (GivenAddress(network=NETWORK, address=RULE_ADDRESS),)
    sell, excessive = selling_action(prepared_id, "10.00"), selling_action(prepared_id, "9.99")
    euros = (Condition(asset="EUR"),)
    rules = [
        await _ruled(story, sell, excessive, is_permanent=True, party_id=ADA),
        await _ruled(story, sell),
        await _ruled(story, sell, addresses=own),
        await _ruled(story, sell),
        await _ruled(story, excessive),  # goes on living: nothing that it is to do is ever done
        await _ruled(story, buying_action(fee_bps=100), conditions=euros, bank=bank(RULE_BANK_NAME), is_permanent=True),
    ]
    await story.tell(StopRule(rule_id=rules[3].id))
    for number in range(2):
        await story.tell(arriving(20_000_000, outside_id=f"tx-{number}"))
    assert not (await story.tell(arriving(20_000_000, outside_id="tx-1"))).applied
    wires = [
        (await story.tell(transferring(500, destination=RULE_BANK_NAME, outside_id=f"wire-{number}"))).order
        for number in range(3)
    ]
    await story.tell(transferring(700, outside_id="plain"))
    pending, failed, refunded = [
        (await story.tell(transferring(300, outside_id=f"late-{number}", stage="pending"))).order for number in range(3)
    ]
    for order in (failed, refunded):
        await story.tell(ConcludeDeposit(order_id=order.id, stage="failed", reason="name differs"))
    await story.tell(ConcludeDeposit(order_id=refunded.id, stage="refunded"))
    assert pending.state == "pending"
    for wire, outcome in zip(wires, ("done", "refused"), strict=False):  # the third waits for its chain
        assert (await story.tell(_sent(rules[-1].id, wire.id, outcome))).applied


async def _ruled(story: Any, *actions: Any, **fields: Any) -> Any:
    command, key = ruling(*actions, **fields), str(uuid4())
    answer = await story.tell(command, B1, key)
    assert await story.tell(command, B1, key) == answer
    return answer.rule


def _sent(rule_id: UUID, deposit_id: UUID, outcome: Any) -> RecordChainPayout:
    """Say what became of what a rule has bought for a deposit, the first action's third own id."""
    order_id = derived_id(execution_id(rule_id, deposit_id), 10)
    return RecordChainPayout(order_id=order_id, reference=f"{order_id}:send", outcome=outcome, detail="0x1")
