"""Who may do what: every route and every command against every role, and the whole of it written down."""

import asyncio
import re
from typing import Any
from uuid import uuid4

import pytest

from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.console.page import FormRoute
from otcdesk.console.routes import ROUTES
from otcdesk.desk import PERSON, Caller
from otcdesk.domain import duties
from otcdesk.domain.commands import Command
from otcdesk.domain.parties import DESK_ID
from otcdesk.errors import Code, Refusal
from tests.support.busy_desk import BusyDesk
from tests.support.console_pages import CONSOLE
from tests.support.consoles import Person, signed_in
from tests.support.desk import Lane
from tests.support.program import opened
from tests.support.server import DeskServer, World

#: The matrix as it was decided; whoever changes it changes it here as well.
MATRIX = {
    "trader": "orders.reject orders.requote prices.set read resales.decide sandbox.steer",
    "approver": "debits.settle limits.set orders.approve orders.reject orders.requote read terms.set",
    "finance": "bank.files bookings.make books.verify debits.settle deposits.conclude guards.set payouts.settle read "
    "terms.set",
    "compliance": "books.verify deposits.conclude guards.set limits.set orders.reject parties.freeze payouts.review "
    "read",
    "admin": "books.verify channels.switch credentials.manage jobs.manage maintenance.switch read sandbox.steer "
    "staff.manage webhooks.manage",
}

#: Whoever is asked for neither a session nor a duty.
OPEN = {"GET /static/{name}", "GET /", "GET /sign-in", "POST /sign-in"}

#: What routes ask for that is more than to be signed in.
ASKED = {
    "POST /orders/{id}/settle-debit": "debits.settle",
    "POST /orders/{id}/requote": "orders.requote",
    "POST /orders/{id}/reject": "orders.reject",
    "POST /orders/{id}/hold": "payouts.review",
    "POST /orders/{id}/release": "payouts.review",
    "POST /orders/{id}/cancel": "payouts.review",
    "POST /orders/{id}/settle": "payouts.settle",
    "POST /orders/{id}/fail": "payouts.settle",
    "POST /orders/{id}/return": "payouts.settle",
    "POST /orders/{id}/adjust": "payouts.settle",
    "POST /orders/{id}/conclude": "deposits.conclude",
    "POST /orders/{id}/take": "resales.decide",
    "POST /orders/{id}/close": "resales.decide",
    "POST /orders/{id}/jobs/{job}/retry": "jobs.manage",
    "POST /orders/{id}/jobs/{job}/fail": "jobs.manage",
    "POST /orders/{id}/callbacks/{callback}/send": "webhooks.manage",
    "POST /approvals/{id}/approve": "orders.approve",
    "POST /approvals/{id}/reject": "orders.reject",
    "POST /approvals/{id}/requote": "orders.requote",
    "POST /invariants": "books.verify",
    "POST /chain": "books.verify",
    "POST /chain/cancel": "books.verify",
    "POST /bookings": "bookings.make",
    "POST /prices/set": "prices.set",
    "POST /prices/end": "prices.set",
    "POST /prices/feed": "prices.set",
    "POST /tenants/{id}/freeze": "parties.freeze",
    "POST /tenants/{id}/limits": "limits.set",
    "POST /tenants/{id}/spreads": "terms.set",
    "POST /tenants/{id}/credentials": "credentials.manage",
    "POST /tenants/{id}/credentials/revoke": "credentials.manage",
    "POST /parties/{id}/freeze": "parties.freeze",
    "POST /parties/{id}/limits": "limits.set",
    "POST /guards/assets": "guards.set",
    "POST /guards/terms": "guards.set",
    "POST /guards/fees": "terms.set",
    "POST /guards/channels": "channels.switch",
    "POST /guards/listings": "prices.set",
    "POST /guards/maintenance": "maintenance.switch",
    "GET /webhooks/new": "webhooks.manage",
    "POST /webhooks/new": "webhooks.manage",
    "POST /webhooks/{id}": "webhooks.manage",
    "POST /webhooks/{id}/switch": "webhooks.manage",
    "POST /webhooks/{id}/test": "webhooks.manage",
    "POST /webhooks/{id}/rotate": "webhooks.manage",
    "POST /webhooks/{id}/recover": "webhooks.manage",
    "POST /webhooks/{id}/delete": "webhooks.manage",
    "POST /deliveries/{id}/send": "webhooks.manage",
    "GET /people": "staff.manage",
    "POST /people": "staff.manage",
    "GET /people/{id}": "staff.manage",
    "POST /people/{id}": "staff.manage",
    "POST /people/{id}/enabled": "staff.manage",
    "POST /people/{id}/reset": "staff.manage",
    "POST /people/{id}/sessions/end": "staff.manage",
    "POST /sandbox/clock": "sandbox.steer",
    "POST /sandbox/prices": "sandbox.steer",
    "POST /sandbox/feeds": "prices.set",
    "POST /sandbox/faults": "sandbox.steer",
    "POST /sandbox/debits": "sandbox.steer",
    "POST /sandbox/work": "sandbox.steer",
    "POST /sandbox/chain-deposits": "deposits.conclude",
    "POST /sandbox/fiat-deposits": "deposits.conclude",
    "POST /sandbox/payouts/{id}": "sandbox.steer",
}


