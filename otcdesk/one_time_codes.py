"""One-time codes of people's authenticators: TOTP (RFC 6238) with SHA-1, six digits and steps of 30 seconds.

They go by the machine's clock. That a code is accepted once is the business of whoever keeps which step was used.
"""

import base64
import re
import secrets
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP

STEP_SECONDS: Final = 30

_DIGITS: Final = 6
#: As many as the digest has (RFC 4226, 4, R6).
_SECRET_BYTES: Final = 20
#: A code counts one step before and after its own: clocks differ, and people take their time.
_STEPS_ASIDE: Final = 1
_CODE: Final = re.compile(r"[0-9]{6}", re.ASCII)


def made_secret() -> bytes:
    """Return a secret that nobody has."""
    return secrets.token_bytes(_SECRET_BYTES)


def printed_secret(secret: bytes) -> str:
    """Return a secret as people type it into an authenticator: base32."""
    return base64.b32encode(secret).decode()


def parsed_secret(text: str) -> bytes:
    """Return the secret that was printed; raises ValueError for what was not."""
    return base64.b32decode(text)


def provisioning_uri(secret: bytes, *, email: str, issuer: str) -> str:
    """Return the address that authenticators read from a QR code."""
    return _codes(secret).get_provisioning_uri(email, issuer)


def code_at(secret: bytes, moment: datetime) -> str:
    """Return the code of a moment."""
    return _codes(secret).generate(int(moment.timestamp())).decode()


def steps_of(secret: bytes, code: str, moment: datetime) -> list[int]:
    """Return the steps around a moment that a code is of, the latest first; spaces in it do not count."""
    digits = "".join(code.split())
    if not _CODE.fullmatch(digits):
        return []
    now = int(moment.timestamp()) // STEP_SECONDS
    return [
        step
        for step in range(now + _STEPS_ASIDE, now - _STEPS_ASIDE - 1, -1)
        if _is_of(_codes(secret), digits.encode(), step)
    ]


def _is_of(codes: TOTP, digits: bytes, step: int) -> bool:
    try:
        codes.verify(digits, step * STEP_SECONDS)
    except InvalidToken:
        return False
    return True


def _codes(secret: bytes) -> TOTP:
    return TOTP(secret, _DIGITS, SHA1(), STEP_SECONDS)  # noqa: S303  (what authenticators know)
