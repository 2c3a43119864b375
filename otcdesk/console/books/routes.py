"""The books: the chart of accounts, statements, ledger transactions, and the same as files."""

from typing import Any, Final

from otcdesk.api.http import Answer, Stream
from otcdesk.console.books import exports, proofs
from otcdesk.console.books import reads as books
from otcdesk.console.books.files import csv_file, file_name, pdf_file
from otcdesk.console.books.forms import accounts_asked, address_of, days_of
from otcdesk.console.books.reads import PAGE_SIZE, SIDES, AccountRow
from otcdesk.console.fields import named_id
from otcdesk.console.page import ConsoleCall, opens, page, scales_of
from otcdesk.console.position.reads import OWNERS
from otcdesk.domain import brokerage, payouts
from otcdesk.domain.ledger import ADJUSTMENT, EQUITY, OUTSIDE, TREASURY
from otcdesk.domain.parties import Tenant
from otcdesk.errors import Code, Refusal

_ACCOUNTS: Final = "/console/accounts"
_ACCOUNT: Final = "/accounts/{id}"

#: What accounts are for, one after the other as people look for them.
PURPOSES: Final = tuple(
    sorted(
        {
            *OWNERS,
            *(TREASURY, EQUITY, OUTSIDE, ADJUSTMENT, payouts.FEE_INCOME, brokerage.VENUE_POSITION),
            *(brokerage.SPREAD_INCOME, brokerage.BROKER_COST, brokerage.TAX_PAYABLE, brokerage.REVENUE_SHARE),
        }
    )
)

#: What the sides of the position are called where one is chosen.
_SIDES: Final = {"own": "What the desk owns", "owed": "What the desk owes", "counterpart": "The other sides of both"}
assert _SIDES.keys() == set(SIDES), "each side has its name"


async def show_chart(call: ConsoleCall) -> Answer:
    """Show the accounts that are asked for, and what all accounts of each asset have together."""
    lane, reads, query = call.caller.lane, call.desk.reads, call.request.query
    wanted, path = accounts_asked(query), call.request.path
    found = await books.chart(reads, lane, wanted, after=await _last_seen(call), limit=PAGE_SIZE + 1)
    rows = found[:PAGE_SIZE]
    facts = {
        "rows": rows,
        "older": address_of(path, query, after=str(rows[-1].id)) if len(found) > PAGE_SIZE else None,
        "first": address_of(path, query, "after") if "after" in query else None,
        "csv": address_of(f"{_ACCOUNTS}.csv", query, "after"),
        "url": address_of(path, query),
        "wanted": wanted,
        "choices": await _choices(call),
        "trial": await books.trial_balance(reads, lane),
    }
    return await page(call, "books/chart.html", facts)


async def _last_seen(call: ConsoleCall) -> AccountRow | None:
    """Return the account after which the page begins; None: it begins with the first."""
    account_id = named_id(call.request.query.get("after", ""))
    return None if account_id is None else await books.account(call.desk.reads, call.caller.lane, account_id)


async def _choices(call: ConsoleCall) -> dict[str, list[tuple[str, str]]]:
    tenants = await call.desk.reads.rows("lanes", "tenants", Tenant, call.caller.lane)
    return {
        "tenant": [("", "Everybody"), *((str(one.id), one.name) for one in tenants)],
        "asset": [("", "All"), *((code, code) for code in sorted(await scales_of(call)))],
        "purpose": [("", "All"), *((name, name.replace("_", " ")) for name in PURPOSES)],
        "side": [("", "All"), *_SIDES.items()],
    }


async def take_chart(call: ConsoleCall) -> Stream:
    """Answer the accounts that are asked for as a file."""
    wanted, today = accounts_asked(call.request.query), await call.desk.business_time(call.caller.lane)
    name = file_name("accounts", call.signed_in.lane_name, f"{today:%Y-%m-%d}", kind="csv")
    return csv_file(name, exports.chart_csv(call.desk.reads, call.caller.lane, wanted))


