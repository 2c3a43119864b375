"""The chains file: which networks are real, by which nodes they are reached, and what may be spent on gas.

Fees are in wei, times in milliseconds and seconds as their names say.
"""

import stat
import tomllib
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import structlog
from msgspec import Meta

from otcdesk.config import SettingsError
from otcdesk.rails.evm.abi import is_address
from otcdesk.secret_files import KeyUnusable, read_private

log = structlog.get_logger()

Address = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{40}$")]
Wei = Annotated[int, Meta(ge=1, le=9_000_000_000_000_000_000)]

#: What a replacement costs at least more than what it replaces: nodes ask for a tenth, some for an eighth.
BUMP_PERCENT = 113

#: More digits than any token has; so many fit the chain's own numbers with every amount of the books.
_DECIMALS_MAX = 36


class TokenSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[networks.NAME.tokens.ASSET]`: the contract that counts an asset, and its number of decimals."""

    contract: Address
    decimals: Annotated[int, Meta(ge=0, le=_DECIMALS_MAX)]

    def __post_init__(self) -> None:
        """Refuse a mistyped address."""
        if not is_address(self.contract):
            raise ValueError(f"{self.contract} is not an address: its capitals do not fit")


class NetworkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[networks.NAME]`, by the name that accounts have for it.

    `confirmations` counts the block that a transaction is in. `replace_after_seconds` is how long a transaction may
    wait to be mined before it is sent again with higher fees. `wait_ms` is how long one request waits for the
    confirmation that it may see coming; the caller asks again later. While it is `paused` nothing new is sent. Only
    live lanes are served, unless `sandboxes` says that anybody's sandbox may send what is here: for networks of tests.
    A wallet is given gas at most `top_ups_per_day` times in a day.
    """

    rpc_urls: Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)]
    chain_id: Annotated[int, Meta(ge=1, le=(1 << 53) - 1)]
    confirmations: Annotated[int, Meta(ge=1, le=10_000)]
    max_fee_wei: Wei
    priority_fee_wei: Annotated[int, Meta(ge=0, le=9_000_000_000_000_000_000)] = 1_000_000_000
    gas_limit_max: Annotated[int, Meta(ge=21_000, le=30_000_000)] = 300_000
    replace_after_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 120
    timeout_ms: Annotated[int, Meta(ge=10, le=60_000)] = 5_000
    poll_ms: Annotated[int, Meta(ge=10, le=60_000)] = 1_000
    wait_ms: Annotated[int, Meta(ge=0, le=60_000)] = 3_000
    paused: bool = False
    sandboxes: bool = False
    gas_wallet: Address | None = None
    top_up_wei: Wei = 10_000_000_000_000_000
    top_ups_per_day: Annotated[int, Meta(ge=1, le=10_000)] = 10
    tokens: dict[str, TokenSettings]

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if not all(map(_is_url, self.rpc_urls)):
            raise ValueError("rpc_urls are addresses that begin with http:// or https://")
        if self.priority_fee_wei > self.max_fee_wei:
            raise ValueError("priority_fee_wei is more than max_fee_wei")
        if self.gas_wallet is not None and not is_address(self.gas_wallet):
            raise ValueError(f"{self.gas_wallet} is not an address: its capitals do not fit")
        contracts = [token.contract.lower() for token in self.tokens.values()]
        if len(set(contracts)) != len(contracts):
            raise ValueError("two tokens have one contract")

    def __repr__(self) -> str:
        """Leave out the addresses of nodes, which may hold passwords."""
        return f"NetworkSettings(chain_id={self.chain_id})"


class KeySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file of keys: a master key for wallets without an address of their own, and keys of addresses."""

    master: Annotated[str, Meta(pattern="^(0x)?[0-9a-fA-F]{64}$")] | None = None
    keys: dict[Address, Annotated[str, Meta(pattern="^(0x)?[0-9a-fA-F]{64}$")]] = {}

    def __repr__(self) -> str:
        """Leave out the keys."""
        return f"KeySettings({len(self.keys)} addresses)"


class ChainsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. `key_file` is beside it, unless its path is absolute.

    `simulated` names the networks of live lanes on which nothing is real although there is a file.
    """

    key_file: str
    simulated: frozenset[str] = frozenset()
    networks: Annotated[dict[str, NetworkSettings], Meta(min_length=1)]

    def __post_init__(self) -> None:
        """Refuse a chain with two names: each would count the nonces of a sender for itself."""
        if both := self.simulated & self.networks.keys():
            raise ValueError(f"{min(both)} is simulated and has nodes")
        chains = [network.chain_id for network in self.networks.values()]
        if len(set(chains)) != len(chains):
            raise ValueError("two networks have one chain_id")

    @property
    def shared(self) -> frozenset[str]:
        """Return the networks that also serve sandboxes."""
        return frozenset(name for name, network in self.networks.items() if network.sandboxes)


def chains_settings(file: Path) -> tuple[ChainsSettings, KeySettings]:
    """Read the chains file and the file of keys that it names.

    Raises SettingsError for what is missing or not valid, and for keys that others than their owner may read. What the
    message shows has no key in it.
    """
    try:
        chains = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), ChainsSettings)
        open_to_others = stat.S_IMODE(file.stat().st_mode) & 0o077
    except UnicodeDecodeError:
        raise SettingsError(f"DESK_CHAINS_FILE: {file} is not UTF-8") from None
    except RecursionError:
        raise SettingsError(f"DESK_CHAINS_FILE: {file} is nested too deeply") from None
    except (OSError, ValueError, msgspec.ValidationError) as error:  # TOML's own errors, and its absurd numbers
        raise SettingsError(f"DESK_CHAINS_FILE: {error}") from None
    if open_to_others and any(_may_hold_secret(url) for one in chains.networks.values() for url in one.rpc_urls):
        log.warning("chains_file_open_to_others", file=str(file), reason="its rpc_urls may hold passwords: chmod 600")
    path = file.parent / chains.key_file
    try:
        keys = msgspec.convert(tomllib.loads(read_private(path)), KeySettings)
    except (OSError, KeyUnusable) as error:
        raise SettingsError(f"DESK_CHAINS_FILE: key_file: {error}") from None
    except (ValueError, RecursionError, msgspec.ValidationError):
        raise SettingsError(f"DESK_CHAINS_FILE: key_file: {path} is not a valid file of keys") from None
    return chains, keys


def _is_url(url: str) -> bool:
    """Tell whether a text is an address of a node; what is wrong with it is not said, for it may hold a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _may_hold_secret(url: str) -> bool:
    parts = urlsplit(url)
    return "@" in parts.netloc or parts.path not in {"", "/"} or bool(parts.query)
