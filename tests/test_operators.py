"""The people who run the desk: made, signed in with password and code, locked out, and their sessions."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from argon2 import PasswordHasher

from otcdesk.config import Settings
from otcdesk.domain.duties import ADMIN, APPROVER, TRADER
from otcdesk.errors import Code, Refusal
from otcdesk.one_time_codes import code_at, parsed_secret
from otcdesk.operators import (
    NAME_THE_DESK,
    TOTP_PURPOSE,
    MadeOperator,
    Operators,
    OperatorSession,
    SignedIn,
)
from otcdesk.passwords import Passwords
from otcdesk.sign_in_attempts import (
    FAILURES_MAX,
    FAILURES_OF_ADDRESS_MAX,
    LOCKED_SECONDS,
    LOCKED_SECONDS_MAX,
)
from otcdesk.storage.database import Reads
from otcdesk.storage.secrets import Secrets
from tests.support.clocks import SteeredClock
from tests.support.desk import new_lane

EMAIL = "tess@desk.example"
PASSWORD = "correct horse battery"
ADDRESS = "192.0.2.7"
IDLE_MINUTES, SESSION_HOURS = 30, 12
STEP_SECONDS = 30

#: What is tested here is not how long a guess takes.
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


class Site:
    """A database of the test's own with one desk, and a clock that stands at the middle of a step."""

    def __init__(self, dsn: str, reads: Reads, home: Path) -> None:
        self.dsn = dsn
        self.reads = reads
        self.clock = SteeredClock()
        self.clock.advance(seconds=STEP_SECONDS // 2)
        self.sealed = Secrets(reads.pool, home, self.clock)
        self.operators = self.with_hasher(QUICK)
        self.lane = 0
        self.desk = ""

    def with_hasher(self, hasher: PasswordHasher) -> Operators:
        return Operators(
            self.reads,
            self.sealed,
            self.clock,
            Settings(console_idle_minutes=IDLE_MINUTES, console_session_hours=SESSION_HOURS),
            passwords=Passwords(hasher),
        )

    async def make(self, email: str = EMAIL, *, lane: int | None = None, password: str = PASSWORD) -> MadeOperator:
        return await self.operators.create(
            lane=lane or self.lane, email=email, name="Tess", roles=[TRADER], password=password
        )

    def code(self, made: MadeOperator, *, steps: int = 0) -> str:
        moment = self.clock.now() + timedelta(seconds=steps * STEP_SECONDS)
        return code_at(parsed_secret(made.totp_secret), moment)

    def wrong_code(self, made: MadeOperator) -> str:
        near = {self.code(made, steps=steps) for steps in (-1, 0, 1)}
        return next(code for code in ("000000", "111111", "222222", "333333") if code not in near)

    async def sign_in(
        self,
        code: str,
        *,
        email: str = EMAIL,
        password: str = PASSWORD,
        desk: str | None = None,
        address: str = ADDRESS,
    ) -> SignedIn:
        return await self.operators.sign_in(
            email=email, password=password, code=code, desk=desk, address=address, agent="a browser"
        )

    async def refused(self, code: str, **named: Any) -> Refusal:
        with pytest.raises(Refusal) as caught:
            await self.sign_in(code, **named)
        return caught.value

    def next_step(self) -> None:
        self.clock.advance(seconds=STEP_SECONDS)


@pytest.fixture
async def site(fresh_dsn: str, tmp_path: Path) -> AsyncIterator[Site]:
    reads = await Reads.open(fresh_dsn, connections_max=8, statement_timeout_ms=10_000)
    found = Site(fresh_dsn, reads, tmp_path)
    found.lane, found.desk = await another_desk(found)
    yield found
    await reads.pool.close()


async def another_desk(site: Site) -> tuple[int, str]:
    """Open a lane, and return its number and its name."""
    number = (await new_lane(site.dsn, clock=site.clock)).number
    return number, await site.reads.value("lanes", "name", number)


# -- who they are ------------------------------------------------------------------------------------------------------


async def test_an_operator_is_made_and_listed(site: Site) -> None:
    made = await site.operators.create(lane=site.lane, email=EMAIL, name="Tess", roles=[APPROVER, TRADER, TRADER])
    assert len(made.password) >= 24
    assert len(parsed_secret(made.totp_secret)) == 20
    assert made.provisioning_uri.startswith("otpauth://totp/")
    assert made.totp_secret in made.provisioning_uri
    (found,) = await site.operators.of_lane(site.lane)
    assert (found.id, found.email, found.name, found.enabled) == (made.id, EMAIL, "Tess", True)
    assert found.roles == [TRADER, APPROVER]
    assert found == await site.operators.operator(site.lane, made.id)
    assert found == await site.operators.of_email(site.lane, "TESS@desk.EXAMPLE")
    assert await site.operators.of_email(site.lane, "nobody") is None


async def test_neither_password_nor_secret_is_kept_in_clear_or_shown(site: Site) -> None:
    made = await site.make()
    session = await site.sign_in(site.code(made))
    secret = parsed_secret(made.totp_secret)
    for shown in (repr(made), repr(session), str(made.__rich_repr__()), repr(site.operators)):
        for unshown in (PASSWORD, made.totp_secret, session.token, session.session.csrf_token):
            assert unshown not in shown
    kept = str([*await site.reads.pool.fetch("select * from operators")])
    kept += str([*await site.reads.pool.fetch("select * from sealed_secrets")])
    kept += str([*await site.reads.pool.fetch("select * from operator_sessions")])
    for clear in (PASSWORD, made.totp_secret, str(secret), secret.hex(), session.token):
        assert clear not in kept
    assert "$argon2id$" in kept
    assert hashlib.sha256(session.token.encode()).hexdigest() in kept


async def test_nothing_of_a_sign_in_is_logged(site: Site) -> None:
    with structlog.testing.capture_logs() as logs:
        made = await site.make()
        await site.sign_in(site.code(made))
        await site.refused("000000", password="a wrong password")
    assert "password" not in str(logs)
    assert PASSWORD not in str(logs)


async def test_who_fails_to_sign_in_is_logged_with_where_from(site: Site) -> None:
    made = await site.make()
    with structlog.testing.capture_logs() as logs:
        await site.refused(site.wrong_code(made))
        await site.refused("000000", email="nobody@desk.example")
    found = [(one["event"], one["operator"], one["address"]) for one in logs]
    assert found == [("sign_in_failed", str(made.id), ADDRESS), ("sign_in_failed", None, ADDRESS)]


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"email": "nobody"}, Code.REQUEST_INVALID),
        ({"email": "a b@desk.example"}, Code.REQUEST_INVALID),
        ({"email": "a\0@desk.example"}, Code.REQUEST_INVALID),
        ({"name": "  "}, Code.REQUEST_INVALID),
        ({"name": "Te\0ss"}, Code.REQUEST_INVALID),
        ({"roles": []}, Code.REQUEST_INVALID),
        ({"roles": [TRADER, "king"]}, Code.REQUEST_INVALID),
        ({"password": "elevenchars"}, Code.PASSWORD_WEAK),
        ({"password": "x" * 257}, Code.PASSWORD_WEAK),
        ({"email": EMAIL.upper()}, Code.OPERATOR_TAKEN),
    ],
)
async def test_who_cannot_be_an_operator(site: Site, changes: dict[str, object], code: Code) -> None:
    await site.make()
    values: dict[str, object] = {"email": "other@desk.example", "name": "Other", "roles": [TRADER], **changes}
    with pytest.raises(Refusal) as caught:
        await site.operators.create(lane=site.lane, **values)  # type: ignore[arg-type]
    assert caught.value.code is code
    assert len(await site.operators.of_lane(site.lane)) == 1
    assert await site.sealed.faults() == (1, [])


