"""Secrets in their table: opened by whoever has the keys, bound to their rows, sealed anew without one being lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from otcdesk.clock import SystemClock
from otcdesk.sealed import KeyRing, SecretDamaged
from otcdesk.secret_files import KeyUnusable
from otcdesk.storage.secrets import Secrets


@pytest.fixture
async def pool(fresh_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await asyncpg.create_pool(fresh_dsn, min_size=1, max_size=4)
    yield pool
    await pool.close()


@pytest.fixture
def secrets(pool: asyncpg.Pool, tmp_path: Path) -> Secrets:
    return Secrets(pool, tmp_path, SystemClock())


def key_ids(home: Path) -> list[str]:
    return KeyRing.load(home, may_make=False).key_ids


async def test_a_secret_is_kept_sealed_and_opened(secrets: Secrets, pool: asyncpg.Pool) -> None:
    assert await secrets.open("webhook", "acme") is None
    await secrets.keep("webhook", "acme", b"first secret")
    await secrets.keep("webhook", "bravo", b"other")
    assert await secrets.open("webhook", "acme") == b"first secret"
    await secrets.keep("webhook", "acme", b"second")
    assert await secrets.open("webhook", "acme") == b"second"
    assert await secrets.open("webhook", "bravo") == b"other"
    assert b"second" not in b"".join(row[0] for row in await pool.fetch("select sealed from sealed_secrets"))
    assert await secrets.faults() == (2, [])
    assert await secrets.forget("webhook", "acme")
    assert not await secrets.forget("webhook", "acme")
    assert await secrets.open("webhook", "acme") is None


async def test_a_secret_kept_in_a_transaction_goes_with_it(secrets: Secrets, pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await secrets.keep_on(connection, "webhook", "acme", b"secret")
        assert await secrets.open("webhook", "acme") is None
        await transaction.rollback()
        assert await secrets.open("webhook", "acme") is None
        async with connection.transaction():
            await secrets.keep_on(connection, "webhook", "acme", b"secret")
    assert await secrets.open("webhook", "acme") == b"secret"


@pytest.mark.parametrize("change", ["owner = 'mallory'", "purpose = 'other'", "id = gen_random_uuid()"])
async def test_a_secret_that_was_moved_does_not_open(secrets: Secrets, pool: asyncpg.Pool, change: str) -> None:
    await secrets.keep("webhook", "acme", b"secret")
    await pool.execute(f"update sealed_secrets set {change}")
    row = await pool.fetchrow("select purpose, owner from sealed_secrets")
    assert row is not None
    with pytest.raises(SecretDamaged, match="is not as it was sealed"):
        await secrets.open(row["purpose"], row["owner"])
    assert (await secrets.faults())[0] == 1
    assert len((await secrets.faults())[1]) == 1


async def test_without_its_key_no_secret_is_opened_and_none_is_made_anew(secrets: Secrets, tmp_path: Path) -> None:
    await secrets.keep("webhook", "acme", b"secret")
    path = tmp_path / "secrets" / "sealing.key"
    kept = path.read_text()
    path.unlink()
    for work in (secrets.open("webhook", "acme"), secrets.keep("webhook", "b", b""), secrets.rotate(retire=True)):
        with pytest.raises(KeyUnusable, match=r"sealing\.key is missing"):
            await work
    assert not path.exists()
    count, (said,) = await secrets.faults()
    assert count == 1
    assert "sealing.key is missing" in said
    path.write_text("ab" * 32)
    with pytest.raises(KeyUnusable, match=r"lacks the key [0-9a-f]{16}"):
        await secrets.open("webhook", "acme")
    path.write_text(kept)
    assert await secrets.open("webhook", "acme") == b"secret"


async def test_a_rotation_seals_all_anew_and_other_processes_go_on(
    secrets: Secrets, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    other = Secrets(pool, tmp_path, SystemClock())
    for owner in ("a", "b", "c"):
        await secrets.keep("webhook", owner, owner.encode())
    (first,) = key_ids(tmp_path)
    assert await secrets.rotate(retire=False) == 3
    second, kept = key_ids(tmp_path)
    assert kept == first
    assert {row[0] for row in await pool.fetch("select key_id from sealed_secrets")} == {second}
    assert await other.open("webhook", "b") == b"b"
    assert await other.rotate(retire=True) == 3
    (third,) = key_ids(tmp_path)
    assert third not in {first, second}
    assert await secrets.open("webhook", "c") == b"c"
    assert await secrets.faults() == (3, [])


async def test_a_secret_that_does_not_open_stops_a_rotation(
    secrets: Secrets, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    await secrets.keep("webhook", "a", b"a")
    await secrets.keep("webhook", "b", b"b")
    await pool.execute("update sealed_secrets set owner = 'c' where owner = 'b'")
    before = key_ids(tmp_path)
    with pytest.raises(SecretDamaged, match="webhook c"):
        await secrets.rotate(retire=True)
    assert key_ids(tmp_path) == before
    assert await secrets.open("webhook", "a") == b"a"


async def test_a_rotation_that_is_cut_short_loses_nothing(
    secrets: Secrets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new key is in the file, the database transaction is lost."""
    await secrets.keep("webhook", "a", b"a")
    made = KeyRing.with_new_key

    def cut(keys: KeyRing) -> KeyRing:
        made(keys)
        raise ConnectionError

    monkeypatch.setattr(KeyRing, "with_new_key", cut)
    with pytest.raises(ConnectionError):
        await secrets.rotate(retire=True)
    monkeypatch.undo()
    assert await secrets.open("webhook", "a") == b"a"
    assert await secrets.rotate(retire=True) == 1
    assert await secrets.open("webhook", "a") == b"a"
    assert len(key_ids(tmp_path)) == 1


async def test_secrets_kept_while_keys_are_retired_stay_readable(secrets: Secrets, tmp_path: Path) -> None:
    await secrets.keep("webhook", "first", b"first")

    async def keep(name: str) -> None:
        for number in range(20):
            await secrets.keep("webhook", f"{name}{number}", name.encode())

    async def rotate() -> None:
        for _ in range(10):
            await secrets.rotate(retire=True)

    await asyncio.gather(keep("a"), keep("b"), rotate())
    assert await secrets.faults() == (41, [])
    assert len(key_ids(tmp_path)) == 1
