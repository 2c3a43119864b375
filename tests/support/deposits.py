"""Deposits and rules on the world of the ramp contract, step by step."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from otcdesk.actions.deposit_checks import GivenAddress, GivenBankDetails
from otcdesk.actions.make_rule import MakeRule, RuleMade
from otcdesk.actions.record_deposit import ConcludeDeposit, DepositRecorded, OpenPlace, RecordDeposit
from otcdesk.domain.ledger import OUTSIDE, TREASURY, Account, desk_account_id
from otcdesk.domain.payouts import FEE_INCOME, current_id
from otcdesk.domain.rules import AmountCondition, BuyAction, Condition, LiveRules, SellAction, Step, SteppedAmount
from tests.support.brokerage import balance
from tests.support.payouts import ADA, B1
from tests.support.pure import PureDesk

NETWORK = "Ethereum"
ADDRESS = "0x" + "ab" * 20
RULE_ADDRESS = "0x" + "cd" * 20
SENDER = "0x" + "12" * 20
BANK_NAME = "Bank/Sepa/EUR/COBADEFFXXX/DE89370400440532013000"
RULE_BANK_NAME = "Bank/Sepa/EUR/COBADEFFXXX/DE41370400440532013009"


def bank(name: str = BANK_NAME) -> GivenBankDetails:
    """Name bank details as a bank gives them."""
    return GivenBankDetails(
        name=name,
        type="BankSepa",
        country="DE",
        fiat="EUR",
        number=name.rpartition("/")[2],
        bank_code="COBADEFFXXX",
        holder="otcdesk",
    )


def open_places(desk: PureDesk, *, tenant: UUID = B1, party: UUID | None = ADA) -> None:
    """Let assets and fiat arrive for somebody."""
    address = GivenAddress(network=NETWORK, address=ADDRESS)
    desk.act(OpenPlace(tenant_id=tenant, party_id=party, given=address, bank=bank()))


def arriving(units: int = 100_000_000, **fields: Any) -> RecordDeposit:
    """Tell of 100 USDC that arrive at Ada's address, unless told otherwise."""
    told = {
        "network": NETWORK,
        "destination": ADDRESS,
        "asset": "USDC",
        "outside_id": "tx-1",
        "stage": "settled",
        "sender_address": SENDER,
        "hash": "0xhash",
        **fields,
    }
    return RecordDeposit(units=units, **told)


def transferring(units: int = 10_000, **fields: Any) -> RecordDeposit:
    """Tell of 100 EUR that arrive at Ada's bank details, unless told otherwise."""
    told = {
        "destination": BANK_NAME,
        "asset": "EUR",
        "outside_id": "wire-1",
        "stage": "settled",
        "sender_name": "Ada Example",
        "sender_number": "NL91ABNA0417164300",
        **fields,
    }
    return RecordDeposit(units=units, **told)


def deposited(desk: PureDesk, command: RecordDeposit | ConcludeDeposit) -> DepositRecorded:
    reply: DepositRecorded = desk.act(command, caller="bank")
    return reply


def at_least(value: str, asset: str = "USDC", network: str | None = NETWORK) -> Condition:
    return comparing("at_least", value, asset, network)


def comparing(comparison: Any, value: str, asset: str = "USDC", network: str | None = NETWORK) -> Condition:
    amount = AmountCondition(comparison=comparison, value=Decimal(value))
    return Condition(asset=asset, network=network, amounts=(amount,))


def plain_amount(value: str | None) -> SteppedAmount:
    """Return an amount as it is, or (None) the deposit's."""
    return SteppedAmount(value=None if value is None else Decimal(value))


def stepped(value: str | None, *steps: tuple[Any, str | None]) -> SteppedAmount:
    return SteppedAmount(
        value=None if value is None else Decimal(value),
        steps=tuple(
            Step(operator=operator, value=None if other is None else Decimal(other)) for operator, other in steps
        ),
    )


def selling_action(prepared_id: UUID, arrives: Any = "50.00", ceiling: Any = None, **fields: Any) -> SellAction:
    """Sell so that 50 EUR arrive, for at most what was deposited, unless told otherwise."""
    return SellAction(
        prepared_id=prepared_id,
        asset=fields.pop("asset", "USDC"),
        arrives=arrives if isinstance(arrives, SteppedAmount) else plain_amount(arrives),
        ceiling=ceiling if isinstance(ceiling, SteppedAmount) else plain_amount(ceiling),
        **fields,
    )


def buying_action(**fields: Any) -> BuyAction:
    """Buy USDC at the market's price for all that was deposited, and send it to an address."""
    agreed = {"asset": "USDC", "network": NETWORK, "address": SENDER, "spread_bps": 0, "fee_bps": 0, **fields}
    return BuyAction(**agreed)


def ruling(*actions: Any, **fields: Any) -> MakeRule:
    """Ask for a rule on any deposit of USDC, unless told otherwise."""
    return MakeRule(actions=actions, **{"conditions": (Condition(asset="USDC", network=NETWORK),), **fields})


def ruled(desk: PureDesk, *actions: Any, nonce: str = "r-1", tenant: UUID = B1, **fields: Any) -> RuleMade:
    reply: RuleMade = desk.act(ruling(*actions, **fields), owner_id=tenant, caller="key", key=nonce)
    return reply


def live(desk: PureDesk, tenant: UUID = B1) -> tuple[UUID, ...]:
    return desk.get(LiveRules, tenant).rule_ids


def current(desk: PureDesk, asset: str = "USDC", tenant: UUID = B1) -> tuple[int, int]:
    """Return what a tenant has of an asset, and how much of it is held; nothing where it never had any."""
    key = current_id(tenant, asset)
    return balance(desk, key) if (Account, key) in desk.rows else (0, 0)


def of_desk(desk: PureDesk, asset: str) -> dict[str, tuple[int, int]]:
    """Return what the desk's own accounts of an asset have."""
    found = {}
    for purpose in (TREASURY, OUTSIDE, FEE_INCOME):
        key = desk_account_id(purpose, asset)
        found[purpose] = balance(desk, key) if (Account, key) in desk.rows else (0, 0)
    return found
