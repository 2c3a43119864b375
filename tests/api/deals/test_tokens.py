"""Who a bearer is: what is verified, what is remembered of it, and what the store says of it now."""

import asyncio
import json
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from otcdesk.api.deals.tokens import Bearers, signing_key
from otcdesk.api.http import Request
from otcdesk.credentials import Credential, Credentials
from otcdesk.domain.world import parse_world, tenant_id
from otcdesk.domain.world_supervisors import declared_supervisors
from otcdesk.errors import Code, Refusal
from otcdesk.secret_files import KeyUnusable
from otcdesk.storage.database import Reads
from otcdesk.supervisors import Standing, Supervisors
from tests.support import tokens
from tests.support.clocks import SteeredClock
from tests.support.deals import encoded, minted
from tests.support.desk import new_lane

KEY = b"a key that only this test knows, of 32 bytes and more"
LASTS_SECONDS = 36_000
WORLD = (files("otcdesk") / "worlds" / "deals.toml").read_text(encoding="utf-8")


class Counted(Supervisors):
    """Counts how often it is asked."""

    asked = 0

    async def standing(self, client_id: UUID) -> Standing | None:
        """Return what the store says."""
        self.asked += 1
        return await super().standing(client_id)


class Estate:
    """The contract's world with a client of its root's supervisor."""

    def __init__(self, reads: Reads, clock: SteeredClock, lane: int) -> None:
        self.lane = lane
        self.clock = clock
        self.credentials = Credentials(reads, clock)
        self.supervisors = Counted(reads)
        self.bearers = self.reading()

    def reading(self, key: bytes = KEY, cache_ms: int = 1_000) -> Bearers:
        """Return what reads tokens under a key; it has read none."""
        return Bearers(key, self.supervisors, self.clock, cache_ms=cache_ms, lasts_seconds=LASTS_SECONDS)

    async def client(self, supervisor: str = "root") -> Credential:
        """Make a client."""
        declared = declared_supervisors(parse_world(WORLD).tenants)
        for role in declared.roles:
            await self.supervisors.keep_role(self.lane, role)
        for one in declared.supervisors.values():
            await self.supervisors.keep_supervisor(self.lane, one)
        _, secret = await self.credentials.create_client(
            lane=self.lane,
            owner_id=tenant_id("estate"),
            name=supervisor,
            supervisor_id=declared.supervisors["estate", supervisor].id,
        )
        found = await self.credentials.find(secret)
        assert found is not None
        return found

    async def token(self, client: Credential) -> str:
        """Return a fresh token."""
        standing = await self.supervisors.standing(client.id)
        assert standing is not None
        return self.bearers.sign(standing).token


@pytest.fixture
async def estate(dsn: str, reads: Reads) -> Estate:
    clock = SteeredClock()
    return Estate(reads, clock, (await new_lane(dsn, WORLD, clock)).number)


def bearing(token: str) -> Request:
    """Return a request with a bearer token."""
    return Request(
        method="GET",
        path="/",
        query_string=b"",
        headers={b"authorization": b"Bearer " + token.encode("latin-1")},
        client_address="127.0.0.1",
        keep_alive=True,
        body_bytes_max=0,
    )


async def is_let_in(bearers: Bearers, token: str) -> bool:
    try:
        await bearers.caller(bearing(token))
    except Refusal as refusal:
        if refusal.code is not Code.UNAUTHENTICATED:
            raise
        return False
    return True


async def test_a_token_has_the_nine_claims_of_the_contract_and_is_its_supervisor(estate: Estate) -> None:
    client = await estate.client("third")
    token = await estate.token(client)
    declared = declared_supervisors(parse_world(WORLD).tenants).supervisors["estate", "third"]
    assert tokens.claims_of(token) == {
        "clientID": str(client.id),
        "expiration": int(estate.clock.now().timestamp()) + LASTS_SECONDS,
        "supervisorEmail": "third@example.com",
        "supervisorID": "65a1b2c3d4e5f60718290f03",
        "supervisorNodeID": "65a1b2c3d4e5f60718290d03",
        "supervisorNodeIntID": 3,
        "supervisorNodePath": "1.3",
        "supervisorRoleID": "65a1b2c3d4e5f60718290f10",
        "supervisorRolePriority": 100,
    }
    caller = await estate.bearers.caller(bearing(token))
    assert (caller.lane, caller.owner_id, caller.client_id) == (estate.lane, client.owner_id, client.id)
    assert (caller.supervisor_id, caller.branch_id, caller.path) == (declared.id, declared.branch_id, "1.3")
    assert caller.mandate("otc.create") == ("1.3", True)
    assert caller.name == "client:third as 65a1b2c3d4e5f60718290f03"


async def test_the_time_is_looked_at_for_a_known_token_too(estate: Estate) -> None:
    token = await estate.token(await estate.client())
    assert await is_let_in(estate.bearers, token)
    estate.clock.advance(seconds=LASTS_SECONDS, milliseconds=-1)
    assert await is_let_in(estate.bearers, token)
    estate.clock.advance(milliseconds=1)  # no leeway
    assert not await is_let_in(estate.bearers, token)
    assert not await is_let_in(estate.reading(), token)


