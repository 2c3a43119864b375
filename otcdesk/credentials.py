"""API keys, operator tokens, request keys and the secrets of partners' clients: random, kept as SHA-256, shown once.

The secrets have 256 bits of randomness, so a fast hash is enough: there is nothing to guess.
"""

import hashlib
import ipaddress
import secrets
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import asyncpg
import msgspec

from otcdesk.clock import Clock
from otcdesk.errors import Code, Refusal
from otcdesk.request_signatures import checked_public_key
from otcdesk.storage.database import Reads

API_KEY = "api_key"
OPERATOR = "operator"
CLIENT = "client"
REQUEST_KEY = "request_key"

OPERATOR_SCOPE = "otc-operator"
OFFERS_SCOPE = "offers"
RAMP_SCOPE = "ramp"
DEALS_SCOPE = "deals"

#: Which scopes a credential of a kind may carry.
SCOPES = {
    API_KEY: frozenset({"otc-exchanges:read", "otc-exchanges:write"}),
    OPERATOR: frozenset({OPERATOR_SCOPE}),
    CLIENT: frozenset({OFFERS_SCOPE, DEALS_SCOPE}),
    REQUEST_KEY: frozenset({RAMP_SCOPE}),
}

#: Kinds whose secret goes with every request; a client's only buys it a token.
BEARERS = frozenset({API_KEY, OPERATOR})

