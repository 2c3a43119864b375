"""Freezing: a frozen tenant starts nothing new by any command, and a frozen party is inactive; all else goes on."""

from uuid import UUID

import pytest

from otcdesk.actions.cancel_conversion import CancelConversion
from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.actions.confirm_checkout import CancelCheckout
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.actions.freeze import FreezeParty, FreezeTenant, admits_tenant
from otcdesk.actions.keep_party import KeepParty
from otcdesk.actions.prepare_payout import PreparePayout
from otcdesk.actions.switch_trading import SetParty
from otcdesk.domain.keys import KeyRecord
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import ACTIVE, DESK_ID, INACTIVE, SUSPENDED, UNVERIFIED, Party, Tenant
from otcdesk.domain.payouts import PreparedPayout
from otcdesk.domain.resale_rules import ResaleDecision
from otcdesk.domain.rules import Rule, RuleExecution
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.errors import Code, Refusal
from tests.support import brokerage, checkouts, deposits, estate, payouts, trading
from tests.support.conversions import approved, buying, confirmed, leg, quoted
from tests.support.desk import A, B
from tests.support.limits import freeze, freeze_party
from tests.support.payouts import ADA, B1, ramp_desk
from tests.support.pure import PureDesk
from tests.support.trading import TradingDesk

#: What a tenant may ask for, and whether it may while it is frozen; the reason where it may.
OF_TENANTS = {
    "quote_buy": None,
    "quote_sell": None,
    "confirm_conversion": None,
    "cancel_conversion": "ends what is not binding",
    "quote_brokerage": None,
    "accept_quote": None,
    "register_party": None,
    "accept_agreements": "says what a party has read; starts nothing",
    "record_notice": "tells of money that is on its way",
    "keep_party": None,
    "prepare_payout": None,
    "sell_payout": None,
    "open_checkout": None,
    "confirm_checkout": None,
    "cancel_checkout": "ends what is not binding",
    "make_rule": None,
    "list_resale": None,
    "withdraw_resale": "ends what is listed",
    "buy_unsold": None,
    "buy_resale": None,
    "take_resale": None,
    "close_resale": "ends what is listed",
    "place_bid": None,
    "accept_bid": None,
    "decline_bid": "ends a bid",
    "withdraw_bid": "ends a bid",
    "burn_holding": None,
    "register_holder": None,
    "make_resale_rule": None,
    "change_resale_rule": None,
    "end_resale_rule": "ends a rule",
    "switch_instrument": "a setting: nothing is listed or bought meanwhile",
    "switch_negotiation": "a setting: nothing is listed or bought meanwhile",
    "set_branch_fees": "a setting: nothing is sold meanwhile but what is under way, which costs what it did",
    "change_currency": "a setting",
    "issue_instrument": None,
    "make_currency": None,
    "send_funds": None,
    "report_token_reuse": "is always refused, and written down",
}

#: What only operators and workers ask for: it decides of what is under way, books what has happened, or sets terms.
OF_THE_DESK = {
    "adjust",
    "adjust_payout",
    "approve_conversion",
    "begin_job",
    "cancel_payout",
    "conclude_deposit",
    "declare_world",
    "deposit",
    "file_payouts",
    "freeze_party",
    "freeze_tenant",
    "hold_payout",
    "note_act",
    "open_place",
    "publish_price",
    "record_chain_payout",
    "record_currency_deployment",
    "record_deposit",
    "record_due",
    "record_execution",
    "record_instrument_deployment",
    "record_job",
    "record_leg",
    "record_payout",
    "record_return",
    "record_statement_lines",
    "reject_conversion",
    "release_payout",
    "requote_conversion",
    "resolve_line",
    "retry_job",
    "second_proposal",
    "set_clock",
    "set_debit_settlement",
    "set_desk_fees",
    "set_fault",
    "set_guard",
    "set_guard_terms",
    "set_limit",
    "set_party",
    "set_price",
    "set_spread",
    "settle_checkouts",
    "settle_debit",
    "settle_payout",
    "stop_rule",
    "switch_channel",
    "switch_feed",
    "switch_trading",
    "withdraw",
    "withdraw_proposal",
}


def test_of_every_verb_it_is_said_whether_a_frozen_tenant_may_ask_for_it() -> None:
    assert {verb.name for verb in CATALOGUE.values()} == OF_TENANTS.keys() | OF_THE_DESK
    refused = {verb.name for verb in CATALOGUE.values() if verb.admits is not None}
    assert refused == {name for name, why in OF_TENANTS.items() if why is None}
    assert {verb.admits for verb in CATALOGUE.values()} == {None, admits_tenant}


# -- tenants -----------------------------------------------------------------------------------------------------------


