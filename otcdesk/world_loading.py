"""Load world files: open a lane, declare what the file says, and make the credentials and webhooks that it names.

Loading again changes only what differs: known credentials and webhooks are kept (their secrets cannot be shown again),
balances that are booked stay booked.
"""

import asyncio
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, ClassVar
from uuid import UUID

import asyncpg

from otcdesk.actions.declare_world import Declared, DeclareWorld
from otcdesk.actions.steer_sandbox import SetClock
from otcdesk.clock import Clock
from otcdesk.credentials import API_KEY, OPERATOR, Credentials, check_grant
from otcdesk.desk import Desk
from otcdesk.domain import lanes
from otcdesk.domain.compact_ids import print_compact_id
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.world import Declaration, WorldFile, account_id, declaration_of, parse_world, tenant_id
from otcdesk.domain.world_brokerage import FileClient, party_id
from otcdesk.domain.world_staff import check_staff
from otcdesk.domain.world_supervisors import DeclaredSupervisors, declared_supervisors
from otcdesk.errors import Code, Refusal
from otcdesk.forms import check_schema
from otcdesk.operators import MadeOperator, Operators
from otcdesk.request_signatures import checked_public_key
from otcdesk.supervisors import Supervisors
from otcdesk.webhooks.envelope import Discreet
from otcdesk.webhooks.subscriptions import Subscriptions
from otcdesk.webhooks.world_files import (
    MadeWebhook,
    MissedWebhook,
    check_webhooks,
    make_webhooks,
    missing_webhooks,
)

LIVE = lanes.LIVE
SANDBOX = lanes.SANDBOX

_CALLER = "world file"


class MadeClient(Discreet, frozen=True, kw_only=True):
    """A tenant's client, with its secret, this once."""

    unshown: ClassVar[frozenset[str]] = frozenset({"client_secret"})

    client_id: str
    client_secret: str


class LoadedWorld(Discreet, frozen=True, kw_only=True):
    """What loading did, with the secrets of the credentials that it made, by their names in the file, and webhooks.

    `missed`: webhooks that could not be made at last; loading again makes them.
    """

    unshown: ClassVar[frozenset[str]] = frozenset({"api_keys", "operators", "staff", "clients", "request_keys"})

    lane: int
    name: str
    declared: Declared
    api_keys: dict[str, str]
    operators: dict[str, str]
    staff: dict[str, MadeOperator]
    clients: dict[str, MadeClient]
    request_keys: dict[str, str]
    tenants: dict[str, str]
    accounts: dict[str, str]
    parties: dict[str, str]
    supervisors: dict[str, str]
    webhooks: list[MadeWebhook]
    missed: list[MissedWebhook]


