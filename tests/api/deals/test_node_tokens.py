"""What a token and its salable part are worth is told exactly, however many digits it has."""

from decimal import Decimal

from otcdesk.api.deals.node_tokens import StoredToken, token_answer
from otcdesk.domain.resales import Branch, Currency, Instrument
from tests.support.estate import C, N, T, estate_desk


def test_worth_is_exact_to_its_last_digit() -> None:
    desk = estate_desk()
    price, supply = Decimal("12345678901234567890.123457"), 10**18 + 1
    instrument = desk.get(Instrument, T).with_(
        price=price, max_supply_units=supply, salable_percent=Decimal("33.333333333333333333")
    )
    stored = StoredToken(
        instrument=instrument, issuer=desk.get(Branch, N), currency=desk.get(Currency, C), scale=6, unsold=0
    )
    value = token_answer(stored).value
    total = 12345678901234567890123457 * supply
    assert Decimal(bytes(value.total_value.amount).decode()) == Decimal(f"{total}e-6")
    assert Decimal(bytes(value.salable_value.amount).decode()) == Decimal(f"{total * 33333333333333333333}e-26")
