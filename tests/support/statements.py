"""Statements of a bank as it would write them, in both versions that are read."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape

import msgspec

from otcdesk.domain.bank_files import FiledPayout, PayoutFile

V02, V08 = "camt.053.001.02", "camt.053.001.08"

#: The desk's account in the ramp world.
OURS = "DE02120300000000202051"


class Payment(msgspec.Struct, frozen=True):
    """One payment in the details of an entry."""

    amount: str
    end_to_end: str | None = None
    returned: str | None = None
    direction: str | None = None


class Entry(msgspec.Struct, frozen=True):
    """An entry of the account: `returned` is the reason by which the bank says that a payment came back."""

    amount: str
    direction: str = "DBIT"
    end_to_end: str | None = None
    reference: str | None = None
    returned: str | None = None
    reversal: bool = False
    currency: str = "EUR"
    status: str = "BOOK"
    batch: str | None = None
    count: int | None = None
    payments: tuple[Payment, ...] = ()
    day: str = "2026-11-20"
    text: str = "something"


def euros(units: int) -> str:
    return f"{units // 100}.{units % 100:02}"


def paid(filed: FiledPayout, **fields: Any) -> Entry:
    """Say that a payout was paid."""
    told = {"reference": f"D{filed.order_id.hex[:20]}", "end_to_end": filed.end_to_end_id, **fields}
    return msgspec.structs.replace(Entry(euros(filed.units)), **told)


def came_back(filed: FiledPayout, reason: str = "AC04", **fields: Any) -> Entry:
    """Say that a payout came back."""
    told = {"reference": f"R{filed.order_id.hex[:20]}", "end_to_end": filed.end_to_end_id, "returned": reason, **fields}
    return msgspec.structs.replace(Entry(euros(filed.units), "CRDT"), **told)


def paid_as_a_sum(file: PayoutFile, **fields: Any) -> Entry:
    """Say that a file was paid, without a word of its payouts."""
    told = {"reference": f"S{file.id.hex[:20]}", "batch": file.reference, "count": len(file.order_ids), **fields}
    return msgspec.structs.replace(Entry(euros(file.total_units)), **told)


def paid_as_a_list(file: PayoutFile, filed: Sequence[FiledPayout]) -> Entry:
    """Say that a file was paid, and list its payouts."""
    payments = tuple(Payment(euros(each.units), each.end_to_end_id) for each in filed)
    return paid_as_a_sum(file, payments=payments)


def _tag(name: str, text: object | None) -> str:
    return "" if text is None else f"<{name}>{escape(str(text))}</{name}>"


def _details(entry: Entry, payment: Payment, *, single: bool) -> str:
    refs = _tag("EndToEndId", payment.end_to_end)
    amount = "" if single else f'<AmtDtls><TxAmt><Amt Ccy="{entry.currency}">{payment.amount}</Amt></TxAmt></AmtDtls>'
    returned = "" if payment.returned is None else f"<RtrInf><Rsn><Cd>{payment.returned}</Cd></Rsn></RtrInf>"
    return f"<TxDtls>{f'<Refs>{refs}</Refs>' if refs else ''}{amount}{returned}</TxDtls>"


def entry_xml(entry: Entry, version: str = V08) -> str:
    """Return an entry as the bank writes it."""
    status = entry.status if version == V02 else f"<Cd>{entry.status}</Cd>"
    payments = entry.payments
    if not payments and (entry.end_to_end is not None or entry.returned is not None):
        payments = (Payment(entry.amount, entry.end_to_end, entry.returned),)
    batch = ""
    if entry.batch is not None or entry.count is not None:
        batch = f"<Btch>{_tag('PmtInfId', entry.batch)}{_tag('NbOfTxs', entry.count)}</Btch>"
    details = batch + "".join(_details(entry, payment, single=len(payments) == 1) for payment in payments)
    return (
        f'<Ntry><Amt Ccy="{entry.currency}">{entry.amount}</Amt><CdtDbtInd>{entry.direction}</CdtDbtInd>'
        f"{'<RvslInd>true</RvslInd>' if entry.reversal else ''}<Sts>{status}</Sts>"
        f"<BookgDt><Dt>{entry.day}</Dt></BookgDt>{_tag('AcctSvcrRef', entry.reference)}"
        "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>"
        f"{f'<NtryDtls>{details}</NtryDtls>' if details else ''}{_tag('AddtlNtryInf', entry.text)}</Ntry>"
    )


def _balance(kind: str, amount: Decimal) -> str:
    direction = "DBIT" if amount < 0 else "CRDT"
    return (
        f'<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">{abs(amount)}</Amt>'
        f"<CdtDbtInd>{direction}</CdtDbtInd><Dt><Dt>2026-11-20</Dt></Dt></Bal>"
    )


def moved_by(entries: Iterable[Entry]) -> Decimal:
    """Return what booked entries add up to."""
    booked = [entry for entry in entries if entry.status == "BOOK"]
    return sum((Decimal(entry.amount) * (1 if entry.direction == "CRDT" else -1) for entry in booked), Decimal(0))


def statement_head(
    version: str = V08, account: str = OURS, *, number: str = "2026-11-20", balances: str | None = None
) -> str:
    """Return a file up to its first entry; unless told otherwise it opens with nothing and says nothing of its end."""
    balances = _balance("OPBD", Decimal("0.00")) if balances is None else balances
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{version}"><BkToCstmrStmt>'
        "<GrpHdr><MsgId>M1</MsgId><CreDtTm>2026-11-20T22:00:00</CreDtTm></GrpHdr>"
        f"<Stmt><Id>{number}</Id><CreDtTm>2026-11-20T22:00:00</CreDtTm>"
        f"<Acct><Id><IBAN>{account}</IBAN></Id></Acct>{balances}\n"
    )


STATEMENT_TAIL = "</Stmt></BkToCstmrStmt></Document>\n"


def statement(
    *entries: Entry,
    version: str = V08,
    account: str = OURS,
    number: str = "2026-11-20",
    opening: str = "1000000.00",
    closing: str | None = None,
) -> bytes:
    """Return a file with one statement, whose balances are right unless the closing one is said."""
    ends = Decimal(opening) + moved_by(entries) if closing is None else Decimal(closing)
    balances = _balance("OPBD", Decimal(opening)) + _balance("CLBD", ends)
    head = statement_head(version, account, number=number, balances=balances)
    return (head + "\n".join(entry_xml(entry, version) for entry in entries) + STATEMENT_TAIL).encode()
