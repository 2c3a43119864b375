"""Lines of statements: kept once, and each does to its payout what the bank says, in whichever order it is told."""

from decimal import Decimal
from itertools import permutations

import pytest

from otcdesk.actions.resolve_statement_line import ResolveLine
from otcdesk.domain.bank_files import FiledPayout, StatementLine
from otcdesk.domain.ledger import OUTSIDE, TREASURY, Account, desk_account_id
from otcdesk.domain.noun import Noun
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import return_id
from otcdesk.money import UNITS_MAX
from tests.support.bank import filed, given_line, lines_of, state_of, told, took, waiting
from tests.support.payouts import current, of_the_desk, ramp_desk, settled, told_of
from tests.support.pure import PureDesk
from tests.support.statements import Entry, Payment, came_back, paid, paid_as_a_list, paid_as_a_sum


def snapshot(desk: PureDesk) -> dict[object, Noun]:
    return dict(desk.rows)


def test_a_debit_settles_its_payout() -> None:
    desk = ramp_desk()
    order = waiting(desk)
    file, (payout,) = filed(desk, order)
    reply = told(desk, paid(payout))
    assert (reply.new, reply.known, reply.matched, reply.unmatched) == (1, 0, 1, {})
    (line,) = desk.all(StatementLine)
    assert (line.state, line.order_id, line.file_id, line.reason) == ("matched", order.id, None, None)
    assert desk.get(FiledPayout, order.id).debited_by == line.id
    assert state_of(desk, order) == "settled"
    assert told_of(desk, order)[-1][3] == line.bank_reference
    assert of_the_desk(desk, "EUR")["outside"] == payout.units
    assert file.total_units == payout.units


def test_a_return_of_what_was_paid_is_an_order_of_its_own() -> None:
    desk = ramp_desk()
    order = waiting(desk)
    _, (payout,) = filed(desk, order)
    told(desk, paid(payout))
    reply = told(desk, came_back(payout))
    assert (reply.matched, reply.unmatched) == (1, {})
    assert state_of(desk, order) == "settled"
    assert desk.get(Order, return_id(order.id)).source_units == payout.units
    assert of_the_desk(desk, "EUR").get("outside", 0) == 0


def test_a_return_of_what_is_only_filed_fails_it_and_gives_all_back() -> None:
    desk = ramp_desk()
    before = current(desk)
    order = waiting(desk)
    _, (payout,) = filed(desk, order)
    assert told(desk, came_back(payout, "AC04")).matched == 1
    assert desk.get(Order, order.id).reason == "AC04"
    assert state_of(desk, order) == "failed"
    assert current(desk) == before


def test_a_debit_after_its_return_changes_nothing_any_more() -> None:
    desk = ramp_desk()
    order = waiting(desk)
    _, (payout,) = filed(desk, order)
    told(desk, came_back(payout))
    reply = told(desk, paid(payout))
    assert (reply.matched, reply.unmatched) == (1, {})
    assert state_of(desk, order) == "failed"
    assert of_the_desk(desk, "EUR").get("outside", 0) == 0
    assert told(desk, paid(payout, reference="another")).unmatched == {"already_debited": 1}


def test_part_of_what_was_paid_may_come_back() -> None:
    desk = ramp_desk()
    _, (payout,) = filed(desk, waiting(desk))
    told(desk, paid(payout))
    assert told(desk, came_back(payout, amount="97.50")).matched == 1
    assert desk.get(Order, return_id(payout.order_id)).source_units == 9_750


def test_the_same_statement_again_changes_nothing() -> None:
    desk = ramp_desk()
    file, payouts = filed(desk, waiting(desk), waiting(desk, "20.00"), waiting(desk, "30.00"))
    entries = [paid(payouts[0]), came_back(payouts[1]), Entry("7.00", reference="x"), Entry("7.00"), Entry("7.00")]
    first = told(desk, *entries)
    after = snapshot(desk)
    again = told(desk, *entries)
    assert (first.new, first.matched, first.unmatched) == (5, 2, {"unknown_reference": 3})
    assert (again.new, again.known, again.unmatched) == (0, 2, {"unknown_reference": 3})
    assert snapshot(desk) == after
    assert state_of(desk, desk.get(Order, payouts[2].order_id)) == "filed"
    assert file.order_ids[2] == payouts[2].order_id


def test_statements_that_overlap_tell_of_each_line_once() -> None:
    desk = ramp_desk()
    _, payouts = filed(desk, waiting(desk), waiting(desk, "20.00"))
    day = [paid(payouts[0]), Entry("7.00"), Entry("7.00"), paid(payouts[1])]
    told(desk, *day[:3])
    assert told(desk, *day, Entry("7.00", day="2026-11-21")).new == 2
    assert len(desk.all(StatementLine)) == 5


