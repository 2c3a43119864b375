"""What every dialect is: a table of routes, a table of replies to refusals, and the order of its checks.

A route's handler parses with the dialect's shapes, submits one command or runs one read, and renders with the shapes.
Everything that can go wrong on the way leaves here in the dialect's own error shape.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

import msgspec
import structlog

from otcdesk.api.http import Answer, ClientGone, Request, Stream, check_content_type, decode_body
from otcdesk.api.limits import RateLimit
from otcdesk.api.maintenance import Maintenance
from otcdesk.api.routing import Paths
from otcdesk.api.wire import canonical_uuid
from otcdesk.desk import OPERATORS, Caller, Desk
from otcdesk.domain.acts import InPerson
from otcdesk.domain.commands import Command
from otcdesk.errors import Code, Refusal
from otcdesk.storage.database import DATABASE_DOWN
from otcdesk.webhooks.envelope import Envelope

log = structlog.get_logger()

#: Codes that any command or any edge may answer with; every dialect has a row for each.
COMMON_CODES = frozenset(
    {
        Code.UNAUTHENTICATED,
        Code.CREDENTIAL_EXPIRED,
        Code.SOURCE_ADDRESS_DENIED,
        Code.SCOPE_MISSING,
        Code.TENANT_FROZEN,
        Code.ROUTE_UNKNOWN,
        Code.METHOD_NOT_ALLOWED,
        Code.BODY_TOO_LARGE,
        Code.CONTENT_TYPE_UNSUPPORTED,
        Code.REQUEST_INVALID,
        Code.RATE_LIMITED,
        Code.MAINTENANCE,
        Code.OVERLOADED,
        Code.UNAVAILABLE,
        Code.STOPPING,
        Code.CRASHED,
    }
)


class Reply(msgspec.Struct, frozen=True):
    """How a dialect says a refusal: the status and its own word."""

    status: int
    word: str


#: What the desk's own routes answer to the common codes; a dialect with a contract has its contract's words.
OWN_REPLIES = {
    Code.UNAUTHENTICATED: Reply(401, "UNAUTHORIZED"),
    Code.CREDENTIAL_EXPIRED: Reply(403, "FORBIDDEN"),
    Code.SOURCE_ADDRESS_DENIED: Reply(403, "FORBIDDEN"),
    Code.SCOPE_MISSING: Reply(403, "INSUFFICIENT_SCOPE"),
    Code.TENANT_FROZEN: Reply(403, "FORBIDDEN"),
    Code.ROUTE_UNKNOWN: Reply(404, "NOT_FOUND"),
    Code.METHOD_NOT_ALLOWED: Reply(405, "METHOD_NOT_ALLOWED"),
    Code.BODY_TOO_LARGE: Reply(413, "PAYLOAD_TOO_LARGE"),
    Code.CONTENT_TYPE_UNSUPPORTED: Reply(415, "UNSUPPORTED_MEDIA_TYPE"),
    Code.REQUEST_INVALID: Reply(400, "VALIDATION_ERROR"),
    Code.RATE_LIMITED: Reply(429, "RATE_LIMITED"),
    Code.MAINTENANCE: Reply(503, "SERVICE_UNAVAILABLE"),
    Code.OVERLOADED: Reply(503, "SERVICE_UNAVAILABLE"),
    Code.UNAVAILABLE: Reply(503, "SERVICE_UNAVAILABLE"),
    Code.STOPPING: Reply(503, "SERVICE_UNAVAILABLE"),
    Code.CRASHED: Reply(500, "INTERNAL_ERROR"),
}


class IncompleteReplies(Exception):
    """A dialect's table lacks a row for a code that its clients may meet; the server must not start."""


def check_total(dialect: str, replies: Mapping[Code, Reply], codes: frozenset[Code]) -> None:
    """Raise IncompleteReplies unless the table has a row for every code."""
    missing = sorted(code.name for code in codes - replies.keys())
    if missing:
        raise IncompleteReplies(f"{dialect} has no reply for {', '.join(missing)}")


class Recognizes(Protocol):
    """What turns a request's credential into a caller."""

    async def caller(self, request: Request) -> Caller:
        """Return who asks; refuses UNAUTHENTICATED and its neighbours."""
        ...


class Call:
    """One admitted request on its way through a handler."""

    __slots__ = ("body", "caller", "desk", "key", "request", "services")

    def __init__(self, desk: Desk, services: Any, request: Request, caller: Caller) -> None:
        self.desk = desk
        self.services = services
        self.request = request
        self.caller = caller
        self.body: Any = None
        self.key: str | None = None

    def path_text(self, name: str) -> str:
        """Return a part of the path."""
        return self.request.path_parameters[name]

    def path_id(self, name: str, unknown: Code) -> UUID:
        """Return an id in the path; what is no id cannot be found, so it is refused with `unknown`."""
        text = self.path_text(name)
        try:
            return canonical_uuid(text)
        except ValueError:
            raise Refusal(unknown) from None

    async def submit(self, command: Command, *, why: str = "") -> Any:
        """Carry out a command for this caller, under this request's idempotency key if it has one.

        What an operator asks for is kept with their address and, if they say it, why.
        """
        in_person = None
        if self.caller.kind in OPERATORS:
            in_person = InPerson(address=self.request.client_address, why=why)
        return await self.desk.submit(
            self.caller, command, request_id=self.request.id, key=self.key, in_person=in_person
        )


