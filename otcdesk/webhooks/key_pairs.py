"""The keys that sign callbacks: made, written down in the forms that receivers know, and read again.

A shared secret is the text `whsec_` and 32 random bytes in base64 (Standard Webhooks 1.0.0). Private halves are PKCS #8
PEM. Public halves of the elliptic curves are SubjectPublicKeyInfo PEM, and of Ed25519 `whpk_` and the raw 32 bytes in
base64 (Standard Webhooks). Reading a key costs more than signing with it, so keys that were read are remembered.
"""

import secrets
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from contextlib import suppress
from functools import lru_cache
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurve,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from otcdesk.webhooks.envelope import KeyKind, SignatureInvalid

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  (how each of them begins)
PUBLIC_PREFIX: Final = "whpk_"

#: How a secret is named without giving it away (exchanges contract 6.1).
SHOWN_CHARACTERS: Final = 8

_SECRET_BYTES: Final = 32
_CURVES: Final[dict[KeyKind, type[EllipticCurve]]] = {KeyKind.ECDSA_P256: SECP256R1, KeyKind.ECDSA_P384: SECP384R1}

#: More keys than one process signs with in a moment.
_REMEMBERED: Final = 4_096


def new_key(kind: KeyKind) -> tuple[bytes, str]:
    """Make a key; returns its secret half as a `SigningKey` holds it, and what may be shown of it.

    Shown are the first 8 characters of a secret, and the public half of a pair as its receivers take it.
    """
    if kind is KeyKind.HMAC_SHA256:
        text = SECRET_PREFIX + b64encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii")
        return text.encode("ascii"), text[:SHOWN_CHARACTERS]
    pair = Ed25519PrivateKey.generate() if kind is KeyKind.ED25519 else generate_private_key(_CURVES[kind]())
    pem = pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem, public_text(pair.public_key())


def public_text(public: Ed25519PublicKey | EllipticCurvePublicKey) -> str:
    """Write a public half as its receivers take it."""
    if isinstance(public, Ed25519PublicKey):
        return PUBLIC_PREFIX + b64encode(public.public_bytes_raw()).decode("ascii")
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


@lru_cache(_REMEMBERED)
def secret_bytes(text: bytes) -> bytes:
    """Return the bytes that a secret's text stands for; raises SignatureInvalid if it is not one.

    As in the libraries of Standard Webhooks, the padding of the base64 may be missing.
    """
    encoded = text.removeprefix(SECRET_PREFIX.encode("ascii"))
    try:
        found = b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except Base64Error:
        found = b""
    if not found:
        raise SignatureInvalid("The secret is not whsec_ and base64.")
    return found


@lru_cache(_REMEMBERED)
def ed25519_private(pem: bytes) -> Ed25519PrivateKey:
    """Read the private half of an Ed25519 pair."""
    private = load_pem_private_key(pem, password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise TypeError("the private key is not of Ed25519")
    return private


@lru_cache(_REMEMBERED)
def ecdsa_private(pem: bytes, kind: KeyKind) -> EllipticCurvePrivateKey:
    """Read the private half of a pair on the curve of its kind."""
    private = load_pem_private_key(pem, password=None)
    if not isinstance(private, EllipticCurvePrivateKey) or not isinstance(private.curve, _CURVES[kind]):
        raise TypeError(f"the private key is not of the kind {kind.value}")
    return private


def ed25519_public(content: bytes) -> Ed25519PublicKey:
    """Read a public half of Ed25519, `whpk_` or PEM; raises SignatureInvalid for anything else."""
    prefix = PUBLIC_PREFIX.encode("ascii")
    public: object = None
    if content.startswith(prefix):
        with suppress(ValueError):  # binascii.Error is one
            public = Ed25519PublicKey.from_public_bytes(b64decode(content.removeprefix(prefix).strip(), validate=True))
    else:
        public = _pem_public(content)
    if not isinstance(public, Ed25519PublicKey):
        raise SignatureInvalid("The key is not a public key of Ed25519: whpk_ and base64, or PEM.")
    return public


def ecdsa_public(content: bytes, kind: KeyKind) -> EllipticCurvePublicKey:
    """Read a public half in PEM on the curve of its kind; raises SignatureInvalid for anything else."""
    public = _pem_public(content)
    if not isinstance(public, EllipticCurvePublicKey) or not isinstance(public.curve, _CURVES[kind]):
        raise SignatureInvalid(f"The key is not a public key in PEM of the kind {kind.value}.")
    return public


def public_kind(content: bytes) -> KeyKind:
    """Return of which kind a public half is; raises SignatureInvalid if it is none that signs callbacks."""
    public = _pem_public(content)
    for kind, curve in _CURVES.items():
        if isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, curve):
            return kind
    try:
        ed25519_public(content)
    except SignatureInvalid:
        raise SignatureInvalid("The key is not a public key: PEM, or whpk_ and base64.") from None
    return KeyKind.ED25519


def _pem_public(content: bytes) -> object:
    try:
        return load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        return None
