"""References that banks give back, and what an account at a bank is."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.domain.bank_files import (
    BIC,
    MATCH,
    MATCHED,
    PUT_ASIDE,
    SET_ASIDE,
    STATEMENT_LINE,
    UNMATCHED,
    BankAccount,
    id_in,
    is_iban,
    reference_of,
)
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.errors import Refusal
from tests.support.pure import PureDesk


@given(st.uuids())
def test_a_reference_is_given_back_as_it_was_in_whichever_case(some_id: UUID) -> None:
    assert len(reference_of(some_id)) <= 35
    assert reference_of(some_id).isalnum()
    assert id_in(reference_of(some_id)) == id_in(reference_of(some_id).upper()) == some_id


@pytest.mark.parametrize(
    "text", [None, "", "NOTPROVIDED", str(UUID(int=7)), UUID(int=7).hex[:-1], "g" * 32, "{" + "0" * 30 + "}"]
)
def test_other_references_are_none_of_ours(text: str | None) -> None:
    assert id_in(text) is None


@pytest.mark.parametrize(
    "iban",
    [
        "DE89370400440532013000",
        "NO9386011117947",
        "MT84MALT011000012345MTLCAST001S",
        "GB29NWBK60161331926819",
        "FR1420041010050500013M02606",
    ],
)
def test_ibans(iban: str) -> None:
    assert is_iban(iban)
    for place in range(4, len(iban)):
        wrong = iban[:place] + ("1" if iban[place] != "1" else "2") + iban[place + 1 :]
        assert not is_iban(wrong)


@pytest.mark.parametrize(
    "text",
    ["", "DE", "DE89", "de89370400440532013000", "DE89 3704 0044 0532 0130 00", "8989370400440532013000", "ß" * 22],
)
def test_what_is_no_iban(text: str) -> None:
    assert not is_iban(text)


@given(st.text(max_size=40))
def test_any_text_is_an_iban_or_not(text: str) -> None:
    assert is_iban(text) in {True, False}


@pytest.mark.parametrize(
    "text, fits", [("BYLADEM1001", True), ("NWBKGB2L", True), ("NWBKGB2", False), ("nwbkgb2l", False)]
)
def test_bics(text: str, *, fits: bool) -> None:
    assert bool(BIC.fullmatch(text)) is fits


def test_a_line_is_dealt_with_once() -> None:
    assert STATEMENT_LINE.start == UNMATCHED
    assert STATEMENT_LINE.move(UNMATCHED, MATCH) == MATCHED
    assert STATEMENT_LINE.move(UNMATCHED, PUT_ASIDE) == SET_ASIDE
    assert STATEMENT_LINE.ends == {MATCHED, SET_ASIDE}


# -- in a world file -------------------------------------------------------------------------------------------------

WORLD = """
name = "w"
[[assets]]
code = "EUR"
scale = 2
[[banks]]
fiat = "EUR"
iban = "DE02 1203 0000 0000 2020 51"
bic = "BYLADEM1001"
name = "Desk"
"""


def test_the_desks_account_is_declared() -> None:
    (bank,) = declaration_of(parse_world(WORLD)).banks
    assert bank == BankAccount(fiat="EUR", iban="DE02120300000000202051", bic="BYLADEM1001", name="Desk")


def test_it_may_change_and_is_one_for_each_fiat() -> None:
    desk = PureDesk(WORLD)
    desk.act(DeclareWorld(declaration=declaration_of(parse_world(WORLD.replace('"Desk"', '"Other"')))))
    assert [bank.name for bank in desk.all(BankAccount)] == ["Other"]


@pytest.mark.parametrize(
    "was, becomes",
    [
        ("2020 51", "2020 52"),
        ("BYLADEM1001", "nonsense"),
        ('name = "Desk"', 'name = " "'),
        ('fiat = "EUR"', 'fiat = "USD"'),
        ('name = "Desk"', 'name = "Desk"\nsecret = "x"'),
        ('name = "Desk"', 'name = "Desk"' + WORLD[WORLD.index("[[banks]]") - 1 :]),
    ],
)
def test_an_account_that_is_not_sound_is_refused(was: str, becomes: str) -> None:
    with pytest.raises(Refusal, match="DECLARATION_INVALID"):
        declaration_of(parse_world(WORLD.replace(was, becomes, 1)))
