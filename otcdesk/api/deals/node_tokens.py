"""Tokens as nodes run them: issue, show, list, open to markets; and a node's money (contract 3.8, 3.13, 3.15)."""

from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from otcdesk.actions.issue_instrument import IssueInstrument
from otcdesk.actions.switch_instrument import SwitchInstrument
from otcdesk.api.deals.callers import TOKENS_MANAGE
from otcdesk.api.deals.currency_shapes import Contract, currency_token_of
from otcdesk.api.deals.currency_tokens import symbol_of
from otcdesk.api.deals.holders import check_sees
from otcdesk.api.deals.multipart_forms import FILES_MAX, MEDIA_TYPE, Form, Upload, form_of, form_schema
from otcdesk.api.deals.node_reads import DONE, branch_in, caller_of
from otcdesk.api.deals.paging import Page, PageRequest, listed, page_of_body
from otcdesk.api.deals.tables import NODE, TOKEN, path_id, read, write
from otcdesk.api.deals.users import CurrencyBalance, HeldCurrency, WalletSummary
from otcdesk.api.deals.values import (
    Id,
    Number,
    decimal_number,
    id_of,
    id_text,
    invalid,
    number_of,
    time_text,
    units_number,
    whole_of,
)
from otcdesk.api.dialect import Call
from otcdesk.api.http import Answer
from otcdesk.api.wire import TimeText
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.resales import (
    BURNT,
    DELISTED,
    DRAFT,
    ERROR,
    IN_PROGRESS,
    LISTED,
    NOT_LISTED,
    PASSIVE,
    Branch,
    Currency,
    Instrument,
    reaches,
)
from otcdesk.errors import Code, Refusal
from otcdesk.money import RATE_DECIMALS_MAX, plain, worked_on

#: The contract's numbers of the states of a token.
STATUSES: Final = {
    DRAFT: 1,
    IN_PROGRESS: 2,
    ERROR: 3,
    NOT_LISTED: 4,
    DELISTED: 5,
    LISTED: 6,
    PASSIVE: 7,
    BURNT: 8,
}

_NAME_MAX: Final = 200
_DESCRIPTION_MAX: Final = 5_000
_PERCENT_MAX: Final = 100
_HUNDREDTH: Final = Decimal("0.01")


class OpenRequest(msgspec.Struct, kw_only=True):
    """Whether a token is open."""

    is_open: bool


class PublicRequest(msgspec.Struct, kw_only=True):
    """Whether a token may leave the platform."""

    is_public: bool


class Nothing(msgspec.Struct, kw_only=True):
    """Nothing but that it is done."""


class Value(msgspec.Struct, kw_only=True):
    """So much of a currency token."""

    id: Id
    amount: Number
    decimal: int
    symbol: str
    address: str | None


class TokenValue(msgspec.Struct, kw_only=True):
    """What one token costs, and what all of them, and the salable part of them, are worth."""

    token_price: Value
    total_value: Value
    salable_percentage: Number
    salable_value: Value


class Metrics(msgspec.Struct, kw_only=True):
    """How many tokens there may be, how many of them can be bought now, and how many at once."""

    max_supply: int
    available_supply: int
    min_purchase_quantity: int
    max_purchase_quantity: int


class Oracle(msgspec.Struct, kw_only=True):
    """Where the issuer says that a token's value comes from."""

    id: str | None
    code: str | None


class UploadAnswer(msgspec.Struct, kw_only=True):
    """A file that was sent with a token; the desk keeps its name and its size, not what is in it."""

    name: str
    size: int


class TokenAnswer(msgspec.Struct, kw_only=True):
    """A token; `status` is 1 draft, 2 in progress, 3 error, 4 not listed, 5 delisted, 6 listed, 7 passive, 8 burnt."""

    id: Id
    node_id: Id
    category_id: str | None
    name: str
    description: str
    type: int
    status: Annotated[int, Meta(extra_json_schema={"enum": [*STATUSES.values()]})]
    token_name: str
    token_symbol: str
    value: TokenValue
    metrics: Metrics
    oracle: Oracle | None
    contract: Contract | None
    images: list[UploadAnswer]
    documents: list[UploadAnswer]
    is_open_to_otc: bool
    is_open_to_secondary_market: bool
    is_public: bool
    created_at: TimeText
    updated_at: TimeText


