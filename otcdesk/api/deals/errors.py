"""How the deals dialect says every refusal that its callers may meet (contract 3).

An error is a sentence that clients compare, and details that are absent where the contract has none. What the contract
leaves open is ours and stands in `docs/dialects/deals.md`.
"""

import re
from typing import Any, Final

from otcdesk.api.dialect import Reply
from otcdesk.errors import Code, Refusal

INVALID: Final = "Invalid parameters"
DENIED: Final = "Access denied"
NOT_FOUND: Final = "Resource not found"
UNAUTHENTICATED: Final = "Authentication required"
CRASHED: Final = "Internal server error"
BUSY: Final = "Service unavailable"
CONFLICT: Final = "Conflict"
NO_SUCH_DEAL: Final = "The specified deal does not exist"
NOT_ON_SALE: Final = "Token not available for primary market purchase"
#: What users' lists say of a request that is wrong in any way; they say no details of it (contract 3.3, 3.12).
PAGE_INVALID: Final = "Invalid request parameters"
#: What single routes say instead of what others say (contract 3.12), also those that are an extension.
NOT_PURCHASABLE: Final = "Purchase not possible"
NOT_DELISTABLE: Final = "Deal cannot be delisted"
COUNTER_NOT_POSSIBLE: Final = "Counter not possible"
COUNTER_NOT_ACCEPTABLE: Final = "Counter cannot be accepted"

#: How sentences call a field, where it is not called as it is written.
_FIELDS: Final = {"quantity": "Quantity", "deal_id": "Deal ID"}

#: What a reader says of a body that has another shape, and the words of JSON for what it expects.
_NOT_VALID: Final = "The body is not valid"
_UNEXPECTED: Final = re.compile(
    _NOT_VALID + r": Expected `(?P<kinds>[^`]+)`(?P<how> [^`]*?)?(?:, got `[^`]+`)?(?: - at `\$(?P<field>[^`]*)`)?"
)
_UNKNOWN: Final = re.compile(_NOT_VALID + r": Object contains unknown field `(?P<field>[^`]{1,100})`(?: - at `[^`]*`)?")
_KINDS: Final = {
    "str": "a string",
    "int": "an integer",
    "bool": "true or false",
    "object": "an object",
    "array": "an array",
}

REPLIES: Final[dict[Code, Reply]] = {
    Code.UNAUTHENTICATED: Reply(401, UNAUTHENTICATED),
    Code.CREDENTIAL_EXPIRED: Reply(401, UNAUTHENTICATED),
    Code.SOURCE_ADDRESS_DENIED: Reply(401, UNAUTHENTICATED),
    Code.SCOPE_MISSING: Reply(403, DENIED),
    Code.NOT_PERMITTED: Reply(403, DENIED),
    Code.TENANT_FROZEN: Reply(403, DENIED),
    Code.ROUTE_UNKNOWN: Reply(404, NOT_FOUND),
    Code.METHOD_NOT_ALLOWED: Reply(405, "Method not allowed"),
    Code.BODY_TOO_LARGE: Reply(413, "Payload too large"),
    Code.CONTENT_TYPE_UNSUPPORTED: Reply(415, "Unsupported media type"),
    Code.REQUEST_INVALID: Reply(400, INVALID),
    Code.RATE_LIMITED: Reply(429, "Too many requests"),
    Code.MAINTENANCE: Reply(503, BUSY),
    Code.OVERLOADED: Reply(503, BUSY),
    Code.UNAVAILABLE: Reply(503, BUSY),
    Code.STOPPING: Reply(503, BUSY),
    Code.CRASHED: Reply(500, CRASHED),
    Code.KEY_INVALID: Reply(400, INVALID),
    Code.KEY_IN_FLIGHT: Reply(409, CONFLICT),
    Code.KEY_REUSED: Reply(409, CONFLICT),
    Code.PARTY_NOT_FOUND: Reply(404, NOT_FOUND),
    Code.INSTRUMENT_NOT_FOUND: Reply(404, NOT_FOUND),
    Code.BRANCH_NOT_FOUND: Reply(404, NOT_FOUND),
    Code.JOB_NOT_FOUND: Reply(404, NOT_FOUND),
    Code.ORDER_NOT_FOUND: Reply(404, "Deal not found"),
    Code.PARTY_INACTIVE: Reply(403, DENIED),
    Code.PARTY_UNVERIFIED: Reply(403, DENIED),
    Code.RESALE_NOT_OWN: Reply(403, DENIED),
    Code.OWN_RESALE: Reply(403, DENIED),
    Code.PARTIES_DO_NOT_TRADE: Reply(403, DENIED),
    Code.RESALE_CLOSED: Reply(422, "Offer not possible"),
    Code.NOT_ON_SALE: Reply(404, NOT_FOUND),
    Code.CURRENCY_NOT_FOUND: Reply(400, INVALID),
    Code.AMOUNT_TOO_FINE: Reply(400, INVALID),
    Code.AMOUNT_TOO_SMALL: Reply(400, INVALID),
    Code.AMOUNT_TOO_LARGE: Reply(400, INVALID),
    Code.RESALE_NOT_COVERED: Reply(422, "Insufficient token balance"),
    Code.SUPPLY_INSUFFICIENT: Reply(422, NOT_PURCHASABLE),
    Code.BUYER_NOT_COVERED: Reply(422, NOT_PURCHASABLE),
    Code.LIMIT_EXCEEDED: Reply(422, NOT_PURCHASABLE),
    Code.BRANCH_NOT_COVERED: Reply(422, "Deal cannot be accepted"),
    Code.QUANTITY_UNAVAILABLE: Reply(409, "Deal cannot be accepted"),
    Code.NOT_TAKEABLE: Reply(409, "Deal cannot be accepted"),
    Code.NOT_CANCELLABLE: Reply(409, "Deal cannot be cancelled"),
    Code.BID_NOT_FOUND: Reply(404, "Counter not found"),
    Code.BID_OVER: Reply(409, "Counter cannot be answered"),
    Code.CUSTODY_NOT_FOUND: Reply(404, NOT_FOUND),
    Code.RULE_NOT_FOUND: Reply(404, NOT_FOUND),
    Code.RULE_BOUNDS_CROSSED: Reply(400, INVALID),
    Code.RULES_EXHAUSTED: Reply(409, CONFLICT),
    Code.ASSET_TAKEN: Reply(400, INVALID),
    Code.FEE_EXCESSIVE: Reply(400, INVALID),
    Code.PARTY_NAME_TAKEN: Reply(409, "User already exists"),
}

