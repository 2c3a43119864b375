"""Tokens as somebody with the desk's own key would make them: older, for somebody else, or of another kind."""

import base64
import hashlib
import hmac
import json
from typing import Any


def claims_of(token: str) -> dict[str, Any]:
    """Return what a token says, whoever signed it."""
    payload = token.split(".")[1]
    told: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return told


def signed(claims: dict[str, Any], key: bytes, *, algorithm: str = "HS256") -> str:
    """Return a token with these claims."""
    head = _text(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    body = f"{head}.{_text(json.dumps(claims).encode())}"
    if algorithm == "none":
        return f"{body}."
    return f"{body}.{_text(hmac.digest(key, body.encode(), hashlib.sha256))}"


def aged(token: str, key: bytes, *, seconds: int) -> str:
    """Return the token that would have been issued so many seconds earlier."""
    claims = claims_of(token)
    return signed({**claims, "iat": claims["iat"] - seconds, "exp": claims["exp"] - seconds}, key)


def changed(token: str, key: bytes, **changes: Any) -> str:
    """Return the token with other claims, signed as it should be; a claim that is changed to None is left out."""
    claims = {**claims_of(token), **changes}
    return signed({name: value for name, value in claims.items() if value is not None}, key)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