class TokenPage(msgspec.Struct, kw_only=True):
    """A page of tokens."""

    data: list[TokenAnswer]
    total: int
    page: int
    per_page: int


class Details(msgspec.Struct, kw_only=True):
    """What the core does not read of a token, as its row keeps it."""

    title: str = ""
    category_id: str | None = None
    oracle: Oracle | None = None
    images: list[Upload] = []
    documents: list[Upload] = []


class StoredToken(msgspec.Struct, frozen=True):
    """A token as the books have it."""

    instrument: Instrument
    issuer: Branch
    currency: Currency
    scale: int
    unsold: int


class StoredTokens(msgspec.Struct, frozen=True):
    """A page of them."""

    rows: list[StoredToken]
    total: int


async def issue_token(call: Call) -> Answer:
    """Issue a token of a node."""
    branch_id, form = path_id(call, "node_id", NODE), form_of(call)
    symbol = symbol_of(form, "token_symbol")
    command = IssueInstrument(
        branch_id=branch_id,
        asset=symbol.upper(),
        name=form.text("token_name", length_max=_NAME_MAX),
        symbol=symbol,
        description=form.text("description", length_max=_DESCRIPTION_MAX),
        currency_id=id_of(form.text("currency_token_id", length_max=_NAME_MAX), "currency_token_id"),
        total_value=_total_value(form),
        salable_percent=_percentage(form),
        max_supply_units=_supply(form),
        details=msgspec.json.encode(_details(form)).decode(),
        mandate=caller_of(call).mandate(TOKENS_MANAGE),
    )
    await call.submit(command)
    return DONE


def _total_value(form: Form) -> Decimal:
    value = number_of(_raw(form, "total_value"), "total_value")
    if value <= 0:
        raise invalid("total_value must be greater than 0")
    return value


def _percentage(form: Form) -> Decimal:
    value = number_of(_raw(form, "salable_percentage"), "salable_percentage")
    exponent = value.as_tuple().exponent
    if not 0 <= value <= _PERCENT_MAX or exponent < -RATE_DECIMALS_MAX:  # type: ignore[operator]  # it is finite
        raise invalid(f"salable_percentage must be from 0 to 100, with at most {RATE_DECIMALS_MAX} decimals")
    return value


def _supply(form: Form) -> int:
    units = whole_of(_raw(form, "max_supply"), "max_supply")
    if units <= 0:
        raise invalid("max_supply must be greater than 0")
    return units


def _raw(form: Form, name: str) -> msgspec.Raw:
    return msgspec.Raw(form.text(name, length_max=_NAME_MAX).encode())


def _details(form: Form) -> Details:
    oracle = Oracle(
        id=form.text_or_none("oracle_id", length_max=_NAME_MAX),
        code=form.text_or_none("oracle_code", length_max=_NAME_MAX),
    )
    images, documents = form.uploads("images"), form.uploads("documents")
    if max(len(images), len(documents)) > FILES_MAX:
        raise Refusal(Code.BODY_TOO_LARGE, f"At most {FILES_MAX} images, and as many documents, may be sent.")
    return Details(
        title=form.text("name", length_max=_NAME_MAX),
        category_id=form.text("category_id", length_max=_NAME_MAX),
        oracle=None if oracle == Oracle(id=None, code=None) else oracle,
        images=images,
        documents=documents,
    )


async def read_token(call: Call) -> TokenAnswer:
    """Show a token to those who run it."""
    stored = await _found(call, "tokenID")
    check_sees(call, stored.issuer.path)
    return token_answer(stored)


async def read_token_by_older_path(call: Call) -> TokenAnswer:
    """Show a token to those who run it, at the path that it had before."""
    stored = await _found(call, "token_id")
    check_sees(call, stored.issuer.path)
    return token_answer(stored)


async def read_token_for_users(call: Call) -> TokenAnswer:
    """Show a token as users see it: also one of a node above the caller's, whose users may hold it."""
    stored = await _found(call, "token_id")
    caller, issuer = caller_of(call), stored.issuer.path
    if not (reaches(caller.path, issuer) or reaches(issuer, caller.path)):
        raise Refusal(Code.NOT_PERMITTED)
    return token_answer(stored)


