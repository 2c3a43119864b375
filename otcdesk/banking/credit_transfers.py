"""Write a file of payouts for a bank: ISO 20022 pain.001, one payment information with a credit transfer for each.

The message is made by `sepaxml`, whose ids and time are drawn anew each time; they are replaced by those of the file,
so that the same rows make the same bytes. What is handed out has been checked against the schema of its version, which
the library carries.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from lxml import etree

from otcdesk.banking.sepa_text import sepa_text
from otcdesk.domain.bank_files import FiledPayout, PayoutFile

#: The versions of pain.001 that banks of the euro area take: of 2009, and of 2019.
FORMATS = ("pain.001.001.03", "pain.001.001.09")

#: Of the one currency that these files pay, the euro.
DECIMALS = 2

NAME_LENGTH = 70
REMITTANCE_LENGTH = 140

_NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"

#: What stands for a bank that the IBAN tells (EPC132-08, usage rules of the debtor's agent).
_NOT_PROVIDED = "NOTPROVIDED"


class FileUnwritable(Exception):
    """The file would not be what its schema asks for; a bug, or rows that nobody here wrote."""


def credit_transfers(file: PayoutFile, payouts: Sequence[FiledPayout]) -> bytes:
    """Return the bytes of a file, always the same for the same rows.

    `payouts` are all of the file's, in its order; amounts are hundredths (euro). Raises FileUnwritable.
    """
    from sepaxml import SepaTransfer  # type: ignore[import-untyped]

    if [payout.order_id for payout in payouts] != list(file.order_ids):
        raise FileUnwritable(f"file {file.id} has other payouts than those given")
    debtor = {
        "name": sepa_text(file.name, NAME_LENGTH) or _NOT_PROVIDED,
        "IBAN": file.iban,
        "currency": file.fiat,
        "batch": True,
    }
    message = SepaTransfer({**debtor, "BIC": file.bic} if file.bic else debtor, schema=file.format, clean=False)
    for payout in payouts:
        message.add_payment(_payment(file, payout))
    root = etree.fromstring(message.export(validate=False), _parser())
    _settle(root, file)
    tree = etree.ElementTree(root)
    schema = _schema(file.format)
    if not schema.validate(tree):
        raise FileUnwritable(f"file {file.id} is no {file.format}: {schema.error_log[0].message}")
    written: bytes = etree.tostring(tree, encoding="UTF-8", xml_declaration=True, pretty_print=True)
    return written


def _payment(file: PayoutFile, payout: FiledPayout) -> dict[str, Any]:
    payment = {
        "name": payout.name,
        "IBAN": payout.iban,
        "amount": payout.units,
        "execution_date": file.execution_on,
        "description": payout.remittance,
        "endtoend_id": payout.end_to_end_id,
    }
    return {**payment, "BIC": payout.bic} if payout.bic else payment


def _settle(root: Any, file: PayoutFile) -> None:
    """Put the file's own ids and time in the place of those that were drawn."""
    names = {"n": _NAMESPACE + file.format}

    def one(path: str) -> Any:
        (found,) = root.xpath(path, namespaces=names)
        return found

    one("//n:GrpHdr/n:MsgId").text = file.reference
    one("//n:GrpHdr/n:CreDtTm").text = _seconds(file.created_at)
    one("//n:PmtInf/n:PmtInfId").text = file.reference
    agent = one("//n:PmtInf/n:DbtrAgt/n:FinInstnId")
    if not len(agent):
        other = etree.SubElement(agent, etree.QName(names["n"], "Othr"))
        etree.SubElement(other, etree.QName(names["n"], "Id")).text = _NOT_PROVIDED


def _seconds(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def _parser() -> Any:
    return etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True)


@cache
def _schema(name: str) -> Any:
    if name not in FORMATS:
        raise FileUnwritable(f"there is no format {name}")
    text = (files("sepaxml") / "schemas" / f"{name}.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(text, _parser()))