CLAIMS: dict[str, tuple[Any, ...]] = {
    "clientID": ("x", "", 1, None, True, "00000000-0000-4000-8000-000000000000"),
    "expiration": (0, -1, "9999999999", 9999999999.0, 1e18, True, None, [], {}),
    "supervisorEmail": ("other@example.com", "", 1, None, "ROOT@example.com"),
    "supervisorID": ("65a1b2c3d4e5f60718290f02", "65A1B2C3D4E5F60718290F01", "", 5, None),
    "supervisorNodeID": ("65a1b2c3d4e5f60718290d02", "", 1, None),
    "supervisorNodeIntID": (2, "1", 1.0, True, False, None, 2**70),
    "supervisorNodePath": ("1.2", "", "1.", 1, None),
    "supervisorRoleID": ("65a1b2c3d4e5f60718290f11", "", 0, None),
    "supervisorRolePriority": (101, 100.0, "100", True, None),
}


@pytest.mark.parametrize("claim, value", [(claim, value) for claim, values in CLAIMS.items() for value in values])
async def test_a_claim_of_another_type_or_against_the_store(estate: Estate, claim: str, value: Any) -> None:
    told = tokens.claims_of(await estate.token(await estate.client()))
    assert await is_let_in(estate.bearers, tokens.signed(told, KEY))
    assert not await is_let_in(estate.bearers, tokens.signed({**told, claim: value}, KEY))
    del told[claim]
    assert not await is_let_in(estate.bearers, tokens.signed(told, KEY))


async def test_a_time_beyond_all_clocks_is_a_time(estate: Estate) -> None:
    told = tokens.claims_of(await estate.token(await estate.client()))
    for expiration in (2**63 - 1, 2**63, 10**40):
        assert await is_let_in(estate.bearers, tokens.signed({**told, "expiration": expiration}, KEY))


async def test_other_claims_count_for_nothing(estate: Estate) -> None:
    told = tokens.claims_of(await estate.token(await estate.client()))
    assert await is_let_in(estate.bearers, tokens.signed({**told, "exp": 1, "nbf": 2**40, "permissions": []}, KEY))


async def test_claims_that_are_said_twice(estate: Estate) -> None:
    told = json.dumps(tokens.claims_of(await estate.token(await estate.client())))
    again = told.replace('"supervisorNodePath": "1"', '"supervisorNodePath": "1.9", "supervisorNodePath": "1"')
    assert again != told
    assert await is_let_in(estate.bearers, minted(told.encode(), KEY))
    assert not await is_let_in(estate.bearers, minted(again.encode(), KEY))


async def test_only_hs256_under_our_key(estate: Estate) -> None:
    token = await estate.token(await estate.client())
    head, payload, signature = token.split(".")
    told = tokens.claims_of(token)
    algorithms: list[Any] = ["none", "None", "NONE", "HS384", "RS256", "ES256", "hs256", "", 1, None, ["HS256"], {}]
    for algorithm in algorithms:
        other = encoded({"alg": algorithm, "typ": "JWT"})
        for ending in (signature, ""):
            assert not await is_let_in(estate.bearers, f"{other}.{payload}.{ending}")
        assert not await is_let_in(estate.bearers, tokens.signed(told, KEY, algorithm=algorithm))
    assert not await is_let_in(estate.bearers, tokens.signed(told, b"another key that is long enough for it"))
    assert not await is_let_in(estate.bearers, tokens.signed(told, b""))
    assert not await is_let_in(estate.bearers, f"{head}.{payload}")
    assert not await is_let_in(estate.bearers, f"{head}.{payload}.")
    assert not await is_let_in(estate.bearers, f"{head}.{payload}.{signature}.{signature}")


async def test_a_header_cannot_bring_a_key(estate: Estate) -> None:
    told = json.dumps(tokens.claims_of(await estate.token(await estate.client()))).encode()
    other = b"a key that whoever sends the token has made up"
    brought: list[dict[str, Any]] = [
        {"jwk": {"kty": "oct", "k": encoded(other)}},
        {"kid": "../../../../dev/null"},
        {"kid": encoded(other)},
        {"jku": "http://127.0.0.1:9/keys"},
        {"x5u": "http://127.0.0.1:9/keys"},
        {"x5c": [encoded(other)]},
    ]
    for header in brought:
        text = tokens.signed(json.loads(told), other)
        _, payload, _ = text.split(".")
        assert not await is_let_in(estate.bearers, minted(told, other, **header))
        assert not await is_let_in(estate.bearers, f"{encoded({'alg': 'none', **header})}.{payload}.")


@pytest.mark.parametrize("head", ["alg", ["alg"], None, 5, {}, {"alg": "HS256", "crit": ["x"]}, b"\xff", b"{" * 200])
async def test_a_header_that_is_none(estate: Estate, head: Any) -> None:
    _, payload, signature = (await estate.token(await estate.client())).split(".")
    assert not await is_let_in(estate.bearers, f"{encoded(head)}.{payload}.{signature}")


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"5", b'"x"', b"{}", b"\xff\xfe", b"[" * 2000, b"{" * 2000])
async def test_a_payload_that_is_none(estate: Estate, payload: bytes) -> None:
    assert not await is_let_in(estate.bearers, minted(payload, KEY))


