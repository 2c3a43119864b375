"""Currency tokens, in which prices are: make, show, change and send them (contract 3.14, 3.9 d)."""

import re
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec

from otcdesk.actions.make_currency import DECIMALS, ChangeCurrency, MakeCurrency
from otcdesk.actions.send_funds import SendFunds
from otcdesk.api.deals.callers import FUNDS_SEND, TOKENS_MANAGE
from otcdesk.api.deals.currency_shapes import CurrencyToken, currency_token_of
from otcdesk.api.deals.errors import INVALID, NOT_FOUND
from otcdesk.api.deals.holders import check_sees
from otcdesk.api.deals.multipart_forms import MEDIA_TYPE, Form, form_of, form_schema
from otcdesk.api.deals.node_reads import DONE, GONE, branch_in, caller_of
from otcdesk.api.deals.paging import Page, PageQuery, listed, page_of_query
from otcdesk.api.deals.tables import NODE, path_id, read, write
from otcdesk.api.deals.transactions import error_of
from otcdesk.api.deals.values import Id, Number, id_text, invalid, number_of, time_text, units_number
from otcdesk.api.dialect import Call, Reply
from otcdesk.api.http import Answer
from otcdesk.api.wire import TimeText
from otcdesk.domain.jobs import COMPLETED, FAILED, IN_PROGRESS, STARTED, Job
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.resales import DEPLOYED, Currency, reaches
from otcdesk.errors import Code, Refusal

_NAME_MAX: Final = 200
_DESCRIPTION_MAX: Final = 5_000
_LOGO_MAX: Final = 2_000

#: What the books can call an asset, and what a contract on a chain would.
SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,19}", re.ASCII)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)

#: The contract's numbers of what becomes of a transaction (4.2), and ours for what it is: only sending is a job.
JOB_STATUSES: Final = {STARTED: 1, IN_PROGRESS: 2, COMPLETED: 3, FAILED: 4}
SEND: Final = 2


class SendRequest(msgspec.Struct, kw_only=True):
    """How much is sent, and to which wallet."""

    amount: Number
    recipient_wallet: str


class CurrencyTokenPage(msgspec.Struct, kw_only=True):
    """A page of currency tokens."""

    data: list[CurrencyToken]
    total: int
    page: int
    per_page: int


class NextTransaction(msgspec.Struct, kw_only=True):
    """The transaction that follows another."""

    id: Id
    type: int


class SentData(msgspec.Struct, kw_only=True):
    """How much was sent, and to which wallet."""

    amount: Number
    recipient_wallet: str | None


class CurrencyTransaction(msgspec.Struct, kw_only=True):
    """A transaction of a currency token; `type` is 2, a send, and `status` 1 started, 2 sent, 3 done, 4 failed."""

    id: Id
    node_id: Id
    user_id: Id | None
    currency_token_id: Id
    hash: str | None
    type: int
    status: int
    error: str | None
    data: SentData
    next_transaction: NextTransaction | None
    created_at: TimeText


class CurrencyTransactionPage(msgspec.Struct, kw_only=True):
    """A page of them."""

    data: list[CurrencyTransaction]
    total: int
    page: int
    per_page: int


class StoredCurrency(msgspec.Struct, frozen=True):
    """A currency token as the books have it: the path of its node, its decimals, and how much of it there is."""

    currency: Currency
    path: str
    scale: int
    supply: int

    @property
    def shown(self) -> CurrencyToken:
        """Return it as it is shown."""
        return currency_token_of(self.currency, self.scale, self.supply)


class StoredCurrencies(msgspec.Struct, frozen=True):
    """A page of currency tokens as the books have them."""

    rows: list[StoredCurrency]
    total: int


class StoredSend(msgspec.Struct, frozen=True):
    """A job by which a currency was sent: to which address, and which user's it is."""

    job: Job
    recipient: str | None = None
    party_id: UUID | None = None


class StoredSends(msgspec.Struct, frozen=True):
    """A page of them."""

    rows: list[StoredSend]
    total: int


async def make_currency_token(call: Call) -> CurrencyToken:
    """Make a currency token of a node."""
    branch_id, form = path_id(call, "node_id", NODE), form_of(call)
    symbol = symbol_of(form, "symbol")
    logos = form.uploads("logo")
    command = MakeCurrency(
        branch_id=branch_id,
        asset=symbol.upper(),
        name=form.text("name", length_max=_NAME_MAX),
        symbol=symbol,
        description=form.text_or_none("description", length_max=_DESCRIPTION_MAX) or "",
        fiat=_fiat(form),
        logo=logos[0].name if logos else form.text_or_none("logo", length_max=_LOGO_MAX),
        mandate=caller_of(call).mandate(TOKENS_MANAGE),
    )
    currency = (await call.submit(command)).currency
    return currency_token_of(currency, DECIMALS, 0)


