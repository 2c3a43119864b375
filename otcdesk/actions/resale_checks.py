"""What the verbs of resale share: whom and what a command is about, what it may do there, and what things cost.

Nothing here writes. The order in which a verb refuses is the verb's own.
"""

from decimal import Decimal
from typing import NamedTuple, Protocol
from uuid import UUID

from otcdesk.actions.order_checks import amount_of
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.brokerage import holding_id
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import DESK_ID, INACTIVE, UNVERIFIED, Party
from otcdesk.domain.resales import (
    DEPLOYED,
    PRODUCT,
    Branch,
    Currency,
    Holder,
    Instrument,
    Mandate,
    Resale,
    ResaleTerms,
    reaches,
)
from otcdesk.errors import Code, Refusal
from otcdesk.money import UNITS_MAX, Amount, units_of


class Parts(NamedTuple):
    """A party and the branch that it belongs to, an instrument and the branch that has issued it."""

    party: Party
    home: Branch
    instrument: Instrument
    issuer: Branch


def terms_of(books: Books) -> ResaleTerms:
    """Return the lane's terms; a lane without any has the usual ones."""
    return books.find(ResaleTerms, ONLY) or ResaleTerms()


def found_party(books: Books, moment: Moment, party_id: UUID) -> tuple[Party, Branch]:
    """Return a party that holds instruments, and its branch; refuses PARTY_NOT_FOUND."""
    books.want((Party, party_id), (Holder, party_id), (ResaleTerms, ONLY))
    party, holder = books.find(Party, party_id), books.find(Holder, party_id)
    if party is None or holder is None or party.tenant_id != moment.owner_id:
        raise Refusal(Code.PARTY_NOT_FOUND)
    return party, branch_of(books, holder.branch_id)


def found_parts(books: Books, moment: Moment, party_id: UUID, instrument_id: UUID) -> Parts:
    """Return whom and what a command is about; refuses PARTY_NOT_FOUND, INSTRUMENT_NOT_FOUND.

    A party deals in what branches above its own have issued, or below it, or its own.
    """
    books.want((Party, party_id), (Holder, party_id), (ResaleTerms, ONLY), (Instrument, instrument_id))
    party, home = found_party(books, moment, party_id)
    instrument = found_instrument(books, moment, instrument_id)
    issuer = branch_of(books, instrument.branch_id)
    if not (reaches(issuer.path, home.path) or reaches(home.path, issuer.path)):
        raise Refusal(Code.INSTRUMENT_NOT_FOUND)
    return Parts(party, home, instrument, issuer)


def found_instrument(books: Books, moment: Moment, instrument_id: UUID) -> Instrument:
    """Return an instrument; refuses INSTRUMENT_NOT_FOUND."""
    instrument = books.find(Instrument, instrument_id)
    if instrument is None or not _is_for(moment, instrument.tenant_id):
        raise Refusal(Code.INSTRUMENT_NOT_FOUND)
    return instrument


def found_branch(books: Books, moment: Moment, branch_id: UUID) -> Branch:
    """Return a branch; refuses BRANCH_NOT_FOUND."""
    branch = books.find(Branch, branch_id)
    if branch is None or not _is_for(moment, branch.tenant_id):
        raise Refusal(Code.BRANCH_NOT_FOUND)
    return branch


def _is_for(moment: Moment, tenant_id: UUID) -> bool:
    """Tell whether whoever asks acts for a tenant: it does itself, and the desk does for all of them."""
    return moment.owner_id in {tenant_id, DESK_ID}


def branch_of(books: Books, branch_id: UUID) -> Branch:
    """Return a branch that must exist."""
    branch = books.find(Branch, branch_id)
    if branch is None:
        raise AssertionError(f"no branch {branch_id}")
    return branch


def check_mandate(mandate: Mandate, branch: Branch) -> None:
    """Refuse NOT_PERMITTED for what the caller may not do, or not there (deals contract, 2.3)."""
    if not mandate.permitted or not reaches(mandate.path, branch.path):
        raise Refusal(Code.NOT_PERMITTED)


class OfParty(Protocol):
    """A command about a party that holds instruments."""

    @property
    def party_id(self) -> UUID:
        """Return the party's id."""
        ...

    @property
    def mandate(self) -> Mandate:
        """Return what the caller may do, and where."""
        ...


