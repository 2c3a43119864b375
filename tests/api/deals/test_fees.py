"""The table of fees: what is given is kept, what is not is 0, and three figures of it are what the books charge."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from otcdesk.api.deals.fees import CHARGED, LEAVES, FeesRequest, kept_table
from otcdesk.domain.resales import Branch
from otcdesk.errors import Code, Refusal


def kept(body: Any) -> dict[str, dict[str, tuple[int, Any]]]:
    request = msgspec.json.decode(msgspec.json.encode(body), type=FeesRequest)
    return {
        group: {name: (leaf.id, leaf.value) for name, leaf in leaves.items()}
        for group, leaves in kept_table(request).items()
    }


def test_what_is_charged_is_in_the_table_and_a_fee_of_the_core() -> None:
    for (group, name), fee in CHARGED.items():
        assert name in LEAVES[group]
        assert fee in Branch.__struct_fields__


def test_what_is_not_given_is_nothing() -> None:
    assert kept({"lending": {}}) == {
        "tokenization": {"asset_tokenization": (1, 0), "tokenized_asset_sales": (2, 0), "management": (3, 0)},
        "secondary_market": {"buy_order": (4, 0), "sell_order": (5, 0), "otc_sale": (6, 0)},
        "lending": {},
    }
    assert kept({"value": {"tokenization": {}}}) == kept({"lending": {}})


def test_a_fee_is_an_object_or_a_number() -> None:
    given = {"secondary_market": {"otc_sale": {"id": 60, "value": 0.1}, "sell_order": 4}}
    for body in (given, {"value": given}, {**given, "id": "x", "entity": 3, "categories": None}):
        table = kept(body)["secondary_market"]
        assert table == {"buy_order": (4, 0), "sell_order": (5, 4), "otc_sale": (60, Decimal("0.1"))}


@pytest.mark.parametrize(
    "body, details",
    [
        ({}, "at least one of tokenization, secondary_market, lending is required"),
        ({"value": {}}, "at least one of tokenization, secondary_market, lending is required"),
        ({"id": "x", "entity": 3, "node_id": "x", "categories": None}, "at least one of tokenization, "),
        ({"value": {"lending": {}}, "lending": {}}, "groups of fees are in value or beside it, not both"),
        ({"value": {}, "lending": {}}, "groups of fees are in value or beside it, not both"),
    ],
)
def test_groups_are_given_and_in_one_place(body: dict[str, Any], details: str) -> None:
    with pytest.raises(Refusal) as caught:
        kept(body)
    assert caught.value.code is Code.REQUEST_INVALID
    assert caught.value.detail.startswith(details)


def test_a_field_that_is_none_of_these_is_a_mistake() -> None:
    with pytest.raises(msgspec.ValidationError):
        kept({"secondary_market": {"otc_sale": 4}, "otc_sale": 5})


@pytest.mark.parametrize("percent", [50, -0.000001, 1e9])
@pytest.mark.parametrize("place", [("tokenization", "management"), ("lending", "any")])
def test_no_fee_is_the_half_or_less_than_nothing(percent: Any, place: tuple[str, str]) -> None:
    with pytest.raises(Refusal) as caught:
        kept({place[0]: {place[1]: percent}})
    assert caught.value.detail == f"{place[1]} must be at least 0 and less than 50"
