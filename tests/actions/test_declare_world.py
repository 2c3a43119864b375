"""Declaring a world: the same file again changes nothing, and what is booked stays booked."""

from decimal import Decimal

import pytest

from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.actions.move_value import Deposit
from otcdesk.actions.publish_price import PublishPrice
from otcdesk.domain.ledger import EQUITY, Account, LedgerTransaction, Posting, desk_account_id
from otcdesk.domain.pricing import Price
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.errors import Code, Refusal
from tests.support.conversions import OPENING, balances
from tests.support.desk import CONTRACT_WORLD, FA1, FA2
from tests.support.pure import PureDesk


def declare(text: str) -> DeclareWorld:
    return DeclareWorld(declaration=declaration_of(parse_world(text)))


def test_opening_balances_are_booked_against_equity() -> None:
    desk = PureDesk()
    assert balances(desk) == OPENING
    assert desk.get(Account, desk_account_id(EQUITY, "EUR")).balance == -(1_000_000 + 1_000_000 + 100_000_000)
    openings = [row for row in desk.all(LedgerTransaction) if row.reason == "opening balance"]
    assert len(openings) == len(desk.all(Posting)) == 6
    by_asset: dict[str, int] = {}
    for account in desk.all(Account):
        by_asset[account.asset] = by_asset.get(account.asset, 0) + account.balance
    assert set(by_asset.values()) == {0}


def test_the_same_file_again_changes_nothing() -> None:
    desk = PureDesk()
    desk.clock.advance(seconds=10)
    before = dict(desk.rows)
    reply = desk.act(declare(CONTRACT_WORLD))
    assert (reply.added, reply.changed) == (0, 0)
    assert desk.rows == before


def test_bookings_since_then_do_not_matter() -> None:
    desk = PureDesk()
    desk.act(Deposit(account_id=FA1, units=5, reason="r", reference="r"))
    desk.act(declare(CONTRACT_WORLD))
    assert desk.get(Account, FA1).balance == 1_000_005


def test_a_changed_opening_balance_is_refused_with_the_difference() -> None:
    desk = PureDesk()
    changed = CONTRACT_WORLD.replace('balance = "10000.00"', 'balance = "9999.00"', 1)
    with pytest.raises(Refusal) as caught:
        desk.act(declare(changed))
    assert caught.value.code is Code.OPENING_BALANCE_CHANGED
    assert "opened with 1000000 units of EUR; the file says 999900, -100." in caught.value.detail
    removed = CONTRACT_WORLD.replace('balance = "10000.00"', "", 1)
    assert desk.refuse(declare(removed)) is Code.OPENING_BALANCE_CHANGED


def test_an_account_that_opened_with_nothing_keeps_that_opening() -> None:
    desk = PureDesk()
    without = CONTRACT_WORLD.replace('status = "inactive"', 'status = "inactive"\nbalance = "5.00"')
    assert without != CONTRACT_WORLD
    with pytest.raises(Refusal) as caught:
        desk.act(declare(without))
    assert caught.value.code is Code.OPENING_BALANCE_CHANGED
    assert "+500" in caught.value.detail


def test_a_wallet_stays_on_its_network() -> None:
    desk = PureDesk()
    moved = CONTRACT_WORLD.replace("ethereum = ", "polygon = ")
    with pytest.raises(Refusal) as caught:
        desk.act(declare(moved))
    assert caught.value.code is Code.DECLARATION_INVALID


def test_labels_states_and_terms_may_change() -> None:
    desk = PureDesk()
    changed = CONTRACT_WORLD.replace('status = "inactive"', "").replace("ttl_seconds = 60", "ttl_seconds = 90")
    reply = desk.act(declare(changed))
    assert (reply.added, reply.changed) == (0, 2)
    assert desk.get(Account, FA2).status == "active"


@pytest.mark.parametrize(
    "old, new",
    [
        ('code = "GBP"\nscale = 2', 'code = "GBP"\nscale = 3'),
        ('ref = "FA3"\nasset = "GBP"', 'ref = "FA3"\nasset = "EUR"'),
    ],
)
def test_scales_and_assets_of_what_exists_may_not(old: str, new: str) -> None:
    assert old in CONTRACT_WORLD
    assert PureDesk().refuse(declare(CONTRACT_WORLD.replace(old, new))) is Code.DECLARATION_INVALID


def test_a_feed_is_not_put_out_of_force_by_a_file_without_a_price() -> None:
    desk = PureDesk()
    text = CONTRACT_WORLD.replace('rate = "1.0842"', 'rate = "1.5"')
    desk.act(declare(text))
    assert str(desk.get(Price, ("EUR", "USDC")).feed_rate) == "1.5"
    desk.act(
        PublishPrice(source_asset="EUR", destination_asset="USDC", rate=Decimal("1.4"), feed="f", stale_after_ms=1)
    )
    of_prices = ("source =", "destination =", "rate =", "[[prices]]")
    unpriced = "\n".join(line for line in text.splitlines() if not line.startswith(of_prices))
    assert desk.act(declare(unpriced)).changed == 0
    assert desk.get(Price, ("EUR", "USDC")).feed_source == "f"


def test_opening_balances_are_together_what_the_desk_can_count() -> None:
    most = CONTRACT_WORLD.replace('"1000000.00"', f'"{"9" * 36}.00"')
    with pytest.raises(Refusal, match="DECLARATION_INVALID"):
        PureDesk(most)
