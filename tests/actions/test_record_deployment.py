"""What the operator says of contracts decides what can be listed, and in which currency."""

from typing import Any
from uuid import uuid4

from otcdesk.actions.record_deployment import RecordCurrencyDeployment, RecordInstrumentDeployment
from otcdesk.domain.resales import Currency, Instrument
from otcdesk.errors import Code
from tests.support.estate import ESTATE, C, T, estate_desk, listing


def currency(state: str, **told: Any) -> RecordCurrencyDeployment:
    return RecordCurrencyDeployment(**{"id": C, "state": state, **told})


def instrument(state: str, **told: Any) -> RecordInstrumentDeployment:
    return RecordInstrumentDeployment(**{"id": T, "state": state, **told})


def test_a_currency_can_be_used_while_it_is_deployed() -> None:
    desk = estate_desk()
    address = desk.get(Currency, C).address
    row = desk.act(currency("error")).currency
    assert (row.state, row.enabled, row.address) == ("error", False, address)
    assert desk.refuse(listing(), owner_id=ESTATE) is Code.CURRENCY_NOT_FOUND
    desk.clock.advance(seconds=1)
    row = desk.act(currency("deployed", address="0x9", hash="0x8")).currency
    assert (row.state, row.enabled, row.address, row.hash) == ("deployed", True, "0x9", "0x8")
    assert (row.updated_at, desk.get(Currency, C)) == (desk.clock.now(), row)
    assert desk.act(listing(), owner_id=ESTATE).job.state == "started"


def test_an_instrument_can_be_listed_while_it_is_on_sale() -> None:
    desk = estate_desk()
    desk.act(instrument("passive"))
    assert desk.refuse(listing(), owner_id=ESTATE) is Code.RESALE_CLOSED
    row = desk.act(instrument("listed", address="0x9", hash="0x8")).instrument
    assert (row.state, row.address, row.hash) == ("listed", "0x9", "0x8")
    assert desk.get(Instrument, T) == row
    assert desk.act(listing(), owner_id=ESTATE).job.state == "started"


def test_what_is_so_already_is_not_written_again() -> None:
    desk = estate_desk()
    before = desk.get(Instrument, T), desk.get(Currency, C)
    desk.clock.advance(seconds=1)
    assert (desk.act(instrument("listed")).instrument, desk.act(currency("deployed")).currency) == before


def test_what_is_not_there_is_refused() -> None:
    desk = estate_desk()
    assert desk.refuse(currency("deployed", id=uuid4())) is Code.CURRENCY_NOT_FOUND
    assert desk.refuse(instrument("listed", id=uuid4())) is Code.INSTRUMENT_NOT_FOUND
