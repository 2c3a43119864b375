"""Signing keys: sealed, replaced with an overlap, made once, published, remembered for a moment, dropped in the end."""

import asyncio
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from otcdesk.app import ENVELOPES
from otcdesk.domain.parties import DESK_ID
from otcdesk.storage.secrets import Secrets
from otcdesk.webhooks import keys as module
from otcdesk.webhooks.envelope import KeyKind
from otcdesk.webhooks.keys import NoKey, PublishedKey, SigningKeys
from otcdesk.webhooks.subscriptions import Made, Wanted
from tests.support.hooked import Hooked, hooked

URL = "http://127.0.0.1:9/hook"
OVERLAP_SECONDS = 24 * 3_600


@pytest.fixture
async def desk(shared_dsn: str, shared_home: Path) -> AsyncIterator[Hooked]:
    async with hooked(shared_dsn, shared_home) as made:
        yield made


@pytest.fixture
async def alone(fresh_dsn: str, tmp_path: Path) -> AsyncIterator[Hooked]:
    """Give a desk on a database in which nobody else has anything."""
    async with hooked(fresh_dsn, tmp_path) as made:
        yield made


def beside(desk: Hooked, home: Path) -> SigningKeys:
    """Return the keys as another process has them."""
    pool = desk.program.desk.reads.pool
    return SigningKeys(pool, Secrets(pool, home, desk.clock), ENVELOPES, desk.clock, overlap_hours=24)


def secret_of(made: Made) -> bytes:
    assert made.made_key is not None
    assert made.made_key.secret is not None
    return made.made_key.secret.encode()


async def signing(desk: Hooked, made: Made) -> list[bytes]:
    return [key.secret for key in await desk.keys(made.subscription)]


async def rotated(desk: Hooked, made: Made) -> bytes:
    return secret_of(await desk.webhooks.subscriptions.rotate(made.subscription))


async def count(desk: Hooked, table: str) -> Any:
    return await desk.connection.fetchval(f"select count(*) from {table}")


async def test_a_secret_signs_as_it_was_shown_and_lies_sealed(desk: Hooked) -> None:
    made = await desk.made(URL, envelope="exchanges")
    secret = secret_of(made)
    assert secret.startswith(b"whsec_")
    assert made.keys[0].shown == secret[:8].decode()
    assert await signing(desk, made) == [secret]
    kept = await desk.connection.fetchrow(
        "select * from sealed_secrets as s join signing_keys as k on k.id::text = s.owner where s.owner = $1",
        str(made.keys[0].id),
    )
    assert kept is not None
    assert secret.decode() not in str(kept)
    assert secret[8:] not in kept["sealed"]


async def test_two_subscriptions_have_secrets_of_their_own(desk: Hooked) -> None:
    first, second = await desk.made(URL), await desk.made(URL + "2")
    assert await signing(desk, first) != await signing(desk, second)


async def test_a_replaced_key_signs_beside_the_new_one_until_the_overlap_ends(desk: Hooked) -> None:
    made = await desk.made(URL)
    old = secret_of(made)
    assert await signing(desk, made) == [old]
    desk.clock.advance(seconds=10)
    new = await rotated(desk, made)
    assert await signing(desk, made) == [new, old]
    desk.clock.advance(seconds=OVERLAP_SECONDS, milliseconds=-1)
    assert await signing(desk, made) == [new, old]
    desk.clock.advance(milliseconds=1)
    assert await signing(desk, made) == [new]


async def test_a_key_replaced_twice_signs_no_more(desk: Hooked) -> None:
    made = await desk.made(URL)
    second, third = await rotated(desk, made), await rotated(desk, made)
    assert sorted(await signing(desk, made)) == sorted([third, second])


async def test_without_an_overlap_only_the_new_key_signs(fresh_dsn: str, tmp_path: Path) -> None:
    async with hooked(fresh_dsn, tmp_path, webhooks_overlap_hours=0) as desk:
        made = await desk.made(URL)
        new = await rotated(desk, made)
        assert await signing(desk, made) == [new]


async def test_rotations_at_once_leave_two_keys(desk: Hooked) -> None:
    made = await desk.made(URL)
    secrets = await asyncio.gather(*(rotated(desk, made) for _ in range(4)))
    left = await signing(desk, made)
    assert len(left) == 2
    assert set(left) <= set(secrets)