class WorldLoader:
    """Opens lanes and loads files into them."""

    def __init__(
        self,
        desk: Desk,
        credentials: Credentials,
        supervisors: Supervisors,
        operators: Operators,
        subscriptions: Subscriptions,
        clock: Clock,
    ) -> None:
        self.desk = desk
        self.credentials = credentials
        self.supervisors = supervisors
        self.operators = operators
        self.subscriptions = subscriptions
        self.clock = clock

    async def open_lane(self, name: str, kind: str) -> int:
        """Return the lane of this name, opening it if there is none."""
        reads = self.desk.reads
        known: int | None = await reads.value("lanes", "named", name)
        if known is not None:
            return known
        number: int = await reads.value("lanes", "next_number")
        try:
            await reads.value("lanes", "open", number, name, kind, self.clock.now())
        except asyncpg.UniqueViolationError:
            return await self.open_lane(name, kind)
        return number

    def check(self, world: WorldFile) -> Declaration:
        """Return what a file declares; refuses DECLARATION_INVALID before anything of it is made."""
        keys = [key for tenant in world.tenants for key in tenant.keys]
        clients = [client.ref for tenant in world.tenants for client in tenant.clients]
        request_keys = [key for tenant in world.tenants for key in tenant.request_keys]
        names = [key.ref for key in keys] + [operator.ref for operator in world.operators] + clients
        names += [key.ref for key in request_keys]
        if len(names) != len(set(names)):  # their secrets are answered by name
            raise _invalid("two credentials have the same name")
        try:
            for key in keys:
                check_grant(API_KEY, list(key.scopes), list(key.source_ips))
                _time(key.expires_at)
            for operator in world.operators:
                check_grant(OPERATOR, list(operator.scopes), [])
            for pem in filter(None, (key.public_key for key in request_keys)):
                checked_public_key(pem)
        except Refusal as refusal:
            raise _invalid(refusal.detail) from None
        declared_supervisors(world.tenants)
        check_staff(world.staff)
        check_webhooks(self.subscriptions, world)
        declaration = declaration_of(world)
        for channel in declaration.payouts.channels if declaration.payouts else []:
            check_schema(channel.form_schema, f"the form of the channel {channel.id}")
        return declaration

    async def load(self, lane: int, world: WorldFile, *, kind: str, clock: SetClock | None = None) -> LoadedWorld:
        """Bring a lane to what a file says; refuses as `declare_world` does."""
        declaration = self.check(world)
        people = declared_supervisors(world.tenants)
        _check_request_keys(world, kind)
        await self._check_clients(lane, world, people)
        await self._check_resales(lane, declaration)
        missing = await missing_webhooks(self.subscriptions, lane, world)
        if clock is not None:
            await self._submit(lane, clock)
        declared: Declared = await self._submit(lane, DeclareWorld(declaration=declaration))
        api_keys = await self._api_keys(lane, world, kind)
        operators = await self._operators(lane, world, kind)
        staff = await self._staff(lane, world)
        await self._supervisors(lane, people)
        clients = await self._clients(lane, world, kind, people)
        request_keys = await self._request_keys(lane, world, kind)
        webhooks = await make_webhooks(self.subscriptions, missing)
        return LoadedWorld(
            lane=lane,
            name=world.name,
            declared=declared,
            api_keys=api_keys,
            operators=operators,
            staff=staff,
            clients=clients,
            request_keys=request_keys,
            tenants={tenant.ref: str(tenant_id(tenant.ref)) for tenant in world.tenants},
            accounts={
                f"{tenant.ref}/{ref}": str(account_id(tenant.ref, ref))
                for tenant in world.tenants
                for ref in tenant.account_refs
            },
            parties={
                f"{tenant.ref}/{party.ref}": str(party_id(tenant.ref, party.ref))
                for tenant in world.tenants
                for party in tenant.parties
            },
            supervisors={"/".join(names): print_compact_id(one.id) for names, one in people.supervisors.items()},
            webhooks=webhooks.made,
            missed=webhooks.missed,
        )

    async def _submit(self, lane: int, command: Any) -> Any:
        return await self.desk.submit_as_worker(lane, _CALLER, command)

    async def _api_keys(self, lane: int, world: WorldFile, kind: str) -> dict[str, str]:
        rows: list[tuple[Any, ...]] = [
            (tenant_id(tenant.ref), key.ref, API_KEY, list(key.scopes), list(key.source_ips), _time(key.expires_at))
            for tenant in world.tenants
            for key in tenant.keys
        ]
        return await self._made(lane, kind, rows)

    async def _operators(self, lane: int, world: WorldFile, kind: str) -> dict[str, str]:
        rows: list[tuple[Any, ...]] = [
            (DESK_ID, row.ref, OPERATOR, list(row.scopes), [], None) for row in world.operators
        ]
        return await self._made(lane, kind, rows)

    async def _staff(self, lane: int, world: WorldFile) -> dict[str, MadeOperator]:
        """Make those who are missing; the others are kept as they are, with the file's name and roles."""
        made = {}
        for row in world.staff:
            known = await self.operators.of_email(lane, row.email)
            if known is None:
                made[row.ref] = await self.operators.create(lane=lane, email=row.email, name=row.name, roles=row.roles)
            else:
                await self.operators.describe(lane, known.id, name=row.name, roles=row.roles)
        return made

    async def _check_clients(self, lane: int, world: WorldFile, people: DeclaredSupervisors) -> None:
        """Refuse DECLARATION_INVALID for a client that is known and calls as somebody else: it keeps its secret."""
        for tenant in world.tenants:
            for row in tenant.clients:
                known = await self.credentials.named(lane, tenant_id(tenant.ref), row.ref)
                if known is not None and known.supervisor_id != _called_as(tenant.ref, row, people):
                    raise _invalid(f"the client {row.ref!r} calls as another supervisor, or as none: revoke it first")

    async def _check_resales(self, lane: int, declaration: Declaration) -> None:
        """Refuse DECLARATION_INVALID where something else has a branch's path, or the asset of what a branch issues."""
        branches = [row for each in declaration.resales for row in each.branches]
        issued = [(row.asset, row.id) for each in declaration.resales for row in each.currencies]
        issued += [(row.asset, row.id) for each in declaration.resales for row in each.instruments]
        taken: str | None = await self.desk.reads.value(
            "resales",
            "taken_by_others",
            lane,
            [row.path for row in branches],
            [row.tenant_id for row in branches],
            [row.id for row in branches],
            [asset for asset, _ in issued],
            [issued_id for _, issued_id in issued],
        )
        if taken is not None:
            raise _invalid(f"another branch, currency or instrument has {taken!r} already")

    async def _supervisors(self, lane: int, people: DeclaredSupervisors) -> None:
        for role in people.roles:
            await self.supervisors.keep_role(lane, role)
        for one in people.supervisors.values():
            await self.supervisors.keep_supervisor(lane, one)

    async def _clients(
        self, lane: int, world: WorldFile, kind: str, people: DeclaredSupervisors
    ) -> dict[str, MadeClient]:
        made = {}
        for tenant in world.tenants:
            for row in tenant.clients:
                owner_id = tenant_id(tenant.ref)
                if await self.credentials.named(lane, owner_id, row.ref) is None:
                    client_id, secret = await self.credentials.create_client(
                        lane=lane,
                        owner_id=owner_id,
                        name=row.ref,
                        world_kind=kind,
                        supervisor_id=_called_as(tenant.ref, row, people),
                    )
                    made[row.ref] = MadeClient(client_id=client_id, client_secret=secret)
        return made

    async def _request_keys(self, lane: int, world: WorldFile, kind: str) -> dict[str, str]:
        made = {}
        for tenant in world.tenants:
            for row in tenant.request_keys:
                owner_id = tenant_id(tenant.ref)
                if await self.credentials.named(lane, owner_id, row.ref) is None:
                    made[row.ref] = await self.credentials.create_request_key(
                        lane=lane, owner_id=owner_id, name=row.ref, world_kind=kind, public_key=row.public_key
                    )
        return made

    async def _made(self, lane: int, kind: str, rows: list[tuple[Any, ...]]) -> dict[str, str]:
        made = await asyncio.gather(*(self._make(lane, kind, *row) for row in rows))
        return {row[1]: secret for row, secret in zip(rows, made, strict=True) if secret is not None}

    async def _make(
        self, lane: int, kind: str, owner_id: Any, name: str, role: str, scopes: list[str], ips: list[str], ends: Any
    ) -> str | None:
        if await self.credentials.named(lane, owner_id, name) is not None:
            return None
        return await self.credentials.create(
            lane=lane,
            kind=role,
            owner_id=owner_id,
            name=name,
            scopes=scopes,
            world_kind=kind,
            source_ips=ips,
            expires_at=ends,
        )


