"""The part of a world file that is about brokerage: what is traded on which terms, and for whom."""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import msgspec

from otcdesk.domain.brokerage import (
    ASSET,
    CORPORATE,
    FIAT,
    HOLDING,
    AccountLevel,
    Agreement,
    BrokerageTerms,
    Listing,
    Market,
    corporate_id,
    holding_id,
)
from otcdesk.domain.parties import declared_id
from otcdesk.domain.world_limits import FileLimit
from otcdesk.domain.world_tables import Table, invalid, units_in
from otcdesk.money import (
    NEAREST,
    PRICE_DECIMALS,
    UNITS_MAX,
    Amount,
    Asset,
    Rate,
    convert,
    counted,
    parse_rate,
    parse_units,
)

#: Fiats of this product have cents (offers contract 6).
FIAT_SCALE = 2

_YEAR_SECONDS = 365 * 86_400
#: The largest whole number that a column of numbers and versions keeps.
_NUMBER_MAX = 2**31 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FileLevel(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[brokerage.levels]]`: a class of parties and its margin on the market's price, in ten-thousandths."""

    ref: str
    margin_bps: int
    name_key: str | None = None


class FileListing(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[brokerage.listings]]`: a fiat or asset as tenants know it; without a `pid` it gets one that never changes."""

    asset: str
    number: int
    kind: Literal["fiat", "asset"] = "asset"
    name: str | None = None
    group: str = "coin"
    pid: UUID | None = None
    buy_enabled: bool = True
    sell_enabled: bool = True
    dividend_pending: bool = False


class FileMarket(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[brokerage.markets]]`: an asset traded against a fiat, within bounds and at a cost, both in the fiat."""

    asset: str
    fiat: str
    minimum: str = "1.00"
    maximum: str | None = None
    broker_cost: str = "0"


class FileAgreement(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[brokerage.agreements]]`: one version of a document that parties accept."""

    ref: str
    type: str
    url: str
    version: int = 1
    title: str | None = None
    content_type: str = "text/html"
    mandatory: bool = True
    effective_at: datetime = _EPOCH
    country: str | None = None
    account_type: Literal["user", "business_user"] = "user"
    journeys: tuple[str, ...] = ("onboarding",)


class FileBrokerage(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[brokerage]`: the terms of brokerage."""

    validity_seconds: int = 60
    default_level: str | None = None
    levels: tuple[FileLevel, ...] = ()
    listings: tuple[FileListing, ...] = ()
    markets: tuple[FileMarket, ...] = ()
    agreements: tuple[FileAgreement, ...] = ()


class FileCorporate(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.corporate]]`: a tenant's own money at the desk, in one fiat."""

    asset: str
    balance: str = "0"


class FileHolding(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.parties.holdings]]`: what a party has of an asset, and what it paid for one of it, in a fiat."""

    asset: str
    balance: str
    paid: str | None = None
    fiat: str = "EUR"


class FileParty(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.parties]]`: a customer of the tenant. `tax_bps` of its gains are withheld; without it nothing is."""

    ref: str
    external_id: str | None = None
    status: Literal["active", "unverified", "inactive"] = "active"
    level: str | None = None
    tax_bps: int | None = None
    country: str | None = None
    account_type: Literal["user", "business_user"] = "user"
    agreements: tuple[str, ...] = ()
    holdings: tuple[FileHolding, ...] = ()
    limits: tuple[FileLimit, ...] = ()


class FileClient(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.clients]]`: a client of OAuth 2.0 to be made, by which the tenant calls.

    With a `supervisor` it calls as that, about resale; without, about brokerage.
    """

    ref: str
    supervisor: str | None = None


class DeclaredPosition(msgspec.Struct, frozen=True, kw_only=True):
    """The cost basis that a party begins with."""

    asset: str
    fiat: str
    units: int
    basis_units: int


class DeclaredHolding(msgspec.Struct, frozen=True, kw_only=True):
    """An account of this product with its opening balance in units: a party's asset, or a tenant's fiat."""

    id: UUID
    owner_id: UUID
    purpose: str
    asset: str
    opening_units: int


class DeclaredParty(msgspec.Struct, frozen=True, kw_only=True):
    """A party as the file wants it."""

    id: UUID
    tenant_id: UUID
    external_id: str
    status: str
    level_id: UUID | None
    tax_bps: int | None
    country: str | None
    account_type: str
    agreement_ids: list[UUID]
    positions: list[DeclaredPosition]


