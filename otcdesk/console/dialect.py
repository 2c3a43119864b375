"""The console as a dialect: whose page it is, what they may, where a form comes from, and what goes wrong on the way.

The order of the checks: the session, by its cookie; the duty that the route asks for; for a form its size and kind,
where it was sent from, and the session's own mark in it. What a command asks for is checked once more where every
command goes through (`Desk.submit`), so that a page that forgets it lets nobody do anything.
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlsplit

from otcdesk.api.dialect import OWN_REPLIES, Reply, Route
from otcdesk.api.http import Answer, Request, Stream
from otcdesk.api.pages import Headers, Pages, see_other
from otcdesk.console.page import TEMPLATES, ConsoleCall, FormRoute
from otcdesk.desk import PERSON, Caller
from otcdesk.domain import duties
from otcdesk.domain.parties import DESK_ID
from otcdesk.errors import Code, Refusal
from otcdesk.operators import OperatorSession

#: What our script sends with a request of the page's own when somebody has touched page or keys since the last one.
_SOMEBODY_THERE: Final = "x-somebody-there"

COOKIE: Final = "otcdesk_session"
SIGN_IN: Final = "/console/sign-in"

_NOBODY: Final = Caller(lane=0, owner_id=DESK_ID, name="anyone", kind="none", scopes=frozenset())

#: Scripts and styles of this server only, and none that stands in a page itself.
_POLICY: Final = b"; ".join(
    (
        b"default-src 'none'",
        b"script-src 'self'",
        b"style-src 'self'",
        b"img-src 'self'",
        b"connect-src 'self'",
        b"form-action 'self'",
        b"base-uri 'none'",
        b"frame-ancestors 'none'",
    )
)

#: What a browser says of where a request comes from, if it is one of ours or typed by a person.
_OURS: Final = frozenset({"same-origin", "none"})

_TITLES: Final[dict[Code, str]] = {
    Code.UNAUTHENTICATED: "Please sign in",
    Code.DUTY_MISSING: "Your roles do not allow this",
    Code.SCOPE_MISSING: "Your roles do not allow this",
    Code.ROUTE_UNKNOWN: "There is nothing here",
    Code.METHOD_NOT_ALLOWED: "This cannot be done here",
    Code.CSRF_TOKEN_INVALID: "Please open the page again",
    Code.RATE_LIMITED: "That was too fast",
    Code.UNAVAILABLE: "The books cannot be reached now",
    Code.CRASHED: "Something went wrong on our side",
}

#: What has another status than its name says.
_STATUSES: Final = {
    **{code: reply.status for code, reply in OWN_REPLIES.items()},
    Code.SIGN_IN_FAILED: 401,
    Code.SIGN_IN_LOCKED: 429,
    Code.DUTY_MISSING: 403,
    Code.SAME_PERSON: 403,
    Code.OPERATOR_IS_SELF: 403,
    Code.CSRF_TOKEN_INVALID: 403,
    Code.PASSWORD_WEAK: 400,
}
_NOT_FOUND, _CONFLICT = 404, 409


def _reply(code: Code) -> Reply:
    missing = code.name.endswith(("_NOT_FOUND", "_UNKNOWN"))
    return Reply(_STATUSES.get(code, _NOT_FOUND if missing else _CONFLICT), "This did not work")


class ConsoleBase(Pages):
    """What is common to all pages; the sections' routes are in `routes.py`."""

    name = "console"
    title = "Console"
    templates = TEMPLATES
    titles = _TITLES
    routes: Sequence[Route] = ()
    #: Every code: a page says a refusal in its own sentence, so whatever a command is refused with has its place.
    replies: Mapping[Code, Reply] = {code: _reply(code) for code in Code}

    async def answer(self, request: Request, route: Route) -> Answer | Stream:
        """Carry a request through the checks and its handler; a form that is refused is shown again, and why."""
        session = await self._session(request)
        call = ConsoleCall(self.desk, self.services, request, _caller_of(session), session=session)
        if route.scope is not None:
            if session is None:
                raise Refusal(Code.UNAUTHENTICATED, "Please sign in.")
            if route.scope not in call.caller.scopes:
                raise Refusal(Code.DUTY_MISSING, duty=route.scope)
            self.count_request(call.caller)
            if not call.is_fragment:
                call.head = await self.services.feed.head(call.caller.lane)
        if route.body is not None:
            call.body = await self.read_body(request, route)
            check_origin(request)
            if session is not None:
                check_mark(call.body, session)
        try:
            return self.render(await route.handler(call), request, route)
        except Refusal as refusal:
            shows = route.shows if isinstance(route, FormRoute) else None
            if shows is None or refusal.code is Code.CRASHED:
                raise
            call.obstacle = refusal
            return self._shown_again(await shows(call), call, refusal)

    def _shown_again(self, answer: Answer, call: ConsoleCall, refusal: Refusal) -> Answer:
        status = self.reply_of(refusal, call.request).status
        return Answer(status, answer.body, answer.headers + self.headers_of(call.request), answer.content_type)

    async def _session(self, request: Request) -> OperatorSession | None:
        token = cookie_of(request)
        return await self.services.operators.session(token, seen=is_by_a_person(request)) if token else None

    def headers_of(self, request: Request) -> Headers:
        """Return what keeps a page to itself, and lets its own scripts run."""
        return (*super().headers_of(request), (b"content-security-policy", _POLICY))

    def refusal_headers(self, refusal: Refusal) -> Headers:  # noqa: ARG002  (the policy is every page's)
        """Return nothing more than every page has."""
        return ()

    def refused(self, refusal: Refusal, request: Request) -> Answer:
        """Send who is not signed in to where they can; show anybody else what went wrong."""
        if refusal.code is Code.UNAUTHENTICATED:
            if request.header("hx-request") == "true":
                leads = (b"hx-redirect", _signing_in(request, "").encode("ascii"))
                return Answer(204, b"", (leads, *self.headers_of(request)))
            if request.method in {"GET", "HEAD"}:
                answer = see_other(_signing_in(request, _path_of(request)))
                return Answer(answer.status, b"", answer.headers + self.headers_of(request), answer.content_type)
        return super().refused(refusal, request)

    def error_body(self, reply: Reply, refusal: Refusal, request: Request) -> bytes:
        """Return the page of a refusal."""
        title = self.titles.get(refusal.code, reply.word)
        return self.templates.html("refused.html", {"title": title, "why": refusal.detail, "request_id": request.id})