def test_a_tenant_is_frozen_and_let_go_again() -> None:
    desk = PureDesk()
    freeze(desk, A)
    assert desk.get(Tenant, A).status == SUSPENDED
    assert desk.refuse(buying(), owner_id=A) is Code.TENANT_FROZEN
    assert desk.refuse(FreezeTenant(tenant_id=UUID(int=7), frozen=True)) is Code.TENANT_NOT_FOUND
    assert desk.refuse(FreezeTenant(tenant_id=DESK_ID, frozen=True)) is Code.TENANT_NOT_FOUND
    freeze(desk, A, frozen=False)
    assert desk.get(Tenant, A).status == ACTIVE
    assert quoted(desk).state == "quoted"


def test_only_the_tenant_that_is_frozen_is() -> None:
    desk = PureDesk()
    freeze(desk, B)
    assert quoted(desk).state == "quoted"


def test_a_tenant_that_is_frozen_already_stays_so() -> None:
    desk = PureDesk()
    freeze(desk, A)
    before = dict(desk.rows)
    freeze(desk, A)
    assert desk.rows == before


def test_what_is_under_way_goes_on_to_its_end() -> None:
    desk = PureDesk()
    paying, waiting, indicative = approved(desk), confirmed(desk), quoted(desk)
    freeze(desk, A)
    leg(desk, paying)
    assert desk.get(Order, paying.id).state == "completed"
    assert waiting.state == "pending_approval"
    confirm = ConfirmConversion(order_id=indicative.id, side="buy")
    assert desk.refuse(confirm, owner_id=A) is Code.TENANT_FROZEN
    desk.act(CancelConversion(order_id=indicative.id), owner_id=A)
    assert desk.get(Order, indicative.id).state == "cancelled"


def test_a_key_that_was_used_is_answered_and_one_that_was_refused_is_as_new() -> None:
    desk = PureDesk()
    first, second = quoted(desk), quoted(desk)
    confirm = ConfirmConversion(order_id=first.id, side="buy")
    told = desk.act(confirm, owner_id=A, key="k-1")
    freeze(desk, A)
    assert desk.act(confirm, owner_id=A, key="k-1") == told
    later = ConfirmConversion(order_id=second.id, side="buy")
    assert desk.refuse(later, owner_id=A, key="k-2") is Code.TENANT_FROZEN
    assert len(desk.all(KeyRecord)) == 1
    freeze(desk, A, frozen=False)
    assert desk.act(later, owner_id=A, key="k-2").state == "debit_pending"


def test_money_that_arrives_is_booked_and_sets_off_nothing() -> None:
    desk = ramp_desk()
    deposits.open_places(desk)
    session = payouts.prepared(desk, delayed=True).prepared.id
    deposits.ruled(desk, deposits.selling_action(session))
    had = deposits.current(desk)[0]
    freeze(desk, B1)
    deposits.deposited(desk, deposits.arriving())
    assert deposits.current(desk) == (had + 100_000_000, 0)
    (execution,) = desk.all(RuleExecution)
    assert (execution.code, execution.order_id) == ("TENANT_FROZEN", None)
    assert [rule.fired for rule in desk.all(Rule)] == [0]
    freeze(desk, B1, frozen=False)
    deposits.deposited(desk, deposits.arriving(outside_id="another"))
    assert [rule.fired for rule in desk.all(Rule)] == [1]


def test_an_open_checkout_can_be_turned_down_but_not_completed() -> None:
    desk = ramp_desk()
    opened = checkouts.opened(desk).order_id
    freeze(desk, B1)
    assert desk.refuse(checkouts.confirming(opened), owner_id=B1) is Code.TENANT_FROZEN
    assert desk.refuse(checkouts.opening(), owner_id=B1) is Code.TENANT_FROZEN
    desk.act(CancelCheckout(order_id=opened), owner_id=B1)
    assert desk.get(Order, opened).state == "failed"


def test_a_checkout_that_was_confirmed_is_settled_by_its_money() -> None:
    desk = ramp_desk()
    opened = checkouts.opened(desk, "asset_in").order_id
    checkouts.confirmed(desk, opened, arrival_seconds=3_600)
    freeze(desk, B1)
    checkouts.arrival(desk, 25_000_000)
    assert desk.get(Order, opened).state == "settled"


def test_a_branchs_rules_take_nothing_for_a_frozen_tenant() -> None:
    desk = estate.estate_desk()
    estate.rule(desk)
    job = desk.act(estate.listing(4, "1"), owner_id=estate.ESTATE).job
    freeze(desk, estate.ESTATE)
    desk.act(estate.done(job))
    order = desk.get(Order, job.order_id)
    assert order.state == "active"
    assert "the tenant is frozen" in desk.get(ResaleDecision, order.id).explanation


