"""Every closed range, in every spelling of an address that some program understands; and no two opinions of a URL."""

import random
import socket
import string
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import httpx
import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.errors import Code, Refusal
from otcdesk.webhooks.addresses import (
    CLOSED_IPV4,
    CLOSED_IPV6,
    URL_CHARACTERS_MAX,
    Target,
    checked_url,
    may_connect,
)
from tests.support.clocks import new_seed

INVALID, FORBIDDEN = Code.SUBSCRIPTION_URL_INVALID, Code.SUBSCRIPTION_URL_FORBIDDEN

#: The registries of special-purpose addresses (IANA, IPv4 and IPv6), multicast, and metadata services of clouds.
IPV4 = [
    IPv4Network(line.split()[0])
    for line in """
        0.0.0.0/8           this network
        0.0.0.0/32          this machine on this network
        10.0.0.0/8          private use
        100.64.0.0/10       shared address space
        100.100.100.200/32  metadata of Alibaba
        127.0.0.0/8         loopback
        168.63.129.16/32    wire server of Azure
        169.254.0.0/16      link-local
        169.254.169.254/32  metadata of most clouds
        169.254.170.2/32    credentials of containers of AWS
        172.16.0.0/12       private use
        192.0.0.0/24        protocol assignments
        192.0.0.0/29        service continuity
        192.0.0.8/32        dummy address
        192.0.0.9/32        port control protocol anycast
        192.0.0.10/32       TURN anycast
        192.0.0.170/31      NAT64 discovery
        192.0.0.192/32      metadata of Oracle
        192.0.2.0/24        documentation
        192.31.196.0/24     AS112
        192.52.193.0/24     multicast tunnels
        192.88.99.0/24      6to4 relays
        192.168.0.0/16      private use
        192.175.48.0/24     AS112
        198.18.0.0/15       benchmarking
        198.51.100.0/24     documentation
        203.0.113.0/24      documentation
        224.0.0.0/4         multicast
        240.0.0.0/4         reserved
        255.255.255.255/32  broadcast
    """.strip().splitlines()
]
IPV6 = [
    IPv6Network(line.split()[0])
    for line in """
        ::/8                reserved by the IETF
        ::/128              unspecified
        ::1/128             loopback
        ::/96               IPv4-compatible
        ::ffff:0:0/96       IPv4-mapped
        ::ffff:0:0:0/96     IPv4-translated
        64:ff9b:1::/48      local-use translation
        100::/8             reserved by the IETF
        100::/64            discard-only
        100:0:0:1::/64      dummy prefix
        200::/7             reserved by the IETF
        400::/6             reserved by the IETF
        800::/5             reserved by the IETF
        1000::/4            reserved by the IETF
        2001::/23           protocol assignments
        2001::/32           Teredo
        2001:1::1/128       port control protocol anycast
        2001:1::2/128       TURN anycast
        2001:1::3/128       DNS-SD anycast
        2001:2::/48         benchmarking
        2001:3::/32         multicast tunnels
        2001:4:112::/48     AS112
        2001:10::/28        ORCHID
        2001:20::/28        ORCHID, version 2
        2001:30::/28        drone identification
        2001:db8::/32       documentation
        2002::/16           6to4
        2620:4f:8000::/48   AS112
        3ffe::/16           6bone
        3fff::/20           documentation
        4000::/3            reserved by the IETF
        5f00::/16           segment routing
        6000::/3            reserved by the IETF
        8000::/1            reserved, and all of the following
        fc00::/7            unique local
        fd00:ec2::254/128   metadata of AWS
        fd20:ce::254/128    metadata of Google
        fe80::/10           link-local
        fec0::/10           site-local
        ff00::/8            multicast
    """.strip().splitlines()
]
NAT64 = IPv6Network("64:ff9b::/96")

PUBLIC_IPV4 = [
    IPv4Address(text) for text in ("1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.255.255", "223.255.255.255")
]
PUBLIC_IPV6 = [IPv6Address(text) for text in ("2606:4700::1111", "2001:4860:4860::8888", "2a00:1450::1", "2001:200::1")]


def refused(text: str, *, local: bool = False) -> Code | None:
    try:
        checked_url(text, local=local)
    except Refusal as refusal:
        return refusal.code
    return None


def samples(network: IPv4Network | IPv6Network, chance: random.Random) -> Iterator[int]:
    """Yield the ends of a range, their neighbours on both sides, and some of what is between."""
    first, last = int(network[0]), int(network[-1])
    top = (1 << network.max_prefixlen) - 1
    around = {first - 1, first, first + 1, last - 1, last, last + 1, *(chance.randint(first, last) for _ in range(5))}
    yield from sorted(number for number in around if 0 <= number <= top)