def symbol_of(form: Form, field: str) -> str:
    """Read a symbol that the books can call an asset by; refuses REQUEST_INVALID."""
    symbol = form.text(field, length_max=_NAME_MAX)
    if not SYMBOL.fullmatch(symbol):
        raise invalid(f"{field} must be 1 to 20 Latin letters, digits, dots, dashes or underscores")
    return symbol


def _fiat(form: Form) -> str | None:
    code = form.text_or_none("fiat_currency", length_max=_NAME_MAX)
    if not code:
        return None
    import pycountry

    found = pycountry.currencies.get(alpha_3=code)
    if found is None:
        raise invalid("fiat_currency must be a code of ISO 4217")
    return str(found.alpha_3)


async def change_currency_token(call: Call) -> Answer:
    """Change what a currency token is called."""
    currency_id, form = _currency_id(call), form_of(call)
    name = form.text_or_none("name", length_max=_NAME_MAX)
    if name is not None and not name.strip():
        raise invalid("name must not be blank")
    command = ChangeCurrency(
        currency_id=currency_id,
        name=name,
        description=form.text_or_none("description", length_max=_DESCRIPTION_MAX),
        fiat=_fiat(form),
        mandate=caller_of(call).mandate(TOKENS_MANAGE),
    )
    await call.submit(command)
    return DONE


async def read_currency_token(call: Call) -> CurrencyToken:
    """Show a currency token: also one of a node above the caller's, whose users may trade in it."""
    stored = await _stored(call)
    caller = caller_of(call)
    if not (reaches(caller.path, stored.path) or reaches(stored.path, caller.path)):
        raise Refusal(Code.NOT_PERMITTED)
    return stored.shown


async def list_currency_tokens(call: Call) -> dict[str, Any]:
    """List the currency tokens of a node."""
    page = page_of_query(call.request)
    branch = await branch_in(call)
    found = await _currencies(call, None, branch.id, None, page)
    return listed([row.shown for row in found.rows], page, found.total)


async def list_active_currency_tokens(call: Call) -> dict[str, Any]:
    """List the currency tokens that are deployed, of the caller's node, below it, and above it."""
    page = page_of_query(call.request)
    found = await _currencies(call, None, None, DEPLOYED, page, caller_of(call).path)
    return listed([row.shown for row in found.rows], page, found.total)


async def list_currency_transactions(call: Call) -> dict[str, Any]:
    """List what was sent of a currency token."""
    page = page_of_query(call.request)
    stored = await _found(call)
    currency_id = stored.currency.id
    found = await call.desk.reads.row(
        "resales", "jobs_of_currency", StoredSends, call.caller.lane, currency_id, page.size, page.offset
    )
    assert found is not None, "the statement always has a row"
    return listed([_transaction(row, stored) for row in found.rows], page, found.total)


def _transaction(sent: StoredSend, stored: StoredCurrency) -> CurrencyTransaction:
    job = sent.job
    return CurrencyTransaction(
        id=id_text(job.id),
        node_id=id_text(stored.currency.branch_id),
        user_id=None if sent.party_id is None else id_text(sent.party_id),
        currency_token_id=id_text(stored.currency.id),
        hash=job.hash,
        type=SEND,
        status=JOB_STATUSES[job.state],
        error=error_of(job),
        data=SentData(amount=units_number(job.units, stored.scale), recipient_wallet=sent.recipient),
        next_transaction=None,
        created_at=time_text(job.created_at),
    )


async def send_currency_token(call: Call) -> Answer:
    """Send a node's currency token to a wallet of a user or another node."""
    currency_id, wallet = _currency_id(call), call.body.recipient_wallet
    amount: Decimal = number_of(call.body.amount, "amount")
    if amount <= 0:
        raise invalid("amount must be greater than 0")
    if not _ADDRESS.fullmatch(wallet):
        raise invalid("recipient_wallet must be an address")
    caller = call.caller
    command = SendFunds(
        currency_id=currency_id,
        address=wallet,
        recipient_id=await call.desk.reads.value("resales", "wallet", caller.lane, caller.owner_id, wallet.lower()),
        amount=amount,
        mandate=caller_of(call).mandate(FUNDS_SEND),
    )
    await call.submit(command)
    return GONE


