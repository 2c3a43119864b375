"""Who is paid for a payout, as a bank needs to know it, from what was given when the payout was prepared.

Forms of channels whose payouts go into files ask for `AccountHolder`, and in `BankDetails` for `AccountNumber` (an
IBAN) and perhaps `BankCode` (a BIC). Where a form does not ask for the holder, it is the party itself.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from otcdesk.actions.file_payouts import Payee
from otcdesk.banking.credit_transfers import NAME_LENGTH, REMITTANCE_LENGTH
from otcdesk.banking.sepa_text import sepa_text
from otcdesk.domain.bank_files import BIC, is_iban

#: The most that one credit transfer may be, in hundredths of a euro (EPC125-05, 2.3.2).
UNITS_MAX = 99_999_999_999


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A payout that waits to be filed, with everything that may tell who is paid."""

    order_id: UUID
    updated_at: datetime
    units: int
    tenant: str
    external_id: str | None
    details: str | None
    number: str | None
    bank_code: str | None
    profile: str | None


def payee_of(waiting: Waiting) -> Payee | None:
    """Return who is paid; None if a bank could not pay it: no name in its letters, no IBAN, or too large."""
    details = _object(waiting.details)
    account = details.get("BankDetails")
    account = account if isinstance(account, dict) else {}
    known = _object(waiting.profile)
    holder = details.get("AccountHolder") or known.get("FullName") or known.get("RegisteredName")
    name = payee_name(holder)
    iban = "".join((_text(account.get("AccountNumber")) or waiting.number or "").split())
    bic = _text(account.get("BankCode")) or waiting.bank_code or ""
    if not name or not is_iban(iban) or waiting.units > UNITS_MAX:
        return None
    told = f"{waiting.tenant} {waiting.external_id or waiting.order_id}"
    return Payee(
        order_id=waiting.order_id,
        name=name,
        iban=iban,
        bic=bic if BIC.fullmatch(bic) else None,
        remittance=sepa_text(told, REMITTANCE_LENGTH) or waiting.order_id.hex,
    )


def payee_name(holder: object) -> str:
    """Return a holder's name as banks take it; empty if it has no letter or digit that can be said in theirs."""
    return sepa_text(_name(holder), NAME_LENGTH)


def _object(text: str | None) -> dict[str, Any]:
    value = msgspec.json.decode(text) if text else {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _name(value: object) -> str:
    """Return a name that is one text, or one for each of its parts in their order."""
    if isinstance(value, dict):
        return " ".join(part for part in value.values() if isinstance(part, str))
    return _text(value)
