"""Users, terms, levels, listings and notices on this wire (contract 3.6).

Paths and fields that the contract could not recover are ours: the routes' summaries say which.
"""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from otcdesk.actions.record_notice import RecordNotice
from otcdesk.actions.register_party import AcceptAgreements, RegisterParty
from otcdesk.api.offers.errors import invalid
from otcdesk.api.offers.listings import LaneListings
from otcdesk.api.offers.queries import PageNumber, PageSize, Query
from otcdesk.api.offers.shapes import Amount, Brokered, Price, amount_of, path_id, pid_of, timestamp
from otcdesk.api.wire import KEPT_TEXT, DecimalText, TimeText, UuidText
from otcdesk.domain.brokerage import AccountLevel, Agreement, Listing
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import BUY, SELL
from otcdesk.domain.parties import Party
from otcdesk.money import PRICE_DECIMALS, print_units

ACCOUNT_TYPES = ("user", "business_user")

#: What a user may be about to do (contract 3.6).
JOURNEYS = frozenset(
    {
        "onboarding",
        *(f"trading_{group}_{side}" for group in ("coin", "stocks", "etf", "metals") for side in ("buy", "sell")),
    }
)
JOURNEYS_V2 = JOURNEYS | {"appropriateness_consent", "appropriateness_warning"}

#: The journey of each flow, where it is one, or that of an asset's group.
_FLOWS: Mapping[str, str] = {
    "onboarding": "onboarding",
    "trade_buy": "trading_{group}_buy",
    "trade_sell": "trading_{group}_sell",
    "saving_create": "trading_{group}_buy",
}
_GROUPS = ("coin", "stocks", "etf", "metals")

_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?([+-]\d{2}:\d{2}|Z)", re.ASCII)
_YEARS = range(1970, 9000)

#: Which way the money of a trade goes, as seen from the partner (contract 3.6), unless it goes back.
_DIRECTIONS: Mapping[str, str] = {BUY: "debit", SELL: "credit"}
_REFUND = "refund"

Words = Annotated[str, Meta(min_length=1, max_length=100, pattern=KEPT_TEXT)]
Country = Annotated[str, Meta(pattern="^[A-Z]{2}$", max_length=2)]
AccountType = Literal["user", "business_user"]


class UserRequest(msgspec.Struct, kw_only=True):
    """A new user: the partner's own id for it, and the terms that it has accepted."""

    external_id: Words
    account_type: AccountType = "user"
    country: Country | None = None
    account_level_id: str | None = None
    terms: Annotated[list[str], Meta(max_length=100)] = []


class TermsRequest(msgspec.Struct, kw_only=True):
    """Terms that a user accepts."""

    terms: Annotated[list[str], Meta(min_length=1, max_length=100)]


class SettlementRequest(msgspec.Struct, kw_only=True):
    """A bank transfer that settled a trade."""

    reference: Annotated[UuidText, Meta(description="The id of the trade.")]
    transaction_id: Annotated[UuidText, Meta(description="The id of the trade, or of the offer that it came from.")]
    amount: Amount
    currency: Annotated[Words, Meta(description="The symbol of the trade's fiat.")]
    status: Literal["finished"]
    direction: Annotated[
        Literal["debit", "credit", "refund"], Meta(description="`debit` for a purchase, `credit` for a sale.")
    ]
    timestamp: str
    balance_after: Annotated[str, Meta(pattern=r"^-?[0-9]{1,24}(\.[0-9]{1,8})?$")] | None = None
    refund: bool | None = None


class TopUpRequest(msgspec.Struct, kw_only=True):
    """A top-up of the partner's money that is on its way."""

    reference: Words
    amount: Amount
    currency: Words
    timestamp: str
    transaction_id: Words | None = None


class UserAnswer(msgspec.Struct, kw_only=True):
    """A user that was made."""

    id: UuidText


class TermAnswer(msgspec.Struct, kw_only=True):
    """One version of a document."""

    id: UuidText
    content_type: str
    title: str
    type: str
    version: int
    mandatory: bool
    effective_at: TimeText
    url: str


class LevelAnswer(msgspec.Struct, kw_only=True):
    """An account level."""

    id: UuidText
    name_key: str


class AssetAnswer(msgspec.Struct, kw_only=True):
    """An asset, and which sides of it may be traded now."""

    id: int
    pid: UuidText
    symbol: str
    name: str
    asset_group: str
    buy_enabled: bool
    sell_enabled: bool


class FiatAnswer(msgspec.Struct, kw_only=True):
    """A fiat."""

    id: int
    pid: UuidText
    symbol: str


class HoldingAnswer(msgspec.Struct, kw_only=True):
    """What a user has of an asset."""

    asset_id: int
    asset_symbol: str
    balance: Price


