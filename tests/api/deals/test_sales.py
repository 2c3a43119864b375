"""Bodies of sells and cancels, as far as they are judged before anything is looked up."""

import msgspec
import pytest

from otcdesk.api.deals.sales import number_of_deal, price_amount_of, quantity_of
from otcdesk.errors import Refusal


def raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def detail(read: object, text: str) -> str:
    assert callable(read)
    with pytest.raises(Refusal) as caught:
        read(raw(text))
    return caught.value.detail


@pytest.mark.parametrize("text", ["0", "-1", "-0", "0.0", "-1.5", "-" + "9" * 50])
def test_a_quantity_that_is_not_above_zero(text: str) -> None:
    assert detail(quantity_of, text) == "Quantity must be greater than 0"


@pytest.mark.parametrize("text", ["0", "-1", "-0.0"])
def test_a_price_that_is_not_above_zero(text: str) -> None:
    assert detail(price_amount_of, text) == "price_amount must be greater than 0"


@pytest.mark.parametrize("text", ["null", "0", "-1", "-0"])
def test_a_deal_that_is_not_named(text: str) -> None:
    assert detail(number_of_deal, text) == "Deal ID is required"


def test_a_number_that_no_deal_can_have_is_read_all_the_same() -> None:
    assert number_of_deal(raw(str(2**63))) == 2**63
    assert number_of_deal(raw("7.0")) == 7
    assert quantity_of(raw("3e0")) == 3