#: What is told beside the error where the refusal says nothing of its own; None: nothing is.
DETAILS: Final[dict[Code, str | None]] = {
    Code.UNAUTHENTICATED: None,
    Code.CREDENTIAL_EXPIRED: None,
    Code.SOURCE_ADDRESS_DENIED: None,
    Code.CRASHED: None,
    Code.PARTY_NAME_TAKEN: None,
    Code.CUSTODY_NOT_FOUND: "Recipient wallet not found",
    Code.RULE_NOT_FOUND: "OTC order rule not found",
    Code.RULES_EXHAUSTED: "A node has at most 100 active rules",
    Code.ASSET_TAKEN: "There is a token with this symbol already",
    Code.NOT_PERMITTED: "Insufficient permissions",
    Code.PARTY_NOT_FOUND: "User or token not found",
    Code.INSTRUMENT_NOT_FOUND: "User or token not found",
    Code.BRANCH_NOT_FOUND: "Node not found",
    Code.JOB_NOT_FOUND: "Transaction not found",
    Code.ORDER_NOT_FOUND: NO_SUCH_DEAL,
    Code.PARTY_UNVERIFIED: "User is not verified",
    Code.PARTY_INACTIVE: "User is not active",
    Code.RESALE_NOT_OWN: "You can only cancel your own deals",
    Code.OWN_RESALE: "You cannot buy your own deal",
    Code.PARTIES_DO_NOT_TRADE: "Users of this node do not trade with each other",
    Code.RESALE_CLOSED: "Token is not open to OTC trading",
    Code.NOT_ON_SALE: NOT_ON_SALE,
    Code.CURRENCY_NOT_FOUND: "Price currency token not found",
    Code.AMOUNT_TOO_FINE: "Price has more decimals than its currency",
    Code.AMOUNT_TOO_SMALL: "Price must be greater than 0",
    Code.AMOUNT_TOO_LARGE: "The amount is out of range",
    Code.RESALE_NOT_COVERED: "User does not have enough tokens to create this offer",
    Code.SUPPLY_INSUFFICIENT: "Insufficient token supply available",
    Code.BUYER_NOT_COVERED: "User does not have enough of the currency",
    Code.BRANCH_NOT_COVERED: "Node does not have enough of the currency",
    Code.QUANTITY_UNAVAILABLE: "Less than this quantity is available",
    Code.NOT_TAKEABLE: "Deal is already completed or expired",
    Code.NOT_CANCELLABLE: "Deal is already completed or expired",
    Code.BID_NOT_FOUND: "The specified counter does not exist",
    Code.BID_OVER: "Counter is already answered, withdrawn or expired",
}

ERROR_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "details": {"type": "string"}},
    "additionalProperties": False,
}


def error_body(reply: Reply, refusal: Refusal, said: str | None) -> dict[str, str]:
    """Return the error object; `said` is what the route tells beside it, if it says otherwise than the others."""
    details = said
    if refusal.facts.get("missing"):
        details = f"{field_name(refusal.facts['field'])} is required"
    if details is None and refusal.detail != refusal.code.sentence:
        details = plain_sentence(refusal.detail)
    if details is None:
        details = DETAILS.get(refusal.code, refusal.code.sentence)
    if reply.word == PAGE_INVALID or (refusal.code in DETAILS and DETAILS[refusal.code] is None):
        details = None
    return {"error": reply.word} if details is None else {"error": reply.word, "details": details}


def plain_sentence(detail: str) -> str:
    """Return what is wrong with a body in the words of JSON, not in those of whoever has read it."""
    found = _UNKNOWN.fullmatch(detail)
    if found is not None:
        return f"{found['field']} is no field of this request"
    found = _UNEXPECTED.fullmatch(detail)
    if found is None:
        return _NOT_VALID if detail.startswith(f"{_NOT_VALID}:") else detail
    place = found["field"] or ""
    what = field_name(place.removeprefix(".")) if place else "The body"
    if found["how"]:
        return f"{what} is too long, too short, out of range, or has a character that cannot be kept"
    kinds = [_KINDS.get(kind, kind) for kind in found["kinds"].split(" | ")]
    return f"{what} must be {' or '.join(kinds)}"


def field_name(field: str) -> str:
    """Return how sentences call a field of a body."""
    return _FIELDS.get(field, field)
