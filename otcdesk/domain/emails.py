"""E-mail addresses: what is taken for one."""

from typing import Final

#: The longest address that mail is sent to (RFC 5321, 4.5.3.1).
EMAIL_LENGTH_MAX: Final = 254


def is_email(text: str) -> bool:
    """Tell whether mail could be sent to an address."""
    name, at, domain = text.rpartition("@")
    return bool(name and at and domain) and len(text) <= EMAIL_LENGTH_MAX and text.isprintable() and " " not in text
