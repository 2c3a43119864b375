"""What proves the books: the invariants, the audit chain against the tables, and what operators did."""

from collections.abc import Mapping
from typing import Final

from otcdesk.actions.note_act import NoteAct
from otcdesk.api.http import Answer, Stream
from otcdesk.console.books import acts as audit
from otcdesk.console.books import exports
from otcdesk.console.books.checks import Checks
from otcdesk.console.books.files import csv_file, file_name
from otcdesk.console.books.forms import VERBS, acts_asked, address_of
from otcdesk.console.books.reads import PAGE_SIZE
from otcdesk.console.fields import named_id
from otcdesk.console.page import ConsoleCall, done, opens, page, posts
from otcdesk.domain import duties
from otcdesk.storage.queries import purposes

_INVARIANTS: Final = "/console/invariants"
_CHAIN: Final = "/console/chain"
_AUDIT: Final = "/console/audit"

#: Where an act's subject is shown, by what it is; people are shown to those who keep them.
_PLACES: Final[Mapping[str, str]] = {
    "order": "/console/orders/",
    "account": "/console/accounts/",
    "proposal": "/console/proposals/",
    "tenant": "/console/tenants/",
    "party": "/console/parties/",
}
_PERSON: Final = "/console/people/"


async def show_invariants(call: ConsoleCall) -> Answer:
    """Show every invariant with what it means, and what the last run found."""
    run = _checks(call).invariants(call.caller.lane)
    results = {result.name: result for result in run.results} if run else {}
    meanings = [(name, meaning, results.get(name)) for name, meaning in purposes("invariants").items()]
    # What is broken comes first, then what was not looked at yet.
    meanings.sort(key=lambda one: (one[2] is None or one[2].holds, one[2] is not None))
    return await page(call, "books/invariants.html", {"run": run, "meanings": meanings})


async def run_invariants(call: ConsoleCall) -> Answer:
    """Begin to run them; who looks again sees how far they are."""
    await call.submit(NoteAct(what="ran the invariants"))
    _checks(call).start_invariants(call.caller.lane, call.caller.name)
    return done(_INVARIANTS, "started")


async def show_chain(call: ConsoleCall) -> Answer:
    """Show how far the check of the audit chain is, or what the last one found."""
    return await page(call, "books/chain.html", {"run": _checks(call).chain(call.caller.lane)})


async def check_chain(call: ConsoleCall) -> Answer:
    """Begin to replay the lane's audit chain against its tables."""
    await call.submit(NoteAct(what="checked the audit chain"))
    _checks(call).start_chain(call.caller.lane, call.caller.name)
    return done(_CHAIN, "started")


async def cancel_check(call: ConsoleCall) -> Answer:
    """Let the check that is under way end."""
    _checks(call).cancel_chain(call.caller.lane, call.caller.name)
    return done(_CHAIN, "ended")


async def show_audit(call: ConsoleCall) -> Answer:
    """Show what operators did, the latest first."""
    lane, reads, query = call.caller.lane, call.desk.reads, call.request.query
    wanted, path = acts_asked(query), call.request.path
    last = named_id(query.get("after", ""))
    after = None if last is None else await audit.place_of(reads, lane, last)
    found = await audit.acts(reads, lane, wanted, after=after, limit=PAGE_SIZE + 1)
    rows = found[:PAGE_SIZE]
    facts = {
        "rows": [(row, _place_of(call, row)) for row in rows],
        "older": address_of(path, query, after=str(rows[-1].act.id)) if len(found) > PAGE_SIZE else None,
        "first": address_of(path, query, "after") if "after" in query else None,
        "csv": address_of(f"{_AUDIT}.csv", query, "after"),
        "verbs": [("", "All"), *((name, name.replace("_", " ")) for name in VERBS)],
    }
    return await page(call, "books/audit.html", facts)


def _place_of(call: ConsoleCall, row: audit.ActRow) -> str | None:
    """Return where an act's subject is shown to whoever asks, None if nowhere."""
    if row.subject == "person" and not call.may(duties.STAFF_MANAGE):
        return None
    place = _PERSON if row.subject == "person" else _PLACES.get(row.subject or "")
    return f"{place}{row.act.subject_id}" if place else None


async def take_audit(call: ConsoleCall) -> Stream:
    """Answer what operators did as a file."""
    wanted, today = acts_asked(call.request.query), await call.desk.business_time(call.caller.lane)
    name = file_name("audit", call.signed_in.lane_name, f"{today:%Y-%m-%d}", kind="csv")
    return csv_file(name, exports.acts_csv(call.desk.reads, call.caller.lane, wanted))


def _checks(call: ConsoleCall) -> Checks:
    checks: Checks = call.services.checks
    return checks


ROUTES = (
    opens("/invariants", show_invariants, "The invariants"),
    posts("/invariants", run_invariants, "Run the invariants", duty=duties.BOOKS_VERIFY, shows=show_invariants),
    opens("/chain", show_chain, "The check of the audit chain"),
    posts("/chain", check_chain, "Check the audit chain", duty=duties.BOOKS_VERIFY, shows=show_chain),
    posts("/chain/cancel", cancel_check, "End the check", duty=duties.BOOKS_VERIFY, shows=show_chain),
    opens("/audit", show_audit, "What operators did"),
    opens("/audit.csv", take_audit, "What operators did as a file"),
)
