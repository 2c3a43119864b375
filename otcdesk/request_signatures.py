"""Requests that are signed: a JWT about one request, made by a key pair whose public half the desk knows.

What the token says of the request is compared with the request as it came; what it is signed with is one of two
curves, each with its own algorithm. All of it is of the ramp contract, section 2. Nothing here waits, and nothing is
looked up: whose key it is, and which thread does the arithmetic, is decided elsewhere.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, Literal, NoReturn

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from otcdesk.errors import Code, Refusal

#: Whom a token is for, in every environment.
AUDIENCE: Final = "https://api.noah.com"

#: The longest that a token may be good for, and how far a caller's clock may be ahead of ours; the second is ours.
LASTS_MAX: Final = timedelta(minutes=15)
AHEAD_MAX: Final = timedelta(seconds=60)

#: A token is longer than this only if it is no token: what it says of a query is as long as the query.
TOKEN_CHARACTERS_MAX: Final = 16_384

#: A public key is far shorter.
_PEM_CHARACTERS_MAX: Final = 2_048

#: Unix seconds beyond this are nobody's time; it keeps arithmetic with them short.
_SECONDS_MAX: Final = 10**11

_NOTHING_HASHED: Final = sha256(b"").hexdigest()
_JWT_PARTS: Final = 3
_KEYS_KEPT: Final = 4_096


class Algorithm(msgspec.Struct, frozen=True):
    """How a curve signs: the name in a token, the hash, and how many bytes each of a signature's two numbers has."""

    name: str
    hash: type[HashAlgorithm]
    number_bytes: int


#: By the curve's name: what may sign. Any other curve or algorithm is refused.
ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    "secp384r1": Algorithm("ES384", SHA384, 48),
    "secp256r1": Algorithm("ES256", SHA256, 32),
}

CURVES: Final[Mapping[str, ec.EllipticCurve]] = {"p384": ec.SECP384R1(), "p256": ec.SECP256R1()}


class Token(msgspec.Struct, frozen=True):
    """A token as it was read: nothing of it is proved yet."""

    algorithm: str
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """What of a request is signed. `query` as it was sent, field by field."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    body: bytes = b""


# -- keys --------------------------------------------------------------------------------------------------------------


def checked_public_key(pem: str) -> str:
    """Return a public key as it is kept; refuses REQUEST_INVALID for what cannot verify a request."""
    try:
        key = public_key(pem)
    except ValueError:
        raise Refusal(
            Code.REQUEST_INVALID, "A public key must be of the curve P-384 or P-256, in PEM (BEGIN PUBLIC KEY)."
        ) from None
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


@lru_cache(maxsize=_KEYS_KEPT)
def public_key(pem: str) -> ec.EllipticCurvePublicKey:
    """Return a public key of a curve that may sign; raises ValueError for anything else."""
    if len(pem) > _PEM_CHARACTERS_MAX:
        raise ValueError("too long")
    try:
        key = load_pem_public_key(pem.encode())
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in ALGORITHMS:
        raise ValueError("another kind of key")
    return key


def private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Return a private key of a curve that may sign; refuses REQUEST_INVALID for anything else."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in ALGORITHMS:
        raise Refusal(Code.REQUEST_INVALID, "A private key must be of the curve P-384 or P-256, in PEM, not encrypted.")
    return key


def new_key_pair(curve: Literal["p384", "p256"] = "p384") -> tuple[str, str]:
    """Return a fresh key pair in PEM: the private half, and the public one."""
    private = ec.generate_private_key(CURVES[curve])
    return (
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii"),
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii"),
    )


# -- making a token ----------------------------------------------------------------------------------------------------


def claims_of(request: Signed, now: datetime, lasts: timedelta = timedelta(minutes=5)) -> dict[str, Any]:
    """Return what a token says of a request that is sent now."""
    issued = int(now.timestamp())
    claims: dict[str, Any] = {
        "aud": AUDIENCE,
        "iat": issued,
        "exp": issued + int(lasts.total_seconds()),
        "method": request.method,
        "path": request.path,
    }
    if request.query:
        claims["queryParams"] = dict(request.query)
    if request.body:
        claims["bodyHash"] = sha256(request.body).hexdigest()
    return claims


def signed_token(claims: Mapping[str, Any], key: ec.EllipticCurvePrivateKey) -> str:
    """Return a token that says this, in the algorithm of the key's curve."""
    algorithm = ALGORITHMS[key.curve.name]
    said = f"{_encoded({'alg': algorithm.name, 'typ': 'JWT'})}.{_encoded(claims)}"
    first, second = decode_dss_signature(key.sign(said.encode(), ec.ECDSA(algorithm.hash())))
    signature = b"".join(number.to_bytes(algorithm.number_bytes, "big") for number in (first, second))
    return f"{said}.{_base64(signature)}"


def _encoded(value: Mapping[str, Any]) -> str:
    return _base64(msgspec.json.encode(value))


