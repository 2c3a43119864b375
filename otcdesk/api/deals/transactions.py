"""Transactions: what users have asked for and what has become of it, and the history of a token (contract 3.9, 4.2).

Jobs by which the chain follows what the books have done are nobody's to poll: they are seen nowhere here.
"""

import re
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from otcdesk.api.deals.holders import KnownInstrument, check_sees, found_instrument, holder_in
from otcdesk.api.deals.paging import (
    NUMBER_MAX,
    SIZE_MAX,
    OptionalPageRequest,
    listed,
    page_exceptions,
    page_of_body,
    page_of_query,
)
from otcdesk.api.deals.tables import TOKEN, path_id, read, write
from otcdesk.api.deals.values import Id, Number, decimal_number, id_text, invalid, time_text, units_number
from otcdesk.api.dialect import Call
from otcdesk.api.http import Request
from otcdesk.api.wire import TimeText
from otcdesk.domain.compact_ids import declared_compact_id
from otcdesk.domain.jobs import (
    BURN,
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    LIST,
    NOTHING_LEFT,
    PURCHASE,
    STARTED,
    WITHDRAW,
    Job,
    over_already,
)
from otcdesk.domain.resales import (
    CANCELLED,
    DRAFT,
    ERROR,
    EXPIRED,
    OTC,
    PRIMARY,
    SECONDARY,
    Currency,
    Purchase,
    Resale,
)
from otcdesk.domain.resales import COMPLETED as RESALE_COMPLETED
from otcdesk.domain.resales import IN_PROGRESS as BEING_ISSUED
from otcdesk.errors import Code, Refusal
from otcdesk.money import counted

#: What a transaction is, by what its job is for and where; beyond 100 what the contract does not know (contract 3.9).
TYPES: Final = {
    (PURCHASE, PRIMARY): 1,
    (PURCHASE, SECONDARY): 2,
    (LIST, SECONDARY): 3,
    (WITHDRAW, SECONDARY): 4,
    (LIST, OTC): 6,
    (WITHDRAW, OTC): 7,
    (BURN, PRIMARY): 8,
    (BURN, SECONDARY): 8,
    (BURN, OTC): 8,
    (PURCHASE, OTC): 101,
}

STATUSES: Final = {STARTED: 1, IN_PROGRESS: 2, COMPLETED: 3, FAILED: 4}

# What the history of a token calls what has become of it; other numbers than a user's transactions have.
CREATE_TOKENIZATION: Final = 1
BURN_TOKEN: Final = 10

#: How far the making of a token has come, by its state; from every other state it is done.
_MAKING: Final = {DRAFT: STARTED, BEING_ISSUED: IN_PROGRESS, ERROR: FAILED}

_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)

#: What is said of a transaction that failed, by what the books say of its job; of any other that the chain refused it.
REFUSED: Final = "The transaction was not carried out."
_FAILURES: Final = {NOTHING_LEFT: "Nothing of the deal is left."} | {
    over_already(state): f"The deal is {state} already." for state in (RESALE_COMPLETED, CANCELLED, EXPIRED)
}

#: A share of what was paid is said with so many decimals, to the nearest.
_PERCENT_DECIMALS: Final = 6

Status = Annotated[int, Meta(extra_json_schema={"enum": [*STATUSES.values()]})]


