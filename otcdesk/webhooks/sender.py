"""One attempt to deliver, over HTTP: a POST to a place that may be connected to, whatever is found there.

The URL is read for each attempt, its host looked up and all its addresses judged for each new connection, which goes to
one of those addresses, under the URL's own name for TLS and `Host`. A connection is kept while it is used and a few
seconds longer; it stays at the address that was judged. Redirects, cookies, proxies and compression are not followed,
kept, used or asked for. Of an answer the status counts as soon as its headers are read; of its body no more is read
than is kept.
"""

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, Self

import aiohttp
import msgspec
import structlog
import yarl
from aiohttp.connector import AddrInfoType
from multidict import CIMultiDict

from otcdesk import __version__
from otcdesk.config import SettingsError
from otcdesk.errors import Code, Refusal
from otcdesk.webhooks.addresses import checked_url
from otcdesk.webhooks.lookups import Lookups, NotPublic, Resolve, is_open, system_resolve

log = structlog.get_logger()

#: How long an idle connection is kept, seconds: less than receivers keep theirs (often 5 s), so that seldom one is used
#: that its receiver has just closed; a new connection looks the host up anew.
_KEPT_SECONDS: Final = 2
#: Bounds on the head of an answer: each line, bytes, and their number.
_HEAD_LINE_BYTES_MAX: Final = 8_190
_HEAD_LINES_MAX: Final = 128
_NS_PER_MS: Final = 1_000_000
#: More than any pause that is obeyed, and an integer of the database; longer numbers are cut to their first digits.
_RETRY_AFTER_SECONDS_MAX: Final = 1_000_000_000
_DIGITS_MAX: Final = 10
_RETRY_AFTER_STATUSES: Final = frozenset({429, 503})
#: URLs that are only checked have turns of their own, so that nobody who has many checked holds up what is sent; and
#: what waits for one of these is bounded, as anybody with an API key can ask.
CHECKS_AT_ONCE_MAX: Final = 8
CHECKS_WAITING_MAX: Final = 32

_CLOSED: Final = "the connection was closed before an answer"
_EXHAUSTED: Final = "the desk has no connection left for it"
_FAILED: Final = "the request failed"

#: What a failure of the system is called, by its number.
_CONNECT_ERRORS: Final = {
    errno.ECONNREFUSED: "connection refused",
    errno.EMFILE: _EXHAUSTED,
    errno.ENFILE: _EXHAUSTED,
    errno.ENOBUFS: _EXHAUSTED,
    errno.ENOMEM: _EXHAUSTED,
}

#: What is wrong with a certificate, by OpenSSL's number of it (X509_V_ERR_...).
_CERTIFICATE_ERRORS: Final = {
    9: "TLS: the certificate is not valid yet",
    10: "TLS: the certificate has expired",
    62: "TLS: the certificate is for another name",
    64: "TLS: the certificate is for another address",
}
_CERTIFICATE_ERROR: Final = "TLS: the certificate is not trusted"

#: What other failures are called; the first that fits counts, so the special come before the general.
_ERRORS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (NotPublic, "the host leads to an address that is not public"),
    (aiohttp.ClientConnectorDNSError, "the host cannot be resolved"),
    (ssl.SSLError, "TLS: no connection could be agreed on"),
    (aiohttp.ClientResponseError, "the answer is not HTTP that can be read"),
    (aiohttp.ServerDisconnectedError, _CLOSED),
    (aiohttp.ClientPayloadError, _CLOSED),
    (ConnectionError, _CLOSED),
    (OSError, "the host cannot be reached"),
)