async def test_another_desk_may_have_the_same_address(site: Site) -> None:
    other, _ = await another_desk(site)
    first, second = await site.make(), await site.make(lane=other)
    assert first.id != second.id
    assert [one.id for one in await site.operators.of_lane(other)] == [second.id]


async def test_roles_and_name_change(site: Site) -> None:
    made = await site.make()
    token = (await site.sign_in(site.code(made))).token
    await site.operators.set_roles(site.lane, made.id, [ADMIN])
    assert (await known(site, token)).roles == [ADMIN]
    await site.operators.describe(site.lane, made.id, name="Tessa", roles=[TRADER])
    found = await known(site, token)
    assert (found.name, found.roles) == ("Tessa", [TRADER])
    with pytest.raises(Refusal):
        await site.operators.set_roles(site.lane, made.id, ["king"])


async def test_nobody_of_another_desk_is_touched(site: Site) -> None:
    other, _ = await another_desk(site)
    made = await site.make()
    for attempt in (
        site.operators.operator(other, made.id),
        site.operators.set_roles(other, made.id, [ADMIN]),
        site.operators.describe(other, made.id, name="X", roles=[ADMIN]),
        site.operators.enable(other, made.id, enabled=False),
        site.operators.reset(other, made.id),
        site.operators.operator(site.lane, uuid4()),
    ):
        with pytest.raises(Refusal) as caught:
            await attempt
        assert caught.value.code is Code.OPERATOR_NOT_FOUND
    await site.sign_in(site.code(made))