class OfBranch(Protocol):
    """A command about a branch."""

    @property
    def branch_id(self) -> UUID:
        """Return the branch's id."""
        ...

    @property
    def mandate(self) -> Mandate:
        """Return what the caller may do, and where."""
        ...


def permits_for_party(command: OfParty, books: Books, moment: Moment) -> None:
    """Refuse whoever may not act for the command's party: PARTY_NOT_FOUND, NOT_PERMITTED."""
    _, home = found_party(books, moment, command.party_id)
    check_mandate(command.mandate, home)


def permits_for_branch(command: OfBranch, books: Books, moment: Moment) -> None:
    """Refuse whoever may not act for the command's branch: BRANCH_NOT_FOUND, NOT_PERMITTED."""
    check_mandate(command.mandate, found_branch(books, moment, command.branch_id))


def check_party(books: Books, party: Party) -> None:
    """Refuse PARTY_INACTIVE, and PARTY_UNVERIFIED where parties must be verified."""
    if party.status == INACTIVE:
        raise Refusal(Code.PARTY_INACTIVE)
    if party.status == UNVERIFIED and terms_of(books).verifies_parties:
        raise Refusal(Code.PARTY_UNVERIFIED)


def found_currency(books: Books, moment: Moment, currency_id: UUID, branch: Branch) -> Currency:
    """Return a deployed currency of a branch, or of one above it; refuses CURRENCY_NOT_FOUND."""
    currency = books.find(Currency, currency_id)
    if currency is None or currency.tenant_id != moment.owner_id or currency.state != DEPLOYED:
        raise Refusal(Code.CURRENCY_NOT_FOUND)
    if not reaches(branch_of(books, currency.branch_id).path, branch.path):
        raise Refusal(Code.CURRENCY_NOT_FOUND)
    return currency


def currency_of(books: Books, currency_id: UUID) -> Currency:
    """Return a currency that must exist."""
    currency = books.find(Currency, currency_id)
    if currency is None:
        raise AssertionError(f"no currency {currency_id}")
    return currency


def instrument_of(books: Books, instrument_id: UUID) -> Instrument:
    """Return an instrument that must exist."""
    instrument = books.find(Instrument, instrument_id)
    if instrument is None:
        raise AssertionError(f"no instrument {instrument_id}")
    return instrument


def found_price(books: Books, currency: Currency, price: Decimal, quantity: int) -> int:
    """Return a price in units of its currency; refuses AMOUNT_TOO_FINE, AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE.

    The last is of the price of all that is listed or bought.
    """
    books.want((ListedAsset, currency.asset))
    units = units_of(price, amount_of(books, currency.asset, 0).asset.scale)
    if units is None:
        raise Refusal(Code.AMOUNT_TOO_FINE)
    if units <= 0:
        raise Refusal(Code.AMOUNT_TOO_SMALL)
    if units * quantity > UNITS_MAX:
        raise Refusal(Code.AMOUNT_TOO_LARGE)
    return units


def worth(books: Books, currency: Currency, quantity: int, price_units: int) -> Amount:
    """Return what so many units cost at a price."""
    return amount_of(books, currency.asset, quantity * price_units)


def covering_account(books: Books, account_id: UUID, units: int, code: Code) -> Account:
    """Return an account that covers so much; refuses with `code`."""
    found = books.find(Account, account_id)
    if found is None or not found.covers(units):
        raise Refusal(code)
    return found


def found_resale(
    books: Books, order_id: UUID | None, instrument: Instrument, market: str | None
) -> tuple[Order, Resale]:
    """Return what is listed of an instrument (on `market` None: any); refuses ORDER_NOT_FOUND."""
    if order_id is None:
        raise Refusal(Code.ORDER_NOT_FOUND)
    books.want((Order, order_id), (Resale, order_id))
    order, resale = books.find(Order, order_id), books.find(Resale, order_id)
    if order is None or resale is None or order.product != PRODUCT or resale.instrument_id != instrument.id:
        raise Refusal(Code.ORDER_NOT_FOUND)
    if market is not None and resale.market != market:
        raise Refusal(Code.ORDER_NOT_FOUND)
    return order, resale


def resale_of(books: Books, order_id: UUID) -> Resale:
    """Return what a listing's order is about."""
    resale = books.find(Resale, order_id)
    if resale is None:
        raise AssertionError(f"order {order_id} lists nothing")
    return resale


def party_account_id(party_id: UUID, asset: str) -> UUID:
    """Return the id of the account with what a party has of an instrument or currency."""
    return holding_id(party_id, asset)
