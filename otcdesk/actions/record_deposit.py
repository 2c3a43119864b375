"""Take the outside's word on money that comes in, book it once it is there, and do what was to be done then.

The outside's own id of a deposit makes telling it again harmless. What a deposit sets off happens in its batch; what of
it cannot be done is recorded and never undoes the deposit.
"""

from typing import Literal
from uuid import UUID

from otcdesk.actions.booking import Move, check_fits, own_account, post
from otcdesk.actions.deposit_checks import (
    GivenAddress,
    GivenBankDetails,
    found_place,
    open_address,
    open_bank_details,
    place_key,
)
from otcdesk.actions.move_value import counter_account
from otcdesk.actions.order_checks import found_order
from otcdesk.actions.run_rules import run_rules
from otcdesk.actions.settle_checkout import settle_checkout_by_deposit
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.deposits import (
    ARRIVE,
    ASSET,
    CHAIN_ASSETS,
    DEPOSIT_ORDER,
    DEPOSITS,
    FAIL,
    FAILED,
    FIAT,
    PENDING,
    PRODUCT,
    REFUND,
    REFUNDED,
    SETTLE,
    SETTLED,
    BankDetails,
    Deposit,
    DepositAddress,
    deposit_id,
    event_of,
    moved,
)
from otcdesk.domain.ledger import OUTSIDE, Account, desk_account_id
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import CURRENT, current_id
from otcdesk.domain.rules import LiveRules
from otcdesk.errors import Code, Refusal
from otcdesk.money import ONE_FOR_ONE, UNITS_MAX


class OpenPlace(Command, frozen=True, kw_only=True):
    """A place where money arrives for a tenant, and perhaps for one of its parties."""

    tenant_id: UUID
    party_id: UUID | None
    given: GivenAddress | None = None
    bank: GivenBankDetails | None = None


class PlaceOpened(Reply, frozen=True, kw_only=True):
    """The address, or the bank details."""

    address: DepositAddress | None = None
    bank: BankDetails | None = None


class RecordDeposit(Command, frozen=True, kw_only=True):
    """So many units of an asset arrive at a destination: an address on a network, or (no network) at bank details.

    `outside_id` is what the outside knows it by, for ever; `stage` how far it is. For the rest see `Deposit`.
    """

    network: str | None = None
    destination: str
    asset: str
    units: int
    outside_id: str
    stage: Literal["pending", "settled", "failed"]
    reason: str | None = None
    reference: str | None = None
    sender_name: str | None = None
    sender_number: str | None = None
    sender_bank_code: str | None = None
    sender_address: str | None = None
    hash: str | None = None


class ConcludeDeposit(Command, frozen=True, kw_only=True):
    """What became of a deposit that is pending, or that one that failed is back with its sender."""

    order_id: UUID
    stage: Literal["settled", "failed", "refunded"]
    reason: str | None = None


class DepositRecorded(Reply, frozen=True, kw_only=True):
    """The deposit and its order after it; `applied` is False when all of it was known already."""

    deposit: Deposit
    order: Order
    applied: bool


#: What the machine's moves are, by the stage that they lead to.
_MOVES = {SETTLED: SETTLE, FAILED: FAIL, REFUNDED: REFUND}


def open_place(command: OpenPlace, books: Books, moment: Moment) -> PlaceOpened:
    """Keep where money arrives for somebody; refuses DEPOSIT_ASSET_WRONG, DEPOSIT_PLACE_TAKEN."""
    owner = {"tenant_id": command.tenant_id, "party_id": command.party_id}
    return PlaceOpened(
        address=None if command.given is None else open_address(books, moment, command.given, **owner),  # type: ignore[arg-type]
        bank=None if command.bank is None else open_bank_details(books, moment, command.bank, **owner),  # type: ignore[arg-type]
    )


def record_deposit(command: RecordDeposit, books: Books, moment: Moment) -> DepositRecorded:
    """Record a deposit, or how far one that is known has come.

    Refuses, in this order: DEPOSIT_DIFFERS, INVALID_STATE for a stage that contradicts what it has become,
    DEPOSIT_PLACE_UNKNOWN, ASSET_NOT_FOUND, DEPOSIT_ASSET_WRONG, AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE, also for what is
    there and would be more than an account can count.
    """
    order_id = deposit_id(command.network or "", command.destination, command.outside_id)
    books.want(
        (Order, order_id),
        (Deposit, order_id),
        place_key(command.network, command.destination),
        (ListedAsset, command.asset),
    )
    known = books.find(Order, order_id)
    if known is not None:
        if (known.source_asset, known.source_units) != (command.asset, command.units):
            raise Refusal(Code.DEPOSIT_DIFFERS)
        return _gone_on(books, moment, known, command.stage, command.reason)
    deposit = _checked(command, books, order_id)
    arrived = moved(_order(command, moment, deposit), ARRIVE, moment.now)
    if command.stage == SETTLED:
        _check_counted(books, arrived, deposit)  # before anything is staged
    books.add(arrived)
    books.add(deposit)
    books.add(event_of(arrived, ARRIVE, moment.caller))
    recorded = _gone_on(books, moment, arrived, command.stage, command.reason)
    return DepositRecorded(deposit=deposit, order=recorded.order, applied=True)


