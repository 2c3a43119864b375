"""Places where money arrives in a simulation: addresses that look as each network's do, and bank accounts.

They derive from a name, so the same is asked for and given again; nobody has the keys to any of them.
"""

import hashlib
from typing import Final

from schwifty import IBAN

from otcdesk.rails.protocols import BankPlace

#: The letters of addresses: base58 leaves out what is easily mistaken (Solana), bech32 has its own (Bitcoin, BIP 173).
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BASE58_LENGTH: Final = 44
_BECH32_LENGTH: Final = 39

#: Where simulated bank accounts are: a country's bank that every registry knows.
_COUNTRY: Final = "DE"
_BANK_CODE: Final = "37040044"
_BIC: Final = "COBADEFFXXX"
_NUMBER_MODULUS: Final = 10**10

#: Whose bank accounts they are.
_HOLDER: Final = "otcdesk"

#: Kinds of payment methods by fiat, as the contract names them; others are local.
_TYPES: Final = {"EUR": "BankSepa", "USD": "BankAch"}


class SimulatedPlaces:
    """Makes places up; implements `DepositPlaces` for sandboxes, where nobody pays to them."""

    async def address(self, lane: int, network: str, name: str) -> str:
        """Return an address."""
        return simulated_address(network, f"{lane}/{name}")

    async def bank(self, lane: int, fiat: str, name: str) -> BankPlace:
        """Return a bank account."""
        return simulated_bank(fiat, f"{lane}/{name}", _HOLDER)


def simulated_address(network: str, name: str) -> str:
    """Return an address on a network that a name stands for."""
    digest = hashlib.sha512(f"{network}/{name}".encode()).digest()
    if network == "Solana":
        return _letters(digest, _BASE58, _BASE58_LENGTH)
    if network == "Bitcoin":
        return f"bc1q{_letters(digest, _BECH32, _BECH32_LENGTH - 1)}"
    return f"0x{digest.hex()[:40]}"


def simulated_hash(network: str, name: str) -> str:
    """Return what a transaction on a network is called that a name stands for."""
    digest = hashlib.sha512(f"transaction/{network}/{name}".encode()).digest()
    if network == "Solana":
        return _letters(digest + digest, _BASE58, 2 * _BASE58_LENGTH)
    return digest.hex()[:64] if network == "Bitcoin" else f"0x{digest.hex()[:64]}"


def simulated_bank(fiat: str, name: str, holder: str) -> BankPlace:
    """Return a bank account for a fiat that a name stands for: its IBAN is one that banks would take for valid."""
    digest = hashlib.sha512(f"bank/{fiat}/{name}".encode()).digest()
    number = int.from_bytes(digest, "big") % _NUMBER_MODULUS
    iban = IBAN.generate(_COUNTRY, bank_code=_BANK_CODE, account_code=f"{number:010}").compact
    kind = _TYPES.get(fiat, "BankLocal")
    return BankPlace(
        name=f"Bank/{kind.removeprefix('Bank')}/{fiat}/{_BIC}/{iban}",
        type=kind,
        country=_COUNTRY,
        fiat=fiat,
        number=iban,
        bank_code=_BIC,
        holder=holder,
    )


def _letters(digest: bytes, alphabet: str, count: int) -> str:
    number, letters = int.from_bytes(digest, "big"), []
    for _ in range(count):
        number, rest = divmod(number, len(alphabet))
        letters.append(alphabet[rest])
    return "".join(letters)