#: Whether the attempt at hand has opened a connection; tasks that an attempt starts share its mark.
_opened: ContextVar[list[bool]] = ContextVar("_opened")


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one POST: a `status`, or an `error` that says in a sentence for people why there is none.

    Whether a status says that the message was received is the envelope's to judge. `took_ms` is until the status was
    known or the attempt given up. `body` is the beginning of the answer, without what a database cannot keep.
    `retry_after_seconds` is what the receiver asked for with 429 or 503, if it can be understood, at least 0.
    """

    status: int | None
    took_ms: int
    error: str | None
    body: str
    retry_after_seconds: int | None


class Sender:
    """Posts to receivers; made by `opened`."""

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        checks: Lookups,
        local: bool,
        timeout_ms: int,
        response_bytes_max: int,
    ) -> None:
        """Take what `opened` has made; `checks` are the lookups of `check`, those of the session are its own."""
        self._session = session
        self._checks = checks
        self._local = local
        self._timeout_ms = timeout_ms
        self._response_bytes_max = response_bytes_max

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        *,
        local: bool,
        timeout_ms: int,
        ca_file: str,
        response_bytes_max: int,
        connections_max: int,
        resolve: Resolve | None = None,
    ) -> AsyncIterator[Self]:
        """Give a sender while the context lasts; raises SettingsError if the file of authorities cannot be used.

        `local` opens loopback and plain HTTP. `ca_file` holds authorities to trust beside the system's, in PEM; empty:
        none. With more attempts than `connections_max` at the same time the others wait within their own timeout.
        `resolve` is who knows the addresses of hosts, the system if not given.
        """
        trusted = _trusted(ca_file)
        resolve = resolve or system_resolve()
        lookups = Lookups(resolve, local=local)
        checks = Lookups(resolve, local=local, at_once_max=CHECKS_AT_ONCE_MAX, waiting_max=CHECKS_WAITING_MAX)
        connector = aiohttp.TCPConnector(
            resolver=lookups,
            use_dns_cache=False,
            ssl=trusted,
            limit=connections_max,
            keepalive_timeout=_KEPT_SECONDS,
            socket_factory=_sockets(local=local),
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            # The timeout is kept here: aiohttp rounds long ones up to whole seconds.
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            headers={"Accept-Encoding": "identity", "User-Agent": f"otcdesk/{__version__}"},
            max_line_size=_HEAD_LINE_BYTES_MAX,
            max_field_size=_HEAD_LINE_BYTES_MAX,
            max_headers=_HEAD_LINES_MAX,
        )
        async with session:
            try:
                yield cls(
                    session=session,
                    checks=checks,
                    local=local,
                    timeout_ms=timeout_ms,
                    response_bytes_max=response_bytes_max,
                )
            finally:
                await lookups.close()
                await checks.close()

    async def check(self, url: str) -> None:
        """Judge a URL as an attempt would, now.

        Refuses with SUBSCRIPTION_URL_INVALID, SUBSCRIPTION_URL_FORBIDDEN, or SUBSCRIPTION_URL_UNRESOLVED if the host's
        addresses are not known within the timeout, or too many hosts are being looked up for others.
        """
        target = checked_url(url, local=self._local)
        if target.address is not None:
            return
        try:
            async with asyncio.timeout(self._timeout_ms / 1_000):
                await self._checks.addresses(target.host, target.port)
        except NotPublic:
            raise Refusal(Code.SUBSCRIPTION_URL_FORBIDDEN) from None
        except OSError:  # TimeoutError is one
            raise Refusal(Code.SUBSCRIPTION_URL_UNRESOLVED) from None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Attempt:
        """Post a body once, and tell what came of it; nothing is raised but the caller's own cancellation.

        Of a URL the one spelling of `checked_url` is asked for. The body goes out as `application/json`, unless
        `headers` say otherwise. All of it, with the wait for a connection, takes no longer than the timeout.
        """
        started = time.monotonic_ns()
        deadline = asyncio.timeout(self._timeout_ms / 1_000)
        try:
            async with deadline:
                response = await self._post(_asked_for(url, local=self._local), headers, body)
        except Exception as error:  # noqa: BLE001  (whatever a hostile receiver brings about is that attempt's failure)
            late = isinstance(error, TimeoutError) and deadline.expired()
            sentence = f"timed out after {self._timeout_ms} ms" if late else _sentence(error)
            return Attempt(status=None, took_ms=_since(started), error=sentence, body="", retry_after_seconds=None)
        took_ms = _since(started)
        return Attempt(
            status=response.status,
            took_ms=took_ms,
            error=None,
            body=_text(await self._beginning(response, self._timeout_ms - took_ms)),
            retry_after_seconds=_retry_after(response),
        )

    async def _post(self, url: yarl.URL, headers: Mapping[str, str], body: bytes) -> aiohttp.ClientResponse:
        """Return the answer once its headers are read.

        A kept connection that its receiver has closed meanwhile says nothing of the receiver, so the next one is taken;
        it ends at the latest with a new one. What was sent may have arrived twice then, as with any repeated attempt.
        """
        sent = CIMultiDict(headers)
        sent.setdefault("Content-Type", "application/json")
        while True:
            opened: list[bool] = []
            _opened.set(opened)
            try:
                return await self._session.post(url, data=body, headers=sent, allow_redirects=False)
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError):
                if opened:
                    raise

    async def _beginning(self, response: aiohttp.ClientResponse, left_ms: int) -> bytes:
        """Read what is kept of a body, and close the connection if there is more; what fails here changes nothing."""
        content, found = response.content, bytearray()
        try:
            async with asyncio.timeout(left_ms / 1_000):
                while len(found) < self._response_bytes_max and not content.at_eof():
                    found += await content.read(self._response_bytes_max - len(found))
        except Exception as error:  # noqa: BLE001  (the status is known, and nothing else matters)
            log.debug("webhook_answer_cut", kind=type(error).__name__)
        finally:
            if not content.at_eof() or content.exception() is not None:
                response.close()
        return bytes(found)


def _trusted(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # also where the system's configuration is laxer
    context.set_alpn_protocols(["http/1.1"])
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:  # ssl.SSLError is one: a file without a certificate
            reason = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
            raise SettingsError(f"DESK_WEBHOOKS_CA_FILE: {ca_file} cannot be used: {reason}") from None
    return context


def _sockets(*, local: bool) -> Callable[[AddrInfoType], socket.socket]:
    """Return what makes sockets: the last to see where one will connect to, also when no host was looked up."""

    def make(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, place = info
        if not is_open(str(place[0]), local=local):
            raise NotPublic("not public")
        _opened.get([]).append(True)
        return socket.socket(family, kind, protocol)

    return make


@lru_cache(maxsize=1_024)
def _asked_for(url: str, *, local: bool) -> yarl.URL:
    """Return a URL as it is asked for, judged and in its one spelling; refuses as `checked_url` does."""
    target = checked_url(url, local=local)
    asked = yarl.URL(target.url, encoded=True)
    # What is connected to must be what was judged, so the library has to read the same; also where asserts are off.
    if (asked.scheme, asked.raw_host, asked.port) != (target.scheme, target.host, target.port):
        raise Refusal(Code.SUBSCRIPTION_URL_INVALID)
    return asked


def _sentence(error: Exception) -> str:
    """Say what went wrong, in words that hold nothing of the inside and stay the same."""
    if isinstance(error, Refusal):
        return error.detail
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _CERTIFICATE_ERRORS.get(cause.verify_code, _CERTIFICATE_ERROR)
    if isinstance(cause, OSError) and cause.errno in _CONNECT_ERRORS and not isinstance(cause, ssl.SSLError):
        return _CONNECT_ERRORS[cause.errno]
    for kind, sentence in _ERRORS:
        if isinstance(cause, kind) or isinstance(error, kind):
            return sentence
    log.warning("webhook_attempt_failed", kind=type(error).__name__)
    return _FAILED


def _retry_after(response: aiohttp.ClientResponse) -> int | None:
    """Read Retry-After (RFC 9110 section 10.2.3): seconds or a date. Nonsense says nothing."""
    text = response.headers.get("Retry-After", "").strip()
    if response.status not in _RETRY_AFTER_STATUSES:
        return None
    if text.isascii() and text.isdigit():
        return min(int(text[:_DIGITS_MAX]), _RETRY_AFTER_SECONDS_MAX)
    try:
        moment = parsedate_to_datetime(text)
    except Exception:  # noqa: BLE001  (the parser stumbles over nonsense in more ways than it says)
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0, -((datetime.now(UTC) - moment) // timedelta(seconds=1))), _RETRY_AFTER_SECONDS_MAX)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace").replace("\0", "")  # PostgreSQL keeps no NUL


def _since(started_ns: int) -> int:
    return (time.monotonic_ns() - started_ns) // _NS_PER_MS