async def list_node_tokens(call: Call) -> dict[str, Any]:
    """List the tokens of a node."""
    page = page_of_body(call.body)
    branch = await branch_in(call)
    found = await _stored(call, page, branch_id=branch.id)
    return listed([token_answer(row) for row in found.rows], page, found.total)


async def list_tokens_for_users(call: Call) -> dict[str, Any]:
    """List the tokens that are listed, of the caller's node and below it."""
    page = page_of_body(call.body)
    found = await _stored(call, page, path=caller_of(call).path, state=LISTED)
    return listed([token_answer(row) for row in found.rows], page, found.total)


async def open_token_to_otc(call: Call) -> Nothing:
    """Say whether a token may be offered over the counter."""
    return await _switch(call, open_to_resale=call.body.is_open)


async def open_token_to_secondary_market(call: Call) -> Nothing:
    """Say whether a token may be offered on the secondary market."""
    return await _switch(call, open_to_market=call.body.is_open)


async def make_token_public(call: Call) -> Nothing:
    """Say whether a token may leave the platform."""
    return await _switch(call, is_public=call.body.is_public)


async def _switch(call: Call, **wanted: bool) -> Nothing:
    instrument_id = path_id(call, "token_id", TOKEN)
    command = SwitchInstrument(instrument_id=instrument_id, mandate=caller_of(call).mandate(TOKENS_MANAGE), **wanted)
    await call.submit(command)
    return Nothing()


async def read_node_summary(call: Call) -> WalletSummary:
    """Show what a node has of each currency token."""
    branch = await branch_in(call)
    caller = call.caller
    rows = await call.desk.reads.rows(
        "resales", "funds", HeldCurrency, caller.lane, caller.owner_id, branch.id, branch.path, DESK_ID
    )
    return WalletSummary(
        stable_currencies=[
            CurrencyBalance(
                currency_token=currency_token_of(row.currency, row.scale, row.supply),
                amount=units_number(row.units, row.scale),
            )
            for row in rows
        ]
    )


async def _found(call: Call, name: str) -> StoredToken:
    found = await _stored(call, Page(1, 1), instrument_id=path_id(call, name, TOKEN))
    if not found.rows:
        raise Refusal(Code.INSTRUMENT_NOT_FOUND)
    return found.rows[0]


async def _stored(
    call: Call,
    page: Page,
    *,
    instrument_id: Any = None,
    branch_id: Any = None,
    path: str | None = None,
    state: str | None = None,
) -> StoredTokens:
    caller = call.caller
    wanted = (instrument_id, branch_id, path, state, page.size, page.offset)
    found = await call.desk.reads.row("resales", "issued", StoredTokens, caller.lane, caller.owner_id, *wanted)
    assert found is not None, "the statement always has a row"
    return found


def token_answer(stored: StoredToken) -> TokenAnswer:
    """Render a token."""
    instrument = stored.instrument
    details = msgspec.json.decode(instrument.details, type=Details)
    contract = None
    if instrument.address is not None:
        contract = Contract(address=instrument.address, tx_hash=instrument.hash)
    return TokenAnswer(
        id=id_text(instrument.id),
        node_id=id_text(instrument.branch_id),
        category_id=details.category_id,
        name=details.title or instrument.name,
        description=instrument.description,
        type=0,
        status=STATUSES[instrument.state],
        token_name=instrument.name,
        token_symbol=instrument.symbol,
        value=_value(stored),
        metrics=Metrics(
            max_supply=instrument.max_supply_units,
            available_supply=stored.unsold,
            min_purchase_quantity=1,
            max_purchase_quantity=instrument.max_supply_units,
        ),
        oracle=details.oracle,
        contract=contract,
        images=[UploadAnswer(name=one.name, size=one.size) for one in details.images],
        documents=[UploadAnswer(name=one.name, size=one.size) for one in details.documents],
        is_open_to_otc=instrument.open_to_resale,
        is_open_to_secondary_market=instrument.open_to_market,
        is_public=instrument.is_public,
        created_at=time_text(instrument.created_at),
        updated_at=time_text(instrument.updated_at),
    )


