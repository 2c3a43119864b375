"""The people who run the desk: who they are, how they sign in, and where they are signed in.

They sign in with e-mail address, password and a one-time code, and then hold a token: 256 random bits, kept as SHA-256.
Sessions live in the database, so that all processes know them and ending one ends it at once. All of it goes by the
machine's clock, never a lane's. A failure tells nobody which part was wrong: an address that nobody has costs the same
time, and is locked as an operator would be.
"""

import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Literal, TypeVar
from uuid import UUID

import asyncpg
import msgspec
import structlog

from otcdesk.clock import Clock
from otcdesk.config import Settings
from otcdesk.credentials import hash_of
from otcdesk.domain.duties import ROLES, STAFF_MANAGE
from otcdesk.domain.emails import is_email
from otcdesk.domain.world_staff import NAME_LENGTH_MAX, is_name
from otcdesk.errors import Code, Refusal
from otcdesk.one_time_codes import made_secret, printed_secret, provisioning_uri, steps_of
from otcdesk.passwords import Passwords, check_strength, made_password
from otcdesk.sign_in_attempts import SignInAttempts
from otcdesk.storage.database import Reads
from otcdesk.storage.queries import queries
from otcdesk.storage.secrets import Secrets
from otcdesk.webhooks.envelope import Discreet

log = structlog.get_logger()

T = TypeVar("T")

#: The sealed secrets by which operators' codes are made, each under its operator's id.
TOTP_PURPOSE: Final = "operator totp"

#: The roles whose people keep the others.
_KEEPERS: Final = [role for role, carried in ROLES.items() if STAFF_MANAGE in carried]

#: When a session was last seen is written at most so often.
_SEEN_EVERY: Final = timedelta(seconds=15)
_AGENT_LENGTH_MAX: Final = 200
_TOKEN_BYTES: Final = 32

#: Sessions are kept for so long after they began, for whoever asks where an operator was signed in.
_SESSIONS_KEPT: Final = timedelta(days=90)
_BRAKES_KEPT: Final = timedelta(days=1)
_FORGOTTEN_AT_ONCE: Final = 1_000

NAME_THE_DESK: Final = "You work at several desks: say at which one you sign in."


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who runs a desk; nothing by which they sign in is in it."""

    lane: int
    id: UUID
    email: str
    name: str
    roles: list[str]
    enabled: bool
    failures: int
    locked_until: datetime | None
    created_at: datetime
    password_changed_at: datetime


class MadeOperator(Discreet, frozen=True, kw_only=True):
    """An operator with what they sign in with, which is known this once; the secret is base32."""

    unshown: ClassVar[frozenset[str]] = frozenset({"password", "totp_secret", "provisioning_uri"})

    id: UUID
    email: str
    password: str
    totp_secret: str
    provisioning_uri: str


class OperatorSession(Discreet, frozen=True, kw_only=True):
    """Where an operator is signed in, with the operator and the lane as they are now."""

    unshown: ClassVar[frozenset[str]] = frozenset({"csrf_token"})

    id: UUID
    lane: int
    lane_name: str
    lane_kind: Literal["live", "sandbox"]
    operator_id: UUID
    email: str
    name: str
    roles: list[str]
    csrf_token: str
    address: str
    agent: str
    created_at: datetime
    seen_at: datetime


class SignedIn(Discreet, frozen=True, kw_only=True):
    """A session and the token by which it is known, this once."""

    unshown: ClassVar[frozenset[str]] = frozenset({"token"})

    token: str
    session: OperatorSession


class _Candidate(Discreet, frozen=True, kw_only=True):
    unshown: ClassVar[frozenset[str]] = frozenset({"password_hash"})

    lane: int
    id: UUID
    password_hash: str
    enabled: bool


class _Proof(Discreet, frozen=True, kw_only=True):
    """What an attempt was right with: the hash as it was looked up, a fresh one if it is outdated, the code's step."""

    unshown: ClassVar[frozenset[str]] = frozenset({"password_hash", "fresh_hash"})

    password_hash: str
    fresh_hash: str | None
    step: int


