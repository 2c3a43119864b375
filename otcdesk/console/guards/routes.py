"""What guards the desk, and its terms. Guards are changed by two people always; a large change of a fee is too."""

from typing import Any, Final

from otcdesk.actions.note_act import NoteAct
from otcdesk.api.http import Answer
from otcdesk.api.maintenance import Maintenance
from otcdesk.console.guards import forms, reads
from otcdesk.console.page import ConsoleCall, done, opens, page, posts, scales_of
from otcdesk.domain import duties
from otcdesk.domain.proposals import Proposal
from otcdesk.domain.resales import ResaleTerms
from otcdesk.errors import Code, Refusal

_GUARDS: Final = "/console/guards"


async def show_guards(call: ConsoleCall) -> Answer:
    """Show guards, fees, channels, listings, terms, and what is closed."""
    terms = await reads.terms_of(call.desk.reads, _maintenance(call), call.caller.lane)
    return await page(call, "guards/guards.html", {"terms": terms, "shown_max": reads.SHOWN_MAX})


async def set_guard(call: ConsoleCall) -> Answer:
    """Propose the guard of an asset."""
    command = forms.guard_command(call, await scales_of(call))
    return _answered((await call.submit(command, why=command.why)).proposal)


async def set_guard_terms(call: ConsoleCall) -> Answer:
    """Propose what guards the whole lane."""
    command = forms.guard_terms_command(call)
    return _answered((await call.submit(command, why=command.why)).proposal)


async def set_fees(call: ConsoleCall) -> Answer:
    """Set what the desk takes of sales from now on, or propose to."""
    why = forms.why_of(call)
    terms = await call.desk.reads.row("console_guards", "resale_terms", ResaleTerms, call.caller.lane)
    command = forms.fees_command(call, terms or ResaleTerms())
    return _answered((await call.submit(command, why=why)).proposal)


async def switch_channel(call: ConsoleCall) -> Answer:
    """Open or close a payout channel."""
    why, command = forms.why_of(call), forms.channel_command(call)
    await call.submit(command, why=why)
    return done(_GUARDS, "opened" if command.enabled else "closed")


async def switch_listing(call: ConsoleCall) -> Answer:
    """Say which sides of an asset may be traded."""
    why, command = forms.why_of(call), forms.listing_command(call)
    await call.submit(command, why=why)
    return done(_GUARDS, "changed")


async def switch_maintenance(call: ConsoleCall) -> Answer:
    """Close a dialect for maintenance, or open it again."""
    why, dialect, closes = forms.why_of(call), call.field("dialect"), call.field("closed") == "yes"
    maintenance, lane = _maintenance(call), call.caller.lane
    if dialect not in maintenance.dialects:
        raise Refusal(Code.REQUEST_INVALID, "There is no such dialect that can be closed.")
    what = "closed a dialect for maintenance" if closes else "opened a dialect again"
    await call.submit(NoteAct(what=what, about=dialect), why=why)
    if closes:
        await maintenance.close(lane, dialect, why)
    else:
        await maintenance.reopen(lane, dialect)
    return done(_GUARDS, "closed" if closes else "opened")


def _maintenance(call: ConsoleCall) -> Maintenance:
    maintenance: Maintenance = call.services.maintenance
    return maintenance


def _answered(proposal: Proposal | None) -> Answer:
    return done(_GUARDS, "changed") if proposal is None else done(f"/console/proposals/{proposal.id}", "waits")


def _acts(path: str, handler: Any, summary: str, duty: str, *refuses: Code) -> Any:
    return posts(f"/guards{path}", handler, summary, duty=duty, shows=show_guards, refuses=refuses)


ROUTES = (
    opens("/guards", show_guards, "Guards and terms"),
    _acts("/assets", set_guard, "Set a guard", duties.GUARDS_SET, Code.ASSET_NOT_FOUND, Code.PROPOSAL_OPEN),
    _acts("/terms", set_guard_terms, "Set what guards the whole lane", duties.GUARDS_SET, Code.PROPOSAL_OPEN),
    _acts("/fees", set_fees, "Set the desk's fees", duties.TERMS_SET, Code.FEE_EXCESSIVE, Code.PROPOSAL_OPEN),
    _acts("/channels", switch_channel, "Open or close a channel", duties.CHANNELS_SWITCH, Code.CHANNEL_NOT_FOUND),
    _acts("/listings", switch_listing, "Switch an asset's sides", duties.PRICES_SET, Code.ASSET_NOT_FOUND),
    _acts("/maintenance", switch_maintenance, "Close a dialect for maintenance", duties.MAINTENANCE_SWITCH),
)
