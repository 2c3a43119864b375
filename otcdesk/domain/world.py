"""The world file: what a desk deals in and with whom, as TOML, and the declaration it stands for.

Ids come from names (`ref`), so the same file always declares the same things. Amounts and rates are decimal strings.
Credentials and webhooks are only named here; who loads the file makes them and shows their secrets once.
"""

import tomllib
from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec

from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.bank_files import BankAccount
from otcdesk.domain.brokerage import RevenueShare
from otcdesk.domain.conversions import CASH_SCALE, CUSTODY_SCALE, ConversionTerms
from otcdesk.domain.guards import Guard, GuardTerms
from otcdesk.domain.ledger import ACTIVE, CASH, CUSTODY, TREASURY, desk_account_id
from otcdesk.domain.limits import Limit
from otcdesk.domain.parties import DESK_ID, Tenant, declared_id
from otcdesk.domain.payouts import Surcharge
from otcdesk.domain.pricing import Spread
from otcdesk.domain.resales import ResaleTerms
from otcdesk.domain.world_brokerage import (
    DeclaredBrokerage,
    DeclaredHolding,
    DeclaredParty,
    FileBrokerage,
    FileClient,
    FileCorporate,
    FileParty,
    declared_brokerage,
    declared_corporate,
    declared_holdings,
    declared_party,
    party_id,
)
from otcdesk.domain.world_guards import FileGuards, declared_guard_terms, declared_guards
from otcdesk.domain.world_limits import FileLimit, declared_limits
from otcdesk.domain.world_payouts import (
    DeclaredCurrent,
    DeclaredPayouts,
    DeclaredPerson,
    FileBank,
    FileCurrent,
    FilePayouts,
    FilePerson,
    declared_banks,
    declared_current,
    declared_payouts,
    declared_person,
    declared_surcharge,
)
from otcdesk.domain.world_resales import (
    DeclaredResaleAccount,
    DeclaredResales,
    FileBranch,
    FileCurrency,
    FileHolder,
    FileInstrument,
    FileResales,
    FileRole,
    FileSupervisor,
    TenantFile,
    check_apart,
    declared_resales,
    declared_terms,
)
from otcdesk.domain.world_staff import FileStaff
from otcdesk.domain.world_tables import Table, invalid, units_in
from otcdesk.money import PRICE_DECIMALS, inverse, parse_rate

_YEAR_SECONDS = 365 * 86_400
_DOTS_MAX = 300


class FileAsset(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[assets]]`: a code and its number of decimals, 0 to 18."""

    code: str
    scale: int


class FileCash(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.accounts]]`: fiat of a tenant, perhaps with an IBAN."""

    ref: str
    asset: str
    label: str | None = None
    iban: str | None = None
    status: Literal["active", "inactive"] = "active"
    balance: str = "0"


class FileWallet(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.wallets]]`: tokens of a tenant, with an address on each network it can receive on.

    Without any address it exists but cannot take part; `treasury` marks the desk's own even if a tenant's record
    carries it.
    """

    ref: str
    asset: str = "USDC"
    label: str | None = None
    addresses: dict[str, str] = msgspec.field(default_factory=dict)
    balance: str = "0"
    treasury: bool = False


class FileKey(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.keys]]`: an API key to be made for the tenant."""

    ref: str
    scopes: list[str]
    source_ips: tuple[str, ...] = ()
    expires_at: str | None = None


class FileRequestKey(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.request_keys]]`: a key for payouts to be made; with a `public_key` (PEM) its requests are signed."""

    ref: str
    public_key: str | None = None


class FileWebhook(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.webhooks]]`: who is told what, and where, in the words and signature of an envelope."""

    url: str
    event_types: list[str]
    envelope: str = "exchanges"
    description: str | None = None


