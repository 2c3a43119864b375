"""Lines that the operator looks into: matched by hand or put aside, once, and never against the amounts."""

import msgspec
import pytest

from otcdesk.actions.resolve_statement_line import LineResolved, ResolveLine
from otcdesk.domain.bank_files import GivenLine, StatementLine
from otcdesk.domain.ledger import TREASURY, Account, desk_account_id
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import return_id
from otcdesk.errors import Code
from tests.support.bank import filed, lines_of, state_of, told, took, waiting
from tests.support.payouts import pending, ramp_desk
from tests.support.pure import PureDesk
from tests.support.statements import Entry, came_back, paid


def unmatched(desk: PureDesk, entry: Entry) -> GivenLine:
    (line,) = lines_of(entry)
    assert took(desk, [line]).matched == 0
    return line


def resolving(line: GivenLine, order: Order | None = None, note: str = "seen in the bank's own pages") -> ResolveLine:
    return ResolveLine(line_id=line.id, order_id=order.id if order else None, note=note)


def test_a_debit_without_a_reference_is_matched_by_hand() -> None:
    desk = ramp_desk()
    order = waiting(desk)
    filed(desk, order)
    line = unmatched(desk, Entry("100.00"))
    reply: LineResolved = desk.act(resolving(line, order), caller="operator:ann")
    assert state_of(desk, order) == "settled"
    kept = reply.line
    assert (kept.state, kept.reason, kept.order_id) == ("matched", None, order.id)
    assert (kept.note, kept.resolved_by) == ("seen in the bank's own pages", "operator:ann")
    assert desk.refuse(resolving(line, order)) is Code.STATEMENT_LINE_DONE
    assert told(desk, Entry("100.00")).known == 1


def test_money_that_came_back_without_being_called_a_return() -> None:
    desk = ramp_desk()
    order = waiting(desk)
    _, (payout,) = filed(desk, order)
    told(desk, paid(payout))
    line = unmatched(desk, Entry("100.00", "CRDT", end_to_end=payout.end_to_end_id))
    desk.act(resolving(line, order))
    assert desk.get(Order, return_id(order.id)).source_units == 10_000


def test_a_line_is_put_aside_with_a_reason() -> None:
    desk = ramp_desk()
    line = unmatched(desk, Entry("4.90", text="fee"))
    kept: StatementLine = desk.act(resolving(line, note="the bank's fee"), caller="operator:ann").line
    assert (kept.state, kept.note, kept.reason) == ("set aside", "the bank's fee", None)
    assert desk.refuse(resolving(line)) is Code.STATEMENT_LINE_DONE


@pytest.mark.parametrize(
    "fields", [{"amount": "99.00"}, {"currency": "USD"}, {"direction": "CRDT", "amount": "100.01"}]
)
def test_what_does_not_fit_cannot_be_matched(fields: dict[str, str]) -> None:
    desk = ramp_desk()
    order = waiting(desk)
    filed(desk, order)
    line = unmatched(desk, msgspec.structs.replace(Entry("100.00"), **fields))
    assert desk.refuse(resolving(line, order)) is Code.LINE_DOES_NOT_FIT
    assert state_of(desk, order) == "filed"


def test_a_payout_is_not_paid_twice_by_hand_either() -> None:
    desk = ramp_desk()
    order = waiting(desk)
    _, (payout,) = filed(desk, order)
    told(desk, paid(payout), came_back(payout))
    assert desk.refuse(resolving(unmatched(desk, Entry("100.00")), order)) is Code.LINE_DOES_NOT_FIT
    assert desk.refuse(resolving(unmatched(desk, Entry("100.00", "CRDT")), order)) is Code.LINE_DOES_NOT_FIT


def test_what_was_never_filed_is_not_found() -> None:
    desk = ramp_desk()
    line = unmatched(desk, Entry("100.00"))
    assert desk.refuse(resolving(line, waiting(desk))) is Code.ORDER_NOT_FOUND
    assert desk.refuse(resolving(line, pending(desk))) is Code.ORDER_NOT_FOUND


def test_a_line_that_is_not_there() -> None:
    assert ramp_desk().refuse(resolving(lines_of(Entry("1.00"))[0])) is Code.STATEMENT_LINE_NOT_FOUND


def test_what_the_books_refuse_is_refused_here_too() -> None:
    desk = ramp_desk()
    order = waiting(desk)
    _, (payout,) = filed(desk, order)
    told(desk, paid(payout))
    treasury = desk.get(Account, desk_account_id(TREASURY, "USDC"))
    desk.put(treasury.with_(held=treasury.balance))
    line = unmatched(desk, came_back(payout))
    assert desk.refuse(resolving(line, order)) is Code.TREASURY_INSUFFICIENT
