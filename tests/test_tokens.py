"""Tokens by a clock that is steered: how long they live, that one is spent once, and what is forgotten."""

from datetime import timedelta
from uuid import uuid4

import msgspec
import pytest

from otcdesk.credentials import CLIENT, Credential, Credentials
from otcdesk.errors import Code, Refusal
from otcdesk.storage.database import Reads
from otcdesk.tokens import ACCESS_SECONDS, REFRESH_SECONDS, Reused, TokenPair, Tokens
from tests.support.clocks import SteeredClock
from tests.support.desk import A, Lane
from tests.support.tokens import claims_of, signed

KEY = b"a key that only this test knows."


@pytest.fixture
def clock(lane: Lane) -> SteeredClock:
    assert isinstance(lane.clock, SteeredClock)
    return lane.clock


@pytest.fixture
def tokens(reads: Reads, clock: SteeredClock) -> Tokens:
    return Tokens(KEY, reads, clock)


@pytest.fixture
async def client(reads: Reads, lane: Lane) -> Credential:
    credentials = Credentials(reads, lane.clock)
    client_id, secret = await credentials.create_client(lane=lane.number, owner_id=A, name=f"client-{uuid4()}")
    found = await credentials.find(secret)
    assert found is not None
    assert (str(found.id), found.kind, found.scopes) == (client_id, CLIENT, ["offers"])
    return found


async def refused(call: object) -> Code:
    """Return why a call is refused."""
    with pytest.raises(Refusal) as caught:
        await call  # type: ignore[misc]
    return caught.value.code


async def test_an_access_token_lives_ten_minutes(tokens: Tokens, client: Credential, clock: SteeredClock) -> None:
    pair = await tokens.issue(client)
    assert tokens.claims(pair.access_token).sub == client.id
    clock.advance(seconds=ACCESS_SECONDS - 1)
    assert tokens.claims(pair.access_token).lane == client.lane
    clock.advance(seconds=1)
    with pytest.raises(Refusal):
        tokens.claims(pair.access_token)


async def test_a_refresh_token_lives_a_day(tokens: Tokens, client: Credential, clock: SteeredClock) -> None:
    first, other = await tokens.issue(client), await tokens.issue(client)
    clock.advance(seconds=REFRESH_SECONDS - 1)
    second = await tokens.rotate(client, first.refresh_token)
    clock.advance(seconds=1)
    assert await refused(tokens.rotate(client, other.refresh_token)) is Code.REFRESH_TOKEN_DEAD
    assert await refused(tokens.revoke(client, other.refresh_token)) is Code.REFRESH_TOKEN_DEAD
    await tokens.rotate(client, second.refresh_token)


async def test_one_that_was_used_or_revoked_is_told_from_one_that_ran_out(
    tokens: Tokens, client: Credential, clock: SteeredClock
) -> None:
    used, revoked = await tokens.issue(client), await tokens.issue(client)
    await tokens.rotate(client, used.refresh_token)
    await tokens.revoke(client, revoked.refresh_token)
    for check in (tokens.rotate, tokens.check_live):
        with pytest.raises(Reused) as caught:
            await check(client, used.refresh_token)
        assert (caught.value.client, caught.value.issued_at) == (client, clock.now())
        assert await refused(check(client, revoked.refresh_token)) is Code.REFRESH_TOKEN_DEAD
    for pair in (used, revoked):
        assert await refused(tokens.revoke(client, pair.refresh_token)) is Code.REFRESH_TOKEN_DEAD


async def test_a_second_use_is_reported_once_unless_it_could_not_be(tokens: Tokens, client: Credential) -> None:
    pair = await tokens.issue(client)
    await tokens.check_live(client, pair.refresh_token)
    await tokens.rotate(client, pair.refresh_token)
    with pytest.raises(Reused) as caught:
        await tokens.rotate(client, pair.refresh_token)
    reused = caught.value
    assert sorted([await tokens.claim_report(reused) for _ in range(3)]) == [False, False, True]
    await tokens.give_back_report(reused)
    assert await tokens.claim_report(reused)
    assert not await tokens.claim_report(reused)


async def test_of_a_tenants_live_clients_no_two_have_one_name(reads: Reads, lane: Lane) -> None:
    credentials = Credentials(reads, lane.clock)
    first, _ = await credentials.create_client(lane=lane.number, owner_id=A, name="once")
    assert await refused(credentials.create_client(lane=lane.number, owner_id=A, name="once")) is Code.REQUEST_INVALID
    await credentials.create_client(lane=lane.number, owner_id=uuid4(), name="once")
    assert await credentials.revoke(lane.number, first)
    await credentials.create_client(lane=lane.number, owner_id=A, name="once")


async def test_only_its_own_client_can_use_a_token(
    tokens: Tokens, client: Credential, reads: Reads, lane: Lane
) -> None:
    credentials = Credentials(reads, lane.clock)
    _, secret = await credentials.create_client(lane=lane.number, owner_id=A, name="another")
    another = await credentials.find(secret)
    assert another is not None
    pair = await tokens.issue(client)
    assert await refused(tokens.rotate(another, pair.refresh_token)) is Code.REFRESH_TOKEN_UNKNOWN
    assert await refused(tokens.revoke(another, pair.refresh_token)) is Code.REFRESH_TOKEN_UNKNOWN
    await tokens.rotate(client, pair.refresh_token)


async def test_the_secret_itself_is_not_kept_and_not_shown(tokens: Tokens, client: Credential, reads: Reads) -> None:
    pair = await tokens.issue(client)
    assert pair.access_token not in repr(pair)
    assert pair.refresh_token not in repr(pair)
    kept = await reads.pool.fetch("select t::text from refresh_tokens as t where credential_id = $1", client.id)
    assert len(kept) == 1
    assert pair.refresh_token not in kept[0][0]


async def test_tokens_are_all_different(tokens: Tokens, client: Credential) -> None:
    pairs = [await tokens.issue(client) for _ in range(3)]
    assert len({token for pair in pairs for token in (pair.access_token, pair.refresh_token)}) == 6


async def test_a_token_is_for_one_audience(tokens: Tokens, client: Credential) -> None:
    pair = await tokens.issue(client)
    for token in (pair.refresh_token, "", "a.b", "a.b.c", "x" * 1000, pair.access_token + "x"):
        with pytest.raises(Refusal) as caught:
            tokens.claims(token)
        assert caught.value.code is Code.UNAUTHENTICATED
    claims = claims_of(pair.access_token)
    assert tokens.claims(signed(claims, KEY)).sub == client.id
    with pytest.raises(Refusal):
        tokens.claims(signed(claims, KEY[::-1]))


async def test_old_tokens_are_forgotten_a_week_after_they_ran_out(
    tokens: Tokens, client: Credential, clock: SteeredClock
) -> None:
    pair = await tokens.issue(client)
    clock.advance(seconds=REFRESH_SECONDS + 7 * 86_400 - 1)
    await tokens.forget_old()
    assert await refused(tokens.rotate(client, pair.refresh_token)) is Code.REFRESH_TOKEN_DEAD
    clock.advance(seconds=2)
    assert await tokens.forget_old() is False
    assert await refused(tokens.rotate(client, pair.refresh_token)) is Code.REFRESH_TOKEN_UNKNOWN


def test_a_pair_can_be_written_down_without_its_secrets() -> None:
    pair = TokenPair(access_token="secret", refresh_token="secret")
    assert "secret" not in repr(msgspec.structs.replace(pair))
    assert timedelta(seconds=ACCESS_SECONDS) == timedelta(minutes=10)