async def test_a_huge_token_is_not_read(estate: Estate) -> None:
    told = tokens.claims_of(await estate.token(await estate.client()))
    assert await is_let_in(estate.bearers, tokens.signed({**told, "x": "x" * 2_000}, KEY))
    assert not await is_let_in(estate.bearers, tokens.signed({**told, "x": "x" * 4_000}, KEY))
    assert not await is_let_in(estate.bearers, "x" * 1_000_000)


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_whatever_is_sent_is_refused_and_breaks_nothing(text: str) -> None:
    nobody: Any = None
    bearers = Bearers(KEY, nobody, SteeredClock(seed=1), cache_ms=0, lasts_seconds=1)
    for token in (text, f"{text}.{text}.{text}"):
        assert not asyncio.run(is_let_in(bearers, token))


async def test_a_client_is_believed_for_its_time_and_then_looked_up_again(estate: Estate) -> None:
    client = await estate.client()
    token = await estate.token(client)
    believing, asking = estate.reading(cache_ms=60_000), estate.reading(cache_ms=0)
    assert await is_let_in(believing, token)
    asked = estate.supervisors.asked
    assert [await is_let_in(believing, token) for _ in range(5)] == [True] * 5
    assert estate.supervisors.asked == asked
    assert await is_let_in(asking, token)
    await estate.credentials.revoke(estate.lane, str(client.id))
    assert await is_let_in(believing, token)
    assert not await is_let_in(asking, token)


async def test_what_changes_in_the_store_ends_tokens(estate: Estate) -> None:
    token = await estate.token(await estate.client())
    asking = estate.reading(cache_ms=0)
    admin, reader = await estate.supervisors.roles(estate.lane)
    before = await estate.supervisors.supervisor(estate.lane, _root())
    assert before is not None
    for changes in ({"enabled": False}, {"role_id": reader.id}, {"email": "new@example.com"}):
        await estate.supervisors.keep_supervisor(estate.lane, replace(before, **changes))
        assert not await is_let_in(asking, token)
        await estate.supervisors.keep_supervisor(estate.lane, before)
        assert await is_let_in(asking, token)
    await estate.supervisors.keep_role(estate.lane, replace(admin, priority=1))
    assert not await is_let_in(asking, token)


async def test_permissions_are_the_roles_of_now(estate: Estate) -> None:
    token = await estate.token(await estate.client("reader"))
    asking = estate.reading(cache_ms=0)
    assert not (await asking.caller(bearing(token))).mandate("read").permitted
    _, reader = await estate.supervisors.roles(estate.lane)
    await estate.supervisors.keep_role(estate.lane, replace(reader, permissions=("read",)))
    caller = await asking.caller(bearing(token))
    assert caller.mandate("read").permitted
    assert not caller.mandate("otc.create").permitted


async def test_only_so_many_tokens_are_known(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otcdesk.api.deals.tokens._KNOWN_MAX", 2)
    told = tokens.claims_of(await estate.token(await estate.client()))
    first, second, third = (tokens.signed({**told, "n": number}, KEY) for number in range(3))
    for token in (first, second, first, third):
        assert await is_let_in(estate.bearers, token)
    assert list(estate.bearers._verified) == [first, third]  # the second was not used for longest
    assert await is_let_in(estate.bearers, second)


def _root() -> UUID:
    return declared_supervisors(parse_world(WORLD).tenants).supervisors["estate", "root"].id


# -- the key -----------------------------------------------------------------------------------------------------------


def test_the_key_of_a_home_is_made_once_and_is_the_text_of_its_file(tmp_path: Path) -> None:
    key = signing_key(tmp_path, "")
    file = tmp_path / "secrets" / "deals.key"
    assert key == file.read_text(encoding="ascii").strip().encode()
    assert len(key) == 64
    assert file.stat().st_mode & 0o777 == 0o600
    assert signing_key(tmp_path, "") == key
    assert signing_key(tmp_path / "elsewhere", str(file)) == key
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "content, mode, told",
    [
        (b"x" * 31, 0o600, "31 bytes: at least 32"),
        (b"x" * 31 + b"\n\n", 0o600, "31 bytes: at least 32"),
        (b"", 0o600, "0 bytes"),
        (b"\xff" * 40, 0o600, "not UTF-8"),
        (b"x" * 40, 0o644, "chmod 600"),
    ],
)
def test_a_key_that_cannot_be_used(tmp_path: Path, content: bytes, mode: int, told: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(mode)
    with pytest.raises(KeyUnusable) as caught:
        signing_key(tmp_path, str(file))
    assert told in str(caught.value)


def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        signing_key(tmp_path, str(tmp_path / "nothing"))


def test_thirty_two_bytes_are_enough(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("ä" * 16 + "\n", encoding="utf-8")
    file.chmod(0o600)
    assert signing_key(tmp_path, str(file)) == ("ä" * 16).encode()
