"""The part of a world file that is about resale: branches, what they issue, in which currencies, and who holds it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, TypeVar
from uuid import UUID

import msgspec

from otcdesk.domain.brokerage import HOLDING, holding_id
from otcdesk.domain.compact_ids import declared_compact_id, parse_compact_id
from otcdesk.domain.resales import (
    ESCROW,
    FUNDS,
    INVENTORY,
    UNSOLD,
    Branch,
    Currency,
    Instrument,
    ResaleTerms,
    branch_account_id,
)
from otcdesk.domain.world_tables import Table, invalid, units_in
from otcdesk.money import counted, parse_percent, parse_units

T = TypeVar("T")

#: What a branch and the desk take is less than the half each, so that something is left.
FEE_PERCENT_MAX = 50
_DAYS_MAX = 3_660
_NUMBER_MAX = 2**31 - 1
_BID_HOURS_MAX = 8_784
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FileFees(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`fees`: what is taken of a sale over the counter, on the market, and of the unsold supply, in percent."""

    otc: str = "0"
    secondary: str = "0"
    primary: str = "0"


class FileResales(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[resales]`: the terms of resale. A listing lives so many days, for ever with 0; `fees` are the desk's own.

    A bid lives so many hours, unless whoever bids says otherwise.
    """

    validity_days: int = 31
    bid_validity_hours: int = 24
    verifies_parties: bool = False
    fees: FileFees = FileFees()


class FileAmount(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody has of an asset, and where on its chain."""

    asset: str
    balance: str
    network: str = ""
    address: str | None = None


class FileBranch(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.branches]]`: a branch, in a tree by its `path`. `parties_trade` lets parties trade with each other."""

    ref: str
    id: str | None = None
    number: int = 1
    path: str = "1"
    name: str | None = None
    parties_trade: bool = False
    fees: FileFees = FileFees()
    funds: tuple[FileAmount, ...] = ()
    inventory: tuple[FileAmount, ...] = ()


class FileCurrency(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.currencies]]`: a token in which prices are, of a branch; `asset` is what the books count."""

    ref: str
    id: str | None = None
    branch: str
    asset: str
    name: str | None = None
    symbol: str | None = None
    fiat: str | None = None
    state: Literal["draft", "in_progress", "deployed", "error"] = "deployed"
    address: str | None = None


class FileInstrument(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.instruments]]`: what a branch has issued; `asset` has no decimals. `unsold` is what it still has."""

    ref: str
    id: str | None = None
    branch: str
    asset: str
    currency: str
    price: str
    name: str | None = None
    symbol: str | None = None
    description: str = ""
    state: Literal["draft", "in_progress", "error", "not_listed", "delisted", "listed", "passive", "burnt"] = "listed"
    open_to_resale: bool = True
    open_to_market: bool = False
    max_supply: str | None = None
    unsold: str = "0"
    address: str | None = None
    network: str = ""


class FileHolder(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.holders]]`: a party of a branch, by its national number, and what it has."""

    ref: str
    id: str | None = None
    branch: str
    name: str
    surname: str = ""
    email: str = ""
    identity_number: str
    status: Literal["active", "unverified", "inactive"] = "active"
    holdings: tuple[FileAmount, ...] = ()


class FileRole(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.roles]]`: what supervisors of this role may do, of `domain.permissions`."""

    ref: str
    id: str | None = None
    priority: int = 100
    permissions: tuple[str, ...] = ()