class FileOwnWebhook(FileWebhook, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[webhooks]]`: a webhook of the desk itself, which may be told everything."""

    envelope: str = "standard"


class FileTenant(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants]]`: a business, its accounts, wallets, keys and webhooks.

    For brokerage, its own money, its parties, and the clients (OAuth 2.0) by which it calls. For payouts, what it has
    to sell, whom it pays, and what is withheld of these payouts on its behalf, in percent. For resale, its branches,
    with what they issue and who holds it, and the supervisors as whom it calls.
    """

    ref: str
    name: str | None = None
    accounts: tuple[FileCash, ...] = ()
    wallets: tuple[FileWallet, ...] = ()
    keys: tuple[FileKey, ...] = ()
    webhooks: tuple[FileWebhook, ...] = ()
    corporate: tuple[FileCorporate, ...] = ()
    parties: tuple[FileParty, ...] = ()
    clients: tuple[FileClient, ...] = ()
    request_keys: tuple[FileRequestKey, ...] = ()
    current: tuple[FileCurrent, ...] = ()
    people: tuple[FilePerson, ...] = ()
    branches: tuple[FileBranch, ...] = ()
    currencies: tuple[FileCurrency, ...] = ()
    instruments: tuple[FileInstrument, ...] = ()
    holders: tuple[FileHolder, ...] = ()
    roles: tuple[FileRole, ...] = ()
    supervisors: tuple[FileSupervisor, ...] = ()
    limits: tuple[FileLimit, ...] = ()
    surcharge_percent: str = "0"
    buy_spread_bps: int | None = None
    sell_spread_bps: int | None = None
    revenue_share_bps: int = 0

    @property
    def account_refs(self) -> list[str]:
        """Return the names of all accounts and wallets."""
        return [*(row.ref for row in self.accounts), *(row.ref for row in self.wallets)]

    @property
    def resells(self) -> bool:
        """Tell whether the tenant resells brokerage."""
        return bool(self.corporate or self.parties or any(row.supervisor is None for row in self.clients))


class FileTreasury(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[treasury]]`: what the desk itself has of an asset, on a network for tokens."""

    asset: str
    network: str = ""
    balance: str = "0"


class FilePrice(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[prices]]`: a fixed market rate, destination per source. Without its inverse, that is computed."""

    source: str
    destination: str
    rate: str


class FileConversions(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[conversions]`: terms of the conversion product."""

    cash_asset: str = "EUR"
    custody_asset: str = "USDC"
    ttl_seconds: int = 60
    debit_settlement: Literal["automatic", "manual"] = "automatic"
    debit_delay_ms: int = 0
    networks: tuple[str, ...] = ("ethereum", "polygon", "base", "solana")
    buy_spread_bps: int = 0
    sell_spread_bps: int = 0


class FileOperator(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[operators]]`: an operator's token to be made."""

    ref: str
    scopes: tuple[str, ...] = ("otc-operator",)