def _invalid(sentence: str) -> Refusal:
    return Refusal(Code.DECLARATION_INVALID, f"The world file is not valid: {sentence}")


def _called_as(tenant_ref: str, client: FileClient, people: DeclaredSupervisors) -> UUID | None:
    return None if client.supervisor is None else people.supervisors[tenant_ref, client.supervisor].id


def _check_request_keys(world: WorldFile, kind: str) -> None:
    """Refuse DECLARATION_INVALID for a request key of a live lane that requests cannot be verified by.

    Told before anything is made: secrets are shown once, so they must not be made where loading fails afterwards.
    """
    unsigned = [key.ref for tenant in world.tenants for key in tenant.request_keys if key.public_key is None]
    if kind == LIVE and unsigned:
        raise _invalid(f"request keys of a live lane need a public key: {', '.join(unsigned)}")


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(Code.DECLARATION_INVALID, f"{text!r} is not a time.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def shipped_world(name: str) -> WorldFile:
    """Return a world file that comes with the program; refuses WORLD_NOT_FOUND."""
    folder = files("otcdesk") / "worlds"
    known = {entry.name.removesuffix(".toml"): entry for entry in folder.iterdir() if entry.name.endswith(".toml")}
    if name not in known:
        raise Refusal(Code.WORLD_NOT_FOUND, f"The world files here are: {', '.join(sorted(known))}.")
    return parse_world(known[name].read_text(encoding="utf-8"))
