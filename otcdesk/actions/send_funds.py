"""Send a branch's money to the wallet of a party or of another branch of the same tenant."""

from decimal import Decimal
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from otcdesk.actions.booking import Move, account, check_fits, own_account, post
from otcdesk.actions.burn_holding import NOBODYS_ADDRESS
from otcdesk.actions.jobs import follow
from otcdesk.actions.make_currency import any_currency
from otcdesk.actions.order_checks import amount_of
from otcdesk.actions.resale_checks import branch_of, check_mandate, covering_account, party_account_id
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.brokerage import HOLDING
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.jobs import SEND
from otcdesk.domain.ledger import Account
from otcdesk.domain.resales import (
    ANYBODY,
    DEPLOYED,
    FUNDS,
    PRIMARY,
    Branch,
    Currency,
    Holder,
    Mandate,
    branch_account_id,
)
from otcdesk.errors import Code, Refusal
from otcdesk.money import UNITS_MAX, units_of

#: What accounts are for at whose addresses somebody is.
_KEPT: Final = (HOLDING, FUNDS)

#: Addresses that nobody has a key to: what is sent there is lost.
_NOBODYS: Final = frozenset({NOBODYS_ADDRESS.lower(), f"0x{0:040x}"})


class SendFunds(Command, frozen=True, kw_only=True):
    """Send so much of a currency from the branch that it is of. `recipient_id` is an account at `address`, as found.

    Whose that account is gets the money, on the account that it has for this currency; None: nobody has the address.
    """

    currency_id: UUID
    address: str
    recipient_id: UUID | None
    amount: Decimal
    mandate: Mandate

    @property
    def compared(self) -> "SendFunds":
        """Return what its key stands for: neither who asks for it, nor which account was found at the address."""
        return replace(self, address=self.address.lower(), recipient_id=None, mandate=ANYBODY)


class FundsSent(Reply, frozen=True, kw_only=True):
    """The account that was sent from, after it."""

    account: Account


def send_funds(command: SendFunds, books: Books, moment: Moment) -> FundsSent:
    """Send money, and let the chain follow.

    Refuses, in this order: CURRENCY_NOT_FOUND (also one that is not deployed), NOT_PERMITTED, CUSTODY_NOT_FOUND,
    AMOUNT_TOO_FINE, AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE, BRANCH_NOT_COVERED (deals contract, 3.14).
    """
    books.want((Currency, command.currency_id), (Account, command.recipient_id))
    currency, branch = _sender(command, books, moment)
    if currency.state != DEPLOYED:
        raise Refusal(Code.CURRENCY_NOT_FOUND)
    check_mandate(command.mandate, branch)
    funds_id = branch_account_id(branch.id, FUNDS, currency.asset)
    at, account_id, purpose = _recipient(books, moment, command.recipient_id, currency.asset)
    if account_id == funds_id:
        raise Refusal(Code.CUSTODY_NOT_FOUND)
    books.want((ListedAsset, currency.asset), (Account, funds_id), (Account, account_id))
    known, sender = books.find(Account, account_id), books.find(Account, funds_id)
    network = "" if sender is None else sender.network
    if known is not None and not _is_there(known, at, network):
        raise Refusal(Code.CUSTODY_NOT_FOUND)
    units = _units(books, currency, command.amount)
    funds = covering_account(books, funds_id, units, Code.BRANCH_NOT_COVERED)
    check_fits(books, funds.id, account_id, units)
    recipient = own_account(books, account_id, purpose, currency.asset, at.owner_id, network=network)
    if recipient.address is None:  # where money was sent to is where it will be
        books.put(recipient := recipient.with_(network=network, address=at.address))
    transaction_id = moment.new_id(0)
    post(
        books,
        moment,
        [Move(funds, recipient, units)],
        transaction_id=transaction_id,
        reason="resale: sent by the branch",
        reference=str(currency.id),
    )
    follow(
        books,
        moment,
        tenant_id=branch.tenant_id,
        market=PRIMARY,
        order_id=transaction_id,
        order_version=1,
        instrument_id=currency.id,
        kind=SEND,
        moves=[(funds, recipient, units)],
    )
    return FundsSent(account=account(books, funds_id))


def permits_sending(command: SendFunds, books: Books, moment: Moment) -> None:
    """Refuse whoever may not send a currency, whatever its state: CURRENCY_NOT_FOUND, NOT_PERMITTED."""
    _, branch = _sender(command, books, moment)
    check_mandate(command.mandate, branch)


def _sender(command: SendFunds, books: Books, moment: Moment) -> tuple[Currency, Branch]:
    currency = any_currency(books, moment, command.currency_id)
    return currency, branch_of(books, currency.branch_id)


def _recipient(books: Books, moment: Moment, recipient_id: UUID | None, asset: str) -> tuple[Account, UUID, str]:
    """Return an account at the address, and which account of its owner's gets the money, for which purpose.

    The address is one where somebody keeps money or units, not one where what is burnt or listed is.
    """
    at = None if recipient_id is None else books.find(Account, recipient_id)
    if at is None or at.purpose not in _KEPT or (at.address or "").lower() in _NOBODYS:
        raise Refusal(Code.CUSTODY_NOT_FOUND)
    books.want((Holder, at.owner_id), (Branch, at.owner_id))
    holder, branch = books.find(Holder, at.owner_id), books.find(Branch, at.owner_id)
    if holder is not None and holder.tenant_id == moment.owner_id:
        return at, party_account_id(holder.party_id, asset), HOLDING
    if branch is not None and branch.tenant_id == moment.owner_id:
        return at, branch_account_id(branch.id, FUNDS, asset), FUNDS
    raise Refusal(Code.CUSTODY_NOT_FOUND)


def _is_there(known: Account, at: Account, network: str) -> bool:
    """Tell whether an account lies on a network at the same address as `at`, or can: it has none, and never had money.

    Money that came to an account without an address lies at one that the chain rail has for it.
    """
    if known.address is None:
        return known.version == 0 and known.network in {"", network}
    return known.network == network and known.address.lower() == (at.address or "").lower()


def _units(books: Books, currency: Currency, amount: Decimal) -> int:
    units = units_of(amount, amount_of(books, currency.asset, 0).asset.scale)
    if units is None:
        raise Refusal(Code.AMOUNT_TOO_FINE)
    if units <= 0:
        raise Refusal(Code.AMOUNT_TOO_SMALL)
    if units > UNITS_MAX:
        raise Refusal(Code.AMOUNT_TOO_LARGE)
    return units