# -- who keeps whom ----------------------------------------------------------------------------------------------------


async def admin(site: Site, name: str) -> UUID:
    made = await site.operators.create(lane=site.lane, email=f"{name}@desk.example", name=name, roles=[ADMIN])
    return made.id


def changes_of(site: Site, one: UUID, by: UUID) -> list[Coroutine[Any, Any, object]]:
    """Return everything that is done to somebody by somebody."""
    return [
        site.operators.set_roles(site.lane, one, [TRADER], by=by),
        site.operators.describe(site.lane, one, name="X", roles=[TRADER], by=by),
        site.operators.enable(site.lane, one, enabled=False, by=by),
        site.operators.reset(site.lane, one, by=by),
    ]


async def test_nobody_keeps_their_own_standing(site: Site) -> None:
    ann = await admin(site, "ann")
    before = await site.operators.operator(site.lane, ann)
    for change in changes_of(site, ann, ann):
        with pytest.raises(Refusal) as caught:
            await change
        assert caught.value.code is Code.OPERATOR_IS_SELF
    assert await site.operators.operator(site.lane, ann) == before


async def test_only_who_keeps_the_people_in_this_moment_keeps_somebody(site: Site) -> None:
    ann, bob, made = await admin(site, "ann"), await admin(site, "bob"), await site.make()
    await site.operators.enable(site.lane, bob, enabled=False)
    stranger = await site.operators.create(
        lane=(await another_desk(site))[0], email="eve@desk.example", name="Eve", roles=[ADMIN]
    )
    for other in (bob, made.id, stranger.id):
        for change in changes_of(site, ann, other):
            with pytest.raises(Refusal) as caught:
                await change
            assert caught.value.code is Code.DUTY_MISSING
    await site.operators.set_roles(site.lane, made.id, [APPROVER], by=ann)
    assert (await site.operators.operator(site.lane, made.id)).roles == [APPROVER]


@pytest.mark.parametrize("attempt", range(5))
async def test_of_two_who_keep_each_other_out_one_stays(site: Site, attempt: int) -> None:
    ann, bob = await admin(site, "ann"), await admin(site, "bob")
    await asyncio.gather(*(site.operators.of_lane(site.lane) for _ in range(8)))  # so that neither waits to connect
    done = await asyncio.gather(
        site.operators.enable(site.lane, bob, enabled=False, by=ann),
        site.operators.set_roles(site.lane, ann, [TRADER], by=bob),
        return_exceptions=True,
    )
    refused = [one for one in done if isinstance(one, Refusal)]
    assert [one.code for one in refused] == [Code.DUTY_MISSING]
    people = await site.operators.of_lane(site.lane)
    assert sum(one.enabled and ADMIN in one.roles for one in people) == 1


async def test_the_desk_s_own_machine_may_do_anything(site: Site) -> None:
    ann = await admin(site, "ann")
    await site.operators.enable(site.lane, ann, enabled=False)
    assert not (await site.operators.operator(site.lane, ann)).enabled


# -- signing in --------------------------------------------------------------------------------------------------------


async def known(site: Site, token: str) -> OperatorSession:
    found = await site.operators.session(token)
    assert found is not None
    return found


async def test_signing_in_gives_a_session(site: Site) -> None:
    made = await site.make()
    signed_in = await site.sign_in(site.code(made), email=f"  {EMAIL.upper()} ", desk=site.desk)
    session = signed_in.session
    assert (session.operator_id, session.email, session.name, session.roles) == (made.id, EMAIL, "Tess", [TRADER])
    assert (session.lane, session.lane_name, session.lane_kind) == (site.lane, site.desk, "sandbox")
    assert (session.address, session.agent) == (ADDRESS, "a browser")
    assert session.created_at == session.seen_at == site.clock.now()
    assert len(session.csrf_token) == 64
    assert len(signed_in.token) == 43
    assert await site.operators.session(signed_in.token) == session
    assert await site.operators.sessions(made.id) == [session]


