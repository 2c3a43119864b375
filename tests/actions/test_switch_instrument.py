"""Where an instrument may be listed, and whether it may leave the desk, is its branch's to say."""

from typing import Any
from uuid import uuid4

import pytest

from otcdesk.actions.switch_instrument import SwitchInstrument
from otcdesk.domain.resales import Instrument
from otcdesk.errors import Code
from tests.support.estate import ESTATE, NOBODY, ROOT, THIRD, T, closing, estate_desk, listed, listing


def switching(**told: Any) -> SwitchInstrument:
    return SwitchInstrument(**{"instrument_id": T, "mandate": ROOT, **told})


@pytest.mark.parametrize("field", ["open_to_resale", "open_to_market", "is_public"])
def test_each_switch_alone_is_turned(field: str) -> None:
    desk = estate_desk()
    before = desk.get(Instrument, T)
    desk.clock.advance(seconds=1)
    for value in (False, True):
        after = desk.act(switching(**{field: value}), owner_id=ESTATE).instrument
        assert getattr(after, field) is value
        assert after == before.with_(**{field: value, "updated_at": after.updated_at})
        assert desk.get(Instrument, T) == after


def test_a_switch_that_is_so_already_changes_nothing() -> None:
    desk = estate_desk()
    before = desk.get(Instrument, T)
    desk.clock.advance(seconds=1)
    assert desk.act(switching(open_to_resale=True), owner_id=ESTATE).instrument == before


def test_what_is_listed_stays_so_and_nothing_more_is_listed() -> None:
    desk = estate_desk()
    order = listed(desk)
    desk.act(switching(open_to_resale=False), owner_id=ESTATE)
    assert desk.refuse(listing(), owner_id=ESTATE) is Code.RESALE_CLOSED
    assert desk.act(closing(order.id), owner_id=ESTATE).order.state == "cancelled"


@pytest.mark.parametrize(
    "told, code",
    [
        ({"instrument_id": uuid4(), "mandate": NOBODY}, Code.INSTRUMENT_NOT_FOUND),
        ({"mandate": NOBODY}, Code.NOT_PERMITTED),
        ({"mandate": THIRD}, Code.NOT_PERMITTED),
    ],
)
def test_what_is_refused(told: dict[str, Any], code: Code) -> None:
    assert estate_desk().refuse(switching(open_to_resale=False, **told), owner_id=ESTATE) is code


def test_another_tenants_instrument_is_not_found() -> None:
    assert estate_desk().refuse(switching(open_to_resale=False), owner_id=uuid4()) is Code.INSTRUMENT_NOT_FOUND
