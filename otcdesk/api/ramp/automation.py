"""Rules and workflows: what is done when a deposit arrives; and deposits that a sandbox simulates.

The bodies of `onchain-deposit-to-payment-method` and `/beta1/rule` are the contract's (3.10). That of
`bank-deposit-to-onchain-address` is nowhere documented: ours names the customer, the pair, and where it goes.
"""

import hashlib
from typing import Any, Final

import msgspec

from otcdesk.actions.deposit_checks import simulated
from otcdesk.actions.make_rule import MakeRule, RuleMade
from otcdesk.actions.record_deposit import DepositRecorded, RecordDeposit
from otcdesk.api.dialect import Call, Route
from otcdesk.api.ramp import automation_shapes as shapes
from otcdesk.api.ramp.payouts import party_id_of
from otcdesk.api.ramp.services import environment_of, listed_asset, listed_fiat, opened_address, opened_bank
from otcdesk.api.ramp.shapes import positive
from otcdesk.api.wire import uuid_of
from otcdesk.credentials import RAMP_SCOPE
from otcdesk.domain.deposits import BankDetails
from otcdesk.domain.lanes import SANDBOX
from otcdesk.domain.parties import declared_id
from otcdesk.domain.rules import BuyAction, Condition, SellAction, SteppedAmount
from otcdesk.errors import Code, Refusal
from otcdesk.forms import wrong
from otcdesk.money import units_of
from otcdesk.rails.simulated.places import simulated_bank

_NONCE_LENGTH: Final = 36


async def create_rule(call: Call) -> shapes.RuleAnswer:
    """Make a rule on deposits from an address or of a customer; the Nonce is the idempotency key."""
    body, environment = call.body, environment_of(call)
    call.key = body.Nonce
    source = body.Trigger.SourceAddress
    made: RuleMade = await call.submit(
        MakeRule(
            party_id=party_id_of(call, _given(body.Trigger.CustomerID)),
            source_address=_given(source),
            conditions=shapes.conditions_of(body.Trigger.Conditions, environment, "Trigger.Conditions"),
            actions=tuple(
                shapes.sell_action(one, environment, f"Actions.{number}") for number, one in enumerate(body.Actions)
            ),
            is_permanent=body.Permanent,
            expires_at=shapes.expiry_of(body.Expiry, "Expiry"),
        )
    )
    return shapes.RuleAnswer(ID=str(made.rule.id), Trigger=body.Trigger)


async def create_onchain_deposit_to_payment_method(call: Call) -> shapes.OnchainWorkflowAnswer:
    """Make an address; the first deposit there that fits is sold, for at most what has arrived."""
    body, environment = call.body, environment_of(call)
    call.key = body.Trigger.Nonce
    conditions = shapes.conditions_of(body.Trigger.Conditions, environment, "Trigger.Conditions")
    asset = environment.asset(body.CryptoCurrency)
    for number, condition in enumerate(conditions):
        if condition.asset != asset:
            raise wrong({f"Trigger.Conditions.{number}.CryptoCurrency": "is not what is to be sold"})
    networks = dict.fromkeys(condition.network or "" for condition in conditions)
    addresses = [await opened_address(call, network, _place(call, call.key)) for network in networks]
    action = SellAction(
        prepared_id=uuid_of(body.FormSessionID),
        asset=asset,
        arrives=SteppedAmount(value=positive(body.FiatAmount, "FiatAmount")),
        ceiling=SteppedAmount(),
        external_id=body.ExternalID,
    )
    made: RuleMade = await call.submit(
        MakeRule(
            party_id=party_id_of(call, body.CustomerID),
            source_address=_given(body.Trigger.SourceAddress),
            conditions=conditions,
            actions=(action,),
            addresses=tuple(addresses),
            expires_at=shapes.expiry_of(body.Trigger.Expiry, "Trigger.Expiry"),
        )
    )
    return shapes.OnchainWorkflowAnswer(
        Conditions=shapes.watched(body.Trigger.Conditions, conditions, made.addresses),
        SourceAddress=body.Trigger.SourceAddress,
    )


async def create_bank_deposit_to_onchain_address(call: Call) -> shapes.BankWorkflowAnswer:
    """Open bank details; each deposit there buys, and what was bought is sent to the address."""
    body, environment, settings = call.body, environment_of(call), call.desk.settings
    asset = await listed_asset(call, body.CryptoCurrency)
    network = shapes.chain_network(body.Network, environment, "Network")
    fiat = await listed_fiat(call, body.FiatCurrency)
    address = shapes.checked_address(body.DestinationAddress.Address, network, "DestinationAddress.Address")
    call.key = body.Nonce or hashlib.sha256(msgspec.json.encode(body)).hexdigest()[:_NONCE_LENGTH]
    bank = await opened_bank(call, fiat.code, _place(call, call.key))
    action = BuyAction(
        asset=asset.code,
        network=network,
        address=address,
        spread_bps=settings.ramp_purchase_spread_bps,
        fee_bps=settings.ramp_purchase_fee_bps,
    )
    made: RuleMade = await call.submit(
        MakeRule(
            party_id=party_id_of(call, body.CustomerID),
            conditions=(Condition(asset=fiat.code),),
            actions=(action,),
            bank=bank,
            is_permanent=True,
        )
    )
    if made.bank is None:
        raise AssertionError(f"rule {made.rule.id} has no bank details")
    return shapes.bank_answer(made.bank)