async def test_every_failure_looks_alike(site: Site) -> None:
    """Who fails is told nothing by which the parts could be guessed one by one."""
    made = await site.make()
    code = site.code(made)
    off = await site.make("off@desk.example")
    await site.operators.enable(site.lane, off.id, enabled=False)
    closed, _ = await another_desk(site)
    gone = await site.make("gone@desk.example", lane=closed)
    await site.reads.value("lanes", "close", closed, site.clock.now())
    refusals = [
        await site.refused(code, email="nobody@desk.example"),
        await site.refused(code, email="no address\0"),
        await site.refused(code, password="a wrong password"),
        await site.refused(code, password=PASSWORD + " "),
        await site.refused(code, password="\udcff" * 12),
        await site.refused(site.wrong_code(made)),
        await site.refused(""),
        await site.refused(code, desk="elsewhere"),
        await site.refused(code, desk="\0"),
        await site.refused(site.code(off), email="off@desk.example"),
        await site.refused(site.code(gone), email="gone@desk.example"),
    ]
    assert {(refusal.code, refusal.detail, str(refusal.facts)) for refusal in refusals} == {
        (Code.SIGN_IN_FAILED, Code.SIGN_IN_FAILED.sentence, "{}")
    }
    assert (await site.operators.operator(site.lane, off.id)).failures == 1
    site.clock.advance(seconds=LOCKED_SECONDS)
    await site.sign_in(site.code(made))


async def test_a_code_counts_one_step_either_way(site: Site) -> None:
    made = await site.make()
    for steps in (-2, 2):
        assert (await site.refused(site.code(made, steps=steps))).code is Code.SIGN_IN_FAILED
    for steps in (-1, 0, 1):
        code = site.code(made, steps=steps)
        await site.sign_in(f"{code[:3]} {code[3:]}")


async def test_a_code_is_good_once_and_no_older_one_after_it(site: Site) -> None:
    made = await site.make()
    older, code = site.code(made, steps=-1), site.code(made)
    await site.sign_in(code)
    for spent in (code, older):
        assert (await site.refused(spent)).code is Code.SIGN_IN_FAILED
    site.next_step()
    assert (await site.refused(code)).code is Code.SIGN_IN_FAILED
    await site.sign_in(site.code(made))


async def test_of_many_with_one_code_at_once_one_is_let_in(site: Site) -> None:
    made = await site.make()
    code = site.code(made)
    ended = await asyncio.gather(*(site.sign_in(code) for _ in range(FAILURES_MAX)), return_exceptions=True)
    assert len([one for one in ended if isinstance(one, SignedIn)]) == 1
    assert all(one.code is Code.SIGN_IN_FAILED for one in ended if isinstance(one, Refusal))


async def test_who_works_at_several_desks_names_one(site: Site) -> None:
    other, other_desk = await another_desk(site)
    first, second = await site.make(), await site.make(lane=other, password="another password")
    assert (await site.refused(site.code(first))).detail == NAME_THE_DESK
    for wrong in ({"password": "a wrong password"}, {"email": "nobody@desk.example"}):
        assert (await site.refused(site.code(first), **wrong)).detail == Code.SIGN_IN_FAILED.sentence
    assert (await site.refused(site.wrong_code(first))).detail == Code.SIGN_IN_FAILED.sentence
    assert (await site.sign_in(site.code(first), desk=site.desk)).session.lane == site.lane
    signed_in = await site.sign_in(site.code(second), desk=other_desk, password="another password")
    assert signed_in.session.lane == other


async def test_a_desk_that_keeps_one_out_need_not_be_told_from_another(site: Site) -> None:
    other, _ = await another_desk(site)
    first, second = await site.make(), await site.make(lane=other)
    await site.operators.enable(site.lane, first.id, enabled=False)
    assert (await site.sign_in(site.code(second))).session.lane == other