async def show_account(call: ConsoleCall) -> Answer:
    """Show an account: what is on it, what is held of that, and its statement."""
    lane, reads, query = call.caller.lane, call.desk.reads, call.request.query
    of, path, days = await _account(call), call.request.path, days_of(query)
    at = query.get("at", "")
    newest = int(at) if at.isdecimal() and at.isascii() and len(at) < 18 else None
    found = await books.statement(reads, lane, of.id, since=days.since, until=days.until, from_version=newest)
    assert found is not None, "it was there just now"
    facts = {
        "statement": found,
        "account": found.account,
        "days": days,
        "holds": await books.holds(reads, lane, of.id) if found.account.held else [],
        "holds_max": books.HOLDS_MAX,
        "url": address_of(path, query),
        "older": address_of(path, query, at=str(found.older)) if found.older else None,
        "newer": address_of(path, query, at=str(found.newer)) if found.newer else None,
        "csv": address_of(f"{path}/statement.csv", query, "at"),
        "pdf": address_of(f"{path}/statement.pdf", query, "at"),
    }
    return await page(call, "books/account.html", facts)


async def take_statement(call: ConsoleCall) -> Stream:
    """Answer a statement as rows."""
    of, days = await _account(call), days_of(call.request.query)
    extent = await books.extent_of(call.desk.reads, call.caller.lane, of, days.since, days.until)
    return csv_file(_name(of, days, "csv"), exports.statement_csv(call.desk.reads, call.caller.lane, of, extent))


async def take_document(call: ConsoleCall) -> Answer:
    """Answer a statement as a document; refuses REQUEST_INVALID for a period with too many entries."""
    # Drawing costs half a second of loading, for what a desk does now and then.
    from otcdesk.console.books.statement_pdf import StatementTooLong, statement_pdf

    lane, reads = call.caller.lane, call.desk.reads
    of, days, now = await _account(call), days_of(call.request.query), await call.desk.business_time(lane)
    desk = call.signed_in.lane_name
    try:
        drawn = await statement_pdf(reads, lane, of.id, desk=desk, made_at=now, since=days.since, until=days.until)
    except StatementTooLong as error:
        raise Refusal(Code.REQUEST_INVALID, f"{error} Ask for a shorter period.") from None
    assert drawn is not None, "it was there just now"
    return pdf_file(_name(of, days, "pdf"), drawn)


def _name(of: AccountRow, days: Any, kind: str) -> str:
    return file_name("statement", of.name, *(str(day) for day in days if day is not None), kind=kind)


async def show_transaction(call: ConsoleCall) -> Answer:
    """Show a ledger transaction with its postings, and what both sides of each had after it."""
    found = await books.transaction(call.desk.reads, call.caller.lane, call.path_id("id", Code.ROUTE_UNKNOWN))
    if found is None:
        raise Refusal(Code.ROUTE_UNKNOWN, "There is no such ledger transaction.")
    return await page(call, "books/transaction.html", {"booked": found.transaction, "postings": found.postings})


async def _account(call: ConsoleCall) -> AccountRow:
    account_id = call.path_id("id", Code.ACCOUNT_NOT_FOUND)
    found = await books.account(call.desk.reads, call.caller.lane, account_id)
    if found is None:
        raise Refusal(Code.ACCOUNT_NOT_FOUND)
    return found


_NONE = (Code.ACCOUNT_NOT_FOUND,)

ROUTES = (
    opens("/accounts", show_chart, "The chart of accounts"),
    opens("/accounts.csv", take_chart, "The chart of accounts as a file"),
    opens(_ACCOUNT, show_account, "An account and its statement", refuses=_NONE),
    opens(f"{_ACCOUNT}/statement.csv", take_statement, "A statement as a file", refuses=_NONE),
    opens(f"{_ACCOUNT}/statement.pdf", take_document, "A statement as a document", refuses=_NONE),
    opens("/transactions/{id}", show_transaction, "A ledger transaction"),
    *proofs.ROUTES,
)