@pytest.fixture(scope="module")
def ipv4() -> list[IPv4Address]:
    chance = random.Random(new_seed())
    return [*PUBLIC_IPV4, *(IPv4Address(number) for network in IPV4 for number in samples(network, chance))]


@pytest.fixture(scope="module")
def ipv6() -> list[IPv6Address]:
    chance = random.Random(new_seed())
    networks = [*IPV6, NAT64]
    return [*PUBLIC_IPV6, *(IPv6Address(number) for network in networks for number in samples(network, chance))]


@pytest.fixture(scope="module")
def addresses(ipv4: list[IPv4Address], ipv6: list[IPv6Address]) -> list[IPv4Address | IPv6Address]:
    return [*ipv4, *ipv6]


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Judge by the lists above."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in IPV4)
    if address in NAT64:
        return is_public(IPv4Address(int(address) % (1 << 32)))
    return not any(address in network for network in IPV6)


# -- addresses -----------------------------------------------------------------------------------------------------


def test_exactly_what_is_public_is_open(addresses: list[IPv4Address | IPv6Address]) -> None:
    for address in addresses:
        assert may_connect(address, local=False) is is_public(address), address


def test_local_opens_loopback_and_nothing_else(addresses: list[IPv4Address | IPv6Address]) -> None:
    for address in addresses:
        loopback = address in IPv4Network("127.0.0.0/8") or address == IPv6Address("::1")
        assert may_connect(address, local=True) is (loopback or is_public(address)), address


def test_nothing_is_open_that_the_standard_library_closes() -> None:
    chance = random.Random(new_seed())
    for _ in range(20_000):
        for address in (IPv4Address(chance.getrandbits(32)), IPv6Address(0x2 << 124 | chance.getrandbits(124))):
            assert not may_connect(address, local=False) or (address.is_global and not address.is_multicast), address


def test_every_closed_range_has_its_reason() -> None:
    assert all([*CLOSED_IPV4.values(), *CLOSED_IPV6.values()])
    assert CLOSED_IPV4.keys() <= set(IPV4)
    assert CLOSED_IPV6.keys() <= set(IPV6)


def test_an_address_of_one_interface_is_closed() -> None:
    assert may_connect(IPv6Address("2606:4700::1111"), local=True)
    assert not may_connect(IPv6Address("2606:4700::1111%eth0"), local=True)
    assert not may_connect(IPv6Address("::1%lo"), local=True)


def test_nat64_is_judged_by_what_is_inside_and_never_opens_loopback(ipv4: list[IPv4Address]) -> None:
    for inside in ipv4:
        wrapped = IPv6Address(int(NAT64[0]) + int(inside))
        assert may_connect(wrapped, local=False) is may_connect(wrapped, local=True) is is_public(inside), wrapped


# -- spellings -----------------------------------------------------------------------------------------------------


def numeric(address: IPv4Address) -> set[str]:
    """Return the spellings that C libraries read as this address, but for the one of four decimal numbers."""
    number = int(address)
    a, b, c, d = address.packed
    groups = [(number,), (a, number & 0xFF_FFFF), (a, b, number & 0xFFFF), (a, b, c, d)]
    found = set()
    for group in groups:
        for write in (str, hex, lambda part: f"0X{part:X}", lambda part: f"0{part:o}", lambda part: f"0x{part:010x}"):
            found.add(".".join(write(part) for part in group))
        found.add(".".join([hex(group[0]), *(f"0{part:o}" for part in group[1:])]))
        found.add(".".join([*(str(part) for part in group[:-1]), hex(group[-1])]))
    return found - {str(address)}


#: The zeros of full-width, mathematical, subscript and Arabic-Indic digits, which normalising turns into ours.
_DIGITS = (0xFF10, 0x1D7CE, 0x2080, 0x0660)


def unusual(address: IPv4Address) -> set[str]:
    """Return spellings that some program or other would bring to this address, though no C library."""
    dotted = str(address)
    foreign = [dotted.translate({ord(digit): first + int(digit) for digit in string.digits}) for first in _DIGITS]
    return {
        *foreign,
        *(dotted.replace(".", dot) for dot in "\u3002\uff0e\uff61"),
        "".join(f"%{ord(character):02X}" for character in dotted),
        dotted.replace(".", "%2e"),
        f"{dotted}.",
        f"{int(address)}.",
        f"[{dotted}]",
        f"{dotted}%00.example.com",
        f"{dotted}\t",
        f" {dotted}",
        dotted.replace(".", "\n.", 1),
        f"example.com\\@{dotted}",
        f"example.com@{dotted}",
        f"example.com:1@{dotted}",
        f"{dotted}#@example.com",
    }