async def test_a_hash_of_other_parameters_is_made_anew(site: Site) -> None:
    made = await site.make()
    site.operators = site.with_hasher(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))
    await site.refused(site.code(made), password="a wrong password")
    assert "t=1" in await kept_hash(site, made.id)
    await site.sign_in(site.code(made))
    assert "t=2" in await kept_hash(site, made.id)
    site.next_step()
    await site.sign_in(site.code(made))


async def kept_hash(site: Site, operator_id: UUID) -> str:
    return str(await site.reads.pool.fetchval("select password_hash from operators where id = $1", operator_id))


# -- locked out --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("email", [EMAIL, "nobody@desk.example"])
async def test_failures_in_a_row_lock_for_longer_and_longer(site: Site, email: str) -> None:
    """Also an address that nobody has: else being locked would tell who is an operator."""
    await site.make()
    for _ in range(FAILURES_MAX):
        assert (await site.refused("000000", email=email, password="wrong")).code is Code.SIGN_IN_FAILED
    seconds = LOCKED_SECONDS
    for _ in range(9):
        refused = await site.refused("000000", email=email, password="wrong")
        assert (refused.code, refused.facts) == (Code.SIGN_IN_LOCKED, {"retry_after_seconds": seconds})
        site.clock.advance(seconds=seconds - 1)
        assert (await site.refused("000000", email=email)).facts == {"retry_after_seconds": 1}
        site.clock.advance(seconds=1)
        assert (await site.refused("000000", email=email, password="wrong")).code is Code.SIGN_IN_FAILED
        seconds = min(2 * seconds, LOCKED_SECONDS_MAX)
    assert seconds == LOCKED_SECONDS_MAX


async def test_while_locked_the_right_password_does_not_help_and_afterwards_all_is_forgiven(site: Site) -> None:
    made = await site.make()
    for _ in range(FAILURES_MAX):
        await site.refused(site.wrong_code(made))
    assert (await site.refused(site.code(made))).code is Code.SIGN_IN_LOCKED
    site.next_step()
    await site.sign_in(site.code(made))
    (one,) = await site.operators.of_lane(site.lane)
    assert (one.failures, one.locked_until) == (0, None)


async def test_a_success_ends_the_row_of_failures(site: Site) -> None:
    made = await site.make()
    for _ in range(3):
        for _ in range(FAILURES_MAX - 1):
            await site.refused(site.wrong_code(made))
        await site.sign_in(site.code(made))
        site.clock.advance(seconds=61)


async def test_guesses_at_once_are_no_more_than_guesses_in_a_row(site: Site) -> None:
    """All processes count in the database, so each of two is a desk of its own here."""
    made = await site.make()
    sites = [site.operators, site.with_hasher(QUICK)]
    guesses = [
        sites[number % 2].sign_in(
            email=EMAIL, password=f"guess {number}", code=site.code(made), desk=None, address=ADDRESS, agent=""
        )
        for number in range(16)
    ]
    ended = [one.code for one in await asyncio.gather(*guesses, return_exceptions=True) if isinstance(one, Refusal)]
    assert ended.count(Code.SIGN_IN_FAILED) == FAILURES_MAX
    assert ended.count(Code.SIGN_IN_LOCKED) == len(guesses) - FAILURES_MAX


async def test_an_address_that_fails_too_often_waits(site: Site) -> None:
    made = await site.make()
    for number in range(FAILURES_OF_ADDRESS_MAX):
        await site.refused("000000", email=f"guess{number}@desk.example")
    refused = await site.refused(site.code(made))
    assert (refused.code, refused.facts) == (Code.RATE_LIMITED, {"retry_after_seconds": 60})
    await site.sign_in(site.code(made), address="192.0.2.8")
    site.clock.advance(seconds=60)
    await site.sign_in(site.code(made))


async def test_a_household_of_many_addresses_is_one(site: Site) -> None:
    await site.make()
    for number in range(FAILURES_OF_ADDRESS_MAX):
        await site.refused("000000", email=f"guess{number}@desk.example", address=f"2001:db8::{number:x}")
    assert (await site.refused("000000", address="2001:db8::ffff:1")).code is Code.RATE_LIMITED
    assert (await site.refused("000000", address="2001:db8:0:1::1")).code is Code.SIGN_IN_FAILED