class Operators:
    """Keeps operators, signs them in and knows their sessions."""

    def __init__(
        self,
        reads: Reads,
        sealed: Secrets,
        clock: Clock,
        settings: Settings,
        *,
        passwords: Passwords | None = None,
    ) -> None:
        self._reads = reads
        self._attempts = SignInAttempts(reads)
        self._sealed = sealed
        self._clock = clock
        self._idle = timedelta(minutes=settings.console_idle_minutes)
        self._lasts = timedelta(hours=settings.console_session_hours)
        self._passwords = passwords or Passwords()

    # -- who they are --------------------------------------------------------------------------------------------------

    async def create(
        self, *, lane: int, email: str, name: str, roles: Iterable[str], password: str | None = None
    ) -> MadeOperator:
        """Make an operator and return what they sign in with, this once; a password is made unless it is given.

        Refuses REQUEST_INVALID for what is no e-mail address, name or role, PASSWORD_WEAK, and OPERATOR_TAKEN.
        """
        checked, now = checked_roles(roles), self._clock.now()
        check_person(email, name)
        if password is None:
            password = made_password()
        check_strength(password)
        operator_id, secret = self._clock.new_id(), made_secret()
        row = (lane, operator_id, email, name, await self._passwords.hash(password), checked, now)
        try:
            async with self._reads.pool.acquire() as connection, connection.transaction():
                await connection.execute(queries("operators")["create"], *row)
                await self._sealed.keep_on(connection, TOTP_PURPOSE, str(operator_id), secret)
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != "operators_by_email":
                raise
            raise Refusal(Code.OPERATOR_TAKEN, email=email) from None
        return await self._made(lane, operator_id, email, password, secret)

    async def of_lane(self, lane: int) -> list[Operator]:
        """Return a lane's operators by their e-mail addresses."""
        return await self._reads.rows("operators", "of_lane", Operator, lane)

    async def operator(self, lane: int, operator_id: UUID) -> Operator:
        """Return an operator; refuses OPERATOR_NOT_FOUND."""
        return _found(await self._reads.row("operators", "operator", Operator, lane, operator_id))

    async def of_email(self, lane: int, email: str) -> Operator | None:
        """Return the operator with an e-mail address, None if nobody has it."""
        return await self._reads.row("operators", "of_email", Operator, lane, email) if is_email(email) else None

    async def set_roles(self, lane: int, operator_id: UUID, roles: Iterable[str], *, by: UUID | None = None) -> None:
        """Give an operator other roles, as of now in every session; refuses REQUEST_INVALID, and as `_changing`."""
        checked = checked_roles(roles)
        async with self._changing(lane, operator_id, by) as connection:
            _found(await connection.fetchval(queries("operators")["describe"], lane, operator_id, None, checked))

    async def describe(
        self, lane: int, operator_id: UUID, *, name: str, roles: Iterable[str], by: UUID | None = None
    ) -> None:
        """Give an operator another name and other roles; refuses REQUEST_INVALID, and as `_changing`."""
        _check_name(name)
        checked = checked_roles(roles)
        async with self._changing(lane, operator_id, by) as connection:
            _found(await connection.fetchval(queries("operators")["describe"], lane, operator_id, name, checked))

    async def enable(self, lane: int, operator_id: UUID, *, enabled: bool, by: UUID | None = None) -> None:
        """Let an operator in, or keep them out, which ends their sessions; refuses as `_changing`."""
        values = (lane, operator_id, enabled, self._clock.now())
        async with self._changing(lane, operator_id, by) as connection:
            _found(await connection.fetchval(queries("operators")["enable"], *values))

    async def reset(self, lane: int, operator_id: UUID, *, by: UUID | None = None) -> MadeOperator:
        """Give an operator another password and another secret for codes, and end all their sessions.

        Returns both, this once; a lock-out is over. Refuses as `_changing`.
        """
        password, secret = made_password(), made_secret()
        password_hash = await self._passwords.hash(password)
        async with self._changing(lane, operator_id, by) as connection:
            values = (lane, operator_id, password_hash, self._clock.now())
            email: str = _found(await connection.fetchval(queries("operators")["reset"], *values))
            await self._sealed.keep_on(connection, TOTP_PURPOSE, str(operator_id), secret)
        return await self._made(lane, operator_id, email, password, secret)

    @asynccontextmanager
    async def _changing(self, lane: int, operator_id: UUID, by: UUID | None) -> AsyncIterator[Any]:
        """Open a database transaction in which an operator is changed by another, or by the desk's own machine (None).

        Refuses OPERATOR_IS_SELF, DUTY_MISSING for who does not keep the people in this moment, OPERATOR_NOT_FOUND. So
        somebody always stays who keeps them: whoever changes others is one, and of two who change each other the
        second finds that they are none any more.
        """
        async with self._reads.pool.acquire() as connection, connection.transaction():
            if by is not None:
                if by == operator_id:
                    raise Refusal(Code.OPERATOR_IS_SELF)
                keepers = await connection.fetch(queries("operators")["hold_keepers"], lane, _KEEPERS)
                if by not in {row["id"] for row in keepers}:
                    raise Refusal(Code.DUTY_MISSING, duty=STAFF_MANAGE)
            yield connection

    async def change_password(
        self, operator_id: UUID, old: str, new: str, code: str, *, kept_session: UUID | None = None
    ) -> None:
        """Let an operator choose another password, which ends their sessions but the one that is kept.

        Refuses PASSWORD_WEAK, OVERLOADED, SIGN_IN_LOCKED, and SIGN_IN_FAILED for another password than the old one and
        for a code that is wrong or was used.
        """
        check_strength(new)
        now = self._clock.now()
        with self._passwords.turn():
            one = await self._reads.row("operators", "candidate", _Candidate, operator_id)
            await self._attempts.count(None if one is None else one.id, str(operator_id), now)
            proof = await self._proof(one, old, code, now)
            if proof is None:
                raise Refusal(Code.SIGN_IN_FAILED)
            fresh = await self._passwords.hash(new)
        values = (operator_id, proof.password_hash, proof.step, fresh, now, kept_session)
        if await self._reads.value("operators", "change_password", *values) is None:
            raise Refusal(Code.SIGN_IN_FAILED)

    async def _made(self, lane: int, operator_id: UUID, email: str, password: str, secret: bytes) -> MadeOperator:
        issuer = f"otcdesk {await self._reads.value('lanes', 'name', lane)}"
        return MadeOperator(
            id=operator_id,
            email=email,
            password=password,
            totp_secret=printed_secret(secret),
            provisioning_uri=provisioning_uri(secret, email=email, issuer=issuer),
        )

    # -- signing in ----------------------------------------------------------------------------------------------------

    async def sign_in(
        self, *, email: str, password: str, code: str, desk: str | None, address: str, agent: str
    ) -> SignedIn:
        """Sign an operator in; `desk` names their lane, without it they must be an operator of one open lane only.

        Refuses OVERLOADED, RATE_LIMITED after too many failures from an address, SIGN_IN_LOCKED after too many of an
        operator, and SIGN_IN_FAILED for everything else alike. Who is right and works at several desks is asked which.
        """
        email, desk, now = email.strip(), (desk or "").strip(), self._clock.now()
        with self._passwords.turn():
            origin = await self._attempts.count_from(address, now)
            one, *others = await self._meant(email, desk)
            await self._attempts.count(None if one is None else one.id, f"{desk}\n{email.lower()}", now)
            proof = await self._proof(one, password, code, now)
        if one is None or proof is None:
            log.warning("sign_in_failed", operator=None if one is None else str(one.id), address=address)
            raise Refusal(Code.SIGN_IN_FAILED)
        if any(other is not None and other.enabled for other in others):
            await self._attempts.forgive(one.id)
            await self._attempts.give_back(origin)
            raise Refusal(Code.SIGN_IN_FAILED, NAME_THE_DESK)
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        values = (self._clock.new_id(), hash_of(token), secrets.token_hex(_TOKEN_BYTES), address, _kept(agent), now)
        spent = (one.id, proof.password_hash, proof.step, proof.fresh_hash)
        if await self._reads.value("operators", "sign_in", *spent, *values) is None:
            raise Refusal(Code.SIGN_IN_FAILED)
        await self._attempts.give_back(origin)
        session = await self.session(token)
        if session is None:  # ended again by somebody who was as quick
            raise Refusal(Code.SIGN_IN_FAILED)
        return SignedIn(token=token, session=session)

    async def _meant(self, email: str, desk: str) -> list[_Candidate | None]:
        """Return who may be meant, the likeliest first; None: nobody.

        Only the first one's password is looked at: how long that takes must not tell how many there are.
        """
        if not is_email(email) or not desk.isprintable():
            return [None]
        return [*await self._reads.rows("operators", "candidates", _Candidate, email, desk or None)] or [None]

    async def _proof(self, one: _Candidate | None, password: str, code: str, now: datetime) -> _Proof | None:
        """Return what an attempt was right with, None if any of it was wrong; takes as long for nobody."""
        secret = await self._sealed.open(TOTP_PURPOSE, "" if one is None else str(one.id))
        right = await self._passwords.verify(None if one is None else one.password_hash, password)
        if one is None or secret is None or not right:
            return None
        steps = steps_of(secret, code, now)
        if not steps:
            return None
        outdated = self._passwords.is_outdated(one.password_hash)
        fresh = await self._passwords.hash(password) if outdated else None
        return _Proof(password_hash=one.password_hash, fresh_hash=fresh, step=steps[0])

    # -- sessions ------------------------------------------------------------------------------------------------------

    async def session(self, token: str, *, seen: bool = True) -> OperatorSession | None:
        """Return the session with this token; None for one that has ended, was idle or lasted for too long.

        So it is when its operator is kept out or its lane is closed. It is seen by this, unless told otherwise.
        """
        now = self._clock.now()
        found = await self._reads.row("operators", "session", OperatorSession, hash_of(token), *self._since(now))
        if found is not None and seen and now - found.seen_at >= _SEEN_EVERY:
            await self._reads.value("operators", "see", found.id, now)
        return found

    async def sessions(self, operator_id: UUID) -> list[OperatorSession]:
        """Return where an operator is signed in, the latest first."""
        since = self._since(self._clock.now())
        return await self._reads.rows("operators", "sessions", OperatorSession, operator_id, *since)

    async def sessions_of_lane(self, lane: int) -> list[OperatorSession]:
        """Return where the operators of a lane are signed in, the latest first."""
        since = self._since(self._clock.now())
        return await self._reads.rows("operators", "sessions_of_lane", OperatorSession, lane, *since)

    async def sign_out(self, session_id: UUID) -> bool:
        """End a session; False if it has ended."""
        return await self._reads.value("operators", "end", session_id, self._clock.now()) is not None

    async def sign_out_all(self, operator_id: UUID, *, except_session: UUID | None = None) -> int:
        """End an operator's sessions, perhaps but one; returns how many."""
        ended: int = await self._reads.value("operators", "end_all", operator_id, self._clock.now(), except_session)
        return ended

    async def forget_old(self) -> bool:
        """Drop sessions of long ago, and failures that are no operator's; tells whether there may be more."""
        now = self._clock.now()
        dropped = [
            await self._reads.value("operators", query, now - kept, _FORGOTTEN_AT_ONCE)
            for query, kept in (("forget_sessions", _SESSIONS_KEPT), ("forget_brakes", _BRAKES_KEPT))
        ]
        if any(dropped):
            log.info("sign_ins_forgotten", sessions=dropped[0], brakes=dropped[1])
        return _FORGOTTEN_AT_ONCE in dropped

    def _since(self, now: datetime) -> tuple[datetime, datetime]:
        return now - self._idle, now - self._lasts


def checked_roles(roles: Iterable[str]) -> list[str]:
    """Return roles, each once and in the order of the matrix; refuses REQUEST_INVALID for none and for unknown ones."""
    wanted = set(roles)
    if not wanted or wanted - ROLES.keys():
        raise Refusal(Code.REQUEST_INVALID, f"An operator has at least one of the roles {', '.join(ROLES)}.")
    return [role for role in ROLES if role in wanted]


def check_person(email: str, name: str) -> None:
    """Refuse REQUEST_INVALID for what no mail can be sent to, and for what is no name."""
    if not is_email(email):
        raise Refusal(Code.REQUEST_INVALID, f"{email!r} is not an e-mail address.")
    _check_name(name)


def _check_name(name: str) -> None:
    if not is_name(name):
        raise Refusal(Code.REQUEST_INVALID, f"A name has 1 to {NAME_LENGTH_MAX} characters that can be printed.")


def _found(found: T | None) -> T:
    if found is None:
        raise Refusal(Code.OPERATOR_NOT_FOUND)
    return found


def _kept(agent: str) -> str:
    """Return what is kept of what a browser says of itself."""
    return "".join(letter for letter in agent[:_AGENT_LENGTH_MAX] if letter.isprintable())
