"""Captured requests, by hand or by a tool: read byte for byte, recognised, and what cannot be read is named."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.app import ENVELOPES
from otcdesk.webhooks.captures import (
    CaptureUnreadable,
    public_keys,
    read_request,
    recognised,
    secret_key,
    signed_at,
)
from otcdesk.webhooks.envelope import KeyKind
from tests.support.callbacks import captured, checking, fresh, sending

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


@given(body=st.binary(max_size=100), end=st.sampled_from([b"\r\n", b"\n"]), counted=st.booleans())
def test_a_body_is_kept_byte_for_byte(body: bytes, end: bytes, *, counted: bool) -> None:
    lines = [b"POST /in?a=1 HTTP/1.1", b"Host: a.example:8443", b"X-Two:  spaced\t", b"X-None:"]
    if counted:
        lines.append(b"Content-Length: %d" % len(body))
    read = read_request(end.join([*lines, b"", body]) + (b"\n" if counted else b""))
    assert read.body == body
    assert (read.method, read.url) == ("POST", "https://a.example:8443/in?a=1")
    assert (read.headers["x-two"], read.headers["x-none"]) == ("spaced", "")


def test_headers_of_one_name_are_one_list() -> None:
    read = read_request(b"POST / HTTP/1.1\r\nSignature: a=:AA==:\r\nSIGNATURE: b=:AA==:\r\n\r\n")
    assert read.headers == {"signature": "a=:AA==:, b=:AA==:"}


def test_where_it_was_posted_to_may_be_told() -> None:
    raw = b"POST /inside HTTP/1.1\r\nHost: inside\r\n\r\n"
    assert read_request(raw, "https://outside.example/x").url == "https://outside.example/x"
    assert read_request(b"POST http://a.example/x HTTP/1.1\n\n").url == "http://a.example/x"


@pytest.mark.parametrize(
    "raw,said",
    [
        (b"", "no empty line"),
        (b"POST / HTTP/1.1\r\nHost: a\r\n", "no empty line"),
        (b'{"id":1}\n\n', "does not begin with a request line"),
        (b"HTTP/1.1 200 OK\n\n", "does not begin with a request line"),
        (b"POST / HTTP/1.1\nHost a\n\n", "Line 2 is not a header"),
        (b"POST / HTTP/1.1\nHost: a\n folded\n\n", "Line 3 is not a header"),
        (b"POST / HTTP/1.1\nContent-Length: x\n\n", "Content-Length is not a number"),
        (b"POST / HTTP/1.1\nContent-Length: 3\n\nab", "says 3 bytes, and only 2 are there"),
    ],
)
def test_what_is_no_request_is_named(raw: bytes, said: str) -> None:
    with pytest.raises(CaptureUnreadable, match=said):
        read_request(raw)


@pytest.mark.parametrize("name", ENVELOPES.names)
def test_an_envelope_is_known_by_its_messages(name: str) -> None:
    envelope = ENVELOPES.named(name)
    message = captured(envelope, sending(b"{}", fresh(envelope.key_kinds[0]), at=NOW))
    assert recognised(message) == name
    assert signed_at(name, message) == (None if name == "ramp" else NOW)


def test_anything_else_is_not_known() -> None:
    message = read_request(b"POST / HTTP/1.1\nSignature: x\n\n")
    assert recognised(message) is None
    assert [signed_at(name, message) for name in ENVELOPES.names] == [None] * 4


def test_a_secret_is_freed_of_what_an_editor_left() -> None:
    assert secret_key(b" whsec_abc\r\n").content == b"whsec_abc"


@pytest.mark.parametrize("kind", [kind for kind in KeyKind if kind is not KeyKind.HMAC_SHA256])
def test_a_public_key_is_read_in_the_form_in_which_it_is_shown(kind: KeyKind) -> None:
    key = checking(fresh(kind), named=False)
    (read,) = public_keys(key.content + b"\n")
    assert (read.kind, read.content.strip()) == (kind, key.content.strip())


def test_the_desks_page_of_keys_is_read_for_one_envelope() -> None:
    page = (
        b'{"keys":[{"id":"1","envelope":"ramp","kind":"ecdsa-p384","pem":"R","alg":"ES384"},'
        b'{"id":"2","envelope":"offers","kind":"ecdsa-p256","pem":"O"}]}'
    )
    assert [(key.id, key.kind, key.content) for key in public_keys(page, "offers")] == [("2", KeyKind.ECDSA_P256, b"O")]
    assert [key.id for key in public_keys(page)] == ["1", "2"]


def test_what_a_sandbox_signs_is_not_the_live_desks() -> None:
    rows = [
        {"id": kind, "kind": "ecdsa-p384", "pem": kind, "envelope": "ramp", "environment": kind}
        for kind in ("live", "sandbox")
    ]
    page = msgspec.json.encode({"keys": rows})
    assert [key.id for key in public_keys(page, "ramp", "live")] == ["live"]
    assert [key.id for key in public_keys(page, "ramp", "sandbox")] == ["sandbox"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"keys":[1]}', b"whsec_abc", b"-----BEGIN PRIVATE KEY-----"])
def test_what_is_no_key_is_named(content: bytes) -> None:
    with pytest.raises(CaptureUnreadable, match="not"):
        public_keys(content)
