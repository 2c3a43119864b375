"""What the verbs of payouts share: terms, channels, standing, limits, prices and accounts."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from otcdesk.actions.booking import own_account
from otcdesk.actions.payout_checks import (
    arriving,
    check_limits,
    check_permitted,
    found_channel,
    priced_payout,
    terms_of,
    treasury_id,
)
from otcdesk.actions.publish_price import PublishPrice, SetPrice
from otcdesk.domain.commands import Moment
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.ledger import TREASURY, Account, desk_account_id
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.payouts import Channel, PayoutTerms, Surcharge
from otcdesk.domain.pricing import Price
from otcdesk.errors import Code, Refusal
from otcdesk.money import UNITS_MAX, Amount, Asset
from tests.support.clocks import START
from tests.support.payouts import ADA, B1, B2, DE, EVE, INACTIVE, SEPA_FILE, UNVERIFIED, US, ramp_desk
from tests.support.pure import PureDesk

EUR, USD, USDC = Asset("EUR", 2), Asset("USD", 2), Asset("USDC", 6)


class Rows:
    """The rows of a desk as an action finds them."""

    def __init__(self, desk: PureDesk) -> None:
        self.rows = dict(desk.rows)
        self.added: list[Any] = []

    def find(self, noun: Any, key: Any) -> Any:
        return self.rows.get((noun, key))

    def add(self, row: Any) -> None:
        self.added.append(row)

    def put(self, row: Any) -> None:
        raise AssertionError(f"nothing is changed: {row}")

    def want(self, *wants: Any) -> None:
        raise AssertionError(f"the verb has named what it wants: {wants}")


def moment(owner_id: UUID = B1, seconds: int = 0) -> Moment:
    at = START + timedelta(seconds=seconds)
    return Moment(now=at, arrived_at=at, command_id=UUID(int=1 << 8), caller="test", owner_id=owner_id)


def refused(code: Code) -> Any:
    return pytest.raises(Refusal, match=code.name)


def test_terms_are_the_lanes_or_the_usual_ones() -> None:
    desk = ramp_desk()
    desk.put(PayoutTerms(validity_seconds=1, slippage_bps=2))
    assert terms_of(Rows(desk)) == PayoutTerms(validity_seconds=1, slippage_bps=2)
    del desk.rows[PayoutTerms, ONLY]
    assert terms_of(Rows(desk)) == PayoutTerms(validity_seconds=900, slippage_bps=100)


def test_a_channel_is_found_open_or_closed() -> None:
    desk = ramp_desk()
    closed = desk.get(Channel, DE).with_(enabled=False)
    desk.put(closed)
    assert found_channel(Rows(desk), DE) == closed
    with refused(Code.CHANNEL_NOT_FOUND):
        found_channel(Rows(desk), UUID(int=7))


def test_who_may_be_paid_through_a_channel() -> None:
    books = Rows(ramp_desk())
    channel = found_channel(books, DE)
    closed = channel.with_(enabled=False)
    for party_id in (None, ADA, UUID(int=7)):
        check_permitted(books, channel, party_id)
        with refused(Code.CHANNEL_CLOSED):
            check_permitted(books, closed, party_id)
    for one in (channel, closed):
        with refused(Code.PARTY_UNVERIFIED):
            check_permitted(books, one, UNVERIFIED)
        with refused(Code.PARTY_INACTIVE):
            check_permitted(books, one, INACTIVE)


@pytest.mark.parametrize(
    "fiat, text, units",
    [("EUR", "100.000", 10_000), ("JPY", "1.0", 1), ("KWD", "1.001", 1_001), ("EUR", "9" * 38, int("9" * 38) * 100)],
)
def test_what_arrives_is_counted_in_the_fiats_units(fiat: str, text: str, units: int) -> None:
    assert arriving(Rows(ramp_desk()), fiat, Decimal(text)).units == units


@pytest.mark.parametrize(
    "fiat, text", [("EUR", "0.001"), ("JPY", "0.1"), ("KWD", "1.0001"), ("EUR", "1." + "0" * 36 + "1")]
)
def test_what_is_finer_than_the_fiat_is_refused(fiat: str, text: str) -> None:
    with refused(Code.AMOUNT_TOO_FINE):
        arriving(Rows(ramp_desk()), fiat, Decimal(text))


@pytest.mark.parametrize(
    "least, most, units, code",
    [
        (10, 20, 9, Code.AMOUNT_TOO_SMALL),
        (10, 20, 10, None),
        (10, 20, 20, None),
        (10, 20, 21, Code.AMOUNT_TOO_LARGE),
        (10, None, UNITS_MAX, None),
        (10, None, UNITS_MAX + 1, Code.AMOUNT_TOO_LARGE),
        (1, None, 0, Code.AMOUNT_TOO_SMALL),
    ],
)
def test_limits_are_inclusive(least: int, most: int | None, units: int, code: Code | None) -> None:
    channel = found_channel(Rows(ramp_desk()), DE).with_(min_units=least, max_units=most)
    if code is None:
        check_limits(channel, Amount(units, EUR))
        return
    with refused(code) as caught:
        check_limits(channel, Amount(units, EUR))
    assert "at least 0.10" in caught.value.detail or "at least 0.01" in caught.value.detail
    assert ("at most 0.20" in caught.value.detail) == (most is not None)


def priced(desk: PureDesk, units: int = 10_000, **asked: Any) -> Any:
    """Price a payout of the fixture's channel, unless asked otherwise."""
    books = Rows(desk)
    channel = asked.get("channel") or found_channel(books, asked.get("channel_id", DE))
    arrives = Amount(units, asked.get("fiat", EUR))
    party_id = asked.get("party_id", ADA)
    at = moment(asked.get("owner_id", B1), asked.get("seconds", 0))
    return priced_payout(books, at, channel, arrives, USDC, party_id)