def conclude_deposit(command: ConcludeDeposit, books: Books, moment: Moment) -> DepositRecorded:
    """Say what became of a deposit.

    Refuses ORDER_NOT_FOUND, INVALID_STATE for what it can no longer become, AMOUNT_TOO_LARGE for more than an account
    can count.
    """
    books.want((Order, command.order_id), (Deposit, command.order_id))
    order = found_order(books, command.order_id, PRODUCT, None)
    return _gone_on(books, moment, order, command.stage, command.reason)


def _checked(command: RecordDeposit, books: Books, order_id: UUID) -> Deposit:
    """Return a new deposit that may be taken."""
    place = found_place(books, command.network, command.destination)
    if books.find(ListedAsset, command.asset) is None:
        raise Refusal(Code.ASSET_NOT_FOUND)
    if place.fiat is not None and (place.fiat != command.asset or command.asset in CHAIN_ASSETS):
        raise Refusal(Code.DEPOSIT_ASSET_WRONG)
    if command.units <= 0:
        raise Refusal(Code.AMOUNT_TOO_SMALL)
    if command.units > UNITS_MAX:
        raise Refusal(Code.AMOUNT_TOO_LARGE)
    return Deposit(
        order_id=order_id,
        tenant_id=place.tenant_id,
        party_id=place.party_id,
        rule_id=place.rule_id,
        outside_id=command.outside_id,
        method=command.destination if command.network is None else None,
        reference=command.reference,
        sender_name=command.sender_name,
        sender_number=command.sender_number,
        sender_bank_code=command.sender_bank_code,
        network=command.network,
        address=None if command.network is None else command.destination,
        hash=command.hash,
        sender_address=command.sender_address,
    )


def _gone_on(books: Books, moment: Moment, order: Order, stage: str, reason: str | None) -> DepositRecorded:
    """Bring a deposit to a stage, if it is on its way there; a stage that lies behind it is no news.

    Refuses INVALID_STATE for a stage that contradicts the books: whoever tells it must not believe it was taken.
    """
    deposit = books.find(Deposit, order.id)
    if deposit is None:
        raise AssertionError(f"order {order.id} has no deposit")
    event = _MOVES.get(stage)
    if event is None or not DEPOSITS.allows(order, event):
        if stage not in {order.state, PENDING, *([FAILED] if order.state == REFUNDED else [])}:
            raise Refusal(Code.INVALID_STATE, state=order.state)
        return DepositRecorded(deposit=deposit, order=order, applied=False)
    if event == SETTLE:
        _check_counted(books, order, deposit)
    after = moved(order, event, moment.now, reason=reason or order.reason)
    if event == REFUND:
        after = after.with_(ended_at=order.ended_at)  # it was over when it failed, which is when the refund was asked
    books.put(after)
    books.add(event_of(after, event, moment.caller, reason))
    if event == SETTLE:
        _book(books, moment, after, deposit)
        run_rules(books, moment, after, deposit)
        settle_checkout_by_deposit(books, moment, deposit, after)
    return DepositRecorded(deposit=deposit, order=after, applied=True)


def _check_counted(books: Books, order: Order, deposit: Deposit) -> None:
    """Refuse AMOUNT_TOO_LARGE if an account could not count a deposit; names what else its settlement finds first."""
    outside_id = desk_account_id(OUTSIDE, order.source_asset)
    books.want(
        (Account, outside_id),
        (Account, order.destination_account_id),
        (LiveRules, deposit.tenant_id),
    )
    check_fits(books, outside_id, order.destination_account_id, order.source_units)


def _book(books: Books, moment: Moment, order: Order, deposit: Deposit) -> None:
    tenants = own_account(books, order.destination_account_id, CURRENT, order.source_asset, order.tenant_id)
    post(
        books,
        moment,
        [Move(counter_account(books, OUTSIDE, order.source_asset), tenants, order.source_units)],
        transaction_id=moment.new_id(1),
        reason="deposit",
        order_id=order.id,
        reference=deposit.outside_id,
    )


def _order(command: RecordDeposit, moment: Moment, deposit: Deposit) -> Order:
    return Order(
        id=deposit.order_id,
        tenant_id=deposit.tenant_id,
        product=PRODUCT,
        side=FIAT if command.network is None else ASSET,
        state=DEPOSIT_ORDER.start,
        version=1,
        source_account_id=desk_account_id(OUTSIDE, command.asset),
        source_asset=command.asset,
        source_units=command.units,
        destination_account_id=current_id(deposit.tenant_id, command.asset),
        destination_asset=command.asset,
        destination_units=command.units,
        rate=ONE_FOR_ONE,
        quoted_rate=ONE_FOR_ONE,
        quoted_by=moment.caller,
        quoted_at=moment.now,
        market_rate=ONE_FOR_ONE,
        market_source="",
        market_at=moment.now,
        ttl_seconds=0,
        expires_at=moment.now,
        created_at=moment.now,
        updated_at=moment.now,
    )
