"""Text as banks of the Single Euro Payments Area take it: Latin letters without accents, digits, a few signs.

Source: EPC217-08, SEPA requirements for an extended character set, 6.2: the set that every bank must take. A text must
neither begin nor end with a slash, nor have two in a row.
"""

import re
from typing import Final

_OTHERS: Final = re.compile(r"[^A-Za-z0-9/\-?:().,'+ ]")
_SLASHES: Final = re.compile(r"/{2,}")
_SPACES: Final = re.compile(r" {2,}")


def sepa_text(text: str, length: int) -> str:
    """Return a text in the characters of all banks, cut to a length; empty if nothing of it can be said in them.

    Letters of other scripts are written as they sound.
    """
    from text_unidecode import unidecode  # type: ignore[import-untyped]  # its table is large

    plain = _OTHERS.sub(" ", unidecode(text))
    plain = _SPACES.sub(" ", _SLASHES.sub("/", plain)).strip(" /")
    return plain[:length].strip(" /") if re.search(r"[A-Za-z0-9]", plain[:length]) else ""
