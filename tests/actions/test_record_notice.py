"""Notices: kept once, as they were told, and nothing is booked for them."""

from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from otcdesk.actions.record_notice import RecordNotice
from otcdesk.domain.brokerage import Notice
from otcdesk.domain.ledger import LedgerTransaction
from otcdesk.errors import Code
from tests.support.brokerage import P, Q, brokerage_desk
from tests.support.clocks import START


def notice(**fields: Any) -> RecordNotice:
    told: dict[str, Any] = {
        "kind": "settlement",
        "reference": "trade-1",
        "transaction_id": "bank-1",
        "direction": "debit",
        "fiat": "EUR",
        "amount": Decimal("100.00"),
        "balance_after": Decimal("5.00"),
        "noticed_at": START,
        **fields,
    }
    return RecordNotice(**told)


def test_a_notice_is_kept_and_nothing_is_booked() -> None:
    desk = brokerage_desk()
    booked = len(desk.all(LedgerTransaction))
    desk.clock.advance(seconds=9)
    kept: Notice = desk.act(notice(), owner_id=P).notice
    assert desk.all(Notice) == [kept]
    assert (kept.tenant_id, kept.kind, kept.reference, kept.transaction_id) == (P, "settlement", "trade-1", "bank-1")
    assert (kept.direction, kept.fiat, kept.amount, kept.balance_after) == (
        "debit",
        "EUR",
        Decimal(100),
        Decimal(5),
    )
    assert (kept.noticed_at, kept.recorded_at) == (START, desk.clock.now())
    assert len(desk.all(LedgerTransaction)) == booked


def test_the_same_again_is_answered_as_the_first_time() -> None:
    desk = brokerage_desk()
    first = desk.act(notice(), owner_id=P)
    desk.clock.advance(seconds=9)
    assert desk.act(notice(amount=Decimal(100)), owner_id=P) == first
    assert len(desk.all(Notice)) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": Decimal("100.01")},
        {"balance_after": None},
        {"fiat": "CHF"},
        {"noticed_at": START.replace(hour=8)},
    ],
)
def test_other_content_under_the_same_references_is_refused(changed: dict[str, Any]) -> None:
    desk = brokerage_desk()
    desk.act(notice(), owner_id=P)
    assert desk.refuse(notice(**changed), owner_id=P) is Code.NOTICE_DIFFERS


def test_each_list_of_references_is_a_notice_of_its_own() -> None:
    desk = brokerage_desk()
    texts = ("a", "a/b", "b", "b/b", '","')
    for transaction_id, reference, direction in product(texts, texts, ("debit", "credit")):
        command = notice(transaction_id=transaction_id, reference=reference, direction=direction)
        for kind, owner_id in product(("settlement", "top_up"), (P, Q)):
            desk.act(notice(**{**_told(command), "kind": kind}), owner_id=owner_id)
    assert len(desk.all(Notice)) == 5 * 5 * 2 * 2 * 2


def _told(command: RecordNotice) -> dict[str, Any]:
    return {name: getattr(command, name) for name in command.__struct_fields__}


@pytest.mark.parametrize("fiat", ["USD", "BTC"])
def test_what_is_no_fiat_is_refused(fiat: str) -> None:
    assert brokerage_desk().refuse(notice(fiat=fiat), owner_id=P) is Code.FIAT_NOT_FOUND
