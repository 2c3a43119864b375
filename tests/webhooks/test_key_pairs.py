"""Keys in the forms that receivers know, read by other implementations; and what is no key is refused in a sentence."""

from base64 import b64decode, b64encode
from typing import Any

import ecdsa  # type: ignore[import-untyped]
import pytest

from otcdesk.webhooks.envelope import KeyKind, SignatureInvalid
from otcdesk.webhooks.key_pairs import (
    ecdsa_private,
    ecdsa_public,
    ed25519_private,
    ed25519_public,
    new_key,
    public_kind,
    public_text,
    secret_bytes,
)


def test_a_secret_is_whsec_and_32_bytes_of_which_8_characters_are_shown() -> None:
    secret, shown = new_key(KeyKind.HMAC_SHA256)
    assert secret.startswith(b"whsec_")
    assert len(b64decode(secret[6:], validate=True)) == 32
    assert shown == secret.decode()[:8]
    assert secret_bytes(secret) == secret_bytes(secret.rstrip(b"=")) == b64decode(secret[6:])


@pytest.mark.parametrize("kind", list(KeyKind))
def test_no_two_keys_are_alike(kind: KeyKind) -> None:
    assert len({new_key(kind)[0] for _ in range(8)}) == 8


@pytest.mark.parametrize(
    "kind,curve", [(KeyKind.ECDSA_P256, ecdsa.NIST256p), (KeyKind.ECDSA_P384, ecdsa.NIST384p)], ids=str
)
def test_a_pair_of_a_curve_is_pem_on_both_sides(kind: KeyKind, curve: Any) -> None:
    secret, shown = new_key(kind)
    assert secret.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert shown.startswith("-----BEGIN PUBLIC KEY-----\n")
    theirs: Any = ecdsa.SigningKey.from_pem(secret.decode())
    assert theirs.curve is curve
    assert theirs.verifying_key == ecdsa.VerifyingKey.from_pem(shown)
    assert public_text(ecdsa_private(secret, kind).public_key()) == shown
    assert public_text(ecdsa_public(shown.encode(), kind)) == shown


def test_a_pair_of_ed25519_shows_whpk_and_the_raw_32_bytes() -> None:
    secret, shown = new_key(KeyKind.ED25519)
    assert secret.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    theirs: Any = ecdsa.SigningKey.from_pem(secret.decode())
    assert shown == f"whpk_{b64encode(theirs.verifying_key.to_string()).decode()}"
    assert public_text(ed25519_private(secret).public_key()) == shown
    for form in (shown.encode(), shown.encode() + b"\n", theirs.verifying_key.to_pem()):
        assert public_text(ed25519_public(form)) == shown


NO_PUBLIC_KEYS = [
    b"",
    b"whpk_",
    b"whpk_AAAA",
    b"whpk_*",
    b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
]


def _numbered(content: bytes) -> str:
    """Name a test by no fresh key: each process of a run must give it the same name."""
    return f"{len(content)} bytes"


@pytest.mark.parametrize("content", [*NO_PUBLIC_KEYS, new_key(KeyKind.ECDSA_P256)[1].encode()], ids=_numbered)
def test_what_is_no_public_key_of_ed25519_is_refused(content: bytes) -> None:
    with pytest.raises(SignatureInvalid, match="not a public key of Ed25519"):
        ed25519_public(content)


@pytest.mark.parametrize(
    "content",
    [*NO_PUBLIC_KEYS, new_key(KeyKind.ED25519)[1].encode(), new_key(KeyKind.ECDSA_P384)[1].encode()],
    ids=_numbered,
)
def test_what_is_no_public_key_of_a_curve_is_refused(content: bytes) -> None:
    with pytest.raises(SignatureInvalid, match="not a public key in PEM of the kind ecdsa-p256"):
        ecdsa_public(content, KeyKind.ECDSA_P256)


def test_a_private_half_of_another_kind_never_signs() -> None:
    with pytest.raises(TypeError):
        ecdsa_private(new_key(KeyKind.ECDSA_P256)[0], KeyKind.ECDSA_P384)
    with pytest.raises(TypeError):
        ed25519_private(new_key(KeyKind.ECDSA_P256)[0])


@pytest.mark.parametrize("text", [b"", b"whsec_", b"whsec_*", b"whsec_A", b"\xff"])
def test_what_is_no_secret_is_refused(text: bytes) -> None:
    with pytest.raises(SignatureInvalid, match="not whsec_ and base64"):
        secret_bytes(text)


@pytest.mark.parametrize("kind", [kind for kind in KeyKind if kind is not KeyKind.HMAC_SHA256])
def test_the_kind_of_a_public_half_is_seen(kind: KeyKind) -> None:
    assert public_kind(new_key(kind)[1].encode()) is kind


@pytest.mark.parametrize(
    "content", [*NO_PUBLIC_KEYS, ecdsa.SigningKey.generate(ecdsa.SECP256k1).verifying_key.to_pem()]
)
def test_what_is_no_public_half_has_no_kind(content: bytes) -> None:
    with pytest.raises(SignatureInvalid, match="not a public key: PEM, or whpk_"):
        public_kind(content)