class DeclaredBrokerage(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about quotes that the books keep."""

    settings: BrokerageTerms
    levels: list[AccountLevel]
    listings: list[Listing]
    markets: list[Market]
    agreements: list[Agreement]


def level_id(ref: str) -> UUID:
    """Return the id of the account level that a file declares under this name."""
    return declared_id("level", ref)


def agreement_id(ref: str) -> UUID:
    """Return the id of the document that a file declares under this name."""
    return declared_id("agreement", ref)


def party_id(tenant_ref: str, ref: str) -> UUID:
    """Return the id of the party that a file declares under its tenant's and its own name."""
    return declared_id("party", tenant_ref, ref)


def listing_pid(asset: str) -> UUID:
    """Return the pid of a listing to which a file gives none."""
    return declared_id("listing", asset)


def declared_brokerage(file: FileBrokerage, scales: dict[str, int]) -> DeclaredBrokerage:
    """Turn the file's part into what the books keep; refuses DECLARATION_INVALID naming the offending value."""
    _check_unique("levels", [row.ref for row in file.levels])
    _check_unique("agreements", [row.ref for row in file.agreements])
    levels = [row.ref for row in file.levels]
    if file.default_level is not None and file.default_level not in levels:
        raise invalid(f"there is no account level {file.default_level!r}")
    if not 0 < file.validity_seconds <= _YEAR_SECONDS:
        raise invalid("a quote is valid from one second to a year")
    listings = _listings(file, scales)
    return DeclaredBrokerage(
        settings=BrokerageTerms(
            validity_seconds=file.validity_seconds,
            default_level_id=None if file.default_level is None else level_id(file.default_level),
            agreement_ids=tuple(agreement_id(row.ref) for row in file.agreements),
        ),
        levels=[_level(row) for row in file.levels],
        listings=list(listings.values()),
        markets=_markets(file, listings, scales),
        agreements=[_agreement(row) for row in file.agreements],
    )


def declared_party(
    tenant_ref: str, tenant_id: UUID, party: FileParty, file: FileBrokerage, scales: dict[str, int]
) -> DeclaredParty:
    """Turn a party into what the books keep; refuses DECLARATION_INVALID naming the offending value."""
    known_agreements, known_levels = {row.ref for row in file.agreements}, {row.ref for row in file.levels}
    unknown = [*(set(party.agreements) - known_agreements), *({party.level} - known_levels - {None})]
    if unknown:
        raise invalid(f"party {party.ref!r} names {unknown[0]!r}, which is not declared")
    if party.tax_bps is not None and not 0 <= party.tax_bps <= 10_000:
        raise invalid(f"party {party.ref!r} is taxed with more than everything")
    return DeclaredParty(
        id=party_id(tenant_ref, party.ref),
        tenant_id=tenant_id,
        external_id=party.external_id or party.ref,
        status=party.status,
        level_id=None if party.level is None else level_id(party.level),
        tax_bps=party.tax_bps,
        country=party.country,
        account_type=party.account_type,
        agreement_ids=[agreement_id(ref) for ref in party.agreements],
        positions=[_position(row, scales) for row in party.holdings if row.paid is not None],
    )


def declared_holdings(owner_id: UUID, party: FileParty, scales: dict[str, int]) -> list[DeclaredHolding]:
    """Return a party's accounts."""
    return [
        DeclaredHolding(
            id=holding_id(owner_id, row.asset),
            owner_id=owner_id,
            purpose=HOLDING,
            asset=row.asset,
            opening_units=units_in(row.balance, row.asset, scales),
        )
        for row in party.holdings
    ]


def declared_corporate(tenant_id: UUID, row: FileCorporate, scales: dict[str, int]) -> DeclaredHolding:
    """Return a tenant's account."""
    return DeclaredHolding(
        id=corporate_id(tenant_id, row.asset),
        owner_id=tenant_id,
        purpose=CORPORATE,
        asset=row.asset,
        opening_units=units_in(row.balance, row.asset, scales),
    )


def _check_unique(what: str, names: list[str]) -> None:
    if len(names) != len(set(names)):
        raise invalid(f"{what} name something twice")


def _level(row: FileLevel) -> AccountLevel:
    if not 0 <= row.margin_bps < 10_000:
        raise invalid(f"account level {row.ref!r} has a margin outside 0 to 9999 ten-thousandths")
    return AccountLevel(id=level_id(row.ref), name_key=row.name_key or row.ref, margin_bps=row.margin_bps)


def _listings(file: FileBrokerage, scales: dict[str, int]) -> dict[str, Listing]:
    _check_unique("listings", [row.asset for row in file.listings])
    for kind in (FIAT, ASSET):
        _check_unique(f"numbers of {kind} listings", [str(row.number) for row in file.listings if row.kind == kind])
    listings = {}
    for row in file.listings:
        if row.asset not in scales or not 1 <= row.number <= _NUMBER_MAX:
            raise invalid(f"listing {row.asset!r} needs a declared asset and a number from 1 to {_NUMBER_MAX}")
        if row.kind == FIAT and scales[row.asset] != FIAT_SCALE:
            raise invalid(f"fiat {row.asset!r} needs {FIAT_SCALE} decimals to be listed")
        listings[row.asset] = Listing(
            code=row.asset,
            kind=row.kind,
            number=row.number,
            pid=row.pid or listing_pid(row.asset),
            name=row.name or row.asset,
            asset_group=row.group if row.kind == ASSET else FIAT,
            buy_enabled=row.buy_enabled,
            sell_enabled=row.sell_enabled,
            dividend_pending=row.dividend_pending,
        )
    _check_unique("pids of listings", [str(row.pid) for row in listings.values()])
    return listings


def _markets(file: FileBrokerage, listings: dict[str, Listing], scales: dict[str, int]) -> list[Market]:
    markets = []
    for row in file.markets:
        kinds = tuple(listings[code].kind if code in listings else "" for code in (row.asset, row.fiat))
        if kinds != (ASSET, FIAT):
            raise invalid(f"market {row.asset}/{row.fiat} is not of a listed asset and a listed fiat")
        least = units_in(row.minimum, row.fiat, scales)
        most = None if row.maximum is None else units_in(row.maximum, row.fiat, scales)
        if least == 0 or (most is not None and most < least):
            raise invalid(f"market {row.asset}/{row.fiat} needs a minimum above 0 and no maximum below it")
        cost = parse_units(row.broker_cost, PRICE_DECIMALS)
        if cost is None:
            raise invalid(f"{row.broker_cost!r} is not a cost")
        markets.append(
            Market(
                asset=row.asset,
                fiat=row.fiat,
                total_min=least,
                total_max=most,
                broker_cost=counted(cost, PRICE_DECIMALS),
            )
        )
    _check_unique("markets", [f"{row.asset}/{row.fiat}" for row in markets])
    return markets


def _agreement(row: FileAgreement) -> Agreement:
    if not 1 <= row.version <= _NUMBER_MAX:
        raise invalid(f"agreement {row.ref!r} needs a version from 1 to {_NUMBER_MAX}")
    return Agreement(
        id=agreement_id(row.ref),
        type=row.type,
        version=row.version,
        title=row.title or row.ref,
        url=row.url,
        content_type=row.content_type,
        mandatory=row.mandatory,
        effective_at=_utc(row.effective_at),
        country=row.country,
        account_type=row.account_type,
        journeys=row.journeys,
    )


def _utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError:
        raise invalid(f"{at.isoformat()} is not in the calendar") from None


def _position(row: FileHolding, scales: dict[str, int]) -> DeclaredPosition:
    paid = parse_rate(row.paid or "", PRICE_DECIMALS)
    if paid is None or row.fiat not in scales:
        raise invalid(f"{row.paid!r} {row.fiat} is not what somebody paid for one {row.asset}")
    held = Amount(units_in(row.balance, row.asset, scales), Asset(row.asset, scales[row.asset]))
    basis = convert(held, Rate(row.asset, row.fiat, paid), Asset(row.fiat, scales[row.fiat]), NEAREST)
    if basis.units > UNITS_MAX:
        raise invalid(f"{row.balance!r} {row.asset} for {row.paid!r} {row.fiat} each cost more than can be counted")
    return DeclaredPosition(asset=row.asset, fiat=row.fiat, units=held.units, basis_units=basis.units)
