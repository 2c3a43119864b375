"""A branch takes what a party has listed over the counter: all that is left of it, at its price, at once."""

from uuid import UUID

from otcdesk.actions.booking import account, capture_hold, own_account
from otcdesk.actions.end_resale import escrow_account
from otcdesk.actions.order_checks import order_by_the_clock
from otcdesk.actions.resale_checks import (
    branch_of,
    check_mandate,
    covering_account,
    currency_of,
    found_branch,
    found_instrument,
    found_resale,
    terms_of,
    worth,
)
from otcdesk.actions.settle_resale import Sale, settle
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.brokerage import HOLDING
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.ledger import Account, Hold, desk_account_id
from otcdesk.domain.noun import Noun
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import FEE_INCOME
from otcdesk.domain.resales import (
    ACTIVE,
    COMPLETE,
    ESCROW,
    FEES,
    FUNDS,
    INVENTORY,
    OTC,
    Branch,
    Currency,
    Mandate,
    Resale,
    ResaleTerms,
    branch_account_id,
    event_of,
    moved,
    proceeds_of,
)
from otcdesk.errors import Code, Refusal


class BranchCommand(Command, frozen=True, kw_only=True):
    """What a branch does with a listing of what it has issued; without an order nothing has the number asked for."""

    branch_id: UUID
    instrument_id: UUID
    order_id: UUID | None
    mandate: Mandate

    @property
    def subject_id(self) -> UUID | None:
        """Return the listing."""
        return self.order_id


class TakeResale(BranchCommand, frozen=True, kw_only=True):
    """Take all that is left of it."""


class ResaleTaken(Reply, frozen=True, kw_only=True):
    """The listing's order after it."""

    order: Order


def take_resale(command: TakeResale, books: Books, moment: Moment) -> ResaleTaken:
    """Take a listing for its branch.

    Refuses, in this order: BRANCH_NOT_FOUND, INSTRUMENT_NOT_FOUND, NOT_PERMITTED, ORDER_NOT_FOUND, NOT_TAKEABLE,
    BRANCH_NOT_COVERED (deals contract, 3.6 and 5).
    """
    order, resale = found_for_branch(books, moment, command)
    order = order_by_the_clock(books, moment, order)
    if order.state != ACTIVE or resale.available == 0:
        raise Refusal(Code.NOT_TAKEABLE, state=order.state)
    return ResaleTaken(order=taken_by_branch(books, moment, order, resale))


def found_for_branch(books: Books, moment: Moment, command: BranchCommand) -> tuple[Order, Resale]:
    """Return what is listed over the counter of an instrument that a branch has issued, for who may act there."""
    branch = found_branch(books, moment, command.branch_id)
    instrument = found_instrument(books, moment, command.instrument_id)
    if instrument.branch_id != branch.id:
        raise Refusal(Code.INSTRUMENT_NOT_FOUND)
    check_mandate(command.mandate, branch)
    return found_resale(books, command.order_id, instrument, OTC)


def branch_covers(books: Books, resale: Resale) -> bool:
    """Tell whether the branch has the money for all that is left of a listing."""
    currency = books.find(Currency, resale.currency_id)
    if currency is None:
        return False
    books.want((Account, branch_account_id(resale.branch_id, FUNDS, currency.asset)), (ListedAsset, currency.asset))
    funds = books.find(Account, branch_account_id(resale.branch_id, FUNDS, currency.asset))
    return funds is not None and funds.covers(worth(books, currency, resale.available, resale.price_units).units)


def needed_to_take(order: Order, resale: Resale) -> list[tuple[type[Noun], object]]:
    """Name the rows that are read when the branch takes a listing."""
    asset, money, branch_id = order.source_asset, order.destination_asset, resale.branch_id
    accounts = (
        order.source_account_id,
        order.destination_account_id,
        branch_account_id(branch_id, FUNDS, money),
        branch_account_id(branch_id, INVENTORY, asset),
        branch_account_id(branch_id, ESCROW, asset),
        branch_account_id(branch_id, FEES, money),
        desk_account_id(FEE_INCOME, money),
    )
    return [
        (Branch, branch_id),
        (Currency, resale.currency_id),
        (ListedAsset, money),
        (ResaleTerms, ONLY),
        (Hold, order.pay_hold_id),
        *((Account, account_id) for account_id in accounts),
    ]


def taken_by_branch(books: Books, moment: Moment, order: Order, resale: Resale) -> Order:
    """Carry out that the branch takes all that is left of an active listing; refuses BRANCH_NOT_COVERED first.

    That completes it, once for ever: what was promised to buyers is still theirs, and the lister's where they fail.
    """
    books.want(*needed_to_take(order, resale))
    branch, currency = branch_of(books, resale.branch_id), currency_of(books, resale.currency_id)
    asset, money = order.source_asset, currency.asset
    funds_id, inventory_id = (
        branch_account_id(branch.id, FUNDS, money),
        branch_account_id(branch.id, INVENTORY, asset),
    )
    gross = worth(books, currency, resale.available, resale.price_units)
    funds = covering_account(books, funds_id, gross.units, Code.BRANCH_NOT_COVERED)
    if order.pay_hold_id is None:
        raise AssertionError(f"order {order.id} is {order.state} and holds nothing")
    capture_hold(books, moment, order.pay_hold_id)
    proceeds = proceeds_of(gross, resale.market, branch, terms_of(books))
    books.put(
        resale.with_(
            available=0,
            sold=resale.sold + resale.available,
            taken_fee_units=proceeds.fee.units,
            taken_desk_fee_units=proceeds.desk_fee.units,
        )
    )
    after = moved(order, COMPLETE, moment.now, pay_hold_id=None)
    books.put(after)
    books.add(event_of(after, COMPLETE, moment.caller))
    gives = account(books, order.source_account_id)
    sale = Sale(
        order=after,
        market=resale.market,
        instrument_id=resale.instrument_id,
        branch_id=branch.id,
        units=resale.available,
        gives=gives,
        gets=own_account(books, inventory_id, INVENTORY, asset, branch.id, network=gives.network),
        pays=funds,
        is_paid=own_account(
            books, order.destination_account_id, HOLDING, money, resale.party_id, network=funds.network, beside=gives
        ),
        proceeds=proceeds,
        from_chain=escrow_account(books, resale, asset),
    )
    settle(books, moment, sale, transaction_id=moment.new_id(3))
    return after
