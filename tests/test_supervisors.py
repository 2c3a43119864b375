"""Roles and supervisors as they are kept, and as whom a client calls."""

from importlib.resources import files
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from otcdesk.credentials import DEALS_SCOPE, OFFERS_SCOPE, Credentials
from otcdesk.domain.supervisors import Role, Supervisor
from otcdesk.domain.world import parse_world, tenant_id
from otcdesk.domain.world_supervisors import declared_supervisors
from otcdesk.errors import Code, Refusal
from otcdesk.storage.database import Reads
from otcdesk.supervisors import Supervisors
from tests.support.desk import Lane, new_lane

WORLD = (files("otcdesk") / "worlds" / "deals.toml").read_text(encoding="utf-8")
ESTATE = tenant_id("estate")

DECLARED = declared_supervisors(parse_world(WORLD).tenants)
ADMIN, READER = DECLARED.roles
ROOT, _, THIRD = DECLARED.supervisors.values()


@pytest.fixture
async def estate(dsn: str) -> Lane:
    return await new_lane(dsn, WORLD)


@pytest.fixture
async def supervisors(reads: Reads, estate: Lane) -> Supervisors:
    kept = Supervisors(reads)
    for role in DECLARED.roles:
        await kept.keep_role(estate.number, role)
    for one in DECLARED.supervisors.values():
        await kept.keep_supervisor(estate.number, one)
    return kept


async def client_of(reads: Reads, lane: Lane, supervisor: Supervisor = ROOT, owner_id: UUID = ESTATE) -> UUID:
    credentials = Credentials(reads, lane.clock)
    client_id, _ = await credentials.create_client(
        lane=lane.number, owner_id=owner_id, name=f"client-{uuid4()}", supervisor_id=supervisor.id
    )
    return UUID(client_id)


async def test_what_is_kept_is_found(supervisors: Supervisors, estate: Lane) -> None:
    assert await supervisors.roles(estate.number) == [ADMIN, READER]
    found = await supervisors.supervisors(estate.number)
    assert [one.email for one in found] == ["reader@example.com", "root@example.com", "third@example.com"]
    assert await supervisors.supervisor(estate.number, THIRD.id) == THIRD
    assert await supervisors.supervisor(estate.number, ADMIN.id) is None
    assert await supervisors.supervisor(estate.number + 1_000_000, THIRD.id) is None


async def test_keeping_again_changes_role_and_supervisor(supervisors: Supervisors, estate: Lane) -> None:
    changed = msgspec.structs.replace(READER, permissions=("read", "read"), priority=-3, name="readers")
    await supervisors.keep_role(estate.number, changed)
    assert (await supervisors.roles(estate.number))[1] == msgspec.structs.replace(changed, permissions=("read",))
    moved = msgspec.structs.replace(THIRD, role_id=READER.id, email="new@example.com", enabled=False)
    await supervisors.keep_supervisor(estate.number, moved)
    assert await supervisors.supervisor(estate.number, THIRD.id) == moved


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant_id": uuid4()},
        {"branch_id": uuid4()},
        {"branch_id": ROOT.branch_id},
        {"role_id": uuid4()},
        {"email": "nobody"},
    ],
    ids=["tenant", "branch", "another branch", "role", "address"],
)
async def test_a_supervisor_that_cannot_be(supervisors: Supervisors, estate: Lane, changes: dict[str, object]) -> None:
    with pytest.raises(Refusal) as caught:
        await supervisors.keep_supervisor(estate.number, msgspec.structs.replace(THIRD, **changes))
    assert caught.value.code is Code.DECLARATION_INVALID
    assert await supervisors.supervisor(estate.number, THIRD.id) == THIRD


async def test_a_role_that_cannot_be(supervisors: Supervisors, estate: Lane) -> None:
    for changes in ({"tenant_id": uuid4()}, {"permissions": ("everything",)}, {"priority": 2**31}):
        with pytest.raises(Refusal) as caught:
            await supervisors.keep_role(estate.number, msgspec.structs.replace(ADMIN, **changes))
        assert caught.value.code is Code.DECLARATION_INVALID
    assert (await supervisors.roles(estate.number))[0] == ADMIN


async def test_a_supervisor_has_a_role_of_its_own_tenant(supervisors: Supervisors, estate: Lane) -> None:
    theirs = Role(id=uuid4(), tenant_id=uuid4(), name="theirs", priority=1, permissions=("*",))
    await supervisors.keep_role(estate.number, theirs)
    with pytest.raises(Refusal):
        await supervisors.keep_supervisor(estate.number, msgspec.structs.replace(ROOT, role_id=theirs.id))


async def test_as_whom_a_client_calls(supervisors: Supervisors, estate: Lane, reads: Reads) -> None:
    client_id = await client_of(reads, estate, THIRD)
    found = await supervisors.standing(client_id)
    assert found is not None
    assert (found.client_id, found.lane, found.tenant_id) == (client_id, estate.number, ESTATE)
    assert (found.supervisor_id, found.email, found.branch_id) == (THIRD.id, THIRD.email, THIRD.branch_id)
    assert (found.branch_number, found.path) == (3, "1.3")
    assert (found.role_id, found.priority, found.permissions) == (ADMIN.id, 100, frozenset({"*"}))
    credential = await Credentials(reads, estate.clock).client(client_id, DEALS_SCOPE)
    assert credential is not None
    assert (credential.scopes, credential.supervisor_id) == ([DEALS_SCOPE], THIRD.id)
    assert await Credentials(reads, estate.clock).client(client_id, OFFERS_SCOPE) is None


async def test_a_client_calls_as_nobody_once_either_has_ended(
    supervisors: Supervisors, estate: Lane, reads: Reads
) -> None:
    revoked, kept = await client_of(reads, estate), await client_of(reads, estate)
    assert await Credentials(reads, estate.clock).revoke(estate.number, str(revoked))
    assert await supervisors.standing(revoked) is None
    assert await supervisors.standing(kept) is not None
    assert await supervisors.enable(estate.number, ROOT.id, enabled=False)
    assert await supervisors.standing(kept) is None
    assert await supervisors.enable(estate.number, ROOT.id, enabled=True)
    assert await supervisors.standing(kept) is not None
    assert not await supervisors.enable(estate.number, uuid4(), enabled=True)
    await reads.value("lanes", "close", estate.number, estate.clock.now())
    assert await supervisors.standing(kept) is None


async def test_nobody_calls_as_a_supervisor_of_another_tenant_or_for_itself(
    supervisors: Supervisors, estate: Lane, reads: Reads
) -> None:
    assert await supervisors.standing(await client_of(reads, estate, owner_id=uuid4())) is None
    credentials = Credentials(reads, estate.clock)
    own, _ = await credentials.create_client(lane=estate.number, owner_id=ESTATE, name="own")
    assert await supervisors.standing(UUID(own)) is None
    assert await supervisors.standing(uuid4()) is None


@pytest.mark.usefixtures("supervisors")
async def test_the_database_keeps_scope_and_supervisor_together(
    estate: Lane, reads: Reads, database: asyncpg.Connection
) -> None:
    client_id = await client_of(reads, estate)
    for change in ("scopes = array['offers']", "supervisor_id = null", "kind = 'operator'"):
        with pytest.raises(asyncpg.CheckViolationError):
            await database.execute(f"update credentials set {change} where id = $1", client_id)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await database.execute("update credentials set supervisor_id = $2 where id = $1", client_id, uuid4())
