"""Files for a bank: valid by the official schema whatever is paid, and the same bytes each time."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from otcdesk.banking.credit_transfers import FORMATS, FileUnwritable, credit_transfers
from otcdesk.banking.payees import UNITS_MAX, Waiting, payee_of
from otcdesk.domain.bank_files import FiledPayout, PayoutFile
from tests.support.payouts import IBAN
from tests.support.statements import OURS

IBANS = (IBAN, OURS, "NO9386011117947", "MT84MALT011000012345MTLCAST001S", "FR1420041010050500013M02606")


def payout_file(payouts: list[FiledPayout], **fields: Any) -> PayoutFile:
    told = {
        "id": uuid4(),
        "fiat": "EUR",
        "format": FORMATS[1],
        "iban": OURS,
        "bic": "BYLADEM1001",
        "name": "otcdesk GmbH",
        "execution_on": date(2026, 11, 20),
        "order_ids": tuple(payout.order_id for payout in payouts),
        "total_units": sum(payout.units for payout in payouts),
        "created_by": "operator",
        "created_at": datetime(2026, 11, 20, 9, 30, 15, 123_456, tzinfo=UTC),
        **fields,
    }
    return PayoutFile(**told)


def payout(number: int = 1, **fields: Any) -> FiledPayout:
    told = {
        "order_id": uuid4(),
        "file_id": uuid4(),
        "number": number,
        "name": "Ada Example",
        "iban": IBAN,
        "bic": None,
        "remittance": "user-b1 inv-1",
        "units": 10_000,
        **fields,
    }
    return FiledPayout(**told)


def texts(content: bytes, name: str) -> list[str]:
    return [element.text or "" for element in etree.fromstring(content).iter(f"{{*}}{name}")]


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("bic", ["BYLADEM1001", None])
def test_a_file_says_what_is_paid(version: str, bic: str | None) -> None:
    payouts = [payout(1, units=5), payout(2, units=123_456, bic="NWBKGB2L", iban=IBANS[3], name="Eve")]
    file = payout_file(payouts, format=version, bic=bic)
    content = credit_transfers(file, payouts)
    assert etree.QName(etree.fromstring(content)).namespace == f"urn:iso:std:iso:20022:tech:xsd:{version}"
    assert texts(content, "MsgId") == texts(content, "PmtInfId") == [file.reference]
    assert texts(content, "CreDtTm") == ["2026-11-20T09:30:15"]
    assert texts(content, "NbOfTxs") == ["2", "2"]
    assert texts(content, "CtrlSum") == ["1234.61", "1234.61"]
    assert texts(content, "InstdAmt") == ["0.05", "1234.56"]
    assert texts(content, "EndToEndId") == [each.end_to_end_id for each in payouts]
    assert texts(content, "IBAN") == [OURS, IBAN, IBANS[3]]
    assert texts(content, "BtchBookg") == ["true"]
    banks = texts(content, "BIC") + texts(content, "BICFI")
    assert banks == [*([bic] if bic else []), "NWBKGB2L"]
    assert ("NOTPROVIDED" in texts(content, "Id")) is (bic is None)


def test_the_same_rows_make_the_same_bytes() -> None:
    payouts = [payout(1), payout(2)]
    file = payout_file(payouts)
    assert credit_transfers(file, payouts) == credit_transfers(file, payouts)


def test_other_payouts_than_the_files_are_not_written() -> None:
    payouts = [payout(1), payout(2)]
    with pytest.raises(FileUnwritable):
        credit_transfers(payout_file(payouts), payouts[:1])
    with pytest.raises(FileUnwritable):
        credit_transfers(payout_file(payouts), payouts[::-1])


@pytest.mark.parametrize("fields", [{"iban": "nonsense"}, {"name": ""}, {"units": 10**21}, {"bic": "?"}])
def test_what_the_schema_forbids_is_not_handed_out(fields: dict[str, Any]) -> None:
    payouts = [payout(**fields)]
    with pytest.raises(FileUnwritable):
        credit_transfers(payout_file(payouts), payouts)


def test_a_format_that_nobody_knows() -> None:
    with pytest.raises(FileUnwritable):
        credit_transfers(payout_file([payout()], format="../../etc/passwd"), [payout()])


forms = st.fixed_dictionaries(
    {"AccountHolder": st.text(max_size=80)},
    optional={
        "BankDetails": st.fixed_dictionaries(
            {"AccountNumber": st.sampled_from(IBANS) | st.text(max_size=40)},
            optional={"BankCode": st.sampled_from(["NWBKGB2L", "BYLADEM1001"]) | st.text(max_size=12)},
        )
    },
)


@st.composite
def waiting(draw: st.DrawFn) -> Waiting:
    return Waiting(
        order_id=draw(st.uuids()),
        updated_at=datetime(2026, 11, 20, tzinfo=UTC),
        units=draw(st.integers(1, UNITS_MAX * 2)),
        tenant=draw(st.text(max_size=200)),
        external_id=draw(st.none() | st.text(max_size=36)),
        details=msgspec.json.encode(draw(forms)).decode(),
        number=draw(st.none() | st.sampled_from(IBANS)),
        bank_code=draw(st.none() | st.text(max_size=12)),
        profile=draw(st.sampled_from([None, "{}", '{"FullName":{"FirstName":"Ada","LastName":"Example"}}'])),
    )


@settings(max_examples=100)
@given(
    st.lists(waiting(), min_size=1, max_size=8, unique_by=lambda one: one.order_id), st.sampled_from(FORMATS), st.text()
)
def test_whoever_can_be_paid_is_in_a_valid_file(rows: list[Waiting], version: str, name: str) -> None:
    payees = [(row, payee) for row in rows if (payee := payee_of(row))]
    file_id = UUID(int=7)
    payouts = [
        payout(
            number,
            order_id=row.order_id,
            file_id=file_id,
            name=payee.name,
            iban=payee.iban,
            bic=payee.bic,
            remittance=payee.remittance,
            units=row.units,
        )
        for number, (row, payee) in enumerate(payees, start=1)
    ]
    if not payouts:
        return
    content = credit_transfers(payout_file(payouts, id=file_id, format=version, name=name), payouts)
    assert texts(content, "CtrlSum")[0] == str(Decimal(sum(one.units for one in payouts)).scaleb(-2))
    assert len(texts(content, "EndToEndId")) == len(payouts)
