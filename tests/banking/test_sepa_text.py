"""Any text becomes one that every bank takes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.banking.sepa_text import sepa_text

TAKEN = re.compile(r"[A-Za-z0-9/\-?:().,'+ ]*")


@pytest.mark.parametrize(
    "text, said",
    [
        ("Ada Example", "Ada Example"),
        ("Žižek & Søn", "Zizek Son"),
        ("Müller-Lüdenscheidt GmbH", "Muller-Ludenscheidt GmbH"),
        ("王伟", "Wang Wei"),
        ("Иван Петров", "Ivan Petrov"),
        ("  a\tb\nc  ", "a b c"),
        ("//a//b/", "a/b"),
        ("5 €", "5 EUR"),
        ("<script>", "script"),
        ("...", ""),
        ("🙂", ""),
        ("", ""),
    ],
)
def test_texts(text: str, said: str) -> None:
    assert sepa_text(text, 70) == said


@given(st.text(max_size=200), st.integers(1, 140))
def test_whatever_is_said_every_bank_takes_it(text: str, length: int) -> None:
    said = sepa_text(text, length)
    assert len(said) <= length
    assert TAKEN.fullmatch(said)
    assert said == said.strip()
    assert "//" not in said
    assert not said.startswith("/")
    assert not said.endswith("/")
    assert sepa_text(said, length) == said
