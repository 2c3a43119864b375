"""What a branch and the desk take: set at once for what is sold from now on."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from otcdesk.actions.set_fees import SetBranchFees, SetDeskFees
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.resales import Branch, ResaleTerms
from otcdesk.errors import Code
from tests.support.estate import ESTATE, NOBODY, ROOT, THIRD, N, estate_desk, listed, taking, units
from tests.support.pure import PureDesk

NAMES = ("otc_fee_percent", "secondary_fee_percent", "primary_fee_percent")


def fees(*percents: str) -> dict[str, Any]:
    return {**dict(zip(NAMES, map(Decimal, percents), strict=True)), "fees": '{"kept": 1}'}


def setting(**told: Any) -> SetBranchFees:
    return SetBranchFees(**{"branch_id": N, "mandate": ROOT, **fees("4", "1", "2"), **told})


def test_a_branchs_fees_are_taken_of_the_next_sale() -> None:
    desk = estate_desk()
    order = listed(desk, 7, "1")
    branch = desk.act(setting(), owner_id=ESTATE).branch
    assert [getattr(branch, name) for name in (*NAMES, "fees")] == [4, 1, 2, '{"kept": 1}']
    assert desk.get(Branch, N) == branch
    desk.act(taking(order.id), owner_id=ESTATE)
    assert units(desk, asset="VUSD") == (6_720_000, 0)


def test_the_desks_fees_are_of_the_lane() -> None:
    desk = estate_desk()
    before = desk.get(ResaleTerms, ONLY)
    terms = desk.act(SetDeskFees(**fees("1.5", "0", "49.999999"))).terms
    assert terms == before.with_(**fees("1.5", "0", "49.999999"))
    assert desk.get(ResaleTerms, ONLY) == terms


def test_a_lane_without_terms_has_the_usual_ones_otherwise() -> None:
    desk = PureDesk(None)
    terms = desk.act(SetDeskFees(**fees("1", "2", "3"))).terms
    assert terms == ResaleTerms(**fees("1", "2", "3"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("percent", ["50", "-0.000001", "1000"])
def test_no_fee_is_the_half_or_less_than_nothing(name: str, percent: str) -> None:
    desk = estate_desk()
    assert desk.refuse(setting(**{name: Decimal(percent)}), owner_id=ESTATE) is Code.FEE_EXCESSIVE
    assert desk.refuse(SetDeskFees(**{**fees("0", "0", "0"), name: Decimal(percent)})) is Code.FEE_EXCESSIVE


@pytest.mark.parametrize(
    "told, code",
    [
        ({"branch_id": uuid4(), "mandate": NOBODY}, Code.BRANCH_NOT_FOUND),
        ({"mandate": NOBODY, "otc_fee_percent": Decimal(60)}, Code.NOT_PERMITTED),
        ({"mandate": THIRD}, Code.NOT_PERMITTED),
    ],
)
def test_what_is_refused(told: dict[str, Any], code: Code) -> None:
    assert estate_desk().refuse(setting(**told), owner_id=ESTATE) is code
