"""How the sandbox routes say every refusal that a test may meet."""

from otcdesk.api.dialect import OWN_REPLIES, Reply
from otcdesk.errors import Code

REPLIES: dict[Code, Reply] = {
    **OWN_REPLIES,
    Code.DECLARATION_INVALID: Reply(400, "WORLD_INVALID"),
    Code.OPENING_BALANCE_CHANGED: Reply(409, "OPENING_BALANCE_CHANGED"),
    Code.WORLD_NOT_FOUND: Reply(404, "WORLD_NOT_FOUND"),
    Code.WORLDS_EXHAUSTED: Reply(429, "TOO_MANY_WORLDS"),
    Code.ORDER_NOT_FOUND: Reply(404, "ORDER_NOT_FOUND"),
    Code.INVALID_STATE: Reply(409, "INVALID_STATE"),
    Code.RETURN_EXCEEDS_PAYOUT: Reply(400, "VALIDATION_ERROR"),
    Code.DEPOSIT_DIFFERS: Reply(409, "DEPOSIT_DIFFERS"),
    Code.DEPOSIT_PLACE_UNKNOWN: Reply(404, "PLACE_NOT_FOUND"),
    Code.ASSET_NOT_FOUND: Reply(404, "ASSET_NOT_FOUND"),
    Code.DEPOSIT_ASSET_WRONG: Reply(400, "VALIDATION_ERROR"),
    Code.AMOUNT_TOO_SMALL: Reply(400, "VALIDATION_ERROR"),
    Code.AMOUNT_TOO_LARGE: Reply(400, "VALIDATION_ERROR"),
    Code.PRICE_NOT_FOUND: Reply(404, "PRICE_NOT_FOUND"),
}
