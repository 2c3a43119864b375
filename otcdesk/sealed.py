"""Sealing: secrets that must be read again, encrypted under a key that the database never sees.

AES-256-GCM with a random nonce. What a secret is for and whose it is are authenticated with it, so that a sealed secret
opens in its own row only. The keys are lines of `secrets/sealing.key`, the one in use first; a key is known by its
fingerprint, so that none can be taken for another. Older keys stay in the file as long as a row or a backup needs them.
"""

import secrets
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from otcdesk.secret_files import KEY_BYTES, KeyUnusable, fingerprint, load_keys, write_private

SEALING_KEY: Final = "sealing.key"

_NONCE_BYTES: Final = 12


class SecretDamaged(Exception):
    """A sealed secret does not open in its place: it was changed or moved; the message says which."""


class Sealed(msgspec.Struct, frozen=True):
    """A sealed secret and the fingerprint of its key."""

    content: bytes
    key_id: str


class KeyRing:
    """The sealing keys of one home as they are now; the first is in use."""

    def __init__(self, keys: list[bytes], path: Path) -> None:
        self._keys = {fingerprint(key): key for key in keys}
        self._path = path

    @classmethod
    def load(cls, home: Path, *, may_make: bool) -> "KeyRing":
        """Read the keys; raises KeyUnusable if they are damaged, or missing unless the first one `may_make` it."""
        return cls(load_keys(home, SEALING_KEY, may_make=may_make), home / "secrets" / SEALING_KEY)

    @property
    def key_ids(self) -> list[str]:
        """The fingerprints, that of the key in use first."""
        return list(self._keys)

    def seal(self, secret: bytes, *, bound_to: tuple[str, ...]) -> Sealed:
        """Seal a secret under the key in use. `bound_to` must be given again to open it."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        key_id = self.key_ids[0]
        return Sealed(nonce + AESGCM(self._keys[key_id]).encrypt(nonce, secret, _bound(bound_to)), key_id)

    def open(self, sealed: Sealed, *, bound_to: tuple[str, ...]) -> bytes:
        """Return the secret; raises KeyUnusable if its key is not here, SecretDamaged if it is not as it was sealed."""
        key = self._keys.get(sealed.key_id)
        what = " ".join(bound_to[1:])
        if key is None:
            raise KeyUnusable(f"{self._path} lacks the key {sealed.key_id}, with which the secret {what} is sealed.")
        nonce, content = sealed.content[:_NONCE_BYTES], sealed.content[_NONCE_BYTES:]
        try:
            return AESGCM(key).decrypt(nonce, content, _bound(bound_to))
        except (InvalidTag, ValueError):
            raise SecretDamaged(f"The secret {what} is not as it was sealed: set it again.") from None

    def with_new_key(self) -> "KeyRing":
        """Write a fresh key before all others, and return the keys as they are then."""
        return self._written([secrets.token_bytes(KEY_BYTES), *self._keys.values()])

    def with_key_in_use_only(self) -> "KeyRing":
        """Take all keys but the one in use out of the file, and return what is left."""
        return self._written([self._keys[self.key_ids[0]]])

    def _written(self, keys: list[bytes]) -> "KeyRing":
        write_private(self._path, "".join(f"{key.hex()}\n" for key in keys))
        return KeyRing(keys, self._path)


def _bound(parts: tuple[str, ...]) -> bytes:
    return msgspec.json.encode(("otcdesk sealed secret", *parts))