def embedding(address: IPv4Address) -> dict[str, IPv6Address]:
    """Return IPv6 addresses that lead to this one."""
    number = int(address)
    high, low = number >> 16, number & 0xFFFF
    return {
        "mapped": IPv6Address(0xFFFF << 32 | number),
        "compatible": IPv6Address(number),
        "translated": IPv6Address(0xFFFF << 48 | number),
        "6to4": IPv6Address(f"2002:{high:x}:{low:x}::{number & 0xFF:x}"),
        "teredo": IPv6Address(int(IPv6Address("2001:0:4136:e378:8000:63bf::")) | number ^ 0xFFFF_FFFF),
        "teredo server": IPv6Address(f"2001:0:{high:x}:{low:x}::1"),
        "isatap": IPv6Address(f"fe80::5efe:{high:x}:{low:x}"),
        "local nat64": IPv6Address(f"64:ff9b:1::{high:x}:{low:x}"),
    }


def bracketed(address: IPv6Address) -> set[str]:
    """Return the spellings of an IPv6 address."""
    number = int(address)
    groups = [number >> shift & 0xFFFF for shift in range(112, -1, -16)]
    mixed = ":".join([*(f"{group:x}" for group in groups[:6]), str(IPv4Address(number & 0xFFFF_FFFF))])
    texts = {address.compressed, address.exploded, ":".join(f"{group:x}" for group in groups), mixed}
    return {f"[{text}]" for text in texts} | {f"[{text.upper()}]" for text in texts}


def test_a_closed_ipv4_address_is_refused_in_every_spelling(ipv4: list[IPv4Address]) -> None:
    for address in ipv4:
        open_for_local = address in IPv4Network("127.0.0.0/8")
        assert refused(f"https://{address}/hook") is (None if is_public(address) else FORBIDDEN), address
        assert refused(f"https://{address}/hook", local=True) is (
            None if is_public(address) or open_for_local else FORBIDDEN
        )
        for spelling in numeric(address):
            assert socket.inet_aton(spelling) == address.packed, "a C library reads it so"
            assert refused(f"https://{spelling}/hook") is INVALID, spelling
            assert refused(f"https://{spelling}:8443", local=True) is INVALID, spelling
        for spelling in unusual(address):
            assert refused(f"https://{spelling}/hook", local=True) is INVALID, spelling


def test_an_ipv4_address_within_an_ipv6_address_is_refused_in_every_spelling(ipv4: list[IPv4Address]) -> None:
    for address in ipv4:
        for kind, wrapped in embedding(address).items():
            expected = None if wrapped == IPv6Address("::1") else FORBIDDEN
            for spelling in bracketed(wrapped):
                assert refused(f"https://{spelling}/hook") is FORBIDDEN, (kind, spelling)
                assert refused(f"https://{spelling}/hook", local=True) is expected, (kind, spelling)
        for spelling in bracketed(IPv6Address(int(NAT64[0]) + int(address))):
            assert refused(f"https://{spelling}/hook") is (None if is_public(address) else FORBIDDEN), spelling


def test_a_closed_ipv6_address_is_refused_in_every_spelling(ipv6: list[IPv6Address]) -> None:
    for address in ipv6:
        for spelling in bracketed(address):
            assert refused(f"https://{spelling}/hook") is (None if is_public(address) else FORBIDDEN), spelling
            assert refused(f"https://{spelling[:-1]}%eth0]/hook", local=True) is INVALID
            assert refused(f"https://{spelling[:-1]}%25eth0]/hook", local=True) is INVALID
            assert refused(f"https://{spelling[1:-1]}/hook", local=True) is INVALID


# -- URLs ----------------------------------------------------------------------------------------------------------

LONG_LABEL = "a" * 63
LONGEST_NAME = ".".join([LONG_LABEL] * 3 + ["a" * 61])

