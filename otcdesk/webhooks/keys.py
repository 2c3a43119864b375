"""Signing keys at rest: made, replaced with an overlap, handed to whoever signs, and dropped when they are retired.

A subscription of an envelope with `own_keys` has keys of its own; for the other envelopes the desk has one pair, made
at first need, whose public half is published. Secret halves are sealed secrets. A key that was replaced signs beside
the new one until it retires, so that receivers can change over; no more than two ever sign.
"""

import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import asyncpg
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from otcdesk.clock import Clock, iso_milliseconds
from otcdesk.storage.queries import queries
from otcdesk.storage.secrets import Secrets
from otcdesk.webhooks.envelope import Discreet, Envelope, Envelopes, KeyKind, SigningKey
from otcdesk.webhooks.key_pairs import new_key

PURPOSE = "signing key"

#: The kinds of lanes, in each of which the desk signs with a pair of its own (ramp contract, section 6).
LANE_KINDS = ("live", "sandbox")

#: The class of the advisory locks by which an owner's keys are made in turn; the second number is the owner's hash.
_TURN_CLASS = 20264

#: For so long an owner's keys are believed unread, nanoseconds: sending a thousand messages a second asks once.
_BELIEVED_NS = 1_000_000_000
#: How many owners' keys, and how many opened keys, are remembered at once.
_REMEMBERED_MAX = 10_000

#: What JSON Web Keys call a pair (RFC 7518): the curve, the algorithm, and the bytes of a coordinate.
_CURVES = {KeyKind.ECDSA_P256: ("P-256", "ES256", 32), KeyKind.ECDSA_P384: ("P-384", "ES384", 48)}


class SignedFor(Protocol):
    """Whom a message is signed for: of a subscription no more matters here."""

    @property
    def id(self) -> UUID:
        """Return the subscription's id."""
        ...

    @property
    def envelope(self) -> str:
        """Return the name of its envelope."""
        ...

    @property
    def lane_kind(self) -> str:
        """Return whether its lane is live or a sandbox."""
        ...


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """A signing key without its secret half. `shown`: the public half, or how a secret begins."""

    id: UUID
    owner: str
    kind: KeyKind
    shown: str
    made_at: datetime
    retires_at: datetime | None = None


class MadeKey(Discreet, frozen=True, kw_only=True):
    """A fresh key; `secret` is the text to be shown this once, None for a pair."""

    unshown = frozenset({"secret"})

    key: StoredKey
    secret: str | None


class PublishedKey(msgspec.Struct, frozen=True, kw_only=True):
    """The public half of a pair of the desk's own, as PEM and as a JSON Web Key (RFC 7517)."""

    id: UUID
    envelope: str
    environment: str
    kind: KeyKind
    pem: str
    made_at: str = msgspec.field(name="madeAt")
    retires_at: str | None = msgspec.field(name="retiresAt")
    kty: str
    crv: str
    x: str
    y: str
    kid: str
    use: str
    alg: str


class NoKey(Exception):
    """Nothing can be signed for an owner: it has no key, or none whose secret half is there."""