def _base64(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


# -- judging a token ---------------------------------------------------------------------------------------------------


def read_token(text: str) -> Token:
    """Read a token without believing it; refuses UNAUTHENTICATED for what is none."""
    if len(text) > TOKEN_CHARACTERS_MAX:
        raise _refused("is too long")
    parts = text.split(".")
    if len(parts) != _JWT_PARTS:
        raise _refused("is no JWT")
    try:
        head, claims = (_object(part) for part in parts[:2])
        signature = _decoded(parts[2])
    except (ValueError, ArithmeticError, RecursionError):
        raise _refused("is no JWT") from None
    if "crit" in head or not isinstance(head.get("alg"), str):
        raise _refused("has a header that is not understood")
    return Token(head["alg"], claims, f"{parts[0]}.{parts[1]}".encode("ascii"), signature)


def _object(part: str) -> dict[str, Any]:
    """Read a part; raises ValueError for what is no JSON object, names anything twice or holds no finite number."""
    value = json.loads(
        _decoded(part).decode(),
        object_pairs_hook=_without_repeats,
        parse_float=_decimal,
        parse_constant=_no_number,
    )
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004  (of what came from outside)
    return value


def _decoded(part: str) -> bytes:
    """Decode base64url without padding; raises ValueError for any other spelling."""
    content = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if _base64(content) != part:
        raise ValueError("not the usual spelling")
    return content


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _decimal(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError("not finite")
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def check_algorithm(token: Token, key: ec.EllipticCurvePublicKey) -> None:
    """Refuse UNAUTHENTICATED for an algorithm that is not that of the key's curve: also `none`, HMAC and RSA."""
    if token.algorithm != ALGORITHMS[key.curve.name].name:
        raise _refused(f"must be signed with {ALGORITHMS[key.curve.name].name}, as the key's curve is")


def is_signed_by(token: Token, key: ec.EllipticCurvePublicKey) -> bool:
    """Tell whether a token is signed by a key. The arithmetic takes long, and lets other threads run meanwhile."""
    algorithm = ALGORITHMS[key.curve.name]
    if len(token.signature) != 2 * algorithm.number_bytes:  # DER, which JWTs do not use, among others
        return False
    halves = token.signature[: algorithm.number_bytes], token.signature[algorithm.number_bytes :]
    first, second = (int.from_bytes(half, "big") for half in halves)
    try:
        key.verify(encode_dss_signature(first, second), token.signed, ec.ECDSA(algorithm.hash()))
    except (InvalidSignature, ValueError):
        return False
    return True


def check_claims(token: Token, request: Signed, paths: Collection[str], now: datetime) -> None:
    """Refuse UNAUTHENTICATED unless a token is for us, of this time and of this request, but for its body.

    `paths` are the ways in which the request's own path may be said.
    """
    claims = token.claims
    if claims.get("aud") != AUDIENCE:
        raise _refused(f"has another aud than {AUDIENCE}")
    _check_time(claims, Decimal(now.timestamp()))
    method = claims.get("method")
    if not isinstance(method, str) or method.upper() != request.method:
        raise _refused("is of another method")
    path = claims.get("path")
    if not isinstance(path, str) or path not in paths:
        raise _refused("is of another path; it must have the version and neither host nor query")
    if _said_query(claims.get("queryParams")) != _only_once(request.query):
        raise _refused("has other queryParams than the request")


def _check_time(claims: Mapping[str, Any], now: Decimal) -> None:
    issued, ends = _seconds(claims.get("iat")), _seconds(claims.get("exp"))
    if issued is None or ends is None:
        raise _refused("needs the numbers iat and exp")
    ahead = now + int(AHEAD_MAX.total_seconds())
    if issued > ahead:
        raise _refused("was issued in the future")
    if "nbf" in claims:
        begins = _seconds(claims["nbf"])
        if begins is None or begins > ahead:
            raise _refused("is not good yet")
    if ends < issued:
        raise _refused("ends before it was issued")
    if ends <= now:
        raise _refused("has expired")
    if ends - issued > int(LASTS_MAX.total_seconds()):
        raise _refused("lasts longer than 15 minutes")


def _seconds(value: Any) -> Decimal | None:
    """Return Unix seconds, None for what is no number: True is none."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= _SECONDS_MAX:
        return None
    return Decimal(value)


def _said_query(said: Any) -> dict[str, str] | None:
    """Return what a token says of the query, each value as text, since callers send numbers; None for no such map."""
    if said is None:
        return {}
    if not isinstance(said, dict) or not all(isinstance(value, str | int | Decimal) for value in said.values()):
        return None
    return {name: _text(value) for name, value in said.items()}


def _text(value: str | int | Decimal) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _only_once(query: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return a query as a map; refuses UNAUTHENTICATED for a field that is there twice: a map says one of them only."""
    found = dict(query)
    if len(found) != len(query):
        raise _refused("cannot be of a query that names a field twice")
    return found


def check_body(token: Token, body: bytes) -> None:
    """Refuse UNAUTHENTICATED for another body than the token's; of no body it may have the hash or none."""
    said = token.claims.get("bodyHash", "" if body else _NOTHING_HASHED)
    if said != sha256(body).hexdigest():
        raise _refused("has the bodyHash of another body")


def _refused(what: str) -> Refusal:
    return Refusal(Code.UNAUTHENTICATED, f"The Api-Signature {what}.")
