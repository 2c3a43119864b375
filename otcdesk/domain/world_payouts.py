"""The part of a world file that is about payouts: the channels, and what tenants have to sell and whom they pay."""

from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec

from otcdesk.domain.bank_files import BIC, BankAccount, is_iban
from otcdesk.domain.lanes import Fault
from otcdesk.domain.parties import declared_id, named_party_id
from otcdesk.domain.payouts import (
    CURRENT,
    PAYOUT_RAIL,
    Channel,
    PayoutTerms,
    Surcharge,
    current_id,
)
from otcdesk.domain.world_tables import Table, invalid, units_in
from otcdesk.money import parse_percent

_YEAR_SECONDS = 365 * 86_400


class FileChannel(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[payouts.channels]]`: a way to be paid.

    `type` is of the contract (`BankSepa`); `minimum`, `maximum`, `fixed_fee` and `review_from` are of the fiat;
    `form_schema` is a JSON Schema as text. `rail`: `payout` (a provider), `bank_file` or `by_hand`.
    """

    ref: str
    id: UUID | None = None
    category: Literal["bank", "card", "identifier"] = "bank"
    type: str
    country: str
    fiat: str
    minimum: str
    maximum: str | None = None
    fixed_fee: str = "0"
    fee_percent: str = "0"
    spread_bps: int = 0
    processing_seconds: int = 86_400
    form_schema: str
    rail: Literal["payout", "bank_file", "by_hand"] = "payout"
    review_from: str | None = None


class FilePayouts(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[payouts]`: the terms of payouts. `settlement`: the simulated provider pays by itself, or when it is told."""

    validity_seconds: int = 900
    slippage_bps: int = 100
    settlement: Literal["automatic", "manual"] = "automatic"
    settles_after_ms: int = 0
    channels: tuple[FileChannel, ...] = ()


class FileBank(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[banks]]`: the desk's own account from which payouts of a fiat are made by files; `name` is the holder's."""

    fiat: str
    iban: str
    bic: str | None = None
    name: str


class FileCurrent(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.current]]`: what a tenant has of an asset to sell for payouts."""

    asset: str
    balance: str = "0"


class FilePerson(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.people]]`: whom a tenant pays, under its own name for them. `details` are JSON."""

    external_id: str
    kind: Literal["individual", "business"] = "individual"
    status: Literal["active", "unverified", "inactive"] = "active"
    details: str = "{}"


class DeclaredCurrent(msgspec.Struct, frozen=True, kw_only=True):
    """An account of this product with its opening balance in units."""

    id: UUID
    owner_id: UUID
    purpose: str
    asset: str
    opening_units: int


class DeclaredPerson(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a tenant pays, as the file wants it."""

    id: UUID
    tenant_id: UUID
    external_id: str
    kind: str
    status: str
    details: str


class DeclaredPayouts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about payouts that the books keep. `fault`: how the simulated provider behaves."""

    terms: PayoutTerms
    channels: list[Channel]
    fault: Fault


def channel_id(ref: str) -> UUID:
    """Return the id of the channel that a file declares under this name, if it gives none."""
    return declared_id("channel", ref)


def declared_payouts(file: FilePayouts, scales: dict[str, int]) -> DeclaredPayouts:
    """Turn the file's part into what the books keep; refuses DECLARATION_INVALID naming the offending value."""
    refs = [row.ref for row in file.channels]
    if len(refs) != len(set(refs)):
        raise invalid("two channels have the same name")
    if not 0 < file.validity_seconds <= _YEAR_SECONDS:
        raise invalid("a prepared payout is valid from one second to a year")
    if not 0 <= file.slippage_bps < 1_000_000 or not 0 <= file.settles_after_ms <= _YEAR_SECONDS * 1000:
        raise invalid("payouts have a slippage or settlement out of bounds")
    channels = [_channel(row, scales) for row in file.channels]
    if len(channels) != len({channel.id for channel in channels}):
        raise invalid("two channels have the same id")
    return DeclaredPayouts(
        terms=PayoutTerms(validity_seconds=file.validity_seconds, slippage_bps=file.slippage_bps),
        channels=channels,
        fault=Fault(
            rail=PAYOUT_RAIL,
            mode="pending" if file.settlement == "manual" else "up",
            delay_ms=file.settles_after_ms,
        ),
    )