async def test_a_success_does_not_count_against_its_address(site: Site) -> None:
    made = await site.make()
    for number in range(FAILURES_OF_ADDRESS_MAX - 1):
        await site.refused("000000", email=f"guess{number}@desk.example")
    await site.sign_in(site.code(made))
    assert (await site.refused("000000", email="guess@desk.example")).code is Code.SIGN_IN_FAILED
    assert (await site.refused("000000", email="guess@desk.example")).code is Code.RATE_LIMITED


async def test_too_many_at_once_are_turned_away_before_they_count(site: Site) -> None:
    made = await site.make()
    site.operators = site.with_hasher(PasswordHasher(time_cost=1, memory_cost=16_384, parallelism=1))
    ended = await asyncio.gather(
        *(site.sign_in("000000", email=f"guess{number}@desk.example") for number in range(25)), return_exceptions=True
    )
    codes = [one.code for one in ended if isinstance(one, Refusal)]
    assert codes.count(Code.OVERLOADED) == 7
    assert codes.count(Code.SIGN_IN_FAILED) == 18
    await site.sign_in(site.code(made))


# -- sessions ----------------------------------------------------------------------------------------------------------


async def test_a_token_that_was_not_made_here_is_nobodys(site: Site) -> None:
    made = await site.make()
    given = "chosen-by-somebody-else"
    assert await site.operators.session(given) is None
    signed_in = await site.sign_in(site.code(made))
    assert signed_in.token != given
    assert await site.operators.session(given) is None
    kept = hashlib.sha256(signed_in.token.encode()).hexdigest()
    for other in ("", kept, str(signed_in.session.id), signed_in.session.csrf_token, signed_in.token[:-1]):
        assert await site.operators.session(other) is None


async def test_each_sign_in_has_a_token_of_its_own(site: Site) -> None:
    made = await site.make()
    first = await site.sign_in(site.code(made))
    site.next_step()
    second = await site.sign_in(site.code(made))
    assert first.token != second.token
    assert first.session.csrf_token != second.session.csrf_token
    assert [one.id for one in await site.operators.sessions(made.id)] == [second.session.id, first.session.id]


async def test_a_session_ends_when_it_is_idle(site: Site) -> None:
    made = await site.make()
    token = (await site.sign_in(site.code(made))).token
    for _ in range(3):
        site.clock.advance(seconds=IDLE_MINUTES * 60 - 1)
        await known(site, token)
    site.clock.advance(seconds=IDLE_MINUTES * 60)
    assert await site.operators.session(token) is None
    assert await site.operators.sessions(made.id) == []


async def test_a_look_that_is_nobodys_does_not_keep_a_session(site: Site) -> None:
    made = await site.make()
    token = (await site.sign_in(site.code(made))).token
    site.clock.advance(seconds=IDLE_MINUTES * 60 - 1)
    assert await site.operators.session(token, seen=False) is not None
    site.clock.advance(seconds=1)
    assert await site.operators.session(token) is None


async def test_a_session_ends_after_its_hours_however_busy(site: Site) -> None:
    made = await site.make()
    token = (await site.sign_in(site.code(made))).token
    for _ in range(SESSION_HOURS * 3 - 1):
        site.clock.advance(seconds=20 * 60)
        await known(site, token)
    site.clock.advance(seconds=20 * 60)
    assert await site.operators.session(token) is None


async def test_when_a_session_was_seen_is_not_written_with_each_request(site: Site) -> None:
    made = await site.make()
    signed_in = await site.sign_in(site.code(made))
    site.clock.advance(seconds=14)
    await known(site, signed_in.token)
    assert (await known(site, signed_in.token)).seen_at == signed_in.session.seen_at
    seen_at = site.clock.advance(seconds=1)
    await known(site, signed_in.token)
    assert (await known(site, signed_in.token)).seen_at == seen_at


async def test_who_is_kept_out_is_out_at_once_and_signs_in_anew(site: Site) -> None:
    made = await site.make()
    token = (await site.sign_in(site.code(made))).token
    await site.operators.enable(site.lane, made.id, enabled=False)
    assert await site.operators.session(token) is None
    await site.operators.enable(site.lane, made.id, enabled=True)
    assert await site.operators.session(token) is None
    site.next_step()
    await site.sign_in(site.code(made))


async def test_a_closed_lane_has_no_sessions(site: Site) -> None:
    made = await site.make()
    token = (await site.sign_in(site.code(made))).token
    await site.reads.value("lanes", "close", site.lane, site.clock.now())
    assert await site.operators.session(token) is None
    assert await site.operators.sessions(made.id) == []