Handler = Callable[[Call], Awaitable[Any]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a dialect's table of routes; also what its OpenAPI document is made from."""

    method: str
    path: str
    handler: Handler
    summary: str
    scope: str | None
    status: int = 200
    body: Any = None
    body_optional: bool = False
    #: Fields of the body that must be there though its shape lets them be left out, to tell by itself what is missing.
    body_required: tuple[str, ...] = ()
    answer: Any = None
    query: Any = None
    query_required: tuple[str, ...] = ()
    #: Headers besides those of the dialect, and whether they must be there.
    headers: Mapping[str, bool] = {}
    #: Whether the answer is in the dialect's envelope, and what is in it beside the data; None: what pages have.
    wrapped: bool = True
    beside: Mapping[str, Any] | None = None
    #: Of what kind the body is, and the answer, where they are no JSON: the handler is given, and gives, their bytes.
    takes: str | None = None
    gives: str | None = None
    #: The schema of a body that is no JSON, where more can be said of it than that it is a text.
    form: Mapping[str, Any] | None = None
    #: Headers that may stand for a body, and the schemas of what is in them.
    credential_headers: Mapping[str, Mapping[str, Any]] = {}
    #: What other statuses than the usual mean that it went well.
    also: Mapping[int, str] = {}
    keyed: bool = False
    refuses: tuple[Code, ...] = ()

    @property
    def label(self) -> str:
        """Return the route as metrics name it."""
        return f"{self.method} {self.path}"

    @property
    def writes(self) -> bool:
        """Tell whether the route changes anything, by its method."""
        return self.method not in {"GET", "HEAD"}


class Dialect:
    """Base of all dialects: admits, parses, calls the handler and renders, in an order that subclasses may refine."""

    name: str
    title: str
    routes: Sequence[Route]
    replies: Mapping[Code, Reply]
    #: What single routes, by their labels, say otherwise.
    exceptions: Mapping[tuple[str, Code], Reply] = {}
    #: How a credential may be sent, for the document of it; what must be sent together is joined by `+`.
    credentials: Sequence[str] = ("apiKey", "bearer")
    #: The schema of its errors, for the document of it; None for that of the structured error.
    error_schema: Mapping[str, Any] | None = None
    #: How its clients are told what happened, for the document of it; None if they are not.
    callbacks: Envelope | None = None
    #: What its answers are: JSON, or pages for people.
    content_type: bytes = b"application/json"
    #: What an idempotency key looks like, in the regular expressions that Python and JSON Schema share.
    key_pattern: str = ".+"
    #: The schemas of parts of paths, by their names; of any other it is said that it is a text.
    path_schemas: Mapping[str, Mapping[str, Any]] = {}

    def __init__(
        self,
        desk: Desk,
        authenticator: Recognizes,
        limit: RateLimit,
        *,
        maintenance: Maintenance,
        count: Callable[[str, str, int, int], None],
        services: Any,
    ) -> None:
        self.desk = desk
        self.maintenance = maintenance
        self.count = count
        self.authenticator = authenticator
        self.limit = limit
        self.services = services
        by_path: dict[str, dict[str, Route]] = {}
        for route in self.routes:
            by_path.setdefault(route.path, {})[route.method] = route
        self._paths = Paths(by_path)
        check_total(self.name, self.replies, COMMON_CODES.union(*(route.refuses for route in self.routes)))

    async def __call__(self, request: Request) -> Answer | Stream:
        """Answer one request, whatever happens, in the dialect's own shape; raises only ClientGone."""
        started = time.perf_counter_ns()
        answer: Answer | Stream
        try:
            answer = await self.answer(request, self._route(request))
        except Refusal as refusal:
            answer = self.refused(refusal, request)
        except ClientGone:
            raise
        except DATABASE_DOWN as error:
            log.warning("database_down", request_id=request.id, error=repr(error))
            answer = self.refused(Refusal(Code.UNAVAILABLE, retry_after_seconds=1), request)
        except Exception:
            log.exception("request_crashed", request_id=request.id, method=request.method, path=request.path)
            answer = self.refused(Refusal(Code.CRASHED), request)
        taken_ns = time.perf_counter_ns() - started
        self.count(self.name, request.route, answer.status, taken_ns)
        log.debug(
            "request",
            request_id=request.id,
            method=request.method,
            path=request.path,
            status=answer.status,
            microseconds=taken_ns // 1000,
        )
        return answer

    def _route(self, request: Request) -> Route:
        self.find_version(request)
        methods, request.path_parameters = self._paths.find(request.inside)
        if methods is None:
            raise Refusal(Code.ROUTE_UNKNOWN)
        route = methods.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            raise Refusal(Code.METHOD_NOT_ALLOWED, allow=", ".join(sorted(methods)))
        request.route = route.label
        return route

    def find_version(self, request: Request) -> None:
        """Take a version out of the path, where a contract puts one there; nothing unless a dialect says so."""

    async def answer(self, request: Request, route: Route) -> Answer | Stream:
        """Carry a request through the checks and its handler."""
        caller = await self.admit(request, route)
        call = Call(self.desk, self.services, request, caller)
        self.before_body(call, route)
        if route.body is not None:
            call.body = await self.read_body(request, route)
        return self.render(await route.handler(call), request, route)

    async def admit(self, request: Request, route: Route) -> Caller:
        """Find out who asks and whether they may.

        Refuses MAINTENANCE before anything else, then UNAUTHENTICATED and its neighbours, SCOPE_MISSING, RATE_LIMITED.
        """
        try:
            caller = await self.authenticator.caller(request)
        except Refusal:
            await self.maintenance.check(self.name, None)
            raise
        await self.maintenance.check(self.name, caller.lane)
        if route.scope is not None and route.scope not in caller.scopes:
            raise Refusal(Code.SCOPE_MISSING)
        self.count_request(caller)
        return caller

    def count_request(self, caller: Caller) -> None:
        """Count a request against the limit of whoever it counts for: the owner, unless a dialect says otherwise."""
        self.limit.take(caller)

    def before_body(self, call: Call, route: Route) -> None:
        """Check what a dialect checks before it looks at the body; nothing unless it says so."""

    async def read_body(self, request: Request, route: Route) -> Any:
        """Read the body as the route's shape, or as it is where that is no JSON."""
        if route.takes is not None:
            return await self.raw_body(request, self.body_bytes_max(route))
        check_content_type(request)
        return decode_body(await self.raw_body(request), route.body)

    def body_bytes_max(self, route: Route) -> int | None:  # noqa: ARG002  (for subclasses)
        """Return how long the body of a route may be that is no JSON; None: as long as any."""
        return None

    async def raw_body(self, request: Request, bytes_max: int | None = None) -> bytes:
        """Read a body as bytes, within the settings' time."""
        return await request.body(seconds_max=self.desk.settings.body_seconds_max, bytes_max=bytes_max)

    def render(self, value: Any, request: Request, route: Route) -> Answer | Stream:
        """Turn a handler's value into an answer."""
        if isinstance(value, Answer | Stream):
            return msgspec.structs.replace(value, headers=value.headers + self.headers_of(request))
        return Answer(route.status, self.enveloped(value), self.headers_of(request), self.content_type)

    def enveloped(self, value: Any) -> Any:
        """Put a handler's value into what the dialect wraps its answers in; nothing unless it says so."""
        return value

    def refused(self, refusal: Refusal, request: Request) -> Answer:
        """Say a refusal in the dialect's shape."""
        reply = self.reply_of(refusal, request)
        headers = self.headers_of(request) + self.refusal_headers(refusal)
        if "retry_after_seconds" in refusal.facts:
            headers += ((b"retry-after", b"%d" % refusal.facts["retry_after_seconds"]),)
        if refusal.code is Code.METHOD_NOT_ALLOWED:
            headers += ((b"allow", refusal.facts["allow"].encode("ascii")),)
        if refusal.code is Code.UNAUTHENTICATED:
            headers += ((b"www-authenticate", b"Bearer"),)
        return Answer(reply.status, self.error_body(reply, refusal, request), headers, self.content_type)

    @classmethod
    def reply_to(cls, code: Code, route: str) -> Reply:
        """Return what a route, by its label, says of a code."""
        return cls.exceptions.get((route, code)) or cls.replies.get(code, cls.replies[Code.CRASHED])

    def reply_of(self, refusal: Refusal, request: Request) -> Reply:
        """Return the reply to a refusal; a dialect may have words that depend on the facts."""
        return self.reply_to(refusal.code, request.route)

    def refusal_headers(self, refusal: Refusal) -> tuple[tuple[bytes, bytes], ...]:  # noqa: ARG002  (for subclasses)
        """Return headers that a dialect sends with a refusal besides those of every dialect."""
        return ()

    def headers_of(self, request: Request) -> tuple[tuple[bytes, bytes], ...]:  # noqa: ARG002  (for subclasses)
        """Return headers that every answer of the dialect carries."""
        return ()

    def error_body(self, reply: Reply, refusal: Refusal, request: Request) -> Any:
        """Return the body of a refusal."""
        raise NotImplementedError