class TaxStatusAnswer(msgspec.Struct, kw_only=True):
    """Whether tax is withheld of a user's gains, and how much of them, in percent."""

    type: Literal["withholding"]
    eligible: bool
    rate: Annotated[str, Meta(extra_json_schema={"format": "decimal"})]
    country: str | None


class NoticeAnswer(msgspec.Struct, kw_only=True):
    """A notice as it is kept."""

    id: UuidText
    reference: str
    transaction_id: str
    amount: Annotated[DecimalText, Meta(description="As it was told.")]
    currency: str
    direction: str
    timestamp: TimeText


class TermsQuery(msgspec.Struct, kw_only=True):
    """Which terms are wanted; v2 asks for country and account type."""

    country: str
    account_type: AccountType
    user_journey: list[str] = msgspec.field(name="user_journey[]")
    user_flow: str
    asset_group: str
    page: PageNumber = 1
    page_size: PageSize = 10


class AcceptedTermsQuery(msgspec.Struct, kw_only=True):
    """Which of the accepted terms are wanted."""

    user_journey: list[str] = msgspec.field(name="user_journey[]")
    page: PageNumber = 1
    page_size: PageSize = 10


class PagesQuery(msgspec.Struct, kw_only=True):
    """Which page is wanted."""

    page: PageNumber = 1
    page_size: PageSize = 10


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which terms a request asks for; None for all."""

    country: str | None
    account_type: str | None
    journeys: frozenset[str] | None


def register_command(body: UserRequest) -> RegisterParty:
    """Return the command that makes a user; refuses REQUEST_INVALID."""
    if not body.external_id.strip():
        raise invalid("external_id", "external_id must not be blank.")
    level = body.account_level_id
    return RegisterParty(
        external_id=body.external_id,
        account_type=body.account_type,
        country=body.country,
        level_id=None if level is None else pid_of(level, "account_level_id"),
        agreement_ids=tuple(pid_of(one, "terms") for one in body.terms),
    )


def accept_terms_command(user_id: str, body: TermsRequest) -> AcceptAgreements:
    """Return the command by which a user accepts terms; refuses REQUEST_INVALID."""
    return AcceptAgreements(
        party_id=path_id(user_id, "user_id"), agreement_ids=tuple(pid_of(one, "terms") for one in body.terms)
    )


def settlement_command(body: SettlementRequest, trade: Brokered) -> RecordNotice:
    """Return the command that keeps what settled a trade."""
    direction = _REFUND if body.refund else body.direction
    _check_settles(body, direction, trade)
    return RecordNotice(
        kind="settlement",
        reference=str(trade.order.id),
        transaction_id=str(trade.order.id),
        direction=direction,
        fiat=body.currency,
        amount=amount_of(body.amount, "amount"),
        balance_after=None if body.balance_after is None else _balance(body.balance_after),
        noticed_at=_time(body.timestamp),
    )


def top_up_command(body: TopUpRequest) -> RecordNotice:
    """Return the command that keeps that a top-up is on its way."""
    return RecordNotice(
        kind="top_up",
        reference=body.reference,
        transaction_id=body.transaction_id or body.reference,
        direction="credit",
        fiat=body.currency,
        amount=amount_of(body.amount, "amount"),
        balance_after=None,
        noticed_at=_time(body.timestamp),
    )


def _balance(text: str) -> Decimal:
    if text.endswith("\n"):  # which a pattern's end passes over
        raise invalid("balance_after", "balance_after must be a decimal.")
    return Decimal(text)


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text) if _TIMESTAMP.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None or moment.year not in _YEARS:
        raise invalid("timestamp", "timestamp must be a time with an offset: YYYY-MM-DDTHH:MM:SS+00:00.")
    return moment.astimezone(UTC)


def settled_trade(body: SettlementRequest) -> UUID:
    """Return the trade that a notice is about; refuses REQUEST_INVALID."""
    return pid_of(body.transaction_id, "transaction_id")


def _check_settles(body: SettlementRequest, direction: str, trade: Brokered) -> None:
    """Refuse REQUEST_INVALID for what is not the trade's: its id, its fiat, which way the money goes (contract 3.6)."""
    if pid_of(body.reference, "reference") != trade.order.id:
        raise invalid("reference", "reference must be the id of the trade.")
    if body.currency != trade.quote.fiat:
        raise invalid("currency", "currency must be the fiat of the trade.")
    expected = _DIRECTIONS[trade.order.side]
    if direction not in {expected, _REFUND}:
        raise invalid("direction", f"direction must be {expected} or {_REFUND} for this trade.")


def wanted_terms(query: Query) -> Wanted:
    """Return which terms a v1 request wants."""
    return _wanted(query, JOURNEYS)