async def test_signing_out_ends_one_session_or_all(site: Site) -> None:
    made = await site.make()
    signed_in = []
    for _ in range(4):
        signed_in.append(await site.sign_in(site.code(made)))
        site.next_step()
    first, second, third, fourth = signed_in
    assert await site.operators.sign_out(first.session.id)
    assert not await site.operators.sign_out(first.session.id)
    assert await site.operators.session(first.token) is None
    assert await site.operators.sign_out_all(made.id, except_session=second.session.id) == 2
    for ended in (third, fourth):
        assert await site.operators.session(ended.token) is None
    await known(site, second.token)
    assert await site.operators.sign_out_all(made.id) == 1


async def test_a_reset_changes_all_and_ends_all(site: Site) -> None:
    made = await site.make()
    token = (await site.sign_in(site.code(made))).token
    for _ in range(FAILURES_MAX):
        await site.refused(site.wrong_code(made))
    fresh = await site.operators.reset(site.lane, made.id)
    assert (fresh.id, fresh.email) == (made.id, EMAIL)
    assert fresh.totp_secret != made.totp_secret
    assert await site.operators.session(token) is None
    for password, code in ((PASSWORD, site.code(fresh)), (fresh.password, site.wrong_code(fresh))):
        assert (await site.refused(code, password=password)).code is Code.SIGN_IN_FAILED
    await site.sign_in(site.code(fresh), password=fresh.password)
    assert await site.sealed.open(TOTP_PURPOSE, str(made.id)) == parsed_secret(fresh.totp_secret)


async def test_a_password_is_changed_by_who_knows_it_and_has_a_code(site: Site) -> None:
    made = await site.make()
    first = await site.sign_in(site.code(made))
    site.next_step()
    second = await site.sign_in(site.code(made))
    site.next_step()
    code, new = site.code(made), "a new password, longer"
    for old, given, wanted, refused in (
        (PASSWORD, code, "short", Code.PASSWORD_WEAK),
        ("a wrong password", code, new, Code.SIGN_IN_FAILED),
        (PASSWORD, site.wrong_code(made), new, Code.SIGN_IN_FAILED),
    ):
        with pytest.raises(Refusal) as caught:
            await site.operators.change_password(made.id, old, wanted, given)
        assert caught.value.code is refused
    site.clock.advance(seconds=1)
    await site.operators.change_password(made.id, PASSWORD, new, code, kept_session=second.session.id)
    assert await site.operators.session(first.token) is None
    await known(site, second.token)
    (one,) = await site.operators.of_lane(site.lane)
    assert (one.password_changed_at, one.failures) == (site.clock.now(), 0)
    assert (await site.refused(code, password=new)).code is Code.SIGN_IN_FAILED
    site.next_step()
    assert (await site.refused(site.code(made))).code is Code.SIGN_IN_FAILED
    await site.sign_in(site.code(made), password=new)


async def test_guesses_at_a_password_in_a_session_lock_too(site: Site) -> None:
    made = await site.make()
    codes = []
    for _ in range(FAILURES_MAX + 1):
        with pytest.raises(Refusal) as caught:
            await site.operators.change_password(made.id, "a wrong password", PASSWORD, site.code(made))
        codes.append(caught.value.code)
    assert codes == [*[Code.SIGN_IN_FAILED] * FAILURES_MAX, Code.SIGN_IN_LOCKED]
    assert (await site.refused(site.code(made))).code is Code.SIGN_IN_LOCKED


async def test_what_is_old_is_forgotten(site: Site) -> None:
    made = await site.make()
    await site.sign_in(site.code(made))
    await site.refused("000000", email="nobody@desk.example")
    assert await counted(site) == (1, 2)
    site.clock.advance(seconds=2 * 86_400)
    assert not await site.operators.forget_old()
    assert await counted(site) == (1, 0)
    site.clock.advance(seconds=89 * 86_400)
    assert not await site.operators.forget_old()
    assert await counted(site) == (0, 0)


async def counted(site: Site) -> tuple[int, int]:
    sessions = await site.reads.pool.fetchval("select count(*) from operator_sessions")
    return sessions, await site.reads.pool.fetchval("select count(*) from sign_in_brakes")
