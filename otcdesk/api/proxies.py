"""Whose word is taken for where a request came from."""

import ipaddress
from collections.abc import Iterable

from otcdesk.config import SettingsError

_EVERYBODY = "*"

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrustedProxies:
    """The addresses whose X-Forwarded-For and -Proto are believed; nobody's, unless a setting names them.

    Every proxy appends the address that it saw, so the list is read from its end: the last address that is not one of
    ours is the client's.
    """

    def __init__(self, listed: str) -> None:
        """Take addresses and networks, separated by commas; `*` trusts everybody. Raises SettingsError."""
        names = [name.strip() for name in listed.split(",") if name.strip()]
        self._all = _EVERYBODY in names
        self._networks = _networks(name for name in names if name != _EVERYBODY)

    def client(self, peer: str, forwarded_for: bytes | None) -> str:
        """Return the address of the client behind a connection from `peer`."""
        if forwarded_for is None or not (self._all or self._networks) or not self._trusts(peer):
            return peer
        told = [address.strip() for address in forwarded_for.decode("latin-1").split(",")]
        return next((address for address in reversed(told) if not self._trusts(address)), told[0]) or peer

    def came_by_tls(self, peer: str, forwarded_proto: bytes | None) -> bool:
        """Tell whether a trusted proxy says that it was asked over TLS; the desk itself speaks none."""
        return forwarded_proto is not None and forwarded_proto.strip().lower() == b"https" and self._trusts(peer)

    def _trusts(self, address: str) -> bool:
        if self._all:
            return True
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self._networks)


def _networks(names: Iterable[str]) -> list[_Network]:
    try:
        return [ipaddress.ip_network(name, strict=False) for name in names]
    except ValueError as error:
        raise SettingsError(f"DESK_TRUSTED_PROXIES: {error}") from None