@pytest.mark.parametrize("listed", [False, True])
def test_a_file_that_is_debited_at_once_settles_all_of_it(*, listed: bool) -> None:
    desk = ramp_desk()
    orders = [waiting(desk, f"{amount}.00") for amount in (10, 20, 30)]
    file, payouts = filed(desk, *orders)
    reply = told(desk, paid_as_a_list(file, payouts) if listed else paid_as_a_sum(file))
    assert reply.unmatched == {}
    assert {state_of(desk, order) for order in orders} == {"settled"}
    assert {line.file_id for line in desk.all(StatementLine)} == ({None} if listed else {file.id})
    assert of_the_desk(desk, "EUR")["outside"] == 6_000
    assert told(desk, paid_as_a_sum(file, reference="again")).unmatched == {"already_debited": 1}


def test_a_sum_for_a_file_of_which_something_came_back_before() -> None:
    desk = ramp_desk()
    orders = [waiting(desk, "10.00"), waiting(desk, "20.00")]
    file, payouts = filed(desk, *orders)
    told(desk, came_back(payouts[1]))
    assert told(desk, paid_as_a_sum(file)).matched == 1
    assert [state_of(desk, order) for order in orders] == ["settled", "failed"]


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({"amount": "29.99"}, "amount_differs"),
        ({"count": 3}, "count_differs"),
        ({"currency": "USD"}, "other_currency"),
        ({"reversal": True}, "reversal"),
        ({"direction": "CRDT"}, "not_a_return"),
        ({"direction": "CRDT", "returned": "AC04"}, "not_a_return"),
        ({"batch": "0" * 32}, "unknown_reference"),
        ({"payments": (Payment("10.00", "a"), Payment("19.00", "b"))}, "details_differ"),
        ({"payments": (Payment("10.00", "a"), Payment("20.00", "b"))}, "unknown_reference"),
    ],
)
def test_a_sum_that_does_not_fit_changes_nothing(fields: dict[str, object], reason: str) -> None:
    desk = ramp_desk()
    orders = [waiting(desk, "10.00"), waiting(desk, "20.00")]
    file, _ = filed(desk, *orders)
    assert set(told(desk, paid_as_a_sum(file, **fields)).unmatched) == {reason}
    assert {state_of(desk, order) for order in orders} == {"filed"}


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({"amount": "100.01"}, "amount_differs"),
        ({"amount": "99.999"}, "amount_differs"),
        ({"amount": "0"}, "amount_differs"),
        ({"amount": "999999999999999999"}, "amount_differs"),
        ({"currency": "USD"}, "other_currency"),
        ({"reversal": True}, "reversal"),
        ({"end_to_end": "NOTPROVIDED"}, "unknown_reference"),
        ({"end_to_end": "f" * 32}, "unknown_reference"),
        ({"direction": "CRDT"}, "not_a_return"),
        ({"direction": "CRDT", "reversal": True}, "reversal"),
        ({"direction": "CRDT", "returned": "AC04", "amount": "99.99"}, "amount_differs"),
        ({"direction": "CRDT", "returned": "AC04", "amount": "0.00"}, "amount_differs"),
    ],
)
def test_a_line_that_does_not_fit_changes_nothing(fields: dict[str, object], reason: str) -> None:
    desk = ramp_desk()
    order = waiting(desk)
    _, (payout,) = filed(desk, order)
    assert told(desk, paid(payout, **fields)).unmatched == {reason: 1}
    (line,) = desk.all(StatementLine)
    assert (line.state, line.reason, line.order_id) == ("unmatched", reason, None)
    assert state_of(desk, order) == "filed"
    assert told(desk, paid(payout)).matched == 1


def test_a_line_of_another_account_of_ours_is_not_of_this_file() -> None:
    desk = ramp_desk()
    _, (payout,) = filed(desk, waiting(desk))
    assert told(desk, paid(payout), account="DE89370400440532013000").unmatched == {"wrong_account": 1}


def test_a_payout_that_no_bank_was_given_cannot_have_been_paid_by_one() -> None:
    desk = ramp_desk()
    order = waiting(desk)
    assert told(desk, Entry("100.00", end_to_end=order.id.hex)).unmatched == {"not_filed": 1}
    provided = settled(desk, "10.00")
    assert told(desk, Entry("10.00", "CRDT", end_to_end=provided.id.hex, returned="AC04")).unmatched == {"not_filed": 1}