def test_a_price_is_the_markets_less_the_channels_spread() -> None:
    desk = ramp_desk()
    found = priced(desk)
    assert (found.rate, found.market.value, found.market.source) == (Decimal("0.92"), Decimal("0.92"), "fixed")
    assert (found.cost.fee.units, found.cost.surcharge.units, found.cost.asset.units) == (150, 0, 110_326_087)
    found = priced(desk, channel_id=US, fiat=USD)
    assert (found.rate, found.market.value) == (Decimal("0.997002"), Decimal("0.999"))


def test_the_surcharge_is_the_tenants_who_asks_and_only_for_its_parties() -> None:
    desk = ramp_desk()
    assert priced(desk, owner_id=B2, party_id=EVE).cost.surcharge.units == 50
    assert priced(desk, owner_id=B2, party_id=None).cost.surcharge.units == 0
    del desk.rows[Surcharge, B2]
    assert priced(desk, owner_id=B2, party_id=EVE).cost.surcharge.units == 0


def test_without_a_price_there_is_no_payout() -> None:
    desk = ramp_desk()
    pair = {"source_asset": "USDC", "destination_asset": "EUR"}
    desk.act(PublishPrice(**pair, rate=Decimal("0.9"), feed="f", stale_after_ms=1_000))
    assert priced(desk, seconds=1).rate == Decimal("0.9")
    with refused(Code.PRICE_UNAVAILABLE):
        priced(desk, seconds=2)
    desk.act(SetPrice(**pair, rate=Decimal("0.8"), lasts_seconds=60))
    assert (priced(desk, seconds=59).rate, priced(desk, seconds=59).market.source) == (Decimal("0.8"), "operator test")
    with refused(Code.PRICE_UNAVAILABLE):
        priced(desk, seconds=60)
    del desk.rows[Price, ("USDC", "EUR")]
    with refused(Code.PRICE_UNAVAILABLE):
        priced(desk)


def test_what_cannot_be_counted_is_too_large() -> None:
    desk = ramp_desk()
    channel = found_channel(Rows(desk), SEPA_FILE).with_(fixed_fee_units=0)
    most = UNITS_MAX * 92 // 10**6  # of which the cost is just 10^38
    assert priced(desk, most, channel=channel).cost.asset.units == UNITS_MAX
    with refused(Code.AMOUNT_TOO_LARGE):
        priced(desk, most + 1, channel=channel)
    desk.act(
        PublishPrice(source_asset="USDC", destination_asset="EUR", rate=Decimal(10**9), feed="f", stale_after_ms=None)
    )
    with refused(Code.AMOUNT_TOO_LARGE):  # the fee on top of it
        priced(desk, UNITS_MAX, channel=channel.with_(fixed_fee_units=1))
    assert priced(desk, UNITS_MAX, channel=channel).cost.fees.units == 0


def test_accounts_are_opened_with_their_first_use() -> None:
    desk = ramp_desk()
    books = Rows(desk)
    assert treasury_id("EUR") == desk_account_id(TREASURY, "EUR", "")
    known = own_account(books, treasury_id("EUR"), TREASURY, "EUR")
    assert (known, books.added) == (desk.get(Account, treasury_id("EUR")), [])
    opened = own_account(books, UUID(int=7), "surcharge", "EUR", B2)
    assert books.added == [opened]
    assert (opened.owner_id, opened.purpose, opened.asset, opened.floor, opened.balance) == (
        B2,
        "surcharge",
        "EUR",
        0,
        0,
    )
    assert own_account(books, UUID(int=8), TREASURY, "USDC").owner_id == DESK_ID
