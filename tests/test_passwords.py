"""Passwords of people: made, judged, hashed, verified, and hashed anew under other parameters."""

import argon2
import pytest
from argon2 import PasswordHasher

from otcdesk.errors import Code, Refusal
from otcdesk.passwords import Passwords, check_strength, made_password

QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


def test_made_passwords_are_strong_and_never_the_same() -> None:
    made = {made_password() for _ in range(100)}
    assert len(made) == 100
    for password in made:
        check_strength(password)
        assert [len(group) for group in password.split("-")] == [6, 6, 6, 6]
        assert set(password) <= set("abcdefghijklmnopqrstuvwxyz234567-")


@pytest.mark.parametrize("password", ["", "x" * 11, "x" * 257, "e\u0301" * 11])
def test_what_is_too_short_or_too_long(password: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_strength(password)
    assert caught.value.code is Code.PASSWORD_WEAK


@pytest.mark.parametrize("password", ["x" * 12, "x" * 256, "twelve words", "passwörter 🔑"])
def test_what_it_is_made_of_is_nobodys_business(password: str) -> None:
    check_strength(password)


async def test_a_password_is_told_from_every_other() -> None:
    passwords = Passwords(QUICK)
    kept = await passwords.hash("correct horse")
    assert kept != await passwords.hash("correct horse"), "each has a salt of its own"
    assert await passwords.verify(kept, "correct horse")
    for other in ("correct horse ", "Correct horse", "", "correct horse\0", "\udcff"):
        assert not await passwords.verify(kept, other)


async def test_characters_that_look_alike_are_alike() -> None:
    """One keyboard sends a letter and its accent as one character, another as two."""
    passwords = Passwords(QUICK)
    assert await passwords.verify(await passwords.hash("caf\u00e9 au lait"), "cafe\u0301 au lait")


async def test_the_end_of_a_long_password_counts() -> None:
    passwords = Passwords(QUICK)
    kept = await passwords.hash("x" * 256)
    assert not await passwords.verify(kept, "x" * 255 + "y")
    assert not await passwords.verify(kept, "x" * 257)


async def test_nobodys_hash_is_like_the_others_and_never_right() -> None:
    passwords = Passwords(QUICK)
    theirs = argon2.extract_parameters(await passwords.hash("correct horse"))
    assert argon2.extract_parameters(passwords._nobodys) == theirs
    assert not await passwords.verify(None, "")


async def test_the_parameters_are_those_of_the_rfc() -> None:
    """RFC 9106, 4, the second recommended option."""
    kept = await Passwords().hash("correct horse")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await Passwords().verify(kept, "correct horse")
    assert not Passwords().is_outdated(kept)
    assert Passwords(QUICK).is_outdated(kept)


def test_turns_are_bounded_and_given_back() -> None:
    passwords = Passwords(QUICK)
    turns = [passwords.turn() for _ in range(18)]
    for turn in turns:
        turn.__enter__()
    for _ in range(2):
        with pytest.raises(Refusal) as caught, passwords.turn():
            pass
        assert (caught.value.code, caught.value.facts) == (Code.OVERLOADED, {"retry_after_seconds": 1})
    turns[0].__exit__(None, None, None)
    with passwords.turn():
        pass
