"""How the operator routes say every refusal that an operator may meet (exchanges contract, section 5)."""

from otcdesk.api.dialect import OWN_REPLIES, Reply
from otcdesk.errors import Code

REPLIES: dict[Code, Reply] = {
    **OWN_REPLIES,
    Code.AMOUNT_TOO_SMALL: Reply(400, "VALIDATION_ERROR"),
    Code.AMOUNT_TOO_LARGE: Reply(400, "VALIDATION_ERROR"),
    Code.KEY_IN_FLIGHT: Reply(409, "IDEMPOTENCY_IN_PROGRESS"),
    Code.KEY_REUSED: Reply(409, "IDEMPOTENCY_KEY_REUSED"),
    Code.KEY_INVALID: Reply(400, "IDEMPOTENCY_KEY_INVALID"),
    Code.ORDER_NOT_FOUND: Reply(404, "ORDER_NOT_FOUND"),
    Code.INVALID_STATE: Reply(409, "INVALID_STATE"),
    Code.SOURCE_CUSTODY_INSUFFICIENT: Reply(422, "SOURCE_WALLET_INSUFFICIENT"),
    Code.TREASURY_INSUFFICIENT: Reply(422, "TREASURY_INSUFFICIENT"),
    Code.PRICE_UNAVAILABLE: Reply(502, "QUOTE_UNAVAILABLE"),
    Code.RAIL_UNAVAILABLE: Reply(502, "TRANSFER_UNAVAILABLE"),
    Code.ACCOUNT_NOT_FOUND: Reply(404, "ACCOUNT_NOT_FOUND"),
    Code.BALANCE_INSUFFICIENT: Reply(422, "BALANCE_INSUFFICIENT"),
    Code.PRICE_NOT_FOUND: Reply(404, "PRICE_NOT_FOUND"),
}
