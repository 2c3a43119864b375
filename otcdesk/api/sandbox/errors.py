"""How the sandbox routes say every refusal that a test may meet."""

from otcdesk.api.dialect import OWN_REPLIES, Reply
from otcdesk.errors import Code

REPLIES: dict[Code, Reply] = {
    **OWN_REPLIES,
    Code.DECLARATION_INVALID: Reply(400, "WORLD_INVALID"),
    Code.OPENING_BALANCE_CHANGED: Reply(409, "OPENING_BALANCE_CHANGED"),
    Code.WORLD_NOT_FOUND: Reply(404, "WORLD_NOT_FOUND"),
    Code.WORLDS_EXHAUSTED: Reply(429, "TOO_MANY_WORLDS"),
    Code.PRICE_NOT_FOUND: Reply(404, "PRICE_NOT_FOUND"),
}
