"""What a holding's purchases come to."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from otcdesk.api.deals.holders import KnownInstrument
from otcdesk.api.deals.holdings import Bought, Holding, average, purchases_of, summed_up
from otcdesk.domain.resales import OTC, PRIMARY, SECONDARY, Branch, Currency, Instrument

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
TENANT = uuid4()
ISSUER = Branch(id=uuid4(), tenant_id=TENANT, number=1, path="1", name="Node")
CURRENCY = Currency(
    id=uuid4(),
    tenant_id=TENANT,
    branch_id=ISSUER.id,
    asset="VUSD",
    name="VUSD",
    symbol="VUSD",
    created_at=NOW,
    updated_at=NOW,
)
INSTRUMENT = Instrument(
    id=uuid4(),
    tenant_id=TENANT,
    branch_id=ISSUER.id,
    asset="EXT",
    name="Tower",
    symbol="EXT",
    currency_id=CURRENCY.id,
    price=Decimal("2.000001"),
    max_supply_units=100,
    created_at=NOW,
    updated_at=NOW,
)
KNOWN = KnownInstrument(INSTRUMENT, ISSUER, CURRENCY, 6)


def test_what_an_account_was_opened_with_counts_as_bought_at_the_reference_price() -> None:
    bought = Bought(SECONDARY, 2, 3, 3, 9_000_000, NOW + timedelta(days=1), NOW + timedelta(days=2))
    found = purchases_of(Holding(13, 0, 0, 10, [bought], NOW), KNOWN)
    assert found == [Bought(PRIMARY, 1, 10, 10, 20_000_010, NOW, NOW), bought]
    summed = summed_up(found)
    assert (summed.number, summed.priced_units, summed.paid_units) == (3, 13, 29_000_010)
    assert (summed.first_at, summed.last_at) == (NOW, NOW + timedelta(days=2))
    assert purchases_of(Holding(3, 0, 0, 0, [bought]), KNOWN) == [bought]


def test_sums_of_money_are_of_what_was_paid_in_the_tokens_own_currency() -> None:
    other = Bought(OTC, 1, 5, 0, 0, NOW, NOW)  # paid in another currency
    own = Bought(OTC, 1, 2, 2, 4_000_000, NOW, NOW)
    summed = summed_up([other, own])
    assert (summed.number, average(summed.paid_units, summed.priced_units)) == (2, 2_000_000)


def test_nothing_was_bought() -> None:
    assert summed_up([]) == (0, 0, 0, None, None)


@pytest.mark.parametrize("paid, units, one", [(0, 0, 0), (20, 10, 2), (10, 3, 3), (11, 3, 4), (5, 2, 3), (1, 3, 0)])
def test_an_average_is_to_the_nearest(paid: int, units: int, one: int) -> None:
    assert average(paid, units) == one