def test_bids_and_listings_can_be_ended_while_their_tenant_is_frozen() -> None:
    desk = TradingDesk()
    listed = desk.listed(4, "2.5", "otc")
    bid = desk.tell(trading.bidding(listed)).order.id
    freeze(desk, trading.ESTATE)
    for command in (
        trading.bidding(listed),
        trading.buying(listed, 1, "otc"),
        trading.buying_unsold(),
        trading.accepting(bid),
        trading.listing(),
        trading.burning(),
        trading.taking(listed),
    ):
        assert desk.refused(command) is Code.TENANT_FROZEN
    desk.tell(trading.declining(bid))
    desk.tell(trading.withdrawing(listed, "otc"))
    desk.assert_sound()


# -- parties -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("was", [ACTIVE, UNVERIFIED, INACTIVE])
def test_a_party_is_frozen_and_then_again_what_it_was(was: str) -> None:
    desk = ramp_desk()
    party = desk.get(Party, ADA).with_(status=was)
    desk.put(party)
    freeze_party(desk, ADA)
    assert (desk.get(Party, ADA).status, desk.get(Party, ADA).status_before) == (INACTIVE, was)
    freeze_party(desk, ADA)
    assert desk.get(Party, ADA).status_before == was
    freeze_party(desk, ADA, frozen=False)
    assert desk.get(Party, ADA) == party
    freeze_party(desk, ADA, frozen=False)
    assert desk.get(Party, ADA) == party
    assert desk.refuse(FreezeParty(party_id=UUID(int=7), frozen=True)) is Code.PARTY_NOT_FOUND


def test_whoever_says_anew_what_a_party_may_do_ends_its_freeze() -> None:
    desk = ramp_desk()
    freeze_party(desk, ADA)
    desk.act(SetParty(party_id=ADA, status=UNVERIFIED, level_id=None, tax_bps=None))
    assert desk.get(Party, ADA).status == UNVERIFIED
    freeze_party(desk, ADA, frozen=False)
    assert desk.get(Party, ADA).status == UNVERIFIED


def test_what_its_tenant_tells_of_a_frozen_party_does_not_free_it() -> None:
    desk = ramp_desk()
    freeze_party(desk, ADA)
    desk.act(KeepParty(external_id="cust-001", kind="individual", details="{}"), owner_id=B1)
    assert (desk.get(Party, ADA).status, desk.get(Party, ADA).status_before) == (INACTIVE, ACTIVE)


def test_a_world_file_that_is_loaded_again_frees_nobody() -> None:
    desk = brokerage.brokerage_desk()
    freeze_party(desk, brokerage.U)
    freeze(desk, brokerage.P)
    before = dict(desk.rows)
    desk.act(DeclareWorld(declaration=declaration_of(parse_world(brokerage.OFFERS_WORLD))))
    assert desk.rows == before


def test_a_frozen_party_is_paid_nothing_and_completes_no_checkout() -> None:
    desk = ramp_desk()
    prepared: PreparedPayout = payouts.prepared(desk).prepared
    paid_in = checkouts.opened(desk, "asset_in").order_id
    freeze_party(desk, ADA)
    preparing: PreparePayout = payouts.preparing()
    for command in (preparing, payouts.selling(prepared), checkouts.confirming(paid_in)):
        assert desk.refuse(command, owner_id=B1) is Code.PARTY_INACTIVE


def test_what_arrives_for_a_frozen_party_is_booked_and_sets_off_nothing() -> None:
    desk = ramp_desk()
    deposits.open_places(desk)
    deposits.ruled(desk, deposits.buying_action(), conditions=(deposits.at_least("1", "EUR", None),))
    freeze_party(desk, ADA)
    deposits.deposited(desk, deposits.transferring())
    (execution,) = desk.all(RuleExecution)
    assert (execution.code, execution.order_id) == ("PARTY_INACTIVE", None)


def test_a_frozen_party_trades_nothing() -> None:
    desk = brokerage.brokerage_desk()
    order = brokerage.quoted(desk).order
    freeze_party(desk, brokerage.U)
    assert desk.refuse(brokerage.quoting(), owner_id=brokerage.P) is Code.PARTY_INACTIVE
    assert desk.refuse(brokerage.accepting(order), owner_id=brokerage.P) is Code.PARTY_INACTIVE


def test_a_frozen_party_lists_buys_and_bids_nothing_and_its_bid_is_not_accepted() -> None:
    desk = TradingDesk()
    listed = desk.listed(4, "2.5", "otc")
    bid = desk.tell(trading.bidding(listed)).order.id
    freeze_party(desk, trading.U2)
    for command in (trading.bidding(listed), trading.buying(listed, 1, "otc"), trading.buying_unsold()):
        assert desk.refused(command) is Code.PARTY_INACTIVE
    with pytest.raises(Refusal, match=r"PARTY_INACTIVE") as told:
        desk.tell(trading.accepting(bid))
    assert told.value.detail == "Whoever made this counter is not active."
    desk.tell(trading.withdrawing_bid(bid))
    freeze_party(desk, trading.U1)
    assert desk.refused(trading.listing()) is Code.PARTY_INACTIVE
    assert desk.refused(trading.burning(trading.U1)) is Code.PARTY_INACTIVE