def _currency_id(call: Call) -> UUID:
    return path_id(call, "currencyTokenID", "currency token ID")


async def _found(call: Call) -> StoredCurrency:
    """Return the currency token in the path, of whatever state; refuses CURRENCY_NOT_FOUND, NOT_PERMITTED."""
    stored = await _stored(call)
    check_sees(call, stored.path)
    return stored


async def _stored(call: Call) -> StoredCurrency:
    found = await _currencies(call, _currency_id(call), None, None, Page(1, 1))
    if not found.rows:
        raise Refusal(Code.CURRENCY_NOT_FOUND)
    return found.rows[0]


async def _currencies(
    call: Call, currency_id: UUID | None, branch_id: UUID | None, state: str | None, page: Page, path: str | None = None
) -> StoredCurrencies:
    caller = call.caller
    wanted = (currency_id, branch_id, state, page.size, page.offset, path)
    found = await call.desk.reads.row(
        "resales", "currencies", StoredCurrencies, caller.lane, caller.owner_id, DESK_ID, *wanted
    )
    assert found is not None, "the statement always has a row"
    return found


_TOKENS = "/v2/admin/currency-tokens"
_ONE = f"{_TOKENS}/{{currencyTokenID}}"
_FOUND = (Code.CURRENCY_NOT_FOUND, Code.NOT_PERMITTED)

CURRENCY_ROUTES = (
    write(
        f"{_TOKENS}/nodes/{{node_id}}",
        make_currency_token,
        "Make a currency token of a node (form: name, symbol, description, logo, fiat_currency)",
        bytes,
        CurrencyToken,
        Code.BRANCH_NOT_FOUND,
        Code.NOT_PERMITTED,
        Code.ASSET_TAKEN,
        Code.KEY_REUSED,
        Code.KEY_IN_FLIGHT,
        takes=MEDIA_TYPE,
        form=form_schema(("name", "symbol"), ("description", "fiat_currency"), file="logo"),
    ),
    read(
        f"{_TOKENS}/nodes/{{node_id}}",
        list_currency_tokens,
        "The currency tokens of a node",
        CurrencyTokenPage,
        Code.BRANCH_NOT_FOUND,
        Code.NOT_PERMITTED,
        query=PageQuery,
    ),
    read(
        f"{_TOKENS}/active",
        list_active_currency_tokens,
        "The currency tokens that are deployed",
        CurrencyTokenPage,
        query=PageQuery,
    ),
    read(_ONE, read_currency_token, "Show a currency token", CurrencyToken, *_FOUND),
    write(
        _ONE,
        change_currency_token,
        "Change what a currency token is called (form: name, description, fiat_currency)",
        bytes,
        None,
        *_FOUND,
        method="PUT",
        takes=MEDIA_TYPE,
        form=form_schema((), ("name", "description", "fiat_currency")),
    ),
    read(
        f"{_ONE}/transactions",
        list_currency_transactions,
        "What was sent of a currency token, newest first",
        CurrencyTransactionPage,
        *_FOUND,
        query=PageQuery,
    ),
    write(
        f"{_ONE}/send",
        send_currency_token,
        "Send a node's currency token to the wallet of a user or of another node",
        SendRequest,
        None,
        *_FOUND,
        Code.CUSTODY_NOT_FOUND,
        Code.AMOUNT_TOO_FINE,
        Code.AMOUNT_TOO_SMALL,
        Code.AMOUNT_TOO_LARGE,
        Code.BRANCH_NOT_COVERED,
        Code.KEY_REUSED,
        Code.KEY_IN_FLIGHT,
        status=204,
    ),
)

#: What these routes answer otherwise than the others: it is the currency token that is looked for here.
CURRENCY_EXCEPTIONS = {
    **{(route.label, Code.CURRENCY_NOT_FOUND): Reply(404, NOT_FOUND) for route in CURRENCY_ROUTES},
    (CURRENCY_ROUTES[-1].label, Code.BRANCH_NOT_COVERED): Reply(400, INVALID),
}
CURRENCY_DETAILS = {
    (route.label, code): said
    for route in CURRENCY_ROUTES
    for code, said in (
        (Code.NOT_PERMITTED, "Insufficient permissions to manage currency tokens"),
        (Code.CURRENCY_NOT_FOUND, "Currency token not found"),
        (Code.AMOUNT_TOO_FINE, "amount has more decimals than its currency"),
    )
}
