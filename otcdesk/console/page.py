"""How a page is put together: the facts that every page has, its templates, and forms that lead back to it.

What was said after a form is one of a few sentences that the address names by a word, so nobody can put their own text
into somebody's page by a link.
"""

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from otcdesk.api.dialect import Call, Handler, Route
from otcdesk.api.http import Answer
from otcdesk.api.pages import HTML, Templates, see_other
from otcdesk.console.assets import asset_url
from otcdesk.console.formats import FILTERS
from otcdesk.console.menu import MENU
from otcdesk.domain import duties
from otcdesk.domain.assets import ListedAsset
from otcdesk.errors import Refusal
from otcdesk.operators import OperatorSession

#: What a page says once after a form, by the word in its address.
SAID = {
    "approved": "Approved.",
    "proposed": "Your approval is kept. A second person has to approve it as well.",
    "rejected": "Rejected.",
    "requoted": "Requoted. The tenant has to confirm it again.",
    "settled": "Recorded.",
    "booked": "Booked.",
    "waits": "It waits for a second person.",
    "seconded": "Carried out.",
    "withdrawn": "Turned down. Nothing was done.",
    "held": "Held. It is not paid until it is released.",
    "released": "Released.",
    "cancelled": "Cancelled.",
    "taken": "Taken for the branch.",
    "closed": "Closed.",
    "asked": "The chain will be asked again.",
    "known": "This was recorded before. Nothing was done again.",
    "taken_in": "Sent again. The receiver has taken it.",
    "not_taken_in": "Sent again. The receiver has not taken it; it will be tried later.",
    "changed": "Changed.",
    "sent": "It will be sent again.",
    "made": "Made.",
    "revoked": "Revoked.",
    "frozen": "Frozen. Nothing new can be started.",
    "unfrozen": "Unfrozen.",
    "password": "Your password is changed. All other sessions are ended.",
    "ended": "Ended.",
    "started": "Started.",
    "steered": "Done.",
    "arrived": "It has arrived.",
    "disabled": "Kept out. Their sessions are ended.",
    "enabled": "Let in again.",
    "opened": "Open again.",
    "deleted": "Deleted. Nothing is sent to it any more.",
    "recovered": "What did not arrive is due again.",
    "delivered": "It arrived.",
    "undelivered": "It did not arrive. The attempt below says why.",
}

_SAID = "said"

TEMPLATES = Templates(
    "otcdesk.console",
    filters=FILTERS,
    facts={"asset_url": asset_url, "menu": MENU, "fresh_key": lambda: secrets.token_urlsafe(18)},
)


class FormRoute(Route, frozen=True, kw_only=True):
    """A route whose body is a form; `shows` is the page that has the form, shown again when something is refused."""

    shows: Handler | None = None


class ConsoleCall(Call):
    """A request for a page, with the session that it belongs to, and what was refused if the page is shown again."""

    __slots__ = ("head", "obstacle", "session")

    def __init__(self, *arguments: Any, session: OperatorSession | None) -> None:
        super().__init__(*arguments)
        self.session = session
        self.obstacle: Refusal | None = None
        #: The newest batch of the lane before anything was read for the page, which is told of those after it.
        self.head = 0

    @property
    def signed_in(self) -> OperatorSession:
        """Return the session of a page that only those see who are signed in."""
        assert self.session is not None, "the route is open to everybody"
        return self.session

    def may(self, duty: str) -> bool:
        """Tell whether whoever asks carries a duty."""
        return duty in self.caller.scopes

    def field(self, name: str) -> str:
        """Return what was typed into a field, without blanks around it; empty if the form has none such."""
        given: str = (self.body or {}).get(name, "")
        return given.strip()

    @property
    def is_fragment(self) -> bool:
        """Tell whether a script asks for a part of the page that is there already."""
        return self.request.header("hx-request") == "true" and self.request.header("hx-boosted") != "true"


def opens(path: str, handler: Any, summary: str, *, duty: str | None = duties.READ, refuses: Any = ()) -> Route:
    """Return the route of a page."""
    return Route(method="GET", path=path, handler=handler, summary=summary, scope=duty, refuses=tuple(refuses))


def posts(
    path: str, handler: Any, summary: str, *, duty: str | None, shows: Any = None, refuses: Any = ()
) -> FormRoute:
    """Return the route of a form, and the page that has it."""
    return FormRoute(
        method="POST",
        path=path,
        handler=handler,
        summary=summary,
        scope=duty,
        body=dict,
        shows=shows,
        refuses=tuple(refuses),
    )


async def page(call: ConsoleCall, template: str, facts: Mapping[str, Any], *, status: int = 200) -> Answer:
    """Answer a page, with what every page has beside its own facts."""
    return Answer(status, TEMPLATES.html(template, {**await common_facts(call), **facts}), content_type=HTML)


async def scales_of(call: ConsoleCall) -> dict[str, int]:
    """Return how many decimals the assets of the lane have; none for who is in no lane."""
    if call.session is None:
        return {}
    rows = await call.desk.reads.rows("lanes", "assets", ListedAsset, call.caller.lane)
    return {row.code: row.scale for row in rows}


async def common_facts(call: ConsoleCall) -> dict[str, Any]:
    """Return what every page has: who is signed in, where they are, what they may, and how assets are counted."""
    query = parse_qsl(call.request.query_string.decode("latin-1"), keep_blank_values=True)
    return {
        "session": call.session,
        "may": call.may,
        "duties": duties,
        "here": call.request.path,
        "query": dict(query),
        "said": SAID.get(dict(query).get(_SAID, "")),
        "obstacle": call.obstacle,
        "head": call.head,
        "given": call.body if isinstance(call.body, dict) else {},
        "request_id": call.request.id,
        "scales": await scales_of(call),
        "sandbox": call.session is not None and call.session.lane_kind == "sandbox",
    }


def done(path: str, said: str, **query: str) -> Answer:
    """Send the browser to a page of the console that says something, by its word."""
    assert said in SAID, said
    return see_other(f"{path}?{urlencode({**query, _SAID: said})}")
