"""Signing in with e-mail, password and code; signing out; one's own password and sessions.

Who signs in gets a token that nobody had before, whatever they sent, so no session can be planted. Signing in and out
is kept in the audit chain as acts.
"""

import re
from typing import Final

from otcdesk.actions.note_act import NoteAct
from otcdesk.api.http import Answer
from otcdesk.api.pages import see_other
from otcdesk.api.wire import canonical_uuid
from otcdesk.console.dialect import COOKIE, SIGN_IN
from otcdesk.console.page import ConsoleCall, done, opens, page, posts
from otcdesk.desk import PERSON, Caller
from otcdesk.domain import duties
from otcdesk.domain.acts import InPerson
from otcdesk.domain.parties import DESK_ID
from otcdesk.errors import Code, Refusal
from otcdesk.operators import OperatorSession

_HOME: Final = "/console/orders"
_ACCOUNT: Final = "/console/account"

#: Where a sign-in may lead: to a page of the console, as its own addresses are written.
_BACK: Final = re.compile(r"/console/[A-Za-z0-9/_?=&%.:+,-]{0,2000}", re.ASCII)


async def home(call: ConsoleCall) -> Answer:  # noqa: ARG001  (as all handlers)
    """Lead to the page that people come for."""
    return see_other(_HOME)


async def show_sign_in(call: ConsoleCall) -> Answer:
    """Show the form, or go on for who is signed in and has not just failed to sign in again."""
    if call.session is not None and call.obstacle is None:
        return see_other(_back(call))
    lanes = await call.desk.reads.records("lanes", "with_operators")
    return await page(
        call, "sign_in/sign_in.html", {"several": len(lanes) > 1, "in_sandbox": call.desk.settings.sandbox}
    )


async def sign_in(call: ConsoleCall) -> Answer:
    """Sign in: another token for each time, whatever the browser had before; what it had is over then."""
    made = await call.services.operators.sign_in(
        email=call.field("email"),
        password=call.body.get("password", ""),
        code=call.field("code"),
        desk=call.field("desk"),
        address=call.request.client_address,
        agent=call.request.header("user-agent") or "",
    )
    if call.session is not None and await call.services.operators.sign_out(call.session.id):
        await _note(call, call.session, "signed out")
    await _note(call, made.session, "signed in")
    answer = see_other(_back(call))
    return Answer(answer.status, b"", (*answer.headers, _cookie(call, made.token)), answer.content_type)


async def sign_out(call: ConsoleCall) -> Answer:
    """End this session."""
    await call.services.operators.sign_out(call.signed_in.id)
    await _note(call, call.signed_in, "signed out")
    answer = see_other(SIGN_IN)
    return Answer(answer.status, b"", (*answer.headers, _cookie(call, "", lasts=0)), answer.content_type)


async def show_account(call: ConsoleCall) -> Answer:
    """Show who is signed in, what they may, and where else they are signed in."""
    sessions = await call.services.operators.sessions(call.signed_in.operator_id)
    roles = [(role, sorted(duties.ROLES[role])) for role in call.signed_in.roles]
    return await page(call, "sign_in/account.html", {"sessions": sessions, "roles": roles, "all_duties": duties.DUTIES})


async def change_password(call: ConsoleCall) -> Answer:
    """Change one's own password, which ends all other sessions."""
    if call.body.get("new", "") != call.body.get("again", ""):
        raise Refusal(Code.REQUEST_INVALID, "The new password was not typed the same way twice.")
    await call.services.operators.change_password(
        call.signed_in.operator_id,
        call.body.get("old", ""),
        call.body.get("new", ""),
        call.field("code"),
        kept_session=call.signed_in.id,
    )
    await _note(call, call.signed_in, "changed the password")
    return done(_ACCOUNT, "password")


async def end_session(call: ConsoleCall) -> Answer:
    """End one of one's own sessions."""
    try:
        wanted = canonical_uuid(call.field("session"))
    except ValueError:
        raise Refusal(Code.REQUEST_INVALID, "There is no such session.") from None
    mine = await call.services.operators.sessions(call.signed_in.operator_id)
    if wanted not in {session.id for session in mine}:
        raise Refusal(Code.REQUEST_INVALID, "There is no such session.")
    await _note(call, call.signed_in, "ended a session", detail=str(wanted))
    await call.services.operators.sign_out(wanted)
    return done(_ACCOUNT, "ended")


async def _note(call: ConsoleCall, session: OperatorSession, what: str, *, detail: str = "") -> None:
    """Keep in the audit chain of the lane what somebody did who may not be a caller yet, or not any more."""
    caller = Caller(
        lane=session.lane,
        owner_id=DESK_ID,
        name=f"{PERSON}:{session.email}",
        kind=PERSON,
        scopes=frozenset({duties.READ}),
    )
    await call.desk.submit(
        caller,
        NoteAct(what=what, about_id=session.operator_id, detail=detail),
        request_id=call.request.id,
        in_person=InPerson(address=call.request.client_address),
    )


def _back(call: ConsoleCall) -> str:
    wanted = call.field("next") or call.request.query.get("next", "")
    return wanted if _BACK.fullmatch(wanted) and ".." not in wanted else _HOME


def _cookie(call: ConsoleCall, token: str, *, lasts: int | None = None) -> tuple[bytes, bytes]:
    """Return the header that gives the browser a token, for pages of the console and no script."""
    secure = call.request.came_by_tls or call.desk.settings.base_url.startswith("https://")
    parts = [f"{COOKIE}={token}", "Path=/console", "HttpOnly", "SameSite=Lax"]
    parts += ["Secure"] if secure else []
    parts += [] if lasts is None else [f"Max-Age={lasts}"]
    return b"set-cookie", "; ".join(parts).encode("ascii")


_SIGNING_IN = (Code.SIGN_IN_FAILED, Code.SIGN_IN_LOCKED)

ROUTES = (
    opens("/", home, "The console", duty=None),
    opens("/sign-in", show_sign_in, "Sign in", duty=None),
    posts("/sign-in", sign_in, "Sign in", duty=None, shows=show_sign_in, refuses=_SIGNING_IN),
    posts("/sign-out", sign_out, "Sign out", duty=duties.READ),
    opens("/account", show_account, "One's own account"),
    posts(
        "/account/password",
        change_password,
        "Change one's own password",
        duty=duties.READ,
        shows=show_account,
        refuses=(*_SIGNING_IN, Code.PASSWORD_WEAK),
    ),
    posts("/account/sessions/end", end_session, "End one of one's own sessions", duty=duties.READ, shows=show_account),
)
