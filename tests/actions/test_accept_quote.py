"""Accepting: once, in time, the newest only; an external id leads to one quote and tells what has become of it."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import combinations
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from otcdesk.actions.accept_quote import AcceptQuote
from otcdesk.actions.move_value import Withdraw
from otcdesk.actions.record_due import RecordDue
from otcdesk.actions.register_party import AcceptAgreements
from otcdesk.actions.switch_trading import SetParty, SwitchTrading
from otcdesk.domain.brokerage import Acceptance, Agreement, BrokerageTerms, NewestQuote, corporate_id, holding_id
from otcdesk.domain.events import Event
from otcdesk.domain.keys import KeyRecord
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.ledger import Account, Hold, LedgerTransaction
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import Party
from otcdesk.domain.world_brokerage import agreement_id
from otcdesk.errors import Code, Refusal
from tests.support.brokerage import (
    INACTIVE,
    UNVERIFIED,
    P,
    Q,
    U,
    V,
    W,
    accepted,
    accepting,
    assert_balanced,
    brokerage_desk,
    corporate,
    done,
    executed,
    holding,
    open_holds,
    quoted,
    quoting,
    refused,
)
from tests.support.clocks import START
from tests.support.pure import PureDesk

MICROSECOND = timedelta(microseconds=1)


def test_an_accepted_purchase_reserves_what_it_takes_and_waits_for_the_venue() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    desk.clock.advance(seconds=7)
    reply = accepted(desk, order)
    assert (reply.order_id, reply.state, reply.reason) == (order.id, "in_progress", None)
    after = desk.get(Order, order.id)
    assert (after.state, after.version, after.waits_for, after.due_at) == ("in_progress", 2, "venue", None)
    assert (after.confirmed_at, after.ended_at) == (desk.clock.now(), None)
    assert after.rail_reference is not None
    assert str(order.id) in after.rail_reference
    (hold,) = desk.all(Hold)
    assert (hold.id, hold.account_id, hold.order_id, hold.units) == (
        after.collect_hold_id,
        corporate_id(P, "EUR"),
        order.id,
        10_000,
    )
    assert corporate(desk) == (10_000_000, 10_000)
    assert holding(desk) == (5_000_000, 0)
    (acceptance,) = desk.all(Acceptance)
    assert (acceptance.order_id, acceptance.tenant_id, acceptance.party_id, acceptance.external_id) == (
        order.id,
        P,
        U,
        "ext-1",
    )
    assert acceptance.accepted_at == desk.clock.now()
    (event,) = [row for row in desk.all(Event) if row.order_id == order.id]
    assert (event.name, event.state, event.order_version) == ("brokerage.accept", "in_progress", 2)
    assert_balanced(desk)


def test_an_accepted_sale_reserves_the_asset() -> None:
    desk = brokerage_desk()
    order = quoted(desk, "sell", "0.01", "asset").order
    assert accepted(desk, order).state == "in_progress"
    (hold,) = desk.all(Hold)
    assert (hold.account_id, hold.units) == (holding_id(U, "BTC"), 1_000_000)
    assert (holding(desk), corporate(desk)) == ((5_000_000, 1_000_000), (10_000_000, 0))


def test_accepting_books_nothing() -> None:
    desk = brokerage_desk()
    booked = len(desk.all(LedgerTransaction))
    accepted(desk, quoted(desk).order)
    assert len(desk.all(LedgerTransaction)) == booked


def test_a_quote_can_be_accepted_until_it_expires_and_not_then_as_in_case_23() -> None:
    """Judged by the arrival of the request, however late its batch is (offers contract 5)."""
    desk = brokerage_desk()
    in_time, late = quoted(desk).order, quoted(desk, party_id=V).order
    edge = in_time.expires_at
    desk.clock.set(edge + timedelta(seconds=5))
    assert desk.refuse(accepting(late, party_id=V), owner_id=P, arrived_at=edge, key="ext-1") is Code.QUOTE_EXPIRED
    assert accepted(desk, in_time, arrived_at=edge - MICROSECOND).state == "in_progress"
    assert accepted(desk, quoted(desk, party_id=V).order, "ext-2", party_id=V).state == "in_progress"


def test_an_id_that_was_refused_is_not_used_up() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    desk.clock.advance(seconds=60)
    assert desk.refuse(accepting(order), owner_id=P, key="ext-1") is Code.QUOTE_EXPIRED
    assert not desk.all(KeyRecord)
    assert accepted(desk, quoted(desk).order, "ext-1").state == "in_progress"


def test_a_quote_whose_end_was_recorded_is_expired_whatever_the_clock_says() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    desk.clock.advance(seconds=60)
    assert desk.act(RecordDue(order_ids=[order.id])).recorded == 1
    (event,) = desk.all(Event)
    assert (event.name, event.state, event.caller, event.happened_at) == (
        "brokerage.expire",
        "expired",
        "clock",
        order.expires_at,
    )
    assert desk.refuse(accepting(order), owner_id=P, arrived_at=START, key="ext-1") is Code.QUOTE_EXPIRED


def test_only_the_newest_quote_can_be_accepted_as_in_case_20() -> None:
    desk = brokerage_desk()
    older, of_another = quoted(desk).order, quoted(desk, party_id=V).order
    newer = quoted(desk, "sell", "0.01", "asset", fiat="CHF").order
    assert desk.refuse(accepting(older), owner_id=P, key="ext-1") is Code.QUOTE_SUPERSEDED
    assert accepted(desk, newer).state == "in_progress"
    assert accepted(desk, of_another, "ext-2", party_id=V).state == "in_progress"


def test_an_order_in_progress_is_not_hurt_by_a_newer_quote() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    accepted(desk, order)
    newer = quoted(desk).order
    assert accepted(desk, order).state == "in_progress"
    assert accepted(desk, newer, "ext-2").state == "in_progress"
    assert executed(desk, desk.get(Order, order.id)).order.state == "finished"
    assert executed(desk, desk.get(Order, newer.id)).order.state == "finished"
    assert_balanced(desk)


def test_an_expired_and_superseded_quote_is_expired() -> None:
    desk = brokerage_desk()
    older = quoted(desk).order
    quoted(desk)
    desk.clock.advance(seconds=60)
    assert desk.refuse(accepting(older), owner_id=P, key="ext-1") is Code.QUOTE_EXPIRED


def test_a_quote_of_which_nobody_knows_that_it_is_the_newest_is_not() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    del desk.rows[NewestQuote, U]
    assert desk.refuse(accepting(order), owner_id=P, key="ext-1") is Code.QUOTE_SUPERSEDED


# -- what is accepted and cannot be carried out --------------------------------------------------------------------


def _switch_off(desk: PureDesk) -> None:
    desk.act(SwitchTrading(asset="BTC", buy_enabled=False))


def _take_cash(desk: PureDesk) -> None:
    desk.act(Withdraw(account_id=corporate_id(P, "EUR"), units=9_990_001, reason="r", reference="r"))


@pytest.mark.parametrize(
    "stages, reason",
    [
        ([_switch_off], "trading_disabled"),
        ([_take_cash], "not_covered"),
        ([_take_cash, _switch_off], "trading_disabled"),
    ],
)
def test_what_cannot_be_carried_out_any_more_fails_at_once(
    stages: list[Callable[[PureDesk], None]], reason: str
) -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    for stage in stages:
        stage(desk)
    before = corporate(desk)
    reply = accepted(desk, order)
    assert (reply.state, reply.reason) == ("failed", reason)
    after = desk.get(Order, order.id)
    assert (after.state, after.reason, after.version, after.ended_at) == ("failed", reason, 3, desk.clock.now())
    assert (after.waits_for, after.rail_reference, after.collect_hold_id) == (None, None, None)
    assert after.confirmed_at == desk.clock.now()
    assert (desk.all(Hold), corporate(desk)) == ([], before)
    events = [row for row in desk.all(Event) if row.order_id == order.id]
    assert [(row.name, row.state, row.order_version, row.detail) for row in events] == [
        ("brokerage.accept", "in_progress", 2, None),
        ("brokerage.fail", "failed", 3, reason),
    ]
    assert [row.external_id for row in desk.all(Acceptance)] == ["ext-1"]
    with pytest.raises(Refusal) as again:
        accepted(desk, order)
    assert (again.value.code, again.value.facts) == (Code.QUOTE_FAILED, {"reason": reason})
    assert desk.refuse(accepting(order, "ext-2"), owner_id=P, key="ext-2") is Code.EXTERNAL_ID_DIFFERS
    assert desk.refuse(accepting(order, None), owner_id=P) is Code.QUOTE_ACCEPTED


def test_the_last_unit_covers_a_trade() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    desk.act(Withdraw(account_id=corporate_id(P, "EUR"), units=9_990_000, reason="r", reference="r"))
    assert accepted(desk, order).state == "in_progress"
    assert corporate(desk) == (10_000, 10_000)


def test_only_the_side_that_is_traded_must_be_open() -> None:
    desk = brokerage_desk()
    order = quoted(desk, "sell", "0.01", "asset").order
    _switch_off(desk)
    assert accepted(desk, order).state == "in_progress"


# -- the same again ------------------------------------------------------------------------------------------------


def test_the_same_request_again_tells_what_has_become_of_it_as_in_cases_16_and_27() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    first = accepted(desk, order)
    rows = dict(desk.rows)
    assert accepted(desk, order) == first
    assert desk.rows == rows
    executed(desk, desk.get(Order, order.id))
    rows = dict(desk.rows)
    desk.clock.advance(seconds=3_600)
    assert accepted(desk, order).state == "finished"
    assert desk.rows == rows


def test_the_same_request_after_a_failure_is_refused_as_in_case_29() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    accepted(desk, order)
    desk.act(refused(desk.get(Order, order.id), "trading_disabled"))
    with pytest.raises(Refusal) as again:
        accepted(desk, order)
    assert (again.value.code, again.value.facts) == (Code.QUOTE_FAILED, {"reason": "trading_disabled"})


def test_a_repeat_learns_the_outcome_whatever_has_happened_to_the_party_since() -> None:
    """Offers contract 4, step 3: the party is not looked at again for a request that was answered before."""
    desk = brokerage_desk()
    order = quoted(desk).order
    accepted(desk, order)
    desk.act(SetParty(party_id=U, status="inactive", level_id=None, tax_bps=None))
    assert accepted(desk, order).state == "in_progress"


def test_who_may_not_repeat_is_refused_as_in_case_31() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    assert accepted(desk, order, None, repeats=False).state == "in_progress"
    (acceptance,) = desk.all(Acceptance)
    assert acceptance.external_id is None
    assert not desk.all(KeyRecord)
    assert desk.refuse(accepting(order, None, repeats=False), owner_id=P) is Code.QUOTE_ACCEPTED
    assert desk.refuse(accepting(order, "new"), owner_id=P, key="new") is Code.QUOTE_ACCEPTED
    executed(desk, desk.get(Order, order.id))
    assert desk.refuse(accepting(order, None, repeats=False), owner_id=P) is Code.QUOTE_ACCEPTED
    assert desk.refuse(accepting(order, "new"), owner_id=P, key="new") is Code.QUOTE_ACCEPTED


def test_an_id_that_was_given_without_repeats_is_bound_all_the_same() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    accepted(desk, order, "ext-1", repeats=False)
    assert desk.refuse(accepting(order, repeats=False), owner_id=P, key="ext-1") is Code.QUOTE_ACCEPTED
    assert desk.refuse(accepting(order, "new", repeats=False), owner_id=P, key="new") is Code.QUOTE_ACCEPTED
    assert desk.refuse(accepting(order, "new"), owner_id=P, key="new") is Code.EXTERNAL_ID_DIFFERS
    assert accepted(desk, order, "ext-1").state == "in_progress"
    other = quoted(desk).order
    assert desk.refuse(accepting(other), owner_id=P, key="ext-1") is Code.EXTERNAL_ID_TAKEN


def test_who_may_not_repeat_is_told_that_a_quote_is_accepted_before_anything_about_the_id() -> None:
    desk = brokerage_desk()
    accepted(desk, quoted(desk, party_id=V).order, "taken", party_id=V)
    order = quoted(desk).order
    again = accepting(order, "taken", repeats=False)
    assert desk.refuse(again, owner_id=P, key="taken") is Code.EXTERNAL_ID_TAKEN
    accepted(desk, order, "ext-1", repeats=False)
    assert desk.refuse(again, owner_id=P, key="taken") is Code.QUOTE_ACCEPTED
    assert desk.refuse(accepting(order, "taken"), owner_id=P, key="taken") is Code.EXTERNAL_ID_TAKEN


def test_another_id_for_an_accepted_quote_is_refused_as_in_case_19() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    accepted(desk, order)
    for _ in range(2):
        assert desk.refuse(accepting(order, "ext-9"), owner_id=P, key="ext-9") is Code.EXTERNAL_ID_DIFFERS
        assert desk.refuse(accepting(order, None), owner_id=P) is Code.QUOTE_ACCEPTED
        executed(desk, desk.get(Order, order.id))
    assert accepted(desk, quoted(desk).order, "ext-9").state == "in_progress"


def test_a_used_id_for_another_quote_is_refused() -> None:
    desk = brokerage_desk()
    accepted(desk, quoted(desk).order)
    other = quoted(desk).order
    assert desk.refuse(accepting(other), owner_id=P, key="ext-1") is Code.EXTERNAL_ID_TAKEN
    of_another = quoted(desk, party_id=V).order
    command = accepting(of_another, party_id=V)
    assert desk.refuse(command, owner_id=P, key="ext-1") is Code.EXTERNAL_ID_TAKEN
    assert accepted(desk, other, "ext-2").state == "in_progress"
    desk.clock.advance(seconds=60)  # an id that is taken is told before an end of the quote
    assert desk.refuse(command, owner_id=P, key="ext-1") is Code.EXTERNAL_ID_TAKEN


def test_a_used_id_tells_nobody_else_of_its_quote() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    accepted(desk, order)
    assert desk.refuse(accepting(order, party_id=V), owner_id=P, key="ext-1") is Code.QUOTE_GONE
    assert desk.refuse(accepting(order, party_id=W), owner_id=P, key="ext-1") is Code.QUOTE_GONE
    assert desk.refuse(accepting(order), owner_id=Q, key="ext-1") is Code.QUOTE_GONE
    assert desk.refuse(accepting(order, order_id=U), owner_id=P, key="ext-1") is Code.QUOTE_GONE


def test_tenants_have_ids_of_their_own() -> None:
    desk = brokerage_desk()
    assert accepted(desk, quoted(desk).order).state == "in_progress"
    of_q = quoted(desk, amount="10.00", party_id=W).order
    assert accepted(desk, of_q, party_id=W).state == "in_progress"


def test_a_change_of_the_agreements_can_be_accepted_in_time_as_in_case_32() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    newer = Agreement(id=agreement_id("n"), type="general", version=2, title="n", url="u", effective_at=START)
    settings = desk.get(BrokerageTerms, ONLY)
    desk.put(newer)
    desk.put(settings.with_(agreement_ids=(*settings.agreement_ids, newer.id)))
    assert desk.refuse(accepting(order), owner_id=P, key="ext-1") is Code.AGREEMENTS_NOT_ACCEPTED
    desk.act(AcceptAgreements(party_id=U, agreement_ids=(newer.id,)), owner_id=P)
    assert accepted(desk, order).state == "in_progress"


@pytest.mark.parametrize("side, needed", [("buy", True), ("sell", False)])
def test_agreements_are_asked_for_by_what_is_traded(side: str, needed: bool) -> None:
    desk = brokerage_desk()
    order = quoted(desk, side, "0.01", "asset").order
    fields: dict[str, Any] = {"type": "coin", "version": 1, "title": "c", "url": "u", "effective_at": START}
    coin = Agreement(id=agreement_id("coin"), journeys=("trading_coin_buy",), **fields)
    settings = desk.get(BrokerageTerms, ONLY)
    desk.put(coin)
    desk.put(settings.with_(agreement_ids=(*settings.agreement_ids, coin.id)))
    if needed:
        assert desk.refuse(accepting(order), owner_id=P, key="ext-1") is Code.AGREEMENTS_NOT_ACCEPTED
    else:
        assert accepted(desk, order).state == "in_progress"


# -- the order of refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields, owner_id",
    [
        ({"order_id": UUID(int=1)}, P),
        ({"party_id": V}, P),
        ({"party_id": W}, P),
        ({"party_id": UUID(int=1)}, P),
        ({}, Q),
        ({"party_id": W}, Q),
    ],
)
def test_a_quote_that_is_not_there_or_anothers_is_gone(fields: dict[str, Any], owner_id: UUID) -> None:
    desk = brokerage_desk()
    command = accepting(quoted(desk).order, **fields)
    assert desk.refuse(command, owner_id=owner_id, key="ext-1") is Code.QUOTE_GONE


def test_an_order_of_another_product_is_no_quote() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    desk.put(order.with_(product="conversion"))
    assert desk.refuse(accepting(order), owner_id=P, key="ext-1") is Code.QUOTE_GONE


@pytest.mark.parametrize("order_id", [None, UUID(int=1)], ids=["its quote", "no quote"])
@pytest.mark.parametrize(
    "party, code",
    [(UNVERIFIED, Code.PARTY_UNVERIFIED), (INACTIVE, Code.PARTY_INACTIVE)],
    ids=["unverified", "inactive"],
)
def test_who_may_not_trade_is_told_so_before_anything_about_the_quote(
    order_id: UUID | None, party: UUID, code: Code
) -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    command = accepting(order, order_id=order_id or order.id, party_id=party)
    assert desk.refuse(command, owner_id=P, key="ext-1") is code


class Hindrance(NamedTuple):
    """One reason to refuse: how it is brought about, and what it does to the request."""

    code: Code
    stage: Callable[[PureDesk, Order], None]
    asked: Mapping[str, Any] = MappingProxyType({})


def _party(**fields: Any) -> Callable[[PureDesk, Order], None]:
    return lambda desk, _: desk.put(desk.get(Party, U).with_(**fields))


def _nothing(desk: PureDesk, order: Order) -> None:
    del desk, order


def _another_used_the_id(desk: PureDesk, order: Order) -> None:
    del order
    accepted(desk, quoted(desk, party_id=V).order, "ext-1", party_id=V)


def _accepted_with(external_id: str | None) -> Callable[[PureDesk, Order], None]:
    def stage(desk: PureDesk, order: Order) -> None:
        accepted(desk, order, external_id)

    return stage


def _too_late(desk: PureDesk, order: Order) -> None:
    desk.clock.set(order.expires_at)


def _superseded(desk: PureDesk, order: Order) -> None:
    desk.put(desk.get(NewestQuote, U).with_(order_id=UUID(int=order.id.int + 1)))


#: In the order in which they are looked at (offers contract 4, steps 3 to 9); of any two, the first is told.
HINDRANCES = [
    Hindrance(Code.PARTY_UNVERIFIED, _party(status="unverified")),
    Hindrance(Code.PARTY_INACTIVE, _party(status="inactive")),
    Hindrance(Code.AGREEMENTS_NOT_ACCEPTED, _party(accepted_agreement_ids=())),
    Hindrance(Code.QUOTE_GONE, _nothing, {"order_id": UUID(int=1)}),
    Hindrance(Code.EXTERNAL_ID_TAKEN, _another_used_the_id),
    Hindrance(Code.EXTERNAL_ID_DIFFERS, _accepted_with("ext-0")),
    Hindrance(Code.QUOTE_ACCEPTED, _accepted_with(None)),
    Hindrance(Code.QUOTE_EXPIRED, _too_late),
    Hindrance(Code.QUOTE_SUPERSEDED, _superseded),
]
#: Which cannot come together.
_NEVER = {
    frozenset({Code.PARTY_UNVERIFIED, Code.PARTY_INACTIVE}),
    frozenset({Code.EXTERNAL_ID_DIFFERS, Code.QUOTE_ACCEPTED}),
}


@pytest.mark.parametrize(
    "first, second",
    [
        pytest.param(*pair, id="-".join(one.code.name for one in pair))
        for pair in combinations(HINDRANCES, 2)
        if frozenset(one.code for one in pair) not in _NEVER
    ],
)
def test_of_two_reasons_the_earlier_is_told(first: Hindrance, second: Hindrance) -> None:
    for one in (first, second):
        assert _refusal_after(one) is one.code
    assert _refusal_after(second, first) is first.code


def _refusal_after(*hindrances: Hindrance) -> Code:
    desk = brokerage_desk()
    order = quoted(desk).order
    for one in sorted(hindrances, key=lambda one: one.stage in {_too_late, _superseded} or "PARTY" in one.code.name):
        one.stage(desk, order)
    asked = {name: value for one in hindrances for name, value in one.asked.items()}
    return desk.refuse(accepting(order, **asked), owner_id=P, key="ext-1")


def test_a_command_keeps_only_what_it_says() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    accepted(desk, order)
    (record,) = desk.all(KeyRecord)
    assert (record.owner_id, record.scope, record.idempotency_key) == (P, "accept_quote", "ext-1")
    assert f'"order_id":"{order.id}"' in record.answer
    assert isinstance(accepting(order), AcceptQuote)


def test_nothing_is_reserved_twice() -> None:
    """Quotes of one tenant's parties draw on the same money; what one has reserved another cannot."""
    desk = brokerage_desk()
    first, second = quoted(desk, amount="60000.00").order, quoted(desk, amount="60000.00", party_id=V).order
    assert accepted(desk, first, "ext-1").state == "in_progress"
    assert accepted(desk, second, "ext-2", party_id=V).reason == "not_covered"
    desk.act(done(desk.get(Order, first.id)))
    assert open_holds(desk) == 0
    assert desk.get(Account, corporate_id(P, "EUR")).available == 4_000_000
    assert desk.refuse(quoting(amount="40000.01"), owner_id=P) is Code.QUOTE_NOT_COVERED
