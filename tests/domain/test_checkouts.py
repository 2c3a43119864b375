"""The lives of checkouts, and the names of places to which they are paid."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.domain.checkouts import (
    ASSET_IN,
    CANCEL,
    CHECKOUTS,
    CONFIRM,
    EXPIRE,
    FAIL,
    FIAT_IN,
    FIAT_OUT,
    OPEN,
    PAY,
    SETTLE,
    place_of,
    reference_of,
    references_in,
)

_SHARED = {
    ("created", OPEN): "open",
    ("open", CONFIRM): "confirmed",
    ("open", CANCEL): "failed",
    ("open", EXPIRE): "expired",
    ("confirmed", SETTLE): "settled",
}
MOVES = {
    FIAT_OUT: {**_SHARED, ("confirmed", FAIL): "failed"},
    FIAT_IN: {
        **_SHARED,
        ("open", PAY): "confirmed",
        ("open", SETTLE): "settled",
        ("open", FAIL): "failed",
        ("confirmed", PAY): "confirmed",
        ("confirmed", FAIL): "failed",
        ("confirmed", EXPIRE): "expired",
    },
}
MOVES[ASSET_IN] = MOVES[FIAT_IN]


@pytest.mark.parametrize("side", MOVES)
def test_every_pair_of_state_and_event(side: str) -> None:
    machine = CHECKOUTS.machines[side]
    assert machine.moves == MOVES[side]
    assert machine.ends == {"settled", "failed", "expired"} == CHECKOUTS.ended


def test_what_is_over_never_goes_on() -> None:
    for machine in CHECKOUTS.machines.values():
        for state in machine.ends:
            assert not any(machine.allows(state, event) for event in machine.events)


def test_references_are_short_and_all_different() -> None:
    references = {reference_of(uuid4()) for _ in range(1_000)}
    assert len(references) == 1_000
    assert {len(one) for one in references} == {14}


_ANYTHING = st.text(alphabet="abcoxyzCO 0123467,.-/\n", max_size=40)


@given(st.uuids(), _ANYTHING, _ANYTHING)
def test_a_reference_is_found_in_what_people_write(order_id: UUID, before: str, after: str) -> None:
    reference = reference_of(order_id)
    for written in (reference, reference.lower(), f"{reference[:5]} {reference[5:9]}-{reference[9:]}"):
        assert reference in references_in(f"{before} {written} {after}")


@pytest.mark.parametrize(
    "before", ["Company invoice 4711", "Coffee machine order", "COSMETICS GMBH PAYS", "Your contract", "co", "COCOCOCO"]
)
def test_words_that_look_like_a_reference_do_not_hide_it(before: str) -> None:
    reference = reference_of(UUID(int=4711))
    for text in (f"{before} {reference}", f"{before}{reference}", f"{reference} {before} and more"):
        assert reference in references_in(text)


@pytest.mark.parametrize("text", ["", "CO", "CO12345678901", "thanks for all", "CO" + "A" * 11, "x" * 10_000])
def test_what_is_no_reference_is_none(text: str) -> None:
    assert references_in(text) == ()


def test_only_so_many_are_looked_up() -> None:
    assert len(references_in("CO" * 1_000)) == 1
    assert len(references_in("".join(reference_of(uuid4()) for _ in range(1_000)))) <= 32


def test_capitals_matter_only_where_they_are_no_checksum() -> None:
    assert place_of("Ethereum", "0xABcd") == place_of("Ethereum", "0xabCD") == "Ethereum/0xabcd"
    assert place_of("Solana", "aB") != place_of("Solana", "ab")
