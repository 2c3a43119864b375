"""Where a webhook may connect: only to hosts that are anybody's to reach, and only by addresses with one reading.

A tenant chooses where the desk posts to, and the desk stands inside somebody's network. So a URL is read by a grammar
that leaves no two readers two opinions of its host, and an address is judged by the table below and not by a
library's, which differs from version to version. A name is judged by the addresses it leads to, each time anew.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

import msgspec

from otcdesk.errors import Code, Refusal

URL_CHARACTERS_MAX: Final = 2_048
_NAME_CHARACTERS_MAX: Final = 253
_PORT_MAX: Final = 65_535
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}

#: Every IPv4 range that is not the public's, and why: the special-purpose registry of IANA as a whole, also the anycast
#: services in it that can be reached from anywhere, since none is a receiver; and what clouds hide among the public.
CLOSED_IPV4: Final[dict[IPv4Network, str]] = {
    IPv4Network(network): reason
    for network, reason in {
        "0.0.0.0/8": "this network, RFC 791; connecting to it reaches this machine",
        "10.0.0.0/8": "private, RFC 1918",
        "100.64.0.0/10": "shared by the customers of a carrier, RFC 6598; holds a cloud's metadata, 100.100.100.200",
        "127.0.0.0/8": "this machine, RFC 1122",
        "168.63.129.16/32": "the wire server of Azure, which only its own machines see",
        "169.254.0.0/16": "link-local, RFC 3927; holds the metadata of most clouds, 169.254.169.254",
        "172.16.0.0/12": "private, RFC 1918",
        "192.0.0.0/24": "protocol assignments, RFC 6890; holds a cloud's metadata, 192.0.0.192",
        "192.0.2.0/24": "documentation, RFC 5737",
        "192.31.196.0/24": "AS112, which answers for private names, RFC 7535",
        "192.52.193.0/24": "relays of multicast, RFC 7450",
        "192.88.99.0/24": "relays of 6to4, RFC 7526",
        "192.168.0.0/16": "private, RFC 1918",
        "192.175.48.0/24": "AS112, which answers for private names, RFC 7534",
        "198.18.0.0/15": "benchmarks, RFC 2544",
        "198.51.100.0/24": "documentation, RFC 5737",
        "203.0.113.0/24": "documentation, RFC 5737",
        "224.0.0.0/4": "multicast, RFC 5771",
        "240.0.0.0/4": "reserved, RFC 1112; holds the broadcast address",
    }.items()
}

#: The only unicast addresses of IPv6 that are routed everywhere (RFC 4291). What lies outside of it is closed unnamed:
#: loopback, IPv4-mapped, -compatible and -translated, discard-only, unique local (with the metadata of clouds, as
#: fd00:ec2::254), link-local, site-local, segment routing, multicast.
GLOBAL_IPV6: Final = IPv6Network("2000::/3")

#: What is closed within it, and why. Addresses with an IPv4 address inside lead to that one through somebody's relay.
CLOSED_IPV6: Final[dict[IPv6Network, str]] = {
    IPv6Network(network): reason
    for network, reason in {
        "2001::/23": "protocol assignments, RFC 2928: Teredo, benchmarks, ORCHID and others",
        "2001:db8::/32": "documentation, RFC 3849",
        "2002::/16": "6to4, RFC 3056: an IPv4 address is inside",
        "2620:4f:8000::/48": "AS112, which answers for private names, RFC 7534",
        "3ffe::/16": "the 6bone, given back, RFC 3701",
        "3fff::/20": "documentation, RFC 9637",
    }.items()
}

#: Networks without IPv4 reach the public through it (RFC 6052); such an address is judged by the one in its end.
#: 64:ff9b:1::/48 (RFC 8215) is for translating private addresses, and closed.
NAT64: Final = IPv6Network("64:ff9b::/96")

#: This machine, open only where a setting says so.
LOOPBACK_IPV4: Final = IPv4Network("127.0.0.0/8")
LOOPBACK_IPV6: Final = IPv6Address("::1")

#: Names, and all below them, that mean something else on each network or must not be asked for (RFC 6761, RFC 6762,
#: RFC 7686, RFC 8375 and the ICANN board's reservation of `internal`).
_INSIDE_NAMES: Final = frozenset({"local", "localdomain", "internal", "home.arpa", "onion"})
_LOCALHOST: Final = "localhost"

#: The characters of RFC 3986 and no others: whatever a program might drop, decode or take for another stays out.
_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z]{4,5})://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?)"
    r"(?:\?(?P<query>(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*))?",
    re.ASCII,
)
_NAME: Final = re.compile(
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*", re.ASCII
)

#: The last label of what C libraries and browsers take for an IPv4 address (the WHATWG URL rule "ends in a number").
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A URL as it was read.

    `url` is its one spelling: scheme and host in lower case, no default port, no empty query, and at least `/` as path.
    `host` is a name or the text of `address`, without brackets; `address` is there if the URL has one literally.
    """

    url: str
    scheme: str
    host: str
    port: int
    address: IPv4Address | IPv6Address | None