def _caller_of(session: OperatorSession | None) -> Caller:
    if session is None:
        return _NOBODY
    return Caller(
        lane=session.lane,
        owner_id=DESK_ID,
        name=f"{PERSON}:{session.email}",
        kind=PERSON,
        scopes=duties.duties_of(session.roles),
        client_id=session.operator_id,
    )


def cookie_of(request: Request) -> str:
    """Return the session's token as the browser sends it; empty if it sends none."""
    for part in (request.header("cookie") or "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def is_by_a_person(request: Request) -> bool:
    """Tell whether somebody opened or sent something, or is at the page that asks, as its script says.

    What an open page asks for by itself keeps nobody signed in.
    """
    if request.header(_SOMEBODY_THERE) == "yes":
        return True
    return request.header("hx-request") != "true" and request.header("sec-fetch-mode") in {None, "navigate"}


def check_origin(request: Request) -> None:
    """Refuse CSRF_TOKEN_INVALID for a form that a browser says was sent by a page of somebody else.

    Who says nothing of where it comes from is no browser, and has no cookies but those it was given.
    """
    site, origin = request.header("sec-fetch-site"), request.header("origin")
    if site is not None and site not in _OURS:
        raise Refusal(Code.CSRF_TOKEN_INVALID, "This form was sent by another page.")
    if origin == "null" and site is not None:
        return  # a page that sends no referrer, as ours, sends no origin either; the browser has said whose it is
    if origin is not None and urlsplit(origin).netloc.lower() != (request.header("host") or "").lower():
        raise Refusal(Code.CSRF_TOKEN_INVALID, "This form was sent by another page.")


def check_mark(form: Mapping[str, Any], session: OperatorSession) -> None:
    """Refuse CSRF_TOKEN_INVALID for a form without the mark of the session that it was made for."""
    given = str(form.get("csrf", ""))
    if not hmac.compare_digest(given.encode(), session.csrf_token.encode()):
        raise Refusal(Code.CSRF_TOKEN_INVALID, "This form is of another session. Open the page again.")


def _signing_in(request: Request, back: str) -> str:  # noqa: ARG001  (one place decides where signing in begins)
    return f"{SIGN_IN}?next={quote(back, safe='')}" if back else SIGN_IN


def _path_of(request: Request) -> str:
    query = request.query_string.decode("latin-1")
    return request.raw_path + (f"?{query}" if query else "")