def test_what_is_told_twice_under_two_references_counts_once() -> None:
    desk = ramp_desk()
    _, (payout,) = filed(desk, waiting(desk))
    assert told(desk, paid(payout), paid(payout, reference="2")).unmatched == {"already_debited": 1}
    assert told(desk, came_back(payout), came_back(payout, reference="3")).unmatched == {"already_returned": 1}
    assert of_the_desk(desk, "EUR").get("outside", 0) == 0


def test_what_is_only_filed_comes_back_once() -> None:
    desk = ramp_desk()
    _, (payout,) = filed(desk, waiting(desk))
    assert told(desk, came_back(payout), came_back(payout, reference="3")).unmatched == {"already_returned": 1}


def test_a_return_that_the_books_refuse_is_tried_again_with_the_statement() -> None:
    desk = ramp_desk()
    _, (payout,) = filed(desk, waiting(desk))
    told(desk, paid(payout))
    treasury = desk.get(Account, desk_account_id(TREASURY, "USDC"))
    desk.put(treasury.with_(held=treasury.balance))
    assert told(desk, came_back(payout)).unmatched == {"treasury_insufficient": 1}
    (refused,) = [line for line in desk.all(StatementLine) if line.state == "unmatched"]
    assert refused.reason == "treasury_insufficient"
    desk.put(treasury)
    reply = told(desk, came_back(payout))
    assert (reply.new, reply.matched) == (0, 1)
    assert desk.get(StatementLine, refused.id).state == "matched"


def test_a_return_that_the_desk_could_not_count_is_a_line_for_the_operator() -> None:
    desk = ramp_desk()
    _, (payout,) = filed(desk, waiting(desk))
    told(desk, paid(payout))
    outside = desk.get(Account, desk_account_id(OUTSIDE, "EUR"))
    desk.put(outside.with_(balance=-UNITS_MAX))
    before = snapshot(desk)
    reply = told(desk, came_back(payout), Entry("1.00"))
    assert reply.unmatched == {"amount_too_large": 1, "unknown_reference": 1}
    assert {kind for kind, _ in desk.rows.keys() - before.keys()} == {StatementLine}
    desk.put(outside)
    assert told(desk, came_back(payout)).matched == 1


def test_a_refused_line_does_not_take_the_others_with_it() -> None:
    desk = ramp_desk()
    _, payouts = filed(desk, waiting(desk), waiting(desk, "20.00"))
    told(desk, paid(payouts[0]))
    treasury = desk.get(Account, desk_account_id(TREASURY, "USDC"))
    desk.put(treasury.with_(held=treasury.balance))
    reply = told(desk, came_back(payouts[0]), paid(payouts[1]), Entry("1.00"))
    assert reply.unmatched == {"treasury_insufficient": 1, "unknown_reference": 1}
    assert desk.get(Order, payouts[1].order_id).state == "settled"


def test_lines_that_were_put_aside_stay_there() -> None:
    desk = ramp_desk()
    _, (payout,) = filed(desk, waiting(desk))
    odd = lines_of(paid(payout, amount="1.00"))
    took(desk, odd)
    desk.act(ResolveLine(line_id=odd[0].id, order_id=None, note="a fee"), caller="operator")
    assert took(desk, odd).known == 1
    assert desk.get(StatementLine, odd[0].id).state == "set aside"


def test_any_order_of_lines_ends_with_the_same_money() -> None:
    ends = set()
    for places in permutations(range(4)):
        desk = ramp_desk()
        _, payouts = filed(desk, waiting(desk, "50.00"), waiting(desk, "60.00"))
        entries = [paid(payouts[0]), came_back(payouts[0]), paid(payouts[1]), Entry("3.00")]
        reply = told(desk, *[entries[place] for place in places])
        assert (reply.matched, reply.unmatched) == (3, {"unknown_reference": 1})
        ends.add((of_the_desk(desk, "EUR")["outside"], desk.get(Order, payouts[1].order_id).state))
    assert ends == {(6_000, "settled")}


def test_many_lines_are_read_for_in_few_steps() -> None:
    desk = ramp_desk()
    orders = [waiting(desk, "1.00") for _ in range(30)]
    _, payouts = filed(desk, *orders)
    lines = lines_of(*[paid(one) for one in payouts], *[came_back(one, amount="1.00") for one in payouts])
    assert took(desk, lines).matched == 60


def test_doubts_of_the_reader_are_kept_with_the_line() -> None:
    desk = ramp_desk()
    _, (payout,) = filed(desk, waiting(desk))
    odd = given_line(end_to_end_id=payout.end_to_end_id, amount=Decimal(100), doubt="details_differ")
    assert took(desk, [odd]).unmatched == {"details_differ": 1}
    assert desk.get(StatementLine, odd.id).doubt == "details_differ"
