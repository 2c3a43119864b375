"""Whose keys the desk has: named addresses, and wallets whose keys derive from a master key.

A wallet without an address of its own has a key that the master key, its lane and its account's id decide for ever:

    HMAC-SHA512(master, "otcdesk chain wallet v1" || 0 || lane, 8 bytes || account id, 16 bytes)

read as a number, taken modulo one less than the order of the curve, plus one. So it is never zero, and what the modulus
favours is less than one in 2^255. The same wallet has the same address on every network. With the master key alone, and
the lane and the account's id, anybody can do the same.
"""

import hashlib
import hmac
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from otcdesk.config import SettingsError
from otcdesk.domain.ledger import Account
from otcdesk.rails.evm.abi import is_address
from otcdesk.rails.evm.settings import KeySettings

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

_WALLET: Final = b"otcdesk chain wallet v1\0"

#: The order of secp256k1 (SEC 2, section 2.4.1).
CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

#: Signed transactions of the kind with a base fee (EIP-1559).
_DYNAMIC_FEE: Final = 2

#: Derived keys that are kept: making one costs milliseconds.
_KNOWN_MAX: Final = 10_000


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What a transaction says, before it is signed. Fees are wei for one gas, `value` is wei."""

    chain_id: int
    nonce: int
    to: str
    value: int
    data: str
    gas_limit: int
    max_fee_wei: int
    priority_fee_wei: int


class Keys:
    """All keys of this process; they never leave it, and no message or log shows one."""

    def __init__(self, settings: KeySettings) -> None:
        self._master = None if settings.master is None else bytes.fromhex(settings.master.removeprefix("0x"))
        self._named: dict[str, LocalAccount] = {}
        self._wallets: dict[tuple[int, UUID], LocalAccount] = {}
        self._by_address: dict[str, LocalAccount] = {}
        for address, key in settings.keys.items():
            if not is_address(address):
                raise SettingsError(f"DESK_CHAINS_FILE: key_file: {address} is not an address")
            if address.lower() in self._named:
                raise SettingsError(f"DESK_CHAINS_FILE: key_file: {address} is there twice")
            if not 0 < int(key, 16) < CURVE_ORDER or _signer(int(key, 16)).address.lower() != address.lower():
                raise SettingsError(f"DESK_CHAINS_FILE: key_file: the key of {address} is another's")
            self._named[address.lower()] = _signer(int(key, 16))

    def __repr__(self) -> str:
        return f"Keys({len(self._named)} addresses)"

    def address_of(self, lane: int, account: Account) -> str | None:
        """Return where an account's tokens are, in lower case; None if it has no address and there is no master key.

        Raises ValueError for an address that is none.
        """
        if account.address is not None:
            if not is_address(account.address):
                raise ValueError(f"{account.address!r} is not an address on this network")
            return account.address.lower()
        wallet = self._wallet(lane, account.id)
        return None if wallet is None else _lower(wallet)

    def signer(self, address: str) -> "LocalAccount | None":
        """Return who signs for an address in lower case: a named one, or a wallet's that `address_of` has told.

        None if its key is not ours, or not known to be yet.
        """
        return self._named.get(address) or self._by_address.get(address)

    def may_send(self, lane: int, account: Account) -> bool:
        """Tell whether tokens of an account may be sent by the desk.

        An account that has an address needs its key in the file: that the address is the derived one of another
        account, which somebody can read on the chain, makes it nobody's.
        """
        if account.address is not None:
            return account.address.lower() in self._named
        return self._wallet(lane, account.id) is not None

    def _wallet(self, lane: int, account_id: UUID) -> "LocalAccount | None":
        if self._master is None:
            return None
        known = self._wallets.get((lane, account_id))
        if known is None:
            if len(self._wallets) >= _KNOWN_MAX:
                self._wallets.clear()
                self._by_address.clear()
            known = _signer(wallet_key(self._master, lane, account_id))
            self._wallets[lane, account_id] = self._by_address[_lower(known)] = known
        return known


def wallet_key(master: bytes, lane: int, account_id: UUID) -> int:
    """Return the key of the wallet of an account without an address; see the module."""
    message = _WALLET + lane.to_bytes(8, "big") + account_id.bytes
    digest = hmac.new(master, message, hashlib.sha512).digest()
    return int.from_bytes(digest, "big") % (CURVE_ORDER - 1) + 1


def sign(signer: "LocalAccount", payload: Payload) -> tuple[str, str]:
    """Sign a transaction; returns its hash and its bytes, both in hexadecimal digits after 0x."""
    fields: dict[str, Any] = {
        "type": _DYNAMIC_FEE,
        "chainId": payload.chain_id,
        "nonce": payload.nonce,
        "to": bytes.fromhex(payload.to.removeprefix("0x")),
        "value": payload.value,
        "data": payload.data,
        "gas": payload.gas_limit,
        "maxFeePerGas": payload.max_fee_wei,
        "maxPriorityFeePerGas": payload.priority_fee_wei,
    }
    made = signer.sign_transaction(fields)
    return f"0x{bytes(made.hash).hex()}", f"0x{bytes(made.raw_transaction).hex()}"


def _lower(signer: "LocalAccount") -> str:
    address: str = signer.address
    return address.lower()


def _signer(key: int) -> "LocalAccount":
    made: LocalAccount = _signers().from_key(key.to_bytes(32, "big"))
    return made


@cache
def _signers() -> Any:
    """Load what signs.

    With it a parser of grammars is loaded that lets the whole process nest calls a hundred times deeper, so deep that a
    body of nothing but brackets would end it. It goes back to what it was.
    """
    depth = sys.getrecursionlimit()
    try:
        from eth_account import Account as Signer
    finally:
        sys.setrecursionlimit(depth)
    return Signer