def declared_current(tenant_id: UUID, row: FileCurrent, scales: dict[str, int]) -> DeclaredCurrent:
    """Return a tenant's account."""
    return DeclaredCurrent(
        id=current_id(tenant_id, row.asset),
        owner_id=tenant_id,
        purpose=CURRENT,
        asset=row.asset,
        opening_units=units_in(row.balance, row.asset, scales),
    )


def declared_person(tenant_id: UUID, row: FilePerson) -> DeclaredPerson:
    """Return whom a tenant pays; refuses DECLARATION_INVALID for particulars that are no JSON object."""
    try:
        msgspec.json.decode(row.details, type=dict)
    except (msgspec.MsgspecError, RecursionError):
        raise invalid(f"the details of {row.external_id!r} are not a JSON object") from None
    return DeclaredPerson(
        id=named_party_id(tenant_id, row.external_id),
        tenant_id=tenant_id,
        external_id=row.external_id,
        kind=row.kind,
        status=row.status,
        details=row.details,
    )


def declared_banks(files: tuple[FileBank, ...], scales: dict[str, int]) -> list[BankAccount]:
    """Return the desk's accounts at banks; refuses DECLARATION_INVALID."""
    if len(files) != len({row.fiat for row in files}):
        raise invalid("two of the desk's bank accounts are of the same fiat")
    return [_bank(row, scales) for row in files]


def _bank(row: FileBank, scales: dict[str, int]) -> BankAccount:
    iban = "".join(row.iban.split())
    if row.fiat not in scales:
        raise invalid(f"asset {row.fiat!r} is not declared")
    if not is_iban(iban) or (row.bic is not None and not BIC.fullmatch(row.bic)) or not row.name.strip():
        raise invalid(f"the desk's bank account of {row.fiat} needs an IBAN, a BIC or none, and its holder's name")
    return BankAccount(fiat=row.fiat, iban=iban, bic=row.bic, name=row.name)


def declared_surcharge(tenant_id: UUID, percent: str) -> Surcharge:
    """Return what is withheld for a tenant; refuses DECLARATION_INVALID."""
    return Surcharge(tenant_id=tenant_id, percent=_percent(percent))


def _percent(text: str) -> Decimal:
    value = parse_percent(text)
    if value is None:
        raise invalid(f"{text!r} is not a percentage")
    return value


def _channel(row: FileChannel, scales: dict[str, int]) -> Channel:
    least = units_in(row.minimum, row.fiat, scales)
    most = None if row.maximum is None else units_in(row.maximum, row.fiat, scales)
    review = None if row.review_from is None else units_in(row.review_from, row.fiat, scales)
    if least == 0 or review == 0 or (most is not None and most < least):
        raise invalid(f"channel {row.ref!r} needs a minimum above 0, no maximum below it, and no review from 0")
    if not 0 <= row.spread_bps < 10_000 or not 1 <= row.processing_seconds <= _YEAR_SECONDS:
        raise invalid(f"channel {row.ref!r} has a spread or processing time out of bounds")
    try:
        msgspec.json.decode(row.form_schema, type=dict)
    except (msgspec.MsgspecError, RecursionError):
        raise invalid(f"the form of channel {row.ref!r} is not a JSON object") from None
    return Channel(
        id=row.id or channel_id(row.ref),
        category=row.category,
        type=row.type,
        country=row.country,
        fiat=row.fiat,
        min_units=least,
        max_units=most,
        fixed_fee_units=units_in(row.fixed_fee, row.fiat, scales),
        fee_percent=_percent(row.fee_percent),
        spread_bps=row.spread_bps,
        processing_seconds=row.processing_seconds,
        form_schema=row.form_schema,
        rail=row.rail,
        review_from_units=review,
    )