def _value(stored: StoredToken) -> TokenValue:
    instrument = stored.instrument
    total = worked_on(instrument.price, "multiply", Decimal(instrument.max_supply_units))
    salable = worked_on(worked_on(total, "multiply", instrument.salable_percent), "multiply", _HUNDREDTH)
    return TokenValue(
        token_price=_counted_in(stored, instrument.price),
        total_value=_counted_in(stored, total),
        salable_percentage=decimal_number(instrument.salable_percent),
        salable_value=_counted_in(stored, salable),
    )


def _counted_in(stored: StoredToken, amount: Decimal) -> Value:
    currency = stored.currency
    return Value(
        id=id_text(currency.id),
        amount=decimal_number(plain(amount)),
        decimal=stored.scale,
        symbol=currency.symbol,
        address=currency.address,
    )


_NODES = "/v2/admin/token/nodes/{node_id}"
_OLDER = "/v2/admin/token/{token_id}"
_FOUND = (Code.INSTRUMENT_NOT_FOUND, Code.NOT_PERMITTED)
_OF_NODE = (Code.BRANCH_NOT_FOUND, Code.NOT_PERMITTED)

NODE_TOKEN_ROUTES = (
    write(
        f"{_OLDER}/open-to-otc", open_token_to_otc, "Open a token to OTC, or close it", OpenRequest, Nothing, *_FOUND
    ),
    write(
        f"{_OLDER}/open-to-secondary-market",
        open_token_to_secondary_market,
        "Open a token to the secondary market, or close it",
        OpenRequest,
        Nothing,
        *_FOUND,
    ),
    write(
        f"{_OLDER}/public-transfer",
        make_token_public,
        "Say whether a token may leave the platform",
        PublicRequest,
        Nothing,
        *_FOUND,
    ),
    read("/v2/users/tokens/{token_id}", read_token_for_users, "A token as users see it", TokenAnswer, *_FOUND),
    read("/v2/admin/tokens/{tokenID}", read_token, "A token as its node sees it", TokenAnswer, *_FOUND),
    read(_OLDER, read_token_by_older_path, "The same at the path that it had before", TokenAnswer, *_FOUND),
    write(
        _NODES,
        issue_token,
        "Issue a token of a node (form: category_id, name, description, total_value, currency_token_id,"
        " salable_percentage, max_supply, token_name, token_symbol, images, documents, oracle_id, oracle_code)",
        bytes,
        None,
        *_OF_NODE,
        Code.CURRENCY_NOT_FOUND,
        Code.AMOUNT_TOO_FINE,
        Code.AMOUNT_TOO_SMALL,
        Code.AMOUNT_TOO_LARGE,
        Code.ASSET_TAKEN,
        Code.KEY_REUSED,
        Code.KEY_IN_FLIGHT,
        takes=MEDIA_TYPE,
        form=form_schema(
            (
                "category_id",
                "name",
                "description",
                "total_value",
                "currency_token_id",
                "salable_percentage",
                "max_supply",
                "token_name",
                "token_symbol",
            ),
            ("oracle_id", "oracle_code"),
            files=("images", "documents"),
        ),
    ),
    write(
        f"{_NODES}/search", list_node_tokens, "The tokens of a node, newest first", PageRequest, TokenPage, *_OF_NODE
    ),
    write(
        "/v2/admin/token/users/search",
        list_tokens_for_users,
        "The tokens that are listed, of the caller's node and below it",
        PageRequest,
        TokenPage,
    ),
    read(
        "/v2/admin/node/{node_id}/summary",
        read_node_summary,
        "What a node has of each currency token",
        WalletSummary,
        *_OF_NODE,
    ),
)

#: What these routes say beside their errors otherwise than the others.
NODE_TOKEN_DETAILS = {
    (route.label, code): said
    for route in NODE_TOKEN_ROUTES
    for code, said in (
        (Code.NOT_PERMITTED, "Insufficient permissions to manage tokens"),
        (Code.INSTRUMENT_NOT_FOUND, "Token not found"),
        (Code.CURRENCY_NOT_FOUND, "Currency token not found, or not deployed"),
        (Code.AMOUNT_TOO_FINE, "total_value is not max_supply times a price in the currency's decimals"),
        (Code.AMOUNT_TOO_LARGE, "total_value or max_supply is out of range"),
    )
}