GOOD = {
    "https://example.com": ("https://example.com/", "example.com", 443),
    "HTTPS://Example.COM:443/Hook?Key=1": ("https://example.com/Hook?Key=1", "example.com", 443),
    "https://example.com:8443/a//b/../c;d=e/": ("https://example.com:8443/a//b/../c;d=e/", "example.com", 8443),
    "https://example.com?": ("https://example.com/", "example.com", 443),
    "https://example.com/x?": ("https://example.com/x", "example.com", 443),
    "https://example.com/x??": ("https://example.com/x??", "example.com", 443),
    "https://example.com?x=/y?z": ("https://example.com/?x=/y?z", "example.com", 443),
    "https://example.com/%7Euser/%e2%82%ac?@=:": ("https://example.com/%7Euser/%e2%82%ac?@=:", "example.com", 443),
    "https://xn--bcher-kva.example/": ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443),
    "https://a_b.example.com:65535/": ("https://a_b.example.com:65535/", "a_b.example.com", 65535),
    "https://1.example1.com/": ("https://1.example1.com/", "1.example1.com", 443),
    "https://8.8.8.8:80/": ("https://8.8.8.8:80/", "8.8.8.8", 80),
    "https://[2606:4700:0:0::1111]/x": ("https://[2606:4700::1111]/x", "2606:4700::1111", 443),
    f"https://{LONGEST_NAME}/": (f"https://{LONGEST_NAME}/", LONGEST_NAME, 443),
    f"https://e.com/{'x' * (URL_CHARACTERS_MAX - 14)}": (
        f"https://e.com/{'x' * (URL_CHARACTERS_MAX - 14)}",
        "e.com",
        443,
    ),
}

BAD = [
    "",
    "https://",
    "https:///",
    "https:///example.com",
    "https:example.com",
    "https:/example.com",
    "//example.com",
    "example.com",
    "http://example.com",
    "ftp://example.com",
    "file:///etc/passwd",
    "gopher://example.com",
    "javascript:alert(1)",
    "unix:///run/docker.sock",
    "https://example.com#",
    "https://example.com/#fragment",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://@example.com/",
    "https://:@example.com/",
    "https://1.1.1.1@127.0.0.1/",
    "https://1.1.1.1 @127.0.0.1/",
    "https://1.1.1.1\\@127.0.0.1/",
    "https://127.0.0.1\\@1.1.1.1/",
    "https://example.com\\x/",
    "https:\\\\example.com/",
    "https://example.com:/",
    "https://example.com:0/",
    "https://example.com:00443/",
    "https://example.com:65536/",
    "https://example.com:99999/",
    "https://example.com:443443/",
    "https://example.com:-1/",
    "https://example.com:+443/",
    "https://example.com:4_43/",
    "https://example.com:\uff14\uff14\uff13/",
    "https://example.com:443:443/",
    "https://example.com:80\t/",
    "https://example.com./",
    "https://example..com/",
    "https://.example.com/",
    "https://-example.com/",
    "https://example-.com/",
    "https://exa mple.com/",
    "https://exa\tmple.com/",
    "https://exa\nmple.com/",
    "https://exa\u00admple.com/",
    "https://exa\u200bmple.com/",
    "https://b\u00fccher.example/",
    "https://\u0131nternal.example/",
    "https://example.com\u2044path/",
    "https://example\u3002com/",
    "https://ex%61mple.com/",
    "https://example.com%2f@127.0.0.1/",
    "https://example.com\x00.internal/",
    "https://example.com/\x00",
    "https://example.com/a b",
    "https://example.com/a\r\nX-Header: 1",
    "https://example.com/\u00fc",
    "https://example.com/%",
    "https://example.com/%zz",
    "https://example.com/<x>",
    "https://example.com/{x}",
    "https://example.com/[x]",
    " https://example.com/",
    "https://example.com/ ",
    "https://example.com/\n",
    "\nhttps://example.com/",
    "ht\ttps://example.com/",
    "https://[::1",
    "https://::1]/",
    "https://[]/",
    "https://[:]/",
    "https://[1::2::3]/",
    "https://[12345::]/",
    "https://[::1]x/",
    "https://[2606:4700::1111].example.com/",
    "https://[v1.x]/",
    "https://[8.8.8.8]/",
    "https://1.2.3/",
    "https://0x7f.1/",
    "https://0x/",
    "https://example.0x/",
    "https://example.123/",
    "https://256.1.1.1/",
    "https://8.8.8.08/",
    "https://8.8.8.8.8/",
    f"https://{LONG_LABEL}a.example/",
    f"https://a.{LONGEST_NAME}/",
    f"https://e.com/{'x' * (URL_CHARACTERS_MAX - 13)}",
    f"https://e.com?{'x' * (URL_CHARACTERS_MAX - 14)}",
    "https://" + "9" * 100_000,
]

INSIDE = [
    "https://localhost/",
    "https://LocalHost:8443/",
    "https://a.localhost/",
    "https://printer.local/",
    "https://local/",
    "https://localhost.localdomain/",
    "https://metadata.google.internal/computeMetadata/v1/",
    "https://INTERNAL/",
    "https://router.home.arpa/",
    "https://duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion/",
]


