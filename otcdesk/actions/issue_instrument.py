"""Issue an instrument: a new asset in whole units, all of which there is from the start, with its branch.

It begins as a draft that nobody can list or buy: only whoever has put it on a chain can say that it is there
(`record_deployment.py`).
"""

from decimal import Decimal
from uuid import UUID

from msgspec.structs import replace

from otcdesk.actions.booking import Move, own_account, post
from otcdesk.actions.move_value import counter_account
from otcdesk.actions.order_checks import amount_of
from otcdesk.actions.resale_checks import check_mandate, found_branch, found_currency
from otcdesk.actions.switch_instrument import InstrumentReply
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment
from otcdesk.domain.compact_ids import compact_id
from otcdesk.domain.ledger import EQUITY, Account, desk_account_id
from otcdesk.domain.resales import (
    ANYBODY,
    DRAFT,
    ESCROW,
    FUNDS,
    INVENTORY,
    UNSOLD,
    Branch,
    Currency,
    Instrument,
    Mandate,
    branch_account_id,
)
from otcdesk.errors import Code, Refusal
from otcdesk.money import PAID_BY_DESK, UNITS_MAX, Amount, Asset, counted, percent_of, units_of


class IssueInstrument(Command, frozen=True, kw_only=True):
    """So many units that are worth `total_value` of a currency together; `asset` is what the books count them as.

    Of all units `salable_percent` are unsold supply; the rest are the branch's own. `details` are particulars as JSON.
    """

    branch_id: UUID
    asset: str
    name: str
    symbol: str
    description: str
    currency_id: UUID
    total_value: Decimal
    salable_percent: Decimal
    max_supply_units: int
    details: str
    mandate: Mandate

    @property
    def compared(self) -> "IssueInstrument":
        """Return what its key stands for: who asks for it is not part of it."""
        return replace(self, mandate=ANYBODY)


def issue_instrument(command: IssueInstrument, books: Books, moment: Moment) -> InstrumentReply:
    """Issue an instrument.

    Refuses, in this order: BRANCH_NOT_FOUND, NOT_PERMITTED, CURRENCY_NOT_FOUND, AMOUNT_TOO_FINE (a unit would cost a
    part of the currency's last decimal), AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE, ASSET_TAKEN (deals contract, 3.13).
    """
    asset = command.asset
    books.want((Currency, command.currency_id), (ListedAsset, asset), (Account, desk_account_id(EQUITY, asset)))
    branch = found_branch(books, moment, command.branch_id)
    check_mandate(command.mandate, branch)
    currency = found_currency(books, moment, command.currency_id, branch)
    price = _price_of_one(books, currency, command)
    if books.find(ListedAsset, asset) is not None:
        raise Refusal(Code.ASSET_TAKEN)
    instrument = Instrument(
        id=compact_id(moment.new_id(0), moment.now),
        tenant_id=branch.tenant_id,
        branch_id=branch.id,
        asset=asset,
        name=command.name,
        symbol=command.symbol,
        description=command.description,
        state=DRAFT,
        currency_id=currency.id,
        price=price,
        max_supply_units=command.max_supply_units,
        salable_percent=command.salable_percent,
        details=command.details,
        created_at=moment.now,
        updated_at=moment.now,
    )
    funds = books.find(Account, branch_account_id(branch.id, FUNDS, currency.asset))
    books.add(ListedAsset(code=asset, scale=0))
    books.add(instrument)
    _mint(books, moment, branch, instrument, network="" if funds is None else funds.network)
    return InstrumentReply(instrument=instrument)


def _price_of_one(books: Books, currency: Currency, command: IssueInstrument) -> Decimal:
    books.want((ListedAsset, currency.asset))
    scale = amount_of(books, currency.asset, 0).asset.scale
    total_units = units_of(command.total_value, scale)
    if total_units is None or total_units % command.max_supply_units:
        raise Refusal(Code.AMOUNT_TOO_FINE)
    if total_units <= 0:
        raise Refusal(Code.AMOUNT_TOO_SMALL)
    if total_units > UNITS_MAX or command.max_supply_units > UNITS_MAX:
        raise Refusal(Code.AMOUNT_TOO_LARGE)
    return counted(total_units // command.max_supply_units, scale)


def _mint(books: Books, moment: Moment, branch: Branch, instrument: Instrument, *, network: str) -> None:
    """Bring all units into the books: what is salable unsold, the rest the branch's; nothing is on a chain yet."""
    asset = instrument.asset
    units = Amount(instrument.max_supply_units, Asset(asset, 0))
    salable = percent_of(units, instrument.salable_percent, PAID_BY_DESK)
    equity = counter_account(books, EQUITY, asset)
    moves = []
    for purpose, part in ((UNSOLD, salable.units), (INVENTORY, (units - salable).units), (ESCROW, 0)):
        account_id = branch_account_id(branch.id, purpose, asset)
        opened = own_account(books, account_id, purpose, asset, branch.id)
        if opened.network != network:
            books.put(opened := opened.with_(network=network))
        if part:
            moves.append(Move(equity, opened, part))
    post(books, moment, moves, transaction_id=moment.new_id(1), reason="resale: issued")