class WorldFile(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole world file."""

    name: str
    assets: list[FileAsset]
    tenants: tuple[FileTenant, ...] = ()
    treasury: tuple[FileTreasury, ...] = ()
    prices: tuple[FilePrice, ...] = ()
    conversions: FileConversions | None = None
    guards: FileGuards | None = None
    brokerage: FileBrokerage | None = None
    payouts: FilePayouts | None = None
    resales: FileResales | None = None
    banks: tuple[FileBank, ...] = ()
    operators: tuple[FileOperator, ...] = ()
    staff: tuple[FileStaff, ...] = ()
    webhooks: tuple[FileOwnWebhook, ...] = ()


class DeclaredAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account as the file wants it, with its opening balance in units."""

    id: UUID
    owner_id: UUID
    purpose: str
    asset: str
    label: str | None = None
    status: str = ACTIVE
    network: str = ""
    address: str | None = None
    opening_units: int = 0


class DeclaredPrice(msgspec.Struct, frozen=True, kw_only=True):
    """A fixed market rate of a directed pair; None lists the pair for a feed without giving it a price."""

    source_asset: str
    destination_asset: str
    rate: Decimal | None


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a world that its books keep."""

    assets: list[ListedAsset]
    tenants: list[Tenant]
    accounts: list[DeclaredAccount]
    prices: list[DeclaredPrice]
    spreads: list[Spread]
    terms: ConversionTerms | None
    brokerage: DeclaredBrokerage | None = None
    revenue_shares: list[RevenueShare]
    parties: list[DeclaredParty]
    payouts: DeclaredPayouts | None = None
    surcharges: list[Surcharge] = []
    people: list[DeclaredPerson] = []
    banks: list[BankAccount] = []
    resale_terms: ResaleTerms | None = None
    resales: list[DeclaredResales] = []
    guards: list[Guard] = []
    guard_terms: GuardTerms | None = None
    limits: list[Limit] = []


def parse_world(text: str) -> WorldFile:
    """Read a world file; refuses DECLARATION_INVALID with the place of the mistake."""
    if any(line.count(".") > _DOTS_MAX for line in text.splitlines()):  # a key of n parts costs its reader n squared
        raise invalid(f"a line has more than {_DOTS_MAX} dots")
    try:
        world = msgspec.convert(tomllib.loads(text), WorldFile)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise invalid(str(error)) from None
    if b"\\u0000" in msgspec.json.encode(world):
        raise invalid("the character NUL cannot be kept")
    return world


def tenant_id(ref: str) -> UUID:
    """Return the id of the tenant that a file declares under this name."""
    return declared_id("tenant", ref)


def account_id(tenant_ref: str, ref: str) -> UUID:
    """Return the id of an account or wallet that a file declares under its tenant's and its own name."""
    return declared_id("account", tenant_ref, ref)


def declaration_of(world: WorldFile) -> Declaration:
    """Turn a file into what the books keep; refuses DECLARATION_INVALID naming the offending value."""
    scales = _scales(world)
    terms, brokerage = world.conversions, world.brokerage or FileBrokerage()
    resales = [
        declared_resales(_resale_tables(tenant), scales)
        for tenant in world.tenants
        if tenant.branches or tenant.currencies or tenant.instruments or tenant.holders
    ]
    check_apart(resales)
    return Declaration(
        assets=[ListedAsset(code=asset.code, scale=asset.scale) for asset in world.assets],
        tenants=[Tenant(id=tenant_id(tenant.ref), name=tenant.name or tenant.ref) for tenant in world.tenants],
        accounts=[*_all_accounts(world, scales), *(_opened(row) for each in resales for row in each.accounts)],
        prices=_prices(world, scales),
        spreads=[spread for tenant in world.tenants for spread in _spreads(tenant, terms)],
        terms=None if terms is None else _terms(terms, scales),
        brokerage=None if world.brokerage is None else declared_brokerage(world.brokerage, scales),
        revenue_shares=[_revenue_share(tenant) for tenant in world.tenants if tenant.resells],
        parties=[
            declared_party(tenant.ref, tenant_id(tenant.ref), file, brokerage, scales)
            for tenant in world.tenants
            for file in tenant.parties
        ],
        payouts=None if world.payouts is None else declared_payouts(world.payouts, scales),
        surcharges=[
            declared_surcharge(tenant_id(tenant.ref), tenant.surcharge_percent)
            for tenant in world.tenants
            if tenant.current
        ],
        people=[person for tenant in world.tenants for person in _people(tenant)],
        banks=declared_banks(world.banks, scales),
        resale_terms=declared_terms(world.resales or FileResales()) if world.resales or resales else None,
        resales=resales,
        guards=[] if world.guards is None else declared_guards(world.guards, scales),
        guard_terms=None if world.guards is None else declared_guard_terms(world.guards),
        limits=[limit for tenant in world.tenants for limit in _limits(tenant, scales)],
    )


def _resale_tables(tenant: FileTenant) -> TenantFile:
    return TenantFile(
        tenant.ref, tenant_id(tenant.ref), tenant.branches, tenant.currencies, tenant.instruments, tenant.holders
    )


def _people(tenant: FileTenant) -> list[DeclaredPerson]:
    people = [declared_person(tenant_id(tenant.ref), row) for row in tenant.people]
    if len(people) != len({person.id for person in people}):
        raise invalid(f"tenant {tenant.ref!r} names two people alike")
    return people


def _limits(tenant: FileTenant, scales: dict[str, int]) -> list[Limit]:
    limits = declared_limits(tenant_id(tenant.ref), tenant.limits, scales)
    for party in tenant.parties:
        limits += declared_limits(party_id(tenant.ref, party.ref), party.limits, scales)
    return limits


def _revenue_share(tenant: FileTenant) -> RevenueShare:
    refs, names = [party.ref for party in tenant.parties], [party.external_id or party.ref for party in tenant.parties]
    if len(refs) != len(set(refs)) or len(names) != len({name.casefold() for name in names}):
        raise invalid(f"tenant {tenant.ref!r} names two parties alike")
    if not 0 <= tenant.revenue_share_bps <= 10_000:
        raise invalid(f"tenant {tenant.ref!r} has a share of the revenue outside 0 to 10000 ten-thousandths")
    return RevenueShare(tenant_id=tenant_id(tenant.ref), revenue_share_bps=tenant.revenue_share_bps)


def _scales(world: WorldFile) -> dict[str, int]:
    scales = {}
    for asset in world.assets:
        if not 0 <= asset.scale <= 18 or asset.code in scales or not asset.code:
            raise invalid(f"asset {asset.code!r} needs a code of its own and a scale from 0 to 18")
        scales[asset.code] = asset.scale
    return scales


def _all_accounts(world: WorldFile, scales: dict[str, int]) -> list[DeclaredAccount]:
    """Return every account; the desk has its own side wherever a tenant has one, if only with nothing in it."""
    theirs = [row for tenant in world.tenants for row in _accounts(tenant, world.conversions, scales)]
    listed = {(row.asset, row.network): row for row in world.treasury}
    if len(listed) != len(world.treasury):
        raise invalid("the treasury names an asset and network twice")
    for row in theirs:
        if row.asset not in scales:
            raise invalid(f"asset {row.asset!r} is not declared")
        listed.setdefault((row.asset, row.network), FileTreasury(asset=row.asset, network=row.network))
    products = [row for tenant in world.tenants for row in _of_products(tenant, scales)]
    return [*theirs, *products, *(_treasury(row, scales) for row in listed.values())]


def _of_products(tenant: FileTenant, scales: dict[str, int]) -> list[DeclaredAccount]:
    """Return what a tenant and its parties have for brokerage and payouts."""
    owner_id = tenant_id(tenant.ref)
    holdings: list[DeclaredHolding | DeclaredCurrent] = [
        declared_corporate(owner_id, row, scales) for row in tenant.corporate
    ]
    holdings += [declared_current(owner_id, row, scales) for row in tenant.current]
    for party in tenant.parties:
        holdings += declared_holdings(party_id(tenant.ref, party.ref), party, scales)
    ids = [row.id for row in holdings]
    if len(ids) != len(set(ids)):
        raise invalid(f"tenant {tenant.ref!r} names an account twice")
    return [_opened(row) for row in holdings]


def _opened(row: DeclaredHolding | DeclaredCurrent | DeclaredResaleAccount) -> DeclaredAccount:
    return DeclaredAccount(**msgspec.structs.asdict(row))


def _accounts(tenant: FileTenant, terms: FileConversions | None, scales: dict[str, int]) -> list[DeclaredAccount]:
    refs = tenant.account_refs
    if len(refs) != len(set(refs)):
        raise invalid(f"tenant {tenant.ref!r} names two accounts alike")
    owner_id = tenant_id(tenant.ref)
    networks = terms.networks if terms else ()
    rows = [
        DeclaredAccount(
            id=account_id(tenant.ref, cash.ref),
            owner_id=owner_id,
            purpose=CASH,
            asset=cash.asset,
            label=cash.label,
            status=cash.status,
            address=cash.iban,
            opening_units=units_in(cash.balance, cash.asset, scales),
        )
        for cash in tenant.accounts
    ]
    for wallet in tenant.wallets:
        network = next((name for name in networks if name in wallet.addresses), "")
        rows.append(
            DeclaredAccount(
                id=account_id(tenant.ref, wallet.ref),
                owner_id=owner_id,
                purpose=TREASURY if wallet.treasury else CUSTODY,
                asset=wallet.asset,
                label=wallet.label,
                network=network,
                address=wallet.addresses.get(network),
                opening_units=units_in(wallet.balance, wallet.asset, scales),
            )
        )
    return rows


def _treasury(row: FileTreasury, scales: dict[str, int]) -> DeclaredAccount:
    return DeclaredAccount(
        id=desk_account_id(TREASURY, row.asset, row.network),
        owner_id=DESK_ID,
        purpose=TREASURY,
        asset=row.asset,
        network=row.network,
        opening_units=units_in(row.balance, row.asset, scales),
    )


def _prices(world: WorldFile, scales: dict[str, int]) -> list[DeclaredPrice]:
    rates: dict[tuple[str, str], Decimal | None] = {}
    for price in world.prices:
        rate = parse_rate(price.rate, PRICE_DECIMALS)
        if rate is None or price.source not in scales or price.destination not in scales:
            raise invalid(f"price {price.source}/{price.destination} {price.rate!r} is not a rate of declared assets")
        rates[price.source, price.destination] = rate
    for (source, destination), rate in list(rates.items()):
        rates.setdefault((destination, source), inverse(rate) if rate else None)
    if world.conversions:
        cash, custody = world.conversions.cash_asset, world.conversions.custody_asset
        rates.setdefault((cash, custody), None)
        rates.setdefault((custody, cash), None)
    return [
        DeclaredPrice(source_asset=source, destination_asset=destination, rate=rate)
        for (source, destination), rate in rates.items()
    ]


def _spreads(tenant: FileTenant, terms: FileConversions | None) -> list[Spread]:
    if terms is None:
        return []
    buy = terms.buy_spread_bps if tenant.buy_spread_bps is None else tenant.buy_spread_bps
    sell = terms.sell_spread_bps if tenant.sell_spread_bps is None else tenant.sell_spread_bps
    if not (0 <= buy < 10_000 and 0 <= sell < 10_000):
        raise invalid(f"tenant {tenant.ref!r} has a spread outside 0 to 9999 ten-thousandths")
    cash, custody, owner_id = terms.cash_asset, terms.custody_asset, tenant_id(tenant.ref)
    return [
        Spread(tenant_id=owner_id, source_asset=cash, destination_asset=custody, bps=buy),
        Spread(tenant_id=owner_id, source_asset=custody, destination_asset=cash, bps=sell),
    ]


def _terms(terms: FileConversions, scales: dict[str, int]) -> ConversionTerms:
    if (scales.get(terms.cash_asset), scales.get(terms.custody_asset)) != (CASH_SCALE, CUSTODY_SCALE):
        raise invalid(f"conversions need cash with {CASH_SCALE} decimals and custody with {CUSTODY_SCALE}")
    if not 0 < terms.ttl_seconds <= _YEAR_SECONDS or not 0 <= terms.debit_delay_ms <= _YEAR_SECONDS * 1000:
        raise invalid("a quote lives from one second to a year, and a debit's delay is from nothing to a year")
    return ConversionTerms(
        cash_asset=terms.cash_asset,
        custody_asset=terms.custody_asset,
        ttl_seconds=terms.ttl_seconds,
        debit_settles_after_ms=terms.debit_delay_ms if terms.debit_settlement == "automatic" else None,
    )