async def test_a_pair_is_replaced_by_a_pair(desk: Hooked) -> None:
    wanted = Wanted(
        lane=desk.lane.number,
        owner_id=DESK_ID,
        envelope="standard",
        url=URL,
        event_types=["conversion.completed"],
        key_kind=KeyKind.ED25519,
    )
    made = await desk.webhooks.subscriptions.create(wanted)
    assert made.made_key is not None
    assert made.made_key.secret is None
    fresh = await desk.webhooks.subscriptions.rotate(made.subscription)
    assert [key.kind for key in fresh.keys] == [KeyKind.ED25519, KeyKind.ED25519]
    assert fresh.keys[0].shown != made.keys[0].shown
    assert fresh.keys[0].shown.startswith("whpk_")
    assert b"PRIVATE KEY" in (await signing(desk, fresh))[0]


async def test_retired_keys_are_dropped_with_their_secrets(alone: Hooked) -> None:
    made = await alone.made(URL)
    kept = await alone.made(URL + "2")
    await rotated(alone, made)
    new = await rotated(alone, made)
    assert await alone.webhooks.keys.forget_retired(at_most=10) == 1
    assert (await count(alone, "sealed_secrets"), await count(alone, "signing_keys")) == (3, 3)
    alone.clock.advance(seconds=OVERLAP_SECONDS)
    assert await alone.webhooks.keys.forget_retired(at_most=10) == 1
    assert await alone.webhooks.keys.forget_retired(at_most=10) == 0
    assert (await count(alone, "sealed_secrets"), await count(alone, "signing_keys")) == (2, 2)
    assert await signing(alone, made) == [new]
    assert await signing(alone, kept) == [secret_of(kept)]


async def test_the_sweep_is_bounded(alone: Hooked) -> None:
    made = await alone.made(URL)
    for _ in range(4):
        await rotated(alone, made)
    assert [await alone.webhooks.keys.forget_retired(at_most=2) for _ in range(3)] == [2, 1, 0]


async def test_keys_are_read_once_for_many_messages(desk: Hooked) -> None:
    made = await desk.made(URL)
    secret = secret_of(made)
    assert await signing(desk, made) == [secret]
    await desk.connection.execute("delete from sealed_secrets where owner = $1", str(made.keys[0].id))
    await desk.connection.execute("delete from signing_keys where id = $1", made.keys[0].id)
    assert await signing(desk, made) == [secret]
    desk.webhooks.keys.changed(str(made.subscription.id))
    with pytest.raises(NoKey):
        await signing(desk, made)


