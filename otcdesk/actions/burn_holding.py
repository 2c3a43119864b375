"""Burn what a party has of an instrument: there are that many units less for ever.

The contract's call names no quantity (3.12): all that is available is burnt, and what is listed or promised is not.
It is held at once, and gone with the chain's word; how many units there may be at most stays as it was issued.
"""

from decimal import Decimal
from uuid import UUID

from msgspec.structs import replace

from otcdesk.actions.booking import Move, account, capture_hold, own_account, place_hold, post, release_hold
from otcdesk.actions.jobs import start_job
from otcdesk.actions.list_resale import JobStarted, Terms, new_order
from otcdesk.actions.move_value import counter_account
from otcdesk.actions.order_checks import amount_of
from otcdesk.actions.resale_checks import (
    check_mandate,
    check_party,
    covering_account,
    currency_of,
    found_parts,
    party_account_id,
)
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment
from otcdesk.domain.jobs import BURN as BURN_JOB
from otcdesk.domain.jobs import Job
from otcdesk.domain.ledger import EQUITY, Account, Hold, desk_account_id
from otcdesk.domain.orders import Order
from otcdesk.domain.resales import (
    ANYBODY,
    BURN,
    BURNT,
    COMPLETE,
    FAIL,
    PLACE,
    PRIMARY,
    Currency,
    Mandate,
    branch_account_id,
    event_of,
    moved,
)
from otcdesk.errors import Code

#: Where chains without a call of their own burn by custom: nobody has a key to it.
NOBODYS_ADDRESS = "0x000000000000000000000000000000000000dEaD"


class BurnHolding(Command, frozen=True, kw_only=True):
    """Burn all that a party has available of an instrument."""

    party_id: UUID
    instrument_id: UUID
    mandate: Mandate

    @property
    def compared(self) -> "BurnHolding":
        """Return what its key stands for: who asks for it is not part of it."""
        return replace(self, mandate=ANYBODY)


def burn_holding(command: BurnHolding, books: Books, moment: Moment) -> JobStarted:
    """Hold all that is available, and ask the chain to burn it.

    Refuses, in this order: PARTY_NOT_FOUND, INSTRUMENT_NOT_FOUND, NOT_PERMITTED, PARTY_INACTIVE, PARTY_UNVERIFIED,
    RESALE_NOT_COVERED (deals contract, 3.12).
    """
    parts = found_parts(books, moment, command.party_id, command.instrument_id)
    instrument, asset = parts.instrument, parts.instrument.asset
    holding_id, burnt_id = party_account_id(parts.party.id, asset), branch_account_id(parts.issuer.id, BURNT, asset)
    books.want((Account, holding_id), (Account, burnt_id), (Currency, instrument.currency_id), (ListedAsset, asset))
    check_mandate(command.mandate, parts.home)
    check_party(books, parts.party)
    holding = covering_account(books, holding_id, 1, Code.RESALE_NOT_COVERED)
    units = holding.available
    amount = amount_of(books, asset, units)
    terms = Terms(
        source_account_id=holding_id,
        source=amount,
        destination_account_id=desk_account_id(EQUITY, asset),
        destination=amount,
        price=Decimal(1),
    )
    order = new_order(moment, BURN, terms, instrument, currency_of(books, instrument.currency_id), None)
    order = moved(order, PLACE, moment.now, pay_hold_id=moment.new_id(2), confirmed_at=moment.now)
    books.add(order)
    books.add(event_of(order, PLACE, moment.caller))
    place_hold(books, moment, holding, units, hold_id=moment.new_id(2), order_id=order.id)
    job = start_job(
        books,
        moment,
        kind=BURN_JOB,
        market=PRIMARY,
        order_id=order.id,
        party_id=parts.party.id,
        instrument_id=instrument.id,
        source=holding,
        destination=_nobodys_account(books, burnt_id, holding, parts.issuer.id),
        units=units,
    )
    return JobStarted(job=job)


def burnt(books: Books, moment: Moment, job: Job, order: Order) -> None:
    """Book what the chain has burnt: the units go back to where all of them came from. Never refuses."""
    del job
    books.want((Hold, order.pay_hold_id), (Account, order.source_account_id), (Account, order.destination_account_id))
    after = _ended(books, moment, order, COMPLETE)
    capture_hold(books, moment, _held(order))
    move = Move(
        account(books, order.source_account_id),
        counter_account(books, EQUITY, order.source_asset),
        order.source_units,
    )
    post(books, moment, [move], transaction_id=moment.new_id(3), reason="resale: burnt", order_id=after.id)


def not_burnt(books: Books, moment: Moment, job: Job, order: Order) -> None:
    """Give back what the chain has not burnt."""
    del job
    books.want((Hold, order.pay_hold_id), (Account, order.source_account_id))
    _ended(books, moment, order, FAIL)
    release_hold(books, moment, _held(order))


def _nobodys_account(books: Books, burnt_id: UUID, holding: Account, branch_id: UUID) -> Account:
    """Return where burnt units go on the chain, on the network where they are; nothing is ever booked there."""
    known = books.find(Account, burnt_id)
    if known is not None:
        return known
    opened = own_account(books, burnt_id, BURNT, holding.asset, branch_id, network=holding.network)
    opened = opened.with_(address=NOBODYS_ADDRESS)
    books.put(opened)
    return opened


def _ended(books: Books, moment: Moment, order: Order, event: str) -> Order:
    after = moved(order, event, moment.now, pay_hold_id=None)
    books.put(after)
    books.add(event_of(after, event, moment.caller))
    return after


def _held(order: Order) -> UUID:
    if order.pay_hold_id is None:
        raise AssertionError(f"order {order.id} is {order.state} and holds nothing")
    return order.pay_hold_id