@pytest.mark.parametrize("text", GOOD)
def test_a_url_has_one_spelling(text: str) -> None:
    target = checked_url(text, local=False)
    assert (target.url, target.host, target.port) == GOOD[text]
    assert target.scheme == "https"
    assert checked_url(target.url, local=False) == target


@pytest.mark.parametrize("text", BAD, ids=lambda text: ascii(text)[:60])
def test_what_is_not_plainly_one_url_is_refused(text: str) -> None:
    assert refused(text) is INVALID


@pytest.mark.parametrize("text", INSIDE)
def test_names_of_the_inside_are_refused(text: str) -> None:
    assert refused(text) is FORBIDDEN


@pytest.mark.parametrize("text", ["https://localhosts.example/", "https://internal.example/", "https://home.example/"])
def test_names_that_only_look_like_it_are_not(text: str) -> None:
    assert refused(text) is None


@pytest.mark.parametrize("text", ["https://intranet/", "https://metadata/", "https://com:8443/x"])
def test_a_name_of_one_label_is_for_sandboxes(text: str) -> None:
    assert refused(text) is INVALID
    assert checked_url(text, local=True).address is None


def test_local_opens_this_machine_and_plain_http_only() -> None:
    for text in (
        "http://localhost:9000/",
        "http://a.localhost/",
        "http://127.0.0.1:1/",
        "http://[::1]:2/",
        "http://e.com",
    ):
        assert refused(text) is not None
        assert refused(text, local=True) is None, text
    assert checked_url("http://e.com:80", local=True).url == "http://e.com/"
    for text in ("ftp://localhost/", "http://user@localhost/", "http://localhost/#x"):
        assert refused(text, local=True) is INVALID
    for text in ("http://printer.local", "http://10.0.0.1", "http://169.254.169.254", "http://a.internal"):
        assert refused(text, local=True) is FORBIDDEN


_PIECES = st.sampled_from(
    [
        *(
            "https://",
            "http://",
            "HTTPS:",
            "//",
            "/",
            "\\",
            "@",
            ":",
            "#",
            "?",
            "[",
            "]",
            "%",
            ".",
            "-",
            "_",
            "..",
            "0x7f",
        ),
        *("127.0.0.1", "8.8.8.8", "2130706433", "::1", "::ffff:7f00:1", "2606:4700::1111", "443", "65536", "0", "1"),
        *(
            "example.com",
            "localhost",
            "xn--bcher-kva",
            "a",
            "%2e",
            "%00",
            "%40",
            "\t",
            "\n",
            " ",
            "\u3002",
            "\uff11",
            ";",
        ),
        *("&", "=", "+", "~", "{", "\x7f", "\u0130", "\u212a", "\u2488", "\u00df"),
    ]
)
_TEXTS = st.one_of(
    st.lists(_PIECES, max_size=10).map("".join),
    st.lists(_PIECES, max_size=10).map(lambda pieces: "https://" + "".join(pieces)),
    st.builds(
        "https://{}{}/{}".format,
        st.sampled_from(["example.com", "8.8.8.8", "[2606:4700::1111]", "A.b", "127.0.0.1", "[::1]"]),
        st.sampled_from(["", ":1", ":443", ":8443"]),
        st.lists(_PIECES, max_size=4).map("".join),
    ),
)


@given(_TEXTS)
def test_all_readers_agree_on_what_is_accepted(text: str) -> None:
    """What the sender's library connects to is what was judged, whether it reads the text given or its one spelling."""
    try:
        target = checked_url(text, local=True)
    except Refusal:
        return
    asked = yarl.URL(target.url, encoded=True)
    assert str(asked) == target.url
    assert asked.raw_path_qs == target.url[len(asked.scheme) + 3 + len(asked.raw_authority) :]
    for each in (asked, yarl.URL(text), yarl.URL(target.url)):
        assert (each.scheme, _plain(each.raw_host), each.port) == (target.scheme, target.host, target.port)
        assert each.user is None
        assert each.password is None
    split, other = urlsplit(text), httpx.URL(text)
    assert (split.scheme, _plain(split.hostname)) == (target.scheme, target.host)
    assert (other.scheme, _plain(other.raw_host.decode())) == (target.scheme, target.host)
    assert target.address is None or ip_address(target.host) == target.address
    assert checked_url(target.url, local=True) == target


def _plain(host: str | None) -> str:
    """Return a host in the one spelling of addresses."""
    assert host is not None
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        return host


def test_a_target_is_a_value() -> None:
    target = checked_url("https://8.8.8.8/x", local=False)
    assert target == Target(
        url="https://8.8.8.8/x", scheme="https", host="8.8.8.8", port=443, address=IPv4Address("8.8.8.8")
    )