async def test_what_another_process_changes_is_seen_when_the_moment_is_over(
    desk: Hooked, shared_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await desk.made(URL)
    old = secret_of(made)
    assert await signing(desk, made) == [old]
    fresh = await beside(desk, shared_home).rotate(str(made.subscription.id), KeyKind.HMAC_SHA256)
    assert await signing(desk, made) == [old]
    monkeypatch.setattr(module, "_BELIEVED_NS", 0)
    assert fresh.secret is not None
    assert sorted(await signing(desk, made)) == sorted([fresh.secret.encode(), old])


async def test_no_more_is_remembered_than_may_be(desk: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED_MAX", 2)
    several = [await desk.made(f"{URL}{number}") for number in range(5)]
    for made in several * 2:
        assert await signing(desk, made) == [secret_of(made)]
    assert len(desk.webhooks.keys._known) <= 2
    assert len(desk.webhooks.keys._opened) <= 2


async def test_a_key_whose_secret_is_gone_signs_nothing(desk: Hooked) -> None:
    made = await desk.made(URL)
    await desk.connection.execute("delete from sealed_secrets where owner = $1", str(made.keys[0].id))
    with pytest.raises(NoKey, match=str(made.subscription.id)):
        await signing(desk, made)


async def test_keys_outlive_a_rotation_of_what_seals_them(desk: Hooked, shared_home: Path) -> None:
    made = await desk.made(URL)
    await desk.program.secrets.rotate(retire=True)
    (key,) = await beside(desk, shared_home).signing(made.subscription)
    assert key.secret == secret_of(made)


# -- the desk's own ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("envelope, curve", [("ramp", ec.SECP384R1), ("offers", ec.SECP256R1)])
async def test_the_desks_pair_signs_for_every_subscription(
    desk: Hooked, envelope: str, curve: type[ec.EllipticCurve]
) -> None:
    kind = sorted(ENVELOPES.named(envelope).event_types)[:1]
    first, second = [await desk.made(f"{URL}{n}", envelope=envelope, event_types=kind) for n in range(2)]
    assert first.made_key is None
    assert first.keys == second.keys
    (secret,) = await signing(desk, first)
    assert await signing(desk, second) == [secret]
    private = load_pem_private_key(secret, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert isinstance(private.curve, curve)
    public = load_pem_public_key(first.keys[0].shown.encode())
    assert private.public_key() == public


async def test_the_desks_pairs_are_made_once_by_many_at_once(alone: Hooked, tmp_path: Path) -> None:
    processes = [beside(alone, tmp_path) for _ in range(4)]
    told = await asyncio.gather(*(keys.published() for keys in processes))
    wanted = [("offers", "live"), ("offers", "sandbox"), ("ramp", "live"), ("ramp", "sandbox")]
    assert sorted((key.envelope, key.environment) for key in told[0]) == wanted
    assert all(sorted(key.id for key in one) == sorted(key.id for key in told[0]) for one in told)
    assert await count(alone, "signing_keys") == 4


@pytest.mark.parametrize(
    "envelope, curve, names",
    [
        ("ramp", ec.SECP384R1(), ("EC", "P-384", "ES384", "sig")),
        ("offers", ec.SECP256R1(), ("EC", "P-256", "ES256", "sig")),
    ],
)
async def test_a_published_key_checks_what_the_desk_signs(
    desk: Hooked, envelope: str, curve: ec.EllipticCurve, names: tuple[str, ...]
) -> None:
    kind = sorted(ENVELOPES.named(envelope).event_types)[:1]
    made = await desk.made(URL, envelope=envelope, event_types=kind)
    keys = await desk.webhooks.keys.published()
    (published,) = [key for key in keys if (key.envelope, key.environment) == (envelope, "sandbox")]
    assert len({key.pem for key in keys}) == len(keys)  # what anybody can have signed proves nothing of a live desk
    private = load_pem_private_key((await signing(desk, made))[0], None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    signature = private.sign(b"a message", ec.ECDSA(SHA256()))
    jwk_half(published, curve).verify(signature, b"a message", ec.ECDSA(SHA256()))
    pem_half = load_pem_public_key(published.pem.encode())
    assert isinstance(pem_half, ec.EllipticCurvePublicKey)
    pem_half.verify(signature, b"a message", ec.ECDSA(SHA256()))
    assert (published.kty, published.crv, published.alg, published.use) == names
    assert published.kid == str(published.id)
    assert published.retires_at is None


def jwk_half(key: PublishedKey, curve: ec.EllipticCurve) -> ec.EllipticCurvePublicKey:
    """Read a JSON Web Key as RFC 7518 (6.2.1) has it: coordinates of the curve's full length, without padding."""
    assert "=" not in key.x + key.y
    x, y = [urlsafe_b64decode(text + "=" * (-len(text) % 4)) for text in (key.x, key.y)]
    assert {len(x), len(y)} == {(curve.key_size + 7) // 8}
    return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve).public_key()


async def test_a_replaced_pair_is_published_until_it_retires(alone: Hooked) -> None:
    before = {key.id for key in await alone.webhooks.keys.published()}
    fresh = await alone.webhooks.keys.rotate("offers live", KeyKind.ECDSA_P256)
    told = await alone.webhooks.keys.published()
    assert {key.id for key in told} == before | {fresh.key.id}
    assert [key.retires_at is not None for key in told if key.envelope == "offers"].count(True) == 1
    alone.clock.advance(seconds=OVERLAP_SECONDS)
    left = {key.id for key in await alone.webhooks.keys.published()}
    assert fresh.key.id in left
    assert len(left) == 4


async def test_the_new_key_is_in_use_whatever_the_clock_says(desk: Hooked) -> None:
    made = await desk.webhooks.subscriptions.create(_wanted(desk))
    start = desk.clock.now()
    desk.clock.set(start - timedelta(minutes=5))
    new = await rotated(desk, made)
    assert await signing(desk, made) == [new, secret_of(made)]
    desk.clock.set(start)


def _wanted(desk: Hooked) -> Wanted:
    return Wanted(
        lane=desk.lane.number,
        owner_id=DESK_ID,
        envelope="standard",
        url=f"{URL}/clock",
        event_types=["conversion.completed"],
    )
