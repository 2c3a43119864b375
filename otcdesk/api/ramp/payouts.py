"""Prepare, sell, and what is shown of it: transactions and balances (ramp contract 3.1, 3.2, 3.4, 3.5)."""

from typing import Final
from uuid import UUID

from otcdesk.actions.prepare_payout import PayoutPrepared, PreparePayout
from otcdesk.actions.sell_payout import PayoutSold, SellPayout
from otcdesk.api.dialect import Call
from otcdesk.api.ramp.deposit_shapes import transaction_of
from otcdesk.api.ramp.paging import Page
from otcdesk.api.ramp.payees import payee_of
from otcdesk.api.ramp.services import environment_of, listed_asset, scales_of
from otcdesk.api.ramp.shapes import (
    Balance,
    BalancePage,
    Facts,
    PrepareAnswer,
    SellAnswer,
    Transaction,
    TransactionPage,
    positive,
)
from otcdesk.api.wire import uuid_of
from otcdesk.domain import chain_payouts, deposits
from otcdesk.domain.ledger import Account
from otcdesk.domain.parties import named_party_id
from otcdesk.domain.payouts import PRODUCT
from otcdesk.errors import Code, Refusal
from otcdesk.money import print_units

#: The products whose orders are transactions.
PRODUCTS: Final = [PRODUCT, deposits.PRODUCT, chain_payouts.PRODUCT]


async def prepare_sell_transaction(call: Call) -> PrepareAnswer:
    """Validate who is paid, price it, and open a form session; no money moves."""
    body = call.body
    asset = await listed_asset(call, body.CryptoCurrency)
    arrives = positive(body.FiatAmount, "FiatAmount")
    party_id = party_id_of(call, body.CustomerID)
    payee = await payee_of(call, uuid_of(body.ChannelID), party_id, body.PaymentMethodID, body.Form)
    prepared: PayoutPrepared = await call.submit(
        PreparePayout(
            channel_id=payee.channel_id,
            asset=asset.code,
            arrives=arrives,
            party_id=payee.party_id,
            given=payee.given,
            method_name=payee.method_name,
            delayed=body.DelayedSell,
        )
    )
    scales = await scales_of(call, prepared.prepared.fiat)
    return PrepareAnswer(
        TotalFee=print_units(prepared.fee_units + prepared.surcharge_units, scales[prepared.prepared.fiat]),
        CryptoAmountEstimate=print_units(prepared.cost_units, asset.scale),
        CryptoAuthorizedAmount=print_units(prepared.ceiling_units, asset.scale),
        FormSessionID=str(prepared.prepared.id),
    )


async def create_sell_transaction(call: Call) -> SellAnswer:
    """Sell for a form session; the Nonce is the idempotency key."""
    body = call.body
    call.key = body.Nonce
    asset = await listed_asset(call, body.CryptoCurrency)
    sold: PayoutSold = await call.submit(
        SellPayout(
            prepared_id=uuid_of(body.FormSessionID),
            asset=asset.code,
            arrives=positive(body.FiatAmount, "FiatAmount"),
            ceiling=positive(body.CryptoAuthorizedAmount, "CryptoAuthorizedAmount"),
            external_id=body.ExternalID,
        )
    )
    return SellAnswer(Transaction=await shown(call, sold_facts(sold)))


def party_id_of(call: Call, customer_id: str | None) -> UUID | None:
    """Return the id of a customer of the caller's, whether or not there is one."""
    return None if customer_id is None else named_party_id(call.caller.owner_id, customer_id)


def sold_facts(sold: PayoutSold) -> Facts:
    """Return what a sale's reply tells of its transaction."""
    if sold.order is None or sold.payment is None:
        raise AssertionError(f"the sale {sold.order_id} tells nothing of its order")
    return Facts(
        order=sold.order,
        payment=sold.payment,
        method=sold.method,
        party_external_id=sold.party.external_id if sold.party else None,
        reference=sold.reference,
    )


async def shown(call: Call, facts: Facts) -> Transaction:
    """Render a transaction for the caller."""
    scales = await scales_of(call, facts.order.source_asset, facts.order.destination_asset)
    return transaction_of(facts, scales, environment_of(call))


async def get_transactions(call: Call) -> TransactionPage:
    """List the business's transactions by time."""
    page, caller = Page(call.request), call.caller
    name = "transactions_up" if page.ascending else "transactions_down"
    rows = await call.desk.reads.rows(
        "payouts", name, Facts, caller.lane, caller.owner_id, PRODUCTS, *page.after, page.fetched
    )
    return TransactionPage(
        Items=[await shown(call, facts) for facts in page.shown(rows)],
        PageToken=page.token_by_time(rows, lambda facts: (facts.order.created_at, facts.order.id)),
    )


async def get_transaction(call: Call) -> Transaction:
    """Show one of the business's transactions."""
    order_id = call.path_id("TransactionID", Code.ORDER_NOT_FOUND)
    caller = call.caller
    facts = await call.desk.reads.row("payouts", "transaction", Facts, caller.lane, caller.owner_id, PRODUCTS, order_id)
    if facts is None:
        raise Refusal(Code.ORDER_NOT_FOUND)
    return await shown(call, facts)


async def get_balances(call: Call) -> BalancePage:
    """List what the business has of each asset."""
    page, caller = Page(call.request), call.caller
    codes = list(environment_of(call).assets)  # fiat that was deposited is no balance of the contract's
    rows = await call.desk.reads.rows(
        "payouts", "balances", Account, caller.lane, caller.owner_id, page.after_key, codes, page.fetched
    )
    scales = await scales_of(call, *(row.asset for row in rows))
    return BalancePage(
        Items=[_balance(call, row, scales[row.asset]) for row in page.shown(rows)],
        PageToken=page.token_by_key(rows, lambda row: row.asset),
    )


def _balance(call: Call, account: Account, scale: int) -> Balance:
    return Balance(
        AccountType="Current",
        CryptoCurrency=environment_of(call).shown_asset(account.asset),
        Available=print_units(account.balance - account.held, scale),
        Total=print_units(account.balance, scale),
    )