def wanted_terms_v2(query: Query) -> Wanted:
    """Return which terms a v2 request wants, which must say for which country and kind of account."""
    for name in ("country", "account_type"):
        if query.text(name) is None:
            raise invalid(name, f"{name} is required.")
    return _wanted(query, JOURNEYS_V2)


def _wanted(query: Query, journeys: Collection[str]) -> Wanted:
    country, account_type = query.text("country"), query.word("account_type", ACCOUNT_TYPES)
    if country is not None and not _COUNTRY.fullmatch(country):
        raise invalid("country", "country must be two capital letters.")
    return Wanted(country=country, account_type=account_type, journeys=_journeys(query, journeys))


def _journeys(query: Query, known: Collection[str]) -> frozenset[str] | None:
    journeys, flow = query.words("user_journey", known), query.word("user_flow", _FLOWS)
    group = query.word("asset_group", _GROUPS)
    if flow is None:
        return None if journeys is None else frozenset(journeys)
    if group is None and "{group}" in _FLOWS[flow]:
        raise invalid("asset_group", f"The flow {flow} needs an asset_group.")
    return frozenset({*(journeys or ()), _FLOWS[flow].format(group=group)})


def accepted_journeys(query: Query, known: Collection[str]) -> frozenset[str] | None:
    """Return of which journeys accepted terms are wanted, None for all."""
    journeys = query.words("user_journey", known)
    return None if journeys is None else frozenset(journeys)


def in_force(agreements: list[Agreement], now: datetime, wanted: Wanted) -> list[Agreement]:
    """Return the documents that count now, the latest of each type for each country and kind of account."""
    latest: dict[tuple[str, str | None, str], Agreement] = {}
    for one in agreements:
        if one.effective_at > now or not _fits(one, wanted):
            continue
        group = (one.type, None if wanted.country else one.country, one.account_type)
        known = latest.get(group)
        if known is None or one.version > known.version:
            latest[group] = one
    return [one for one in latest.values() if wanted.journeys is None or wanted.journeys.intersection(one.journeys)]


def _fits(one: Agreement, wanted: Wanted) -> bool:
    fits_country = wanted.country is None or one.country in {None, wanted.country}
    return fits_country and (wanted.account_type is None or one.account_type == wanted.account_type)


def accepted(agreements: list[Agreement], party: Party, journeys: frozenset[str] | None) -> list[Agreement]:
    """Return what a user has accepted, in the order in which it did."""
    by_id = {one.id: one for one in agreements}
    found = [by_id[one] for one in party.accepted_agreement_ids if one in by_id]
    return [one for one in found if journeys is None or journeys.intersection(one.journeys)]


def term_answer(one: Agreement) -> TermAnswer:
    """Render a document."""
    return TermAnswer(
        id=str(one.id),
        content_type=one.content_type,
        title=one.title,
        type=one.type,
        version=one.version,
        mandatory=one.mandatory,
        effective_at=timestamp(one.effective_at),
        url=one.url,
    )


def level_answer(level: AccountLevel) -> LevelAnswer:
    """Render an account level."""
    return LevelAnswer(id=str(level.id), name_key=level.name_key)


def asset_answer(listing: Listing) -> AssetAnswer:
    """Render an asset."""
    return AssetAnswer(
        id=listing.number,
        pid=str(listing.pid),
        symbol=listing.code,
        name=listing.name,
        asset_group=listing.asset_group,
        buy_enabled=listing.buy_enabled,
        sell_enabled=listing.sell_enabled,
    )


def fiat_answer(listing: Listing) -> FiatAnswer:
    """Render a fiat."""
    return FiatAnswer(id=listing.number, pid=str(listing.pid), symbol=listing.code)


def holdings_answer(accounts: list[Account], listings: LaneListings) -> list[HoldingAnswer]:
    """Render what a user has of all that is listed."""
    return [
        HoldingAnswer(
            asset_id=listed.listing.number,
            asset_symbol=account.asset,
            balance=print_units(account.balance, listed.scale, PRICE_DECIMALS),
        )
        for account in accounts
        if (listed := listings.of(account.asset)) is not None
    ]


def tax_status_answer(party: Party, rate_bps: int | None) -> list[TaxStatusAnswer]:
    """Render whether tax is withheld of a user's gains."""
    rate = print_units(rate_bps or 0, 2)
    return [TaxStatusAnswer(type="withholding", eligible=rate_bps is not None, rate=rate, country=party.country)]


def notice_answer(reply: Any) -> NoticeAnswer:
    """Render a notice that is kept."""
    notice = reply.notice
    return NoticeAnswer(
        id=str(notice.id),
        reference=notice.reference,
        transaction_id=notice.transaction_id,
        amount=format(notice.amount, "f"),
        currency=notice.fiat,
        direction=notice.direction,
        timestamp=timestamp(notice.noticed_at),
    )