class TransactionData(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a finished transaction was about; fields that it has nothing to say of are not there.

    The fee's percentage is what the fee is of all that was paid, so a fee that was cut is of less than was agreed.
    """

    token_id: Id
    quantity: int
    deal_id: int | None = None
    price_id: Id | None = None
    price_amount: Number | None = None
    price_decimal: int | None = None
    price_symbol: str | None = None
    price_address: str | None = None
    seller_address: str | None = None
    buyer_address: str | None = None
    total_fee_percentage: Number | None = None
    total_fee_amount: Number | None = None


class Transaction(msgspec.Struct, kw_only=True):
    """A transaction of a user; `external_id` is the token's."""

    id: Id
    user_id: Id | None
    type: int
    status: Status
    environment: int = 0
    internal_id: None = None
    external_id: Id
    hash: str | None
    error: str | None
    message: None = None
    data: TransactionData | None
    is_api: bool = True
    created_at: TimeText
    updated_at: TimeText


class TokenTransaction(Transaction, kw_only=True):
    """A transaction of a user as it is read by its token."""

    token_id: Id


class TransactionPage(msgspec.Struct, kw_only=True):
    """A page of a user's transactions."""

    data: list[Transaction]
    total: int
    page: int
    per_page: int


class TransactionQuery(msgspec.Struct, kw_only=True):
    """Which transactions are asked for: of these types, of all without any."""

    page: Annotated[int, Meta(ge=1, le=NUMBER_MAX)]
    per_page: Annotated[int, Meta(ge=1, le=SIZE_MAX)]
    types: tuple[int, ...] = ()


class TokenChange(msgspec.Struct, kw_only=True):
    """What has become of a token: how it was made, and what was burnt of it."""

    id: Id
    node_id: Id
    user_id: Id | None
    token_id: Id
    hash: str | None
    type: int
    status: Status
    error: str | None
    created_at: TimeText


class TokenChangePage(msgspec.Struct, kw_only=True):
    """A page of the history of a token."""

    data: list[TokenChange]
    total: int
    page: int
    per_page: int


class AskedJob(msgspec.Struct, frozen=True):
    """A job as the books have it, with what it is about; `paths` lead to its user's node, and to its token's."""

    job: Job
    paths: tuple[str, str]
    resale: Resale | None = None
    purchase: Purchase | None = None
    number: int | None = None
    currency: Currency | None = None
    scale: int = 0
    seller_address: str | None = None
    buyer_address: str | None = None


class _JobIds(msgspec.Struct, frozen=True):
    ids: list[UUID]
    total: int


class _Burns(msgspec.Struct, frozen=True):
    rows: list[Job]
    total: int


async def list_transactions(call: Call) -> dict[str, Any]:
    """List a user's transactions, newest first."""
    page, wanted = page_of_query(call.request, required=True), types_of(call.request)
    holder = await holder_in(call)
    lane, reads = call.caller.lane, call.desk.reads
    pairs = None if wanted is None else [pair for pair, number in TYPES.items() if number in wanted]
    kinds = None if pairs is None else [kind for kind, _ in pairs]
    markets = None if pairs is None else [market for _, market in pairs]
    found = await reads.row(
        "resales", "page_of_jobs", _JobIds, lane, holder.party.id, kinds, markets, page.size, page.offset
    )
    if found is None or not found.ids:
        return listed([], page, found.total if found else 0)
    rows = await reads.rows("resales", "jobs", AskedJob, lane, call.caller.owner_id, found.ids)
    return listed([Transaction(**facts_of(row)) for row in rows], page, found.total)


async def read_token_transaction(call: Call) -> TokenTransaction:
    """Show a transaction by its token: to who may see its user, and to who may see its token."""
    job_id, instrument_id, caller = (
        path_id(call, "transaction_id", "transaction ID"),
        path_id(call, "token_id", TOKEN),
        call.caller,
    )
    found = await call.desk.reads.row("resales", "jobs", AskedJob, caller.lane, caller.owner_id, [job_id])
    if found is None or found.job.instrument_id != instrument_id:
        raise Refusal(Code.JOB_NOT_FOUND)
    check_sees(call, *found.paths)
    return TokenTransaction(**facts_of(found), token_id=id_text(instrument_id))


async def read_token_transaction_by_older_path(call: Call) -> TokenTransaction:
    """Show a transaction by its token, on the path that older pages name."""
    return await read_token_transaction(call)


async def search_token_changes(call: Call) -> dict[str, Any]:
    """List what has become of a token, newest first: what was burnt of it, and at the end how it was made."""
    page = page_of_body(call.body)
    known = await found_instrument(call, TOKEN)
    check_sees(call, known.issuer.path)
    found = await call.desk.reads.row(
        "resales", "burns", _Burns, call.caller.lane, known.instrument.id, page.size, page.offset
    )
    burns = found or _Burns([], 0)
    rows = [_burnt(job, known) for job in burns.rows]
    if page.offset <= burns.total < page.offset + page.size:
        rows.append(_made(known))
    return listed(rows, page, burns.total + 1)


def types_of(request: Request) -> set[int] | None:
    """Read which types a query asks for, None for all; refuses REQUEST_INVALID."""
    given = [text for name, text in request.query_fields if name == "types"]
    if not all(_NUMBER.fullmatch(text) for text in given):
        raise invalid("types must be whole numbers")
    return {int(text) for text in given} or None


def facts_of(asked: AskedJob) -> dict[str, Any]:
    """Return what is said of a transaction wherever it is shown; its hash when it is over (contract 4.2)."""
    job = asked.job
    return {
        "id": id_text(job.id),
        "user_id": None if job.party_id is None else id_text(job.party_id),
        "type": TYPES[job.kind, job.market],
        "status": STATUSES[job.state],
        "external_id": id_text(job.instrument_id),
        "hash": job.hash if job.is_over else None,
        "error": error_of(job),
        "data": data_of(asked) if job.state == COMPLETED else None,
        "created_at": time_text(job.created_at),
        "updated_at": time_text(job.updated_at),
    }


def error_of(job: Job) -> str | None:
    """Return why a transaction failed; what the chain's side said of it is the operator's to know."""
    if job.error is None:
        return None
    return _FAILURES.get(job.error, REFUSED)


def data_of(asked: AskedJob) -> TransactionData:
    """Return what a finished transaction was about."""
    job, purchase = asked.job, asked.purchase
    about = purchase or asked.resale
    token_id = id_text(job.instrument_id)
    if about is None or asked.currency is None:
        return TransactionData(token_id=token_id, quantity=job.units)
    data = TransactionData(
        token_id=token_id,
        quantity=job.units if purchase is None else purchase.quantity,
        deal_id=asked.number,
        price_id=id_text(asked.currency.id),
        price_amount=units_number(about.price_units, asked.scale),
        price_decimal=asked.scale,
        price_symbol=asked.currency.symbol,
        price_address=asked.currency.address or "",
        seller_address=asked.seller_address or "",
    )
    if purchase is not None:
        fee_units = purchase.fee_units + purchase.desk_fee_units
        data.buyer_address = asked.buyer_address or ""
        data.total_fee_percentage = percentage(fee_units, purchase.quantity * purchase.price_units)
        data.total_fee_amount = units_number(fee_units, asked.scale)
    return data


def percentage(part: int, whole: int) -> msgspec.Raw:
    """Return how many hundredths of the whole a part is, to the nearest in six decimals."""
    scaled = part * 100 * 10**_PERCENT_DECIMALS
    return decimal_number(counted((2 * scaled + whole) // (2 * whole), _PERCENT_DECIMALS))


def _burnt(job: Job, known: KnownInstrument) -> TokenChange:
    return TokenChange(
        id=id_text(job.id),
        node_id=id_text(known.issuer.id),
        user_id=None if job.party_id is None else id_text(job.party_id),
        token_id=id_text(known.instrument.id),
        hash=job.hash if job.is_over else None,
        type=BURN_TOKEN,
        status=STATUSES[job.state],
        error=error_of(job),
        created_at=time_text(job.created_at),
    )


def _made(known: KnownInstrument) -> TokenChange:
    instrument = known.instrument
    return TokenChange(
        id=id_text(declared_compact_id("issue", str(instrument.id))),
        node_id=id_text(known.issuer.id),
        user_id=None,
        token_id=id_text(instrument.id),
        hash=instrument.hash,
        type=CREATE_TOKENIZATION,
        status=STATUSES[_MAKING.get(instrument.state, COMPLETED)],
        error="The token could not be made." if instrument.state == ERROR else None,
        created_at=time_text(instrument.created_at),
    )


TRANSACTION_ROUTES = (
    read(
        "/v2/users/users/{user_id}/transactions",
        list_transactions,
        "A user's transactions, newest first",
        TransactionPage,
        Code.PARTY_NOT_FOUND,
        Code.NOT_PERMITTED,
        query=TransactionQuery,
        query_required=("page", "per_page"),
    ),
    write(
        "/v2/admin/token/{token_id}/transactions/search",
        search_token_changes,
        "What has become of a token, newest first",
        OptionalPageRequest,
        TokenChangePage,
        Code.INSTRUMENT_NOT_FOUND,
        Code.NOT_PERMITTED,
        body_optional=True,
    ),
    read(
        "/v2/admin/tokens/{token_id}/transactions/{transaction_id}",
        read_token_transaction,
        "A transaction of a user: how far it is, and what came of it",
        TokenTransaction,
        Code.JOB_NOT_FOUND,
        Code.NOT_PERMITTED,
    ),
    read(
        "/v2/admin/token/{token_id}/transactions/{transaction_id}",
        read_token_transaction_by_older_path,
        "A transaction of a user, on the older path",
        TokenTransaction,
        Code.JOB_NOT_FOUND,
        Code.NOT_PERMITTED,
    ),
)

TRANSACTION_EXCEPTIONS = page_exceptions(TRANSACTION_ROUTES[:1])

#: What these routes say beside their errors otherwise than the others.
TRANSACTION_DETAILS = {
    (TRANSACTION_ROUTES[0].label, Code.PARTY_NOT_FOUND): "User not found",
    (TRANSACTION_ROUTES[1].label, Code.INSTRUMENT_NOT_FOUND): "Token not found",
}