_PREFIXES = {
    (API_KEY, "live"): "sk_live_",
    (API_KEY, "sandbox"): "sk_test_",
    (CLIENT, "live"): "cs_live_",
    (CLIENT, "sandbox"): "cs_test_",
    (REQUEST_KEY, "live"): "apikey_prod_",
    (REQUEST_KEY, "sandbox"): "apikey_sandbox_",
}
_SHOWN_LENGTH = 16
#: So many characters are shown of what is random.
_SHOWN_RANDOM = 8


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A stored credential; the secret itself is not in it."""

    id: UUID
    lane: int
    kind: Literal["api_key", "operator", "client", "request_key"]
    owner_id: UUID
    name: str
    shown_prefix: str
    scopes: list[str]
    source_ips: list[str]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    public_key: str | None = None
    supervisor_id: UUID | None = None


class RequestKey(msgspec.Struct, frozen=True, kw_only=True):
    """A request key with the kind of the lane that it is of."""

    credential: Credential
    lane_kind: Literal["live", "sandbox"]


class Credentials:
    """Makes, finds and ends credentials."""

    def __init__(self, reads: Reads, clock: Clock) -> None:
        self.reads = reads
        self.clock = clock

    async def create(
        self,
        *,
        lane: int,
        kind: str,
        owner_id: UUID,
        name: str,
        scopes: list[str],
        world_kind: str = "live",
        source_ips: list[str] | None = None,
        expires_at: datetime | None = None,
    ) -> str:
        """Make a credential and return its secret, this once; refuses REQUEST_INVALID for scopes it cannot have."""
        check_grant(kind, scopes, source_ips or [])
        _, secret = await self._make(
            lane=lane,
            kind=kind,
            owner_id=owner_id,
            name=name,
            scopes=scopes,
            world_kind=world_kind,
            source_ips=source_ips or [],
            expires_at=expires_at,
        )
        return secret

    async def create_client(
        self,
        *,
        lane: int,
        owner_id: UUID,
        name: str,
        world_kind: str = "live",
        supervisor_id: UUID | None = None,
    ) -> tuple[str, str]:
        """Make a client of a tenant; returns its id, and its secret, this once.

        One with a supervisor calls as that for deals, any other calls for brokerage. Refuses REQUEST_INVALID for the
        name of another of its live clients: it is what the audit chain tells them by.
        """
        try:
            client_id, secret = await self._make(
                lane=lane,
                kind=CLIENT,
                owner_id=owner_id,
                name=name,
                scopes=[OFFERS_SCOPE if supervisor_id is None else DEALS_SCOPE],
                world_kind=world_kind,
                source_ips=[],
                expires_at=None,
                supervisor_id=supervisor_id,
            )
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != "clients_by_name":
                raise
            raise Refusal(Code.REQUEST_INVALID, f"There is a live client {name!r} of this tenant already.") from None
        return str(client_id), secret

    async def create_request_key(
        self, *, lane: int, owner_id: UUID, name: str, world_kind: str, public_key: str | None = None
    ) -> str:
        """Make a request key of a tenant and return its secret, this once; with a public key its requests are signed.

        Refuses REQUEST_INVALID for what is no public key, and for none in a live lane (ramp contract 2).
        """
        if public_key is None and world_kind == "live":
            raise Refusal(Code.REQUEST_INVALID, "A request key of a live lane needs a public key.")
        _, secret = await self._make(
            lane=lane,
            kind=REQUEST_KEY,
            owner_id=owner_id,
            name=name,
            scopes=sorted(SCOPES[REQUEST_KEY]),
            world_kind=world_kind,
            source_ips=[],
            expires_at=None,
            public_key=None if public_key is None else checked_public_key(public_key),
        )
        return secret

    async def rotate_request_key(
        self, lane: int, which: str, *, overlap: timedelta, public_key: str | None = None
    ) -> str | None:
        """Put a new request key in the place of one, which dies after the overlap; returns the new secret.

        It keeps its name and, unless told another, its public key. None if there is no such live key. Refuses
        REQUEST_INVALID for what is no public key.
        """
        checked = None if public_key is None else checked_public_key(public_key)
        old = await self.reads.row("credentials", "live_request_key", RequestKey, lane, which, self.clock.now())
        if old is None:
            return None
        _, secret = await self._make(
            lane=lane,
            kind=REQUEST_KEY,
            owner_id=old.credential.owner_id,
            name=old.credential.name,
            scopes=old.credential.scopes,
            world_kind=old.lane_kind,
            source_ips=old.credential.source_ips,
            expires_at=None,
            public_key=checked or old.credential.public_key,
        )
        await self.reads.value("credentials", "expire", old.credential.id, self.clock.now() + overlap)
        return secret

    async def request_key(self, secret_hash: str) -> RequestKey | None:
        """Return the request key with this secret, by what is stored of it, whether or not it may still be used."""
        return await self.reads.row("credentials", "request_key", RequestKey, secret_hash)

    async def lane_kind(self, lane: int) -> str:
        """Return whether a lane is live or a sandbox."""
        kind: str = await self.reads.value("credentials", "lane_kind", lane)
        return kind

    async def _make(
        self,
        *,
        lane: int,
        kind: str,
        owner_id: UUID,
        name: str,
        scopes: list[str],
        world_kind: str,
        source_ips: list[str],
        expires_at: datetime | None,
        public_key: str | None = None,
        supervisor_id: UUID | None = None,
    ) -> tuple[UUID, str]:
        credential_id = self.clock.new_id()
        prefix = _PREFIXES.get((kind, world_kind), "op_")
        secret = prefix + secrets.token_urlsafe(32)
        await self.reads.value(
            "credentials",
            "create",
            credential_id,
            lane,
            kind,
            owner_id,
            name,
            hash_of(secret),
            secret[: max(_SHOWN_LENGTH, len(prefix) + _SHOWN_RANDOM)],
            sorted(set(scopes)),
            source_ips,
            self.clock.now(),
            expires_at,
            public_key,
            supervisor_id,
        )
        return credential_id, secret

    async def find(self, secret: str) -> Credential | None:
        """Return the credential with this secret, whether or not it may still be used."""
        return await self.of_hash(hash_of(secret))

    async def of_hash(self, secret_hash: str) -> Credential | None:
        """Return the same by what is stored of the secret."""
        return await self.reads.row("credentials", "by_hash", Credential, secret_hash)

    async def client(self, client_id: UUID, scope: str) -> Credential | None:
        """Return the client of this id and scope, unless it was revoked or its lane is closed."""
        return await self.reads.row("credentials", "client", Credential, client_id, scope)

    async def lane_is_open(self, lane: int) -> bool:
        """Tell whether a lane is in use; the credentials of one that is closed are dead."""
        return bool(await self.reads.value("lanes", "is_open", lane))

    async def named(self, lane: int, owner_id: UUID, name: str) -> Credential | None:
        """Return a live credential by its owner and name."""
        return await self.reads.row("credentials", "named", Credential, lane, owner_id, name)

    async def of_lane(self, lane: int) -> list[Credential]:
        """Return a lane's credentials, newest first."""
        return await self.reads.rows("credentials", "of_lane", Credential, lane)

    async def revoke(self, lane: int, which: str) -> bool:
        """End a credential, named by its id or by the beginning that is shown; False if there is none such."""
        return await self.reads.value("credentials", "revoke", lane, which, self.clock.now()) is not None


def check_grant(kind: str, scopes: list[str], source_ips: list[str]) -> None:
    """Refuse REQUEST_INVALID for scopes that a kind of credential cannot have, and for what is no address."""
    unknown = sorted(set(scopes) - SCOPES[kind])
    if unknown or not scopes:
        may = ", ".join(sorted(SCOPES[kind]))
        raise Refusal(Code.REQUEST_INVALID, f"A credential of this kind may have the scopes {may}.")
    for address in source_ips:
        _network(address)


def hash_of(secret: str) -> str:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def may_come_from(credential: Credential, address: str) -> bool:
    """Tell whether a credential may be used from this address."""
    if not credential.source_ips:
        return True
    try:
        source = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(source in _network(allowed) for allowed in credential.source_ips)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Refusal(Code.REQUEST_INVALID, f"{text!r} is not an address or network.") from None