class SigningKeys:
    """The signing keys of one database."""

    def __init__(
        self, pool: asyncpg.Pool, secrets: Secrets, envelopes: Envelopes, clock: Clock, *, overlap_hours: int
    ) -> None:
        self._pool = pool
        self._secrets = secrets
        self._envelopes = envelopes
        self._clock = clock
        self._overlap = timedelta(hours=overlap_hours)
        self._queries = queries("signing_keys")
        #: An owner's keys and when they were read, by a clock that nobody sets back.
        self._known: dict[str, tuple[int, list[StoredKey]]] = {}
        self._opened: dict[UUID, SigningKey] = {}

    def owner_of(self, subscription: SignedFor) -> str:
        """Return whose keys sign for a subscription: its own, or the desk's for its envelope."""
        envelope = self._envelopes.named(subscription.envelope)
        return str(subscription.id) if envelope.own_keys else desk_owner(envelope.name, subscription.lane_kind)

    # -- making and replacing ----------------------------------------------------------------------------------------

    async def make_on(self, connection: Any, owner: str, kind: KeyKind) -> MadeKey:
        """Make a key in the database transaction that the caller has open on this connection."""
        secret, shown = new_key(kind)
        key = StoredKey(id=self._clock.new_id(), owner=owner, kind=kind, shown=shown, made_at=self._clock.now())
        await connection.execute(self._queries["make"], key.id, owner, kind.value, shown, key.made_at)
        await self._secrets.keep_on(connection, PURPOSE, str(key.id), secret)
        return MadeKey(key=key, secret=secret.decode("ascii") if kind is KeyKind.HMAC_SHA256 else None)

    async def replace_on(self, connection: Any, owner: str, kind: KeyKind) -> MadeKey:
        """Make a key in the caller's database transaction; the one before signs beside it for the overlap.

        One that had been replaced already retires at once: a secret that got out can be got rid of by replacing twice.
        """
        await self._take_turn(connection, owner)
        now = self._clock.now()
        await connection.execute(self._queries["retire"], owner, now + self._overlap, now)
        return await self.make_on(connection, owner, kind)

    async def rotate(self, owner: str, kind: KeyKind) -> MadeKey:
        """Replace an owner's key in a database transaction of its own; see `replace_on`."""
        async with self._pool.acquire() as connection, connection.transaction():
            made = await self.replace_on(connection, owner, kind)
        self.changed(owner)
        return made

    async def retire_on(self, connection: Any, owner: str) -> None:
        """End all keys of an owner in the caller's database transaction."""
        await connection.execute(self._queries["retire_now"], owner, self._clock.now())

    def changed(self, owner: str) -> None:
        """Read an owner's keys anew at their next use, now that a change of them is committed."""
        self._known.pop(owner, None)

    async def ensure(self, envelope: Envelope) -> None:
        """Make the desk's own pairs for an envelope unless they are there; two processes at once make one of each."""
        owners = _desk_owners(envelope)
        if {key.owner for key in await self.live(owners)} >= set(owners):
            return
        async with self._pool.acquire() as connection, connection.transaction():
            for owner in owners:
                await self._take_turn(connection, owner)
                if not await self.live([owner], connection):
                    await self.make_on(connection, owner, envelope.key_kinds[0])

    async def forget_retired(self, *, at_most: int) -> int:
        """Drop keys that are retired, with their secret halves; returns how many. Repeat it while it finds some."""
        dropped: int = await self._pool.fetchval(self._queries["forget_retired"], self._clock.now(), at_most, PURPOSE)
        return dropped

    async def _take_turn(self, connection: Any, owner: str) -> None:
        await connection.execute(self._queries["turn"], _TURN_CLASS, owner)

    # -- reading -----------------------------------------------------------------------------------------------------

    async def signing(self, subscription: SignedFor) -> list[SigningKey]:
        """Return the keys that sign for a subscription now: the one in use, then one that it replaces.

        What another process changed is known here within a second. Raises NoKey, KeyUnusable and SecretDamaged.
        """
        envelope = self._envelopes.named(subscription.envelope)
        owner = self.owner_of(subscription)
        rows = await self._rows(owner)
        if not rows and not envelope.own_keys:
            await self.ensure(envelope)
            self.changed(owner)
            rows = await self._rows(owner)
        now = self._clock.now()
        live = [row for row in rows if row.retires_at is None or row.retires_at > now]
        opened = [key for row in live if (key := await self._open(row)) is not None]
        if not opened:
            raise NoKey(f"there is no key to sign with for {owner}")
        return opened

    async def live(self, owners: Sequence[str], connection: Any = None) -> list[StoredKey]:
        """Return the keys of some owners that still sign, the newest first; read on a caller's connection if given."""
        found = await (connection or self._pool).fetch(self._queries["live"], list(owners), self._clock.now())
        return [msgspec.json.decode(row[0], type=StoredKey) for row in found]

    async def by_owner(self, owners: Sequence[str]) -> dict[str, list[StoredKey]]:
        """Return the keys of some owners that still sign, by owner, the newest of each first."""
        found: dict[str, list[StoredKey]] = {}
        for key in await self.live(owners):
            found.setdefault(key.owner, []).append(key)
        return found

    async def published(self) -> list[PublishedKey]:
        """Return the public halves of the desk's own pairs, which are made if need be; the newest first."""
        envelopes = [
            envelope for name in self._envelopes.names if not (envelope := self._envelopes.named(name)).own_keys
        ]
        for envelope in envelopes:
            await self.ensure(envelope)
        return [_published(key) for key in await self.live([o for each in envelopes for o in _desk_owners(each)])]

    async def _rows(self, owner: str) -> list[StoredKey]:
        now, known = time.monotonic_ns(), self._known.get(owner)
        if known is not None:
            read_at, rows = known
            if now - read_at < _BELIEVED_NS:
                return rows
            self._known[owner] = (now, rows)  # one asks, and the others go on meanwhile
        rows = await self.live([owner])
        if len(self._known) >= _REMEMBERED_MAX:
            self._known.clear()
        self._known[owner] = (now, rows)
        return rows

    async def _open(self, row: StoredKey) -> SigningKey | None:
        """Open a key's secret half; None for one that was dropped since its row was read."""
        known = self._opened.get(row.id)
        if known is not None:
            return known
        secret = await self._secrets.open(PURPOSE, str(row.id))
        if secret is None:
            return None
        if len(self._opened) >= _REMEMBERED_MAX:
            self._opened.clear()
        self._opened[row.id] = key = SigningKey(id=row.id, kind=row.kind, secret=secret)
        return key


def desk_owner(envelope: str, lane_kind: str) -> str:
    """Return who owns the desk's pair for an envelope: anybody may make a sandbox, so it has a pair of its own."""
    return f"{envelope} {lane_kind}"


def _desk_owners(envelope: Envelope) -> list[str]:
    return [desk_owner(envelope.name, lane_kind) for lane_kind in LANE_KINDS]


def _published(key: StoredKey) -> PublishedKey:
    public = load_pem_public_key(key.shown.encode("ascii"))
    if not isinstance(public, EllipticCurvePublicKey):
        raise TypeError(f"a key of {key.owner} is not of an elliptic curve")
    numbers = public.public_numbers()
    curve, algorithm, size = _CURVES[key.kind]
    envelope, _, environment = key.owner.partition(" ")
    return PublishedKey(
        id=key.id,
        envelope=envelope,
        environment=environment,
        kind=key.kind,
        pem=key.shown,
        made_at=iso_milliseconds(key.made_at),
        retires_at=None if key.retires_at is None else iso_milliseconds(key.retires_at),
        kty="EC",
        crv=curve,
        x=_base64(numbers.x, size),
        y=_base64(numbers.y, size),
        kid=str(key.id),
        use="sig",
        alg=algorithm,
    )


def _base64(coordinate: int, size: int) -> str:
    return urlsafe_b64encode(coordinate.to_bytes(size, "big")).rstrip(b"=").decode("ascii")