def test_the_matrix_is_as_it_was_decided() -> None:
    assert {role: " ".join(sorted(carried)) for role, carried in duties.ROLES.items()} == MATRIX
    assert frozenset().union(*duties.ROLES.values()) == duties.DUTIES.keys()


def test_who_keeps_the_people_moves_no_money() -> None:
    """And who moves money makes no people: nobody can make their own second."""
    moves = {command: verb.duty for command, verb in CATALOGUE.items() if verb.duty is not None}
    admins = {command.__name__ for command, duty in moves.items() if duty in duties.ROLES[duties.ADMIN]}
    assert admins == {
        *("NoteAct", "SecondProposal", "WithdrawProposal"),  # which ask for the duty of what they are about
        *("RetryJob", "RecordJob", "SwitchChannel"),
        *("SetClock", "SetFault", "SetDebitSettlement", "PublishPrice"),
    }
    assert [role for role, carried in duties.ROLES.items() if duties.STAFF_MANAGE in carried] == [duties.ADMIN]


def test_every_route_asks_for_what_is_written_down() -> None:
    assert {route.label for route in ROUTES if route.scope is None} == OPEN
    asked = {route.label: route.scope for route in ROUTES if route.scope not in {None, duties.READ}}
    assert asked == ASKED


def filled(path: str) -> str:
    return CONSOLE + re.sub(r"\{\w+\}", str(uuid4()), path)


@pytest.fixture(scope="module")
def world(server: DeskServer) -> World:
    return BusyDesk(server)


@pytest.mark.parametrize("role", [*duties.ROLES, "none"])
def test_every_route_lets_in_whose_role_carries_its_duty(world: World, role: str) -> None:
    """An empty form of somebody who may is refused for what it lacks; of somebody who may not, for who they are."""
    person = Person(world.server) if role == "none" else signed_in(world, role)
    carried = duties.ROLES.get(role, frozenset())
    mark = {} if role == "none" else {"csrf": person.mark}
    wrong = []
    for route in ROUTES:
        if route.scope is None or route.label in {"POST /sign-out", "GET /events"}:
            continue
        if isinstance(route, FormRoute):
            status = person.post(filled(route.path), mark, mark=False).status_code
        else:
            status = person.get(filled(route.path)).status_code
        expected = status in ({401} if isinstance(route, FormRoute) else {303})
        if role != "none":
            expected = (status == 403) == (route.scope not in carried)
        if not expected or status >= 500:
            wrong.append((route.label, status))
    assert wrong == []


@pytest.mark.parametrize("role", [*duties.ROLES, "none"])
async def test_no_command_is_taken_of_a_person_whose_roles_do_not_carry_it(
    lane: Lane, tmp_path: Any, role: str
) -> None:
    """Whatever page forgets to ask. A command without a duty is none for people."""
    carried = duties.ROLES.get(role, frozenset())
    caller = Caller(lane=lane.number, owner_id=DESK_ID, name="person:a", kind=PERSON, scopes=carried)

    async def is_refused(kind: type[Command]) -> bool:
        command = kind(**dict.fromkeys(kind.__struct_fields__))  # what is in it must not matter
        with pytest.raises(Refusal) as refused:
            await program.desk.submit(caller, command, request_id="r")
        return refused.value.code is Code.DUTY_MISSING

    async with opened(lane, tmp_path) as program:
        kinds = [kind for kind, verb in CATALOGUE.items() if verb.duty is None or verb.duty not in carried]
        assert all(await asyncio.gather(*map(is_refused, kinds)))
    assert len(kinds) > len(CATALOGUE) / 2


def test_the_duties_of_somebody_with_several_roles_are_those_of_all() -> None:
    both = duties.duties_of(["trader", "finance", "no role"])
    assert both == duties.ROLES["trader"] | duties.ROLES["finance"]
