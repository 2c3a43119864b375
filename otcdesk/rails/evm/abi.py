"""What the desk says to ERC-20 contracts and reads of them, in the chain's own encoding (Ethereum's contract ABI).

Addresses are kept in lower case everywhere; capitals are a checksum (EIP-55), which is checked where people give them.
"""

import re
from functools import cache

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)

#: The first four bytes of the digests of the functions' signatures.
_TRANSFER, _BALANCE_OF, _DECIMALS = "a9059cbb", "70a08231", "313ce567"

#: The digest of `Transfer(address,address,uint256)`, by which a token tells that it has moved.
TRANSFERRED = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

#: How a contract says why it refuses: `Error(string)`.
_ERROR = "08c379a0"

_WORD = 64

#: So much is kept of what a contract says.
_REASON_MAX = 200

#: The largest number that a contract counts.
UINT_MAX = (1 << 256) - 1


def is_address(text: str) -> bool:
    """Tell whether a text is an address whose capitals, if it has both, are its checksum, and not that of nobody."""
    if not _ADDRESS.fullmatch(text) or int(text, 16) == 0:
        return False
    digits = text[2:]
    return digits in {digits.lower(), digits.upper()} or text == checksummed(text.lower())


@cache
def checksummed(address: str) -> str:
    """Return an address with the capitals that are its checksum."""
    from eth_utils.address import to_checksum_address

    return to_checksum_address(address)


def transfer_call(to: str, value: int) -> str:
    """Return the data that move so much to an address."""
    return f"0x{_TRANSFER}{_padded(to)}{value:0{_WORD}x}"


def balance_call(owner: str) -> str:
    """Return the data that ask how much an address has."""
    return f"0x{_BALANCE_OF}{_padded(owner)}"


def decimals_call() -> str:
    """Return the data that ask for the number of decimals."""
    return f"0x{_DECIMALS}"


def transferred_topics(sender: str, to: str) -> list[str]:
    """Return the topics of the log in which a token says that it has moved between two addresses."""
    return [TRANSFERRED, f"0x{_padded(sender)}", f"0x{_padded(to)}"]


def word_of(data: str) -> int | None:
    """Read an answer that is one number; None if it is not."""
    if not re.fullmatch(r"0x[0-9a-fA-F]{64}", data):
        return None
    return int(data, 16)


def reason_of(data: object) -> str | None:
    """Read why a contract refused; None if it does not say."""
    if not isinstance(data, str) or not data.startswith(f"0x{_ERROR}"):
        return None
    try:
        body = bytes.fromhex(data[2 + len(_ERROR) :])
    except ValueError:
        return None
    length = int.from_bytes(body[32:64], "big")
    return printable(body[64 : 64 + min(length, _REASON_MAX)].decode(errors="replace")) or None


def printable(text: str) -> str:
    """Return what can be shown and kept of a text from outside."""
    return "".join(one if one.isprintable() else " " for one in text.encode(errors="ignore").decode())[:_REASON_MAX]


def _padded(address: str) -> str:
    return address.removeprefix("0x").lower().rjust(_WORD, "0")