async def simulate_fiat_deposit(call: Call) -> shapes.SimulateAnswer:
    """Let fiat arrive at bank details of the business's, in a sandbox only."""
    body = call.body
    if environment_of(call).kind != SANDBOX:
        raise Refusal(Code.SCOPE_MISSING, "Deposits can be simulated in a sandbox only.")
    fiat = await listed_fiat(call, body.FiatCurrency)
    units = units_of(positive(body.FiatAmount, "FiatAmount"), fiat.scale)
    if units is None:
        raise Refusal(Code.AMOUNT_TOO_FINE)
    await _check_own(call, body.PaymentMethodID)
    recorded: DepositRecorded = await call.submit(
        RecordDeposit(
            destination=body.PaymentMethodID,
            asset=fiat.code,
            units=simulated(units),
            outside_id=str(call.desk.clock.new_id()),
            stage="settled",
            reference=body.Reference,
            sender_name="Simulated Sender",
            sender_number=simulated_bank(fiat.code, "sender", "").number,
        )
    )
    return shapes.SimulateAnswer(FiatDepositID=str(recorded.order.id))


async def _check_own(call: Call, name: str) -> None:
    """Refuse DEPOSIT_PLACE_UNKNOWN for bank details that are not the caller's."""
    caller = call.caller
    if await call.desk.reads.row("deposits", "bank", BankDetails, caller.lane, name, caller.owner_id) is None:
        raise Refusal(Code.DEPOSIT_PLACE_UNKNOWN)


def _place(call: Call, nonce: str) -> str:
    """Return the name that a rule's own place derives from, the same for the same nonce."""
    return str(declared_id("rule", str(call.caller.lane), str(call.caller.owner_id), nonce))


def _given(text: str | msgspec.UnsetType) -> str | None:
    return None if isinstance(text, msgspec.UnsetType) else text


_RULE = (
    Code.KEY_REUSED,
    Code.KEY_IN_FLIGHT,
    Code.RULE_EXCESSIVE,
    Code.PARTY_NOT_FOUND,
    Code.ASSET_NOT_FOUND,
    Code.PAYOUT_NOT_PREPARED,
    Code.PREPARED_ASSET_DIFFERS,
    Code.RULE_EXPIRED,
    Code.RULES_EXHAUSTED,
)

_AMOUNTS = (Code.AMOUNT_TOO_FINE, Code.AMOUNT_TOO_SMALL, Code.AMOUNT_TOO_LARGE)


def _route(path: str, handler: Any, summary: str, body: Any, answer: Any, *refuses: Code) -> Route:
    return Route(
        method="POST",
        path=path,
        handler=handler,
        summary=summary,
        scope=RAMP_SCOPE,
        body=body,
        answer=answer,
        wrapped=False,
        refuses=refuses,
    )


ROUTES: Final = (
    _route(
        "/v1/beta1/rule",
        create_rule,
        "Make a rule that sells when a deposit arrives",
        shapes.RuleRequest,
        shapes.RuleAnswer,
        *_RULE,
    ),
    _route(
        "/v1/workflows/onchain-deposit-to-payment-method",
        create_onchain_deposit_to_payment_method,
        "Sell what arrives at an address of its own, once",
        shapes.OnchainWorkflowRequest,
        shapes.OnchainWorkflowAnswer,
        *_RULE,
        Code.DEPOSIT_PLACES_CLOSED,
    ),
    _route(
        "/v1/workflows/bank-deposit-to-onchain-address",
        create_bank_deposit_to_onchain_address,
        "Buy for what arrives at bank details of its own, and send it to an address",
        shapes.BankWorkflowRequest,
        shapes.BankWorkflowAnswer,
        *_RULE,
        Code.DEPOSIT_PLACES_CLOSED,
    ),
    _route(
        "/v1/sandbox/fiat-deposit/simulate",
        simulate_fiat_deposit,
        "Let fiat arrive, in a sandbox",
        shapes.SimulateRequest,
        shapes.SimulateAnswer,
        Code.DEPOSIT_PLACE_UNKNOWN,
        Code.DEPOSIT_ASSET_WRONG,
        *_AMOUNTS,
    ),
)
