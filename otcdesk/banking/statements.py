"""Read a bank's statement: ISO 20022 camt.053, piece by piece, so that a long one takes no more memory than a short.

The schemas of the versions that are read stand beside this module as ISO 20022 published them (iso20022.org; taken from
the package camt053 0.0.23). A file is gone through before it is read: nothing is told of one that is cut short, damaged
or not what its schema asks for. Nothing outside of the file is ever looked at, and a document type, with which entities
come, is refused.

An entry of an account is one line, unless it is the sum of payments that it lists: then each of them is a line, if
they add up to it. Only what is booked is told of: what is pending comes again when it is.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import IO, Any

import msgspec
from defusedxml import DefusedXmlException, DTDForbidden
from defusedxml.ElementTree import ParseError, iterparse
from lxml import etree

from otcdesk.domain.bank_files import CREDIT, DEBIT, DETAILS_DIFFER, GivenLine
from otcdesk.domain.parties import declared_id
from otcdesk.money import plain

#: The versions of 2009 and of 2019, which banks of the euro area give.
VERSIONS = ("camt.053.001.02", "camt.053.001.08")

_NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"

#: A sum of more payments than this is nobody's: they are kept in memory until it is known that they add up.
DETAILS_MAX = 20_000

_REMITTANCE_LENGTH = 500

#: How banks call a payment that came back, as a transaction's code (ISO 20022 external code set).
_RETURNED_CODES = frozenset({"RRTN", "RPCR"})

_DIRECTIONS = {"DBIT": DEBIT, "CRDT": CREDIT}
_BOOKED = "BOOK"
_OPENING, _CLOSING = ("OPBD", "PRCD"), ("CLBD",)


class StatementUnreadable(Exception):
    """The file is not a statement, or is damaged; the message is a sentence that says where."""


class StatementBegun(msgspec.Struct, frozen=True, kw_only=True):
    """A statement of an account: the bank's id of it, and the account's IBAN, or what else the bank calls it."""

    id: str
    account: str


class StatementEnded(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a statement; balances are None where it has none. `moved` is what its booked entries add up to."""

    id: str
    account: str
    currency: str | None
    opening: Decimal | None
    closing: Decimal | None
    moved: Decimal

    @property
    def adds_up(self) -> bool:
        """Tell whether the entries lead from one balance to the other, as far as both are told."""
        if self.opening is None or self.closing is None:
            return True
        return self.opening + self.moved == self.closing


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry's details share."""

    account: str
    reference: str | None
    booked_on: date
    amount: Decimal
    currency: str
    direction: str
    reversal: bool
    returned: bool
    batch_reference: str | None
    batch_count: int | None
    remittance: str | None


class _Detail(msgspec.Struct, frozen=True, kw_only=True):
    """One payment of an entry."""

    amount: Decimal | None
    currency: str | None
    direction: str | None
    reference: str | None
    end_to_end_id: str | None
    batch_reference: str | None
    returned: bool
    return_reason: str | None
    remittance: str | None


Told = StatementBegun | GivenLine | StatementEnded


def read_statements(source: IO[bytes]) -> Iterator[Told]:
    """Yield what a file tells, in its order; raises StatementUnreadable, before the first value if it is damaged.

    `source` is gone through several times, from its beginning.
    """
    version = _version(source)
    amiss = _amiss(source, version)
    if amiss is not None:
        raise StatementUnreadable(amiss)
    yield from _Reader(version).read(source)


def _version(source: IO[bytes]) -> str:
    """Return which version the file is of, by how it begins; raises StatementUnreadable for what is none of them."""
    source.seek(0)
    try:
        _, root = next(iterparse(source, events=("start",), forbid_dtd=True))
    except DTDForbidden:
        raise StatementUnreadable("It has a document type, which no statement has.") from None
    except (StopIteration, ParseError, DefusedXmlException, LookupError, ValueError):
        raise StatementUnreadable("It is empty, or no XML.") from None
    space, _, name = root.tag.removeprefix("{").rpartition("}")
    version: str = space.removeprefix(_NAMESPACE)
    if name != "Document" or version not in VERSIONS:
        raise StatementUnreadable(f"It is neither {' nor '.join(VERSIONS)}.")
    return version


def _amiss(source: IO[bytes], version: str) -> str | None:
    """Tell what is wrong with a file that has no end, or that its schema does not allow.

    Two goings: with a schema the parser says nothing of a file that is cut short. Neither leaves anything behind: what
    this parser holds must not be touched by another thread.
    """
    entries, amiss = _gone_through(source, version, None)
    if amiss is not None:
        return f"It is cut short or damaged after {entries} whole entries: {amiss}."
    _, amiss = _gone_through(source, version, _schema(version))
    return None if amiss is None else f"It is no {version}: {amiss}"


def _gone_through(source: IO[bytes], version: str, schema: Any) -> tuple[int, str | None]:
    """Count the entries up to the first mistake, and tell it."""
    entries, amiss = 0, None
    source.seek(0)
    try:
        for _, element in etree.iterparse(
            source,
            events=("end",),
            tag=f"{{{_NAMESPACE}{version}}}Ntry",
            schema=schema,
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        ):
            entries += 1
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        amiss = " ".join(re.sub(r"\{.*?\}", "", str(error.msg)).split())[:300]
    return entries, amiss


