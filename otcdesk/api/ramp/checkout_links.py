"""The secrets of checkouts: what makes a page's address unguessable, and what a form of it has to bring back.

An address is made from the tenant's nonce, so that the same request is answered with the same one; only its hash is
kept. All is derived from a key that the database never sees.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from typing import ClassVar
from uuid import UUID

from otcdesk.webhooks.envelope import Discreet


def links_of(session_key: bytes, base_url: str, prefix: str) -> "CheckoutLinks":
    """Return what makes the addresses of pages under a prefix; its key is derived from the one that signs sessions."""
    return CheckoutLinks(key=hmac.digest(session_key, b"checkout links", "sha256"), base_url=base_url + prefix)


class CheckoutLinks(Discreet, frozen=True, kw_only=True):
    """Makes addresses of pages under a base URL, and judges what comes back of them."""

    unshown: ClassVar[frozenset[str]] = frozenset({"key"})

    key: bytes
    base_url: str

    def token(self, lane: int, tenant_id: UUID, nonce: str) -> str:
        """Return the secret of the checkout that a tenant opens with a nonce."""
        return self._made("checkout token", str(lane), str(tenant_id), nonce)

    def url(self, order_id: UUID, token: str) -> str:
        """Return the address of a checkout's page."""
        return f"{self.base_url}/{order_id}?token={token}"

    def form_mark(self, order_id: UUID, version: int, token: str) -> str:
        """Return what a form has to bring back: it was made for this version of the checkout, by this desk."""
        return self._made("checkout form", str(order_id), str(version), token)

    def is_of_form(self, mark: str, order_id: UUID, version: int, token: str) -> bool:
        """Tell whether a mark is that of a form, in a time that tells nothing."""
        return _same(mark, self.form_mark(order_id, version, token))

    def _made(self, *of: str) -> str:
        """Return text that only who has the key can make; lengths keep the parts apart."""
        told = "".join(f"{len(part)}:{part}" for part in of).encode()
        return urlsafe_b64encode(hmac.digest(self.key, told, "sha256")).decode("ascii").rstrip("=")


def token_hash(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_of(token: str, kept_hash: str) -> bool:
    """Tell whether a token is the one of this hash, in a time that tells nothing."""
    return _same(token_hash(token), kept_hash)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
