"""Where browsers are sent, and what line items must add up to."""

from decimal import Context, Decimal
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.api.ramp.checkout_shapes import LineItem, checked_items, checked_return_url, origin_of, returning_url
from otcdesk.domain.checkouts import FIAT_OUT, OPENED
from otcdesk.errors import Refusal
from tests.support.checkouts import opened
from tests.support.payouts import ramp_desk

_PARTS = st.text(alphabet="abcXYZ019/?&=#%.-_~!$'()*+,;:@[]", max_size=40)


@given(_PARTS)
def test_what_is_accepted_leads_to_its_own_host_only(rest: str) -> None:
    url = f"https://shop.example{rest}"
    try:
        checked_return_url(url)
    except Refusal:
        return
    reply = opened(ramp_desk(), FIAT_OUT, return_url=url)
    assert reply.checkout is not None
    assert reply.order is not None
    parts = urlsplit(returning_url(reply.checkout, reply.order))
    assert parts.hostname is not None
    assert parts.netloc == urlsplit(url).netloc
    assert f"{parts.scheme}://{parts.netloc.lower()}" == origin_of(url)
    told = dict(parse_qsl(parts.query, keep_blank_values=True))
    assert (told["CheckoutSessionID"], told["ExternalID"], told["Status"]) == (str(reply.order_id), "cart-7", "Pending")
    assert parts.query.startswith(urlsplit(url).query)
    assert parts.fragment == urlsplit(url).fragment
    assert reply.order.state == OPENED


@given(st.text(max_size=60))
def test_an_origin_never_says_more_than_a_host(text: str) -> None:
    origin = origin_of(f"https://{text}")
    assert origin is None or not set(origin) & set(" ;'\"\r\n\t,*")


@pytest.mark.parametrize("url", ["https://a.example", "http://127.0.0.1:80/x", "https://A-b.Example:8443/?a=b#c"])
def test_usual_addresses_are_accepted(url: str) -> None:
    assert checked_return_url(url) == url


_AMOUNTS = st.decimals(min_value=0, max_value=10**9, places=3)


def item(quantity: object, unit: object, total: object) -> LineItem:
    return LineItem(Description="x", Quantity=str(quantity), UnitAmount=str(unit), TotalAmount=str(total))


@given(_AMOUNTS.filter(bool), _AMOUNTS)
def test_a_total_is_the_exact_product(quantity: Decimal, unit: Decimal) -> None:
    total = Context(prec=80).multiply(quantity, unit)
    more = Context(prec=80).add(total, Decimal("0.000001"))
    checked_items([item(quantity, f"{unit:f}", f"{total:f}")])
    with pytest.raises(Refusal) as caught:
        checked_items([item(quantity, f"{unit:f}", f"{more:f}")])
    assert caught.value.facts["fields"].keys() == {"LineItems.0.TotalAmount"}
