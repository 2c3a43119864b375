"""Sealing: a secret opens under its key and in its place, and nowhere else."""

import stat
from pathlib import Path

import pytest

from otcdesk.sealed import KeyRing, Sealed, SecretDamaged
from otcdesk.secret_files import KeyUnusable, fingerprint

PLACE = ("00000000-0000-4000-8000-000000000001", "price feed", "main")


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing.load(tmp_path, may_make=True)


def test_a_secret_is_opened_in_its_place(keys: KeyRing) -> None:
    for secret in (b"", b"s", b"a secret \x00\xff" * 1000):
        sealed = keys.seal(secret, bound_to=PLACE)
        assert secret not in sealed.content or len(secret) < 2
        assert keys.open(sealed, bound_to=PLACE) == secret


def test_the_same_secret_is_never_sealed_to_the_same_bytes(keys: KeyRing) -> None:
    assert len({keys.seal(b"secret", bound_to=PLACE).content for _ in range(100)}) == 100


@pytest.mark.parametrize("part", range(3))
def test_a_secret_does_not_open_in_another_place(keys: KeyRing, part: int) -> None:
    sealed = keys.seal(b"secret", bound_to=PLACE)
    other = tuple("other" if number == part else text for number, text in enumerate(PLACE))
    with pytest.raises(SecretDamaged, match="is not as it was sealed"):
        keys.open(sealed, bound_to=other)


def test_parts_of_a_place_cannot_be_pushed_together(keys: KeyRing) -> None:
    sealed = keys.seal(b"secret", bound_to=("1", "ab", "c"))
    with pytest.raises(SecretDamaged):
        keys.open(sealed, bound_to=("1", "a", "bc"))


def test_no_bit_of_it_can_change(keys: KeyRing) -> None:
    sealed = keys.seal(b"secret", bound_to=PLACE)
    for number in range(len(sealed.content)):
        changed = bytearray(sealed.content)
        changed[number] ^= 1 << number % 8
        with pytest.raises(SecretDamaged):
            keys.open(Sealed(bytes(changed), sealed.key_id), bound_to=PLACE)
    for cut in (0, 5, 12, 27, len(sealed.content) - 1):
        with pytest.raises(SecretDamaged):
            keys.open(Sealed(sealed.content[:cut], sealed.key_id), bound_to=PLACE)


def test_a_missing_and_a_wrong_key_are_named(keys: KeyRing, tmp_path: Path) -> None:
    sealed = keys.seal(b"secret", bound_to=PLACE)
    other = KeyRing.load(tmp_path / "other", may_make=True)
    with pytest.raises(KeyUnusable, match=rf"sealing\.key lacks the key {sealed.key_id}, .* price feed main is sealed"):
        other.open(sealed, bound_to=PLACE)
    with pytest.raises(KeyUnusable, match=r"sealing\.key is missing"):
        KeyRing.load(tmp_path / "nowhere", may_make=False)


def test_old_keys_open_until_they_are_retired(keys: KeyRing, tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "sealing.key"
    sealed = keys.seal(b"secret", bound_to=PLACE)
    both = keys.with_new_key()
    assert both.key_ids[1:] == keys.key_ids
    assert [fingerprint(bytes.fromhex(line)) for line in path.read_text().split()] == both.key_ids
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = KeyRing.load(tmp_path, may_make=False)
    assert again.open(sealed, bound_to=PLACE) == b"secret"
    assert again.seal(b"secret", bound_to=PLACE).key_id == both.key_ids[0]
    last = again.with_key_in_use_only()
    assert last.key_ids == KeyRing.load(tmp_path, may_make=False).key_ids == both.key_ids[:1]
    with pytest.raises(KeyUnusable):
        last.open(sealed, bound_to=PLACE)
