"""What a party has available is burnt: held at once, and no more with the chain's word."""

import pytest

from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import Trade
from otcdesk.domain.parties import Party
from otcdesk.domain.resales import Instrument, Mandate, ResaleTerms, branch_account_id
from otcdesk.errors import Code
from tests.support.trading import NOBODY, U1, U2, U3, N, T, TradingDesk, burning, listing


@pytest.fixture
def desk() -> TradingDesk:
    return TradingDesk()


def test_all_that_is_available_is_held_at_once(desk: TradingDesk) -> None:
    desk.listed(4)
    job = desk.tell(burning()).job
    assert (job.kind, job.market, job.asset, job.units, job.party_id) == ("burn", "primary", "EXT", 6, U1)
    assert desk.held(U1) == (10, 10)
    assert (desk.state(job.order_id), desk.refused(burning())) == ("pending", Code.RESALE_NOT_COVERED)
    assert desk.refused(listing(1)) is Code.RESALE_NOT_COVERED
    desk.assert_sound()


def test_with_the_chains_word_there_are_that_many_less(desk: TradingDesk) -> None:
    before, most = desk.desk_has("equity", "EXT"), desk.get(Instrument, T).max_supply_units
    job = desk.tell(burning()).job
    desk.begun(job)
    desk.word(job)
    assert (desk.held(U1), desk.state(job.order_id)) == ((0, 0), "completed")
    assert (before, desk.desk_has("equity", "EXT")) == (-1_005, -995)
    assert desk.get(Instrument, T).max_supply_units == most
    assert (desk.all(Trade), desk.followed()) == ([], [])
    desk.assert_sound()
    assert desk.refused(burning()) is Code.RESALE_NOT_COVERED


def test_what_the_chain_does_not_burn_is_there_again(desk: TradingDesk) -> None:
    job = desk.tell(burning()).job
    desk.word(job, "refused")
    assert (desk.held(U1), desk.state(job.order_id)) == ((10, 0), "failed")
    assert not desk.word(job).applied
    desk.assert_sound()
    assert desk.tell(burning()).job.units == 10


def test_a_word_is_taken_once(desk: TradingDesk) -> None:
    job = desk.tell(burning()).job
    desk.word(job)
    rows = dict(desk.rows)
    assert (desk.word(job).agrees, desk.word(job, "refused").agrees) == (True, False)
    assert desk.rows == rows


def test_on_the_chain_it_goes_where_nobody_has_a_key(desk: TradingDesk) -> None:
    for party, address in ((U1, "0x000000000000000000000000000000000000dEaD"), (U3, None)):
        job = desk.tell(burning(party)).job
        burnt = desk.get(Account, job.destination_account_id)
        assert burnt.id == branch_account_id(N, "burnt", "EXT")
        assert burnt.address == (address or burnt.address)
        desk.word(job)
    assert desk.has("burnt", "EXT") == 0  # nothing is booked there
    desk.assert_sound()


def test_refusals_in_their_order(desk: TradingDesk) -> None:
    nothing, nowhere = Mandate("1", permitted=False), Mandate("1.3", permitted=True)
    assert desk.refused(burning(NOBODY, instrument_id=NOBODY, mandate=nothing)) is Code.PARTY_NOT_FOUND
    assert desk.refused(burning(U2, instrument_id=NOBODY, mandate=nothing)) is Code.INSTRUMENT_NOT_FOUND
    for mandate in (nothing, nowhere):
        assert desk.refused(burning(U2, mandate=mandate)) is Code.NOT_PERMITTED
    party = desk.get(Party, U2)
    desk.put(party.with_(status="inactive"))
    assert desk.refused(burning(U2)) is Code.PARTY_INACTIVE
    desk.put(party.with_(status="unverified"))
    desk.put(desk.get(ResaleTerms, 1).with_(verifies_parties=True))
    assert desk.refused(burning(U2)) is Code.PARTY_UNVERIFIED
    desk.put(party)
    assert desk.refused(burning(U2)) is Code.RESALE_NOT_COVERED


def test_a_key_burns_once_and_tells_whoever_may_burn(desk: TradingDesk) -> None:
    first = desk.tell(burning(), key="k")
    desk.word(first.job, "refused")
    assert desk.tell(burning(), key="k") == first
    elsewhere = burning(mandate=Mandate("1.9", permitted=True))
    assert desk.refuse(elsewhere, owner_id=first.job.tenant_id, key="k") is Code.NOT_PERMITTED
    assert desk.held(U1) == (10, 0)