class FileSupervisor(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.supervisors]]`: a person of a branch as whom a client calls."""

    ref: str
    id: str | None = None
    branch: str
    role: str
    email: str
    enabled: bool = True


class DeclaredHolder(msgspec.Struct, frozen=True, kw_only=True):
    """A party that holds instruments, as the file wants it. `details` are its particulars as JSON."""

    id: UUID
    tenant_id: UUID
    branch_id: UUID
    identity_number: str
    status: str
    details: str


class DeclaredResaleAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account of this product with its opening balance in units."""

    id: UUID
    owner_id: UUID
    purpose: str
    asset: str
    network: str = ""
    address: str | None = None
    opening_units: int = 0


class DeclaredResales(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one tenant about resale that the books keep."""

    branches: list[Branch]
    currencies: list[Currency]
    instruments: list[Instrument]
    holders: list[DeclaredHolder]
    accounts: list[DeclaredResaleAccount]


def compact_ref(kind: str, tenant_ref: str, ref: str, given: str | None) -> UUID:
    """Return the 96-bit id that a file gives something, or that it has by its name; refuses DECLARATION_INVALID."""
    if given is None:
        return declared_compact_id(kind, tenant_ref, ref)
    parsed = parse_compact_id(given)
    if parsed is None:
        raise invalid(f"{given!r} is not 24 hexadecimal digits")
    return parsed


def declared_terms(file: FileResales) -> ResaleTerms:
    """Return the lane's terms; refuses DECLARATION_INVALID."""
    if not 0 <= file.validity_days <= _DAYS_MAX:
        raise invalid(f"a listing lives from 0 (for ever) to {_DAYS_MAX} days")
    if not 1 <= file.bid_validity_hours <= _BID_HOURS_MAX:
        raise invalid(f"a bid lives from 1 to {_BID_HOURS_MAX} hours")
    return ResaleTerms(
        validity_seconds=file.validity_days * 86_400 or None,
        bid_validity_seconds=file.bid_validity_hours * 3_600,
        verifies_parties=file.verifies_parties,
        otc_fee_percent=_fee(file.fees.otc),
        secondary_fee_percent=_fee(file.fees.secondary),
        primary_fee_percent=_fee(file.fees.primary),
    )


class TenantFile(msgspec.Struct, frozen=True):
    """The tables of one tenant that are about resale."""

    ref: str
    id: UUID
    branches: tuple[FileBranch, ...]
    currencies: tuple[FileCurrency, ...]
    instruments: tuple[FileInstrument, ...]
    holders: tuple[FileHolder, ...]


def declared_resales(file: TenantFile, scales: dict[str, int]) -> DeclaredResales:
    """Turn a tenant's tables into what the books keep; refuses DECLARATION_INVALID naming the offending value."""
    for rows in (file.branches, file.currencies, file.instruments, file.holders):
        refs = [row.ref for row in rows]
        if len(refs) != len(set(refs)):
            raise invalid(f"two of the {len(refs)} {refs} of tenant {file.ref!r} have the same name")
    branches = {row.ref: _branch(file, row) for row in file.branches}
    _check_tree(list(branches.values()))
    currencies = {row.ref: _currency(file, row, branches, scales) for row in file.currencies}
    instruments = {row.ref: _instrument(file, row, branches, currencies, scales) for row in file.instruments}
    holders = {row.ref: _holder(file, row, branches) for row in file.holders}
    if len(holders) != len({(row.branch_id, row.identity_number) for row in holders.values()}):
        raise invalid(f"two holders of tenant {file.ref!r} have the same identity number")
    declared = DeclaredResales(
        branches=list(branches.values()),
        currencies=list(currencies.values()),
        instruments=list(instruments.values()),
        holders=list(holders.values()),
        accounts=[
            *(row for each in file.branches for row in _of_branch(branches[each.ref].id, each, scales)),
            *(row for each in file.instruments for row in _of_instrument(instruments[each.ref], each, scales)),
            *(row for each in file.holders for row in _of_holder(holders[each.ref].id, each, scales)),
        ],
    )
    if len(declared.accounts) != len({row.id for row in declared.accounts}):
        raise invalid(f"somebody of tenant {file.ref!r} has the same asset twice")
    _check_networks(declared)
    return declared


def _check_networks(declared: DeclaredResales) -> None:
    """Refuse accounts of one currency or instrument on several networks: nothing moves between them."""
    issued = {row.asset for row in declared.currencies} | {row.asset for row in declared.instruments}
    networks: dict[str, str] = {}
    for row in declared.accounts:
        network = networks.setdefault(row.asset, row.network)
        if row.asset in issued and network != row.network:
            raise invalid(f"accounts of {row.asset!r} are on the networks {network!r} and {row.network!r}")


def check_apart(all_tenants: list[DeclaredResales]) -> None:
    """Refuse DECLARATION_INVALID where two currencies or instruments of a lane are one asset, or two things one id."""
    assets = [row.asset for each in all_tenants for row in each.currencies]
    assets += [row.asset for each in all_tenants for row in each.instruments]
    if len(assets) != len(set(assets)):
        raise invalid(f"two of the currencies and instruments {sorted(assets)} are the same asset")
    ids = [row.id for each in all_tenants for row in each.branches]
    ids += [row.id for each in all_tenants for row in each.currencies]
    ids += [row.id for each in all_tenants for row in each.instruments]
    ids += [row.id for each in all_tenants for row in each.holders]
    if len(ids) != len(set(ids)):
        raise invalid("two branches, holders, currencies or instruments have the same id")


def _branch(file: TenantFile, row: FileBranch) -> Branch:
    numbers = row.path.split(".")
    is_path = all(number.isascii() and number.isdigit() and number[0] != "0" for number in numbers)
    if not is_path or not 1 <= row.number <= _NUMBER_MAX:
        raise invalid(f"branch {row.ref!r} needs a number, and a path of numbers with dots between them")
    return Branch(
        id=compact_ref("branch", file.ref, row.ref, row.id),
        tenant_id=file.id,
        number=row.number,
        path=row.path,
        name=row.name or row.ref,
        parties_trade=row.parties_trade,
        otc_fee_percent=_fee(row.fees.otc),
        secondary_fee_percent=_fee(row.fees.secondary),
        primary_fee_percent=_fee(row.fees.primary),
    )


def _check_tree(branches: list[Branch]) -> None:
    paths = {row.path for row in branches}
    if len(paths) != len(branches):
        raise invalid("two branches have the same path")
    for path in paths:
        above, dot, _ = path.rpartition(".")
        if dot and above not in paths:
            raise invalid(f"there is no branch above {path!r}")


def _currency(file: TenantFile, row: FileCurrency, branches: dict[str, Branch], scales: dict[str, int]) -> Currency:
    if row.asset not in scales:
        raise invalid(f"asset {row.asset!r} is not declared")
    return Currency(
        id=compact_ref("currency", file.ref, row.ref, row.id),
        tenant_id=file.id,
        branch_id=_of(branches, row.branch, "branch").id,
        asset=row.asset,
        name=row.name or row.asset,
        symbol=row.symbol or row.asset,
        fiat=row.fiat,
        state=row.state,
        enabled=row.state == "deployed",
        address=row.address,
        created_at=_EPOCH,
        updated_at=_EPOCH,
    )


def _instrument(
    file: TenantFile,
    row: FileInstrument,
    branches: dict[str, Branch],
    currencies: dict[str, Currency],
    scales: dict[str, int],
) -> Instrument:
    if scales.get(row.asset) != 0:
        raise invalid(f"instrument {row.ref!r} needs a declared asset without decimals")
    currency = _of(currencies, row.currency, "currency")
    price = parse_units(row.price, scales[currency.asset])
    if not price:
        raise invalid(f"{row.price!r} is not a price in {currency.asset}")
    return Instrument(
        id=compact_ref("instrument", file.ref, row.ref, row.id),
        tenant_id=file.id,
        branch_id=_of(branches, row.branch, "branch").id,
        asset=row.asset,
        name=row.name or row.asset,
        symbol=row.symbol or row.asset,
        description=row.description,
        state=row.state,
        currency_id=currency.id,
        price=counted(price, scales[currency.asset]),
        max_supply_units=_supply(file, row, scales),
        open_to_resale=row.open_to_resale,
        open_to_market=row.open_to_market,
        address=row.address,
        created_at=_EPOCH,
        updated_at=_EPOCH,
    )


def _supply(file: TenantFile, row: FileInstrument, scales: dict[str, int]) -> int:
    """Return how many units there are: what the file says, else all that it gives to somebody."""
    given = [held.balance for each in file.holders for held in each.holdings if held.asset == row.asset]
    given += [held.balance for each in file.branches for held in each.inventory if held.asset == row.asset]
    there = sum(units_in(balance, row.asset, scales) for balance in (*given, row.unsold))
    most = there or 1 if row.max_supply is None else units_in(row.max_supply, row.asset, scales)
    if most < there or most == 0:
        raise invalid(f"instrument {row.ref!r} has more units than there may be, or none")
    return most


def _holder(file: TenantFile, row: FileHolder, branches: dict[str, Branch]) -> DeclaredHolder:
    details = {"name": row.name, "surname": row.surname, "email": row.email}
    return DeclaredHolder(
        id=compact_ref("holder", file.ref, row.ref, row.id),
        tenant_id=file.id,
        branch_id=_of(branches, row.branch, "branch").id,
        identity_number=row.identity_number,
        status=row.status,
        details=msgspec.json.encode(details).decode(),
    )


def _of_branch(branch_id: UUID, row: FileBranch, scales: dict[str, int]) -> list[DeclaredResaleAccount]:
    listed = [(FUNDS, held) for held in row.funds] + [(INVENTORY, held) for held in row.inventory]
    return [
        _account(branch_account_id(branch_id, purpose, held.asset), branch_id, purpose, held, scales)
        for purpose, held in listed
    ]


def _of_instrument(instrument: Instrument, row: FileInstrument, scales: dict[str, int]) -> list[DeclaredResaleAccount]:
    """Return where its issuer has what is not sold, and where listed units wait on the chain."""
    branch_id = instrument.branch_id
    unsold = FileAmount(asset=row.asset, balance=row.unsold, network=row.network)
    escrow = FileAmount(asset=row.asset, balance="0", network=row.network)
    return [
        _account(branch_account_id(branch_id, purpose, row.asset), branch_id, purpose, held, scales)
        for purpose, held in ((UNSOLD, unsold), (ESCROW, escrow))
    ]


def _of_holder(party_id: UUID, row: FileHolder, scales: dict[str, int]) -> list[DeclaredResaleAccount]:
    return [_account(holding_id(party_id, held.asset), party_id, HOLDING, held, scales) for held in row.holdings]


def _account(
    account_id: UUID, owner_id: UUID, purpose: str, held: FileAmount, scales: dict[str, int]
) -> DeclaredResaleAccount:
    return DeclaredResaleAccount(
        id=account_id,
        owner_id=owner_id,
        purpose=purpose,
        asset=held.asset,
        network=held.network,
        address=held.address,
        opening_units=units_in(held.balance, held.asset, scales),
    )


def _fee(text: str) -> Decimal:
    value = parse_percent(text)
    if value is None or value >= FEE_PERCENT_MAX:
        raise invalid(f"{text!r} is not a fee of less than {FEE_PERCENT_MAX} percent")
    return value


def _of(rows: dict[str, T], ref: str, what: str) -> T:
    found = rows.get(ref)
    if found is None:
        raise invalid(f"there is no {what} {ref!r}")
    return found
