"""The people who run the desk: made, given roles, let in or kept out, and signed out.

What is done with people changes no books; it is noted in the audit chain before it is done. Who may do what to whom is
decided in `otcdesk.operators`: nobody keeps their own standing, so somebody who keeps the people always stays.
"""

from collections import Counter
from typing import Final
from uuid import UUID

from otcdesk.actions.note_act import NoteAct
from otcdesk.api.http import Answer
from otcdesk.console.fields import named_id, text_of, ticked_of
from otcdesk.console.page import ConsoleCall, done, opens, page, posts
from otcdesk.domain import duties
from otcdesk.domain.emails import EMAIL_LENGTH_MAX
from otcdesk.domain.world_staff import NAME_LENGTH_MAX
from otcdesk.errors import Code, Refusal
from otcdesk.operators import MadeOperator, Operator, Operators, check_person, checked_roles

_PEOPLE: Final = "/people"
_PERSON: Final = f"{_PEOPLE}/{{id}}"


async def show_people(call: ConsoleCall) -> Answer:
    """Show everybody, where they are signed in, and what each role carries."""
    operators, lane = _operators(call), call.caller.lane
    sessions = await operators.sessions_of_lane(lane)
    facts = {
        "people": await operators.of_lane(lane),
        "sessions": Counter(session.operator_id for session in sessions),
        "seen": {session.operator_id: session.seen_at for session in reversed(sessions)},
        "roles": duties.ROLES,
        "all_duties": duties.DUTIES,
        "now": call.desk.clock.now(),
    }
    return await page(call, "people/people.html", facts)


async def create(call: ConsoleCall) -> Answer:
    """Make an operator and show what they sign in with, this once."""
    email = text_of(call, "email", "The e-mail address", length_max=EMAIL_LENGTH_MAX)
    name = text_of(call, "name", "The name", length_max=NAME_LENGTH_MAX)
    roles = checked_roles(ticked_of(call, "role"))
    check_person(email, name)
    lane, operators = call.caller.lane, _operators(call)
    if await operators.of_email(lane, email) is not None:
        raise Refusal(Code.OPERATOR_TAKEN, email=email)
    await _note(call, "made an operator", about=email, detail=", ".join(roles))
    return await _told(call, await operators.create(lane=lane, email=email, name=name, roles=roles), name)


async def show_person(call: ConsoleCall) -> Answer:
    """Show somebody, and where they are signed in."""
    one = await _person(call)
    facts = {
        "one": one,
        "sessions": await _operators(call).sessions(one.id),
        "roles": duties.ROLES,
        "all_duties": duties.DUTIES,
        "carried": duties.duties_of(one.roles),
        "is_self": one.id == call.signed_in.operator_id,
        "now": call.desk.clock.now(),
    }
    return await page(call, "people/person.html", facts)


async def describe(call: ConsoleCall) -> Answer:
    """Give somebody another name and other roles."""
    name = text_of(call, "name", "The name", length_max=NAME_LENGTH_MAX)
    roles = checked_roles(ticked_of(call, "role"))
    one = await _other(call)
    await _note(call, "changed an operator", one, detail=f"{name}: {', '.join(roles)}")
    await _operators(call).describe(one.lane, one.id, name=name, roles=roles, by=call.signed_in.operator_id)
    return _back(one.id, "changed")


async def enable(call: ConsoleCall) -> Answer:
    """Let somebody in, or keep them out."""
    enabled = call.field("enabled") == "yes"
    one = await _other(call)
    await _note(call, "let an operator in" if enabled else "kept an operator out", one)
    await _operators(call).enable(one.lane, one.id, enabled=enabled, by=call.signed_in.operator_id)
    return _back(one.id, "enabled" if enabled else "disabled")


async def reset(call: ConsoleCall) -> Answer:
    """Give somebody another password and another secret, shown this once."""
    one = await _other(call)
    await _note(call, "reset an operator", one)
    made = await _operators(call).reset(one.lane, one.id, by=call.signed_in.operator_id)
    return await _told(call, made, one.name)


async def end_sessions(call: ConsoleCall) -> Answer:
    """End one of somebody's sessions, or all of them but the one that asks."""
    one, operators = await _person(call), _operators(call)
    wanted = call.field("session")
    known = {session.id for session in await operators.sessions(one.id)}
    session_id = named_id(wanted)
    if wanted and session_id not in known:
        raise Refusal(Code.REQUEST_INVALID, "This session has ended.")
    await _note(call, "ended sessions of an operator", one, detail=wanted or "all")
    if session_id is not None:
        await operators.sign_out(session_id)
    else:
        await operators.sign_out_all(one.id, except_session=call.signed_in.id)
    return _back(one.id, "ended")


def _operators(call: ConsoleCall) -> Operators:
    operators: Operators = call.services.operators
    return operators


async def _person(call: ConsoleCall) -> Operator:
    return await _operators(call).operator(call.caller.lane, call.path_id("id", Code.OPERATOR_NOT_FOUND))


async def _other(call: ConsoleCall) -> Operator:
    """Return somebody else: what is refused must not stand in the audit chain as done."""
    one = await _person(call)
    if one.id == call.signed_in.operator_id:
        raise Refusal(Code.OPERATOR_IS_SELF)
    return one


async def _note(
    call: ConsoleCall, what: str, one: Operator | None = None, *, about: str = "", detail: str = ""
) -> None:
    """Keep what is about to be done, and why."""
    about_id = None if one is None else one.id
    act = NoteAct(what=what, about_id=about_id, about=about if one is None else one.email, detail=detail)
    await call.submit(act, why=text_of(call, "why", "The reason"))


async def _told(call: ConsoleCall, made: MadeOperator, name: str) -> Answer:
    secrets = [
        ("E-mail address", made.email),
        ("Password", made.password),
        ("Secret for codes", made.totp_secret),
        ("Address for an authenticator", made.provisioning_uri),
    ]
    facts = {"title": f"What {name} signs in with", "secrets": secrets}
    return await page(call, "shown_once.html", {**facts, "back": f"/console/people/{made.id}", "back_name": name})


def _back(operator_id: UUID, said: str) -> Answer:
    return done(f"/console/people/{operator_id}", said)


_DUTY: Final = duties.STAFF_MANAGE
_KNOWN: Final = (Code.OPERATOR_NOT_FOUND,)
_OTHER: Final = (*_KNOWN, Code.OPERATOR_IS_SELF)

ROUTES = (
    opens(_PEOPLE, show_people, "The people who run the desk", duty=_DUTY),
    posts(_PEOPLE, create, "Make an operator", duty=_DUTY, shows=show_people, refuses=(Code.OPERATOR_TAKEN,)),
    opens(_PERSON, show_person, "An operator", duty=_DUTY, refuses=_KNOWN),
    posts(_PERSON, describe, "Give an operator other roles", duty=_DUTY, shows=show_person, refuses=_OTHER),
    posts(f"{_PERSON}/enabled", enable, "Let an operator in or out", duty=_DUTY, shows=show_person, refuses=_OTHER),
    posts(f"{_PERSON}/reset", reset, "Reset an operator", duty=_DUTY, shows=show_person, refuses=_OTHER),
    posts(
        f"{_PERSON}/sessions/end",
        end_sessions,
        "End an operator's sessions",
        duty=_DUTY,
        shows=show_person,
        refuses=_KNOWN,
    ),
)