@cache
def _schema(version: str) -> Any:
    text = (files("otcdesk.banking") / "schemas" / f"{version}.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(text))


class _Tags(dict[str, str]):
    """Names as the parser has them, in the namespace of their version."""

    def __init__(self, space: str) -> None:
        super().__init__()
        self.space = space

    def __missing__(self, name: str) -> str:
        tag = self[name] = self.space + name
        return tag


class _Reader:
    """Reads one file."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._tags = _Tags(f"{{{_NAMESPACE}{version}}}")
        self._alike: Counter[bytes] = Counter()
        self._details: list[_Detail] = []
        self._begun: StatementBegun | None = None
        self._balances: dict[str, Decimal] = {}
        self._currency: str | None = None
        self._moved = Decimal(0)

    def read(self, source: IO[bytes]) -> Iterator[Told]:
        """Yield what the file tells; elements are forgotten as soon as they are read."""
        source.seek(0)
        above: list[Any] = []
        within = {self._tags[name]: name for name in ("Acct", "Bal", "TxDtls", "Ntry", "Stmt")}
        try:
            for event, element in iterparse(source, events=("start", "end"), forbid_dtd=True):
                if event == "start":
                    above.append(element)
                    continue
                above.pop()
                if element.tag in within and above:
                    yield from self._told(within[element.tag], element, above[-1])
        except (ParseError, DefusedXmlException) as error:
            raise StatementUnreadable(f"It is damaged: {error}.") from None

    def _told(self, name: str, element: Any, parent: Any) -> Iterator[Told]:
        in_statement = parent.tag == self._tags["Stmt"]
        if name == "Acct" and in_statement:
            self._begun = StatementBegun(
                id=self._text(parent, "Id") or "", account=self._text(element, "Id/IBAN", "Id/Othr/Id") or ""
            )
            self._alike.clear()
            yield self._begun
        elif name == "Bal" and in_statement:
            self._keep_balance(element)
        elif name == "TxDtls":
            if len(self._details) >= DETAILS_MAX:
                raise StatementUnreadable(f"An entry has more than {DETAILS_MAX} payments.")
            self._details.append(self._detail(element))
            parent.remove(element)
        elif name == "Ntry" and in_statement:
            yield from self._lines(element)
            self._details = []
            parent.remove(element)
        elif name == "Stmt":
            yield self._ended()
            parent.remove(element)

    # -- what an element says ----------------------------------------------------------------------------------------

    def _find(self, element: Any, path: str) -> Any:
        for name in path.split("/"):
            element = element.find(self._tags[name])
            if element is None:
                return None
        return element

    def _text(self, element: Any, *paths: str) -> str | None:
        """Return the first text that there is on one of these ways; None for an empty one."""
        for path in paths:
            found = self._find(element, path)
            if found is not None and found.text and found.text.strip():
                return " ".join(found.text.split())
        return None

    def _amount(self, element: Any, *paths: str) -> tuple[Decimal, str] | None:
        for path in paths:
            found = self._find(element, path)
            if found is not None:
                return plain(Decimal(found.text.strip())), found.get("Ccy", "")
        return None

    def _keep_balance(self, element: Any) -> None:
        kind, amount = self._text(element, "Tp/CdOrPrtry/Cd"), self._amount(element, "Amt")
        if kind is None or amount is None:
            return
        units, self._currency = amount
        debit = self._text(element, "CdtDbtInd") == "DBIT"
        if kind in _OPENING:
            self._balances.setdefault(kind, -units if debit else units)
        elif kind in _CLOSING:
            self._balances[kind] = -units if debit else units

    def _ended(self) -> StatementEnded:
        begun = self._begun or StatementBegun(id="", account="")
        opening = next((self._balances[kind] for kind in _OPENING if kind in self._balances), None)
        ended = StatementEnded(
            id=begun.id,
            account=begun.account,
            currency=self._currency,
            opening=opening,
            closing=self._balances.get(_CLOSING[0]),
            moved=plain(self._moved),
        )
        self._balances, self._currency, self._moved, self._begun = {}, None, Decimal(0), None
        return ended

    def _detail(self, element: Any) -> _Detail:
        amount = self._amount(element, "AmtDtls/TxAmt/Amt", "Amt", "AmtDtls/InstdAmt/Amt")
        code = self._text(element, "BkTxCd/Domn/Fmly/SubFmlyCd")
        return _Detail(
            amount=amount[0] if amount else None,
            currency=amount[1] if amount else None,
            direction=_DIRECTIONS.get(self._text(element, "CdtDbtInd") or ""),
            reference=self._text(element, "Refs/AcctSvcrRef"),
            end_to_end_id=self._text(element, "Refs/EndToEndId"),
            batch_reference=self._text(element, "Refs/PmtInfId", "Refs/MsgId"),
            returned=self._find(element, "RtrInf") is not None or code in _RETURNED_CODES,
            return_reason=self._text(element, "RtrInf/Rsn/Cd", "RtrInf/Rsn/Prtry"),
            remittance=self._text(element, "RmtInf/Ustrd", "AddtlTxInf"),
        )

    def _entry(self, element: Any, account: str) -> _Entry | None:
        """Return what an entry says; None for one that is not booked."""
        if self._text(element, "Sts/Cd", "Sts") != _BOOKED:
            return None
        booked = self._text(element, "BookgDt/Dt", "BookgDt/DtTm", "ValDt/Dt", "ValDt/DtTm")
        amount = self._amount(element, "Amt")
        if booked is None or amount is None:
            raise StatementUnreadable("An entry has neither a booking nor a value date.")
        try:
            booked_on = date.fromisoformat(booked[:10])
        except ValueError:
            raise StatementUnreadable(f"{booked!r} is no day of our calendar.") from None
        count = self._text(element, "NtryDtls/Btch/NbOfTxs")
        return _Entry(
            account=account,
            reference=self._text(element, "AcctSvcrRef"),
            booked_on=booked_on,
            amount=amount[0],
            currency=amount[1],
            direction=_DIRECTIONS[self._text(element, "CdtDbtInd") or ""],
            reversal=self._text(element, "RvslInd") in {"true", "1"},
            returned=self._text(element, "BkTxCd/Domn/Fmly/SubFmlyCd") in _RETURNED_CODES,
            batch_reference=self._text(element, "NtryDtls/Btch/PmtInfId", "NtryDtls/Btch/MsgId"),
            batch_count=int(count) if count else None,
            remittance=self._text(element, "AddtlNtryInf"),
        )

    # -- lines -------------------------------------------------------------------------------------------------------

    def _lines(self, element: Any) -> Iterator[GivenLine]:
        entry = self._entry(element, self._begun.account if self._begun else "")
        if entry is None:
            return
        self._moved += entry.amount if entry.direction == CREDIT else -entry.amount
        details = self._details
        if len(details) > 1:
            if _adds_up(entry, details):
                for number, detail in enumerate(details, start=1):
                    yield self._line(entry, detail, number)
                return
            yield self._line(entry, None, 0, doubt=DETAILS_DIFFER)
            return
        yield self._line(entry, details[0] if details else None, 0)

    def _line(self, entry: _Entry, detail: _Detail | None, number: int, doubt: str | None = None) -> GivenLine:
        """Return a line; `number` is its place in an entry of several, or 0."""
        mine = detail if number else None
        batch = None if mine else entry.batch_reference or (detail.batch_reference if detail else None)
        reference = entry.reference or (detail.reference if detail else None)
        return GivenLine(
            id=self._id(entry, detail, number, reference),
            bank_reference=(detail.reference if mine and detail else None) or reference,
            booked_on=entry.booked_on,
            amount=mine.amount if mine and mine.amount is not None else entry.amount,
            currency=(mine.currency if mine else None) or entry.currency,
            direction=(mine.direction if mine else None) or entry.direction,
            reversal=entry.reversal,
            returned=entry.returned or bool(detail and detail.returned),
            return_reason=detail.return_reason if detail else None,
            end_to_end_id=detail.end_to_end_id if detail else None,
            batch_reference=batch,
            batch_count=None if mine else entry.batch_count,
            remittance=_cut((detail.remittance if detail else None) or entry.remittance),
            doubt=doubt,
        )

    def _id(self, entry: _Entry, detail: _Detail | None, number: int, reference: str | None) -> Any:
        """Return what tells a line from all others of the account, whichever statement it is read from.

        The bank's own reference does, with what is moved, as banks are known to use one for what belongs together.
        Lines without one that are alike in everything are told apart by their order, which is the same in every
        statement that has all of their day.
        """
        told: tuple[str | None, ...] = (
            *(entry.account, entry.booked_on.isoformat(), str(entry.amount), entry.currency, entry.direction),
            *(str(entry.reversal), reference, str(number), *_told_of(detail)),
        )
        if reference is not None:
            return declared_id("statement line", hashlib.sha256(msgspec.json.encode(told)).hexdigest())
        told = (*told, entry.remittance, detail.remittance if detail else None)
        digest = hashlib.sha256(msgspec.json.encode(told)).digest()
        self._alike[digest[:8]] += 1
        return declared_id("statement line", digest.hex(), str(self._alike[digest[:8]]))


def _told_of(detail: _Detail | None) -> tuple[str | None, ...]:
    if detail is None:
        return ()
    return detail.end_to_end_id, None if detail.amount is None else str(detail.amount), detail.reference


def _adds_up(entry: _Entry, details: list[_Detail]) -> bool:
    """Tell whether details are of the entry's currency and add up to it."""
    total = Decimal(0)
    for detail in details:
        if detail.amount is None or detail.currency != entry.currency:
            return False
        total += detail.amount if detail.direction in {None, entry.direction} else -detail.amount
    return total == entry.amount


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:_REMITTANCE_LENGTH]