def checked_url(text: str, *, local: bool) -> Target:
    """Read a webhook's URL, which is https, or with `local`, for sandboxes, also http.

    Refuses with SUBSCRIPTION_URL_INVALID what is not plainly one URL: also credentials, a fragment, characters outside
    of RFC 3986, names that are not ASCII (they have an ASCII form), a dot at the end of a name, names of one label
    unless `local`, and every spelling of an IPv4 address but four decimal numbers. Refuses with
    SUBSCRIPTION_URL_FORBIDDEN an address that may not be connected to, and names of this machine or of inside networks.
    Whether another name leads to an open address is for whoever resolves it to judge, by `may_connect`.
    """
    found = _URL.fullmatch(text) if len(text) <= URL_CHARACTERS_MAX else None
    scheme = found["scheme"].lower() if found else ""
    if found is None or scheme not in _DEFAULT_PORTS or (scheme == "http" and not local):
        raise Refusal(Code.SUBSCRIPTION_URL_INVALID)
    port = int(found["port"] or _DEFAULT_PORTS[scheme])
    if port > _PORT_MAX:
        raise Refusal(Code.SUBSCRIPTION_URL_INVALID)
    host = found["host"].lower()
    address = _literal(host)
    if address is None:
        _check_name(host, local=local)
    elif not may_connect(address, local=local):
        raise Refusal(Code.SUBSCRIPTION_URL_FORBIDDEN)
    shown = f"[{address}]" if isinstance(address, IPv6Address) else host
    place = shown if port == _DEFAULT_PORTS[scheme] else f"{shown}:{port}"
    query = f"?{found['query']}" if found["query"] else ""
    url = f"{scheme}://{place}{found['path'] or '/'}{query}"
    if len(url) > URL_CHARACTERS_MAX:  # so that what is read here can be read again
        raise Refusal(Code.SUBSCRIPTION_URL_INVALID)
    return Target(url=url, scheme=scheme, host=shown.strip("[]"), port=port, address=address)


def may_connect(address: IPv4Address | IPv6Address, *, local: bool) -> bool:
    """Judge one address: open is what is routed everywhere and belongs to nobody's inside.

    `local` opens the loopback addresses besides, and nothing else: neither private ones nor metadata services.
    """
    if isinstance(address, IPv4Address):
        if local and address in LOOPBACK_IPV4:
            return True
        return not any(address in network for network in CLOSED_IPV4)
    if address.scope_id is not None:
        return False
    if address in NAT64:
        return may_connect(IPv4Address(int(address) & 0xFFFF_FFFF), local=False)
    if local and address == LOOPBACK_IPV6:
        return True
    return address in GLOBAL_IPV6 and not any(address in network for network in CLOSED_IPV6)


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host literally is; refuses what somebody else would take for one."""
    try:
        if host.startswith("["):
            return IPv6Address(host[1:-1])
        if _NUMBER.fullmatch(host.rpartition(".")[2]):
            return IPv4Address(host)
    except ValueError:
        raise Refusal(Code.SUBSCRIPTION_URL_INVALID) from None
    return None


def _check_name(host: str, *, local: bool) -> None:
    if len(host) > _NAME_CHARACTERS_MAX or not _NAME.fullmatch(host):
        raise Refusal(Code.SUBSCRIPTION_URL_INVALID)
    above = host.split(".")
    for start in range(len(above)):
        name = ".".join(above[start:])
        if name in _INSIDE_NAMES or (name == _LOCALHOST and not local):
            raise Refusal(Code.SUBSCRIPTION_URL_FORBIDDEN)
    if len(above) == 1 and not local:  # the inside's search domains would say where it leads
        raise Refusal(Code.SUBSCRIPTION_URL_INVALID)
