"""Pages for people: HTML from templates, forms that are posted, and where the browser goes next.

A page needs nothing but itself and one style sheet of this server: no script, no image, no other host. Whatever is put
into a template is escaped. What a form may do and who may show the page in a frame is said in headers.
"""

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import jinja2

from otcdesk.api.dialect import Dialect, Reply, Route
from otcdesk.api.http import Answer, Request
from otcdesk.errors import Code, Refusal

HTML = b"text/html; charset=utf-8"
CSS = b"text/css; charset=utf-8"

#: More fields than this are on no form of ours.
_FIELDS_MAX = 200
_FORM = "application/x-www-form-urlencoded"

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=()"),
)

Headers = tuple[tuple[bytes, bytes], ...]


def policy(*form_targets: str) -> tuple[bytes, bytes]:
    """Return the content security policy of a page whose forms end here or, by a redirect, at these origins."""
    targets = " ".join(("'self'", *form_targets))
    text = f"default-src 'none'; style-src 'self'; form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    return b"content-security-policy", text.encode("ascii")


def see_other(url: str) -> Answer:
    """Send the browser on, to read what is there; `url` is ASCII and was judged by the caller."""
    return Answer(303, b"", ((b"location", url.encode("ascii")), policy()), HTML)


class Templates:
    """The templates of a package, with filters and facts of its own that all of them know."""

    def __init__(
        self, package: str, *, filters: Mapping[str, Any] | None = None, facts: Mapping[str, Any] | None = None
    ) -> None:
        self._found = jinja2.Environment(
            loader=jinja2.PackageLoader(package),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._found.filters.update(filters or {})
        self._found.globals.update(facts or {})

    def html(self, name: str, facts: Mapping[str, Any]) -> bytes:
        """Return a page."""
        return self._found.get_template(name).render(facts).encode()

    def page(
        self, name: str, facts: Mapping[str, Any], *, status: int = 200, form_targets: tuple[str, ...] = ()
    ) -> Answer:
        """Answer a page."""
        return Answer(status, self.html(name, facts), (policy(*form_targets),), HTML)


class Pages(Dialect):
    """Base of what answers pages: its routes have no credentials of headers, its bodies are forms.

    `refused.html` is shown for what is refused; `titles` are what people are told of it, by code.
    """

    content_type = HTML
    templates: ClassVar[Templates]
    titles: Mapping[Code, str] = {}

    async def read_body(self, request: Request, route: Route) -> dict[str, str]:  # noqa: ARG002  (all forms alike)
        """Read a form; refuses CONTENT_TYPE_UNSUPPORTED, and REQUEST_INVALID for a field that is there twice."""
        if (request.header("content-type") or "").partition(";")[0].strip().lower() != _FORM:
            raise Refusal(Code.CONTENT_TYPE_UNSUPPORTED, "The form was not sent as one.")
        raw = await self.raw_body(request)
        try:
            pairs = parse_qsl(
                raw.decode("ascii"),
                keep_blank_values=True,
                max_num_fields=_FIELDS_MAX,
                encoding="utf-8",
                errors="strict",
            )
        except ValueError:
            raise Refusal(Code.REQUEST_INVALID, "The form cannot be read.") from None
        fields = dict(pairs)
        if len(fields) != len(pairs) or any("\x00" in text for text in fields.values()):
            raise Refusal(Code.REQUEST_INVALID, "The form cannot be read.")
        return fields

    def headers_of(self, request: Request) -> Headers:  # noqa: ARG002  (all pages alike)
        """Return what keeps a page to itself."""
        return _HEADERS

    def refusal_headers(self, refusal: Refusal) -> Headers:  # noqa: ARG002  (all refusals alike)
        """Return the policy of a page without a form."""
        return (policy(),)

    def error_body(self, reply: Reply, refusal: Refusal, request: Request) -> bytes:
        """Return the page of a refusal."""
        title = self.titles.get(refusal.code, reply.word)
        return self.templates.html("refused.html", {"title": title, "why": refusal.detail, "request_id": request.id})
