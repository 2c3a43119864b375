"""What admins' handlers look up before they do or show anything: a node, and whether the caller may see it."""

from typing import Any

from otcdesk.api.deals.callers import DealsCaller
from otcdesk.api.deals.holders import check_sees
from otcdesk.api.deals.tables import NODE, path_id
from otcdesk.api.dialect import Call
from otcdesk.api.http import Answer
from otcdesk.domain.resales import Branch
from otcdesk.errors import Code, Refusal

#: What is answered where the contract has no body.
DONE = Answer(200, b"")
GONE = Answer(204, b"")


def caller_of(call: Call) -> DealsCaller:
    """Return who asks, as this dialect knows them."""
    caller: Any = call.caller
    found: DealsCaller = caller
    return found


async def branch_in(call: Call, name: str = "node_id") -> Branch:
    """Return the node in the path, if the caller may see it.

    Refuses REQUEST_INVALID, BRANCH_NOT_FOUND, NOT_PERMITTED.
    """
    caller, branch_id = call.caller, path_id(call, name, NODE)
    branch = await call.desk.reads.row("resales", "branch", Branch, caller.lane, branch_id, caller.owner_id)
    if branch is None:
        raise Refusal(Code.BRANCH_NOT_FOUND)
    check_sees(call, branch.path)
    return branch
