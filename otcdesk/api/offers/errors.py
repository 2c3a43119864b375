"""How the offers dialect says every refusal that its clients may meet, and every failure (contract 2.2, 3.0 to 3.3).

Keys that the contract makes up are here only, so that they can be changed in one place.
"""

from collections.abc import Mapping
from typing import Any

from otcdesk.api.dialect import Reply
from otcdesk.domain.brokerage import FAILURES, NOT_COVERED, TRADING_DISABLED, VENUE_REFUSED
from otcdesk.errors import Code, Refusal

_TRADING_DISABLED = "user.transaction.trading.disabled"

REPLIES: dict[Code, Reply] = {
    Code.UNAUTHENTICATED: Reply(401, "unauthorized"),
    Code.CREDENTIAL_EXPIRED: Reply(401, "unauthorized"),
    Code.SOURCE_ADDRESS_DENIED: Reply(403, "forbidden"),
    Code.SCOPE_MISSING: Reply(403, "forbidden"),
    Code.TENANT_FROZEN: Reply(403, "forbidden"),
    Code.ROUTE_UNKNOWN: Reply(404, "not.found"),
    Code.METHOD_NOT_ALLOWED: Reply(405, "method.not.allowed"),
    Code.BODY_TOO_LARGE: Reply(413, "body.too.large"),
    Code.CONTENT_TYPE_UNSUPPORTED: Reply(415, "header.content.type"),
    Code.REQUEST_INVALID: Reply(422, "http.bad.request"),
    Code.RATE_LIMITED: Reply(429, "too.many.requests"),
    Code.MAINTENANCE: Reply(503, "service.unavailable"),
    Code.OVERLOADED: Reply(503, "service.unavailable"),
    Code.UNAVAILABLE: Reply(503, "service.unavailable"),
    Code.STOPPING: Reply(503, "service.unavailable"),
    Code.CRASHED: Reply(500, "internal.error"),
    Code.CLIENT_INVALID: Reply(401, "credentials.invalid"),
    Code.GRANT_INVALID: Reply(422, "the.field.is.required."),
    Code.REFRESH_TOKEN_UNKNOWN: Reply(401, "refresh.token.unknown"),
    Code.REFRESH_TOKEN_DEAD: Reply(401, "refresh.token.invalid"),
    Code.PARTY_NOT_FOUND: Reply(404, "user.not.found"),
    Code.PARTY_UNVERIFIED: Reply(403, "user.not.verified"),
    Code.PARTY_INACTIVE: Reply(403, "user.inactive"),
    Code.PARTY_NAME_TAKEN: Reply(409, "user.external_id.exists"),
    Code.LEVEL_NOT_FOUND: Reply(404, "account.level.not.found"),
    Code.AGREEMENT_NOT_FOUND: Reply(404, "terms.not.found"),
    Code.AGREEMENTS_NOT_ACCEPTED: Reply(403, "user.terms.not.accepted"),
    Code.ASSET_NOT_FOUND: Reply(404, "asset.not.found"),
    Code.FIAT_NOT_FOUND: Reply(404, "fiat.not.found"),
    Code.TRADING_DISABLED: Reply(422, _TRADING_DISABLED),
    Code.PRICE_UNAVAILABLE: Reply(503, "service.unavailable"),
    Code.AMOUNT_TOO_FINE: Reply(422, "validation.amount"),
    Code.AMOUNT_TOO_SMALL: Reply(422, "validation.amount"),
    Code.AMOUNT_TOO_LARGE: Reply(422, "validation.amount"),
    Code.LIMIT_EXCEEDED: Reply(422, "user.transaction.limit.exceeded"),
    Code.QUOTE_NOT_COVERED: Reply(409, "insufficient.funds"),
    Code.QUOTE_NOT_FOUND: Reply(404, "offer.not_found"),
    Code.QUOTE_GONE: Reply(410, "offer.gone"),
    Code.EXTERNAL_ID_TAKEN: Reply(406, "external.transaction.exists"),
    Code.EXTERNAL_ID_DIFFERS: Reply(406, "offer.external.transaction.mismatch"),
    Code.QUOTE_FAILED: Reply(409, "offer.previously.failed"),
    Code.QUOTE_ACCEPTED: Reply(409, "offer.already.accepted"),
    Code.QUOTE_EXPIRED: Reply(410, "offer.gone"),
    Code.QUOTE_SUPERSEDED: Reply(409, "offer.superseded"),
    Code.EXECUTION_FAILED: Reply(422, "trade.failed"),
    Code.TRADE_NOT_FOUND: Reply(404, "trade.not.found"),
    Code.NOTICE_DIFFERS: Reply(409, "notice.differs"),
}

_TOKEN, _REVOKE = "POST /v1/oauth/token", "POST /v1/oauth/revoke"
_TAX_STATUS, _TAX_DETAILS = "GET /v1/tax-status", "GET /v1/trades/{id}/tax-details"

#: What single routes say otherwise, as their pages have it.
EXCEPTIONS: dict[tuple[str, Code], Reply] = {
    ("POST /v1/offers", Code.PARTY_UNVERIFIED): Reply(401, "user.not.verified"),
    (_TOKEN, Code.CONTENT_TYPE_UNSUPPORTED): Reply(422, "header.content.type"),
    (_REVOKE, Code.CONTENT_TYPE_UNSUPPORTED): Reply(422, "header.content.type"),
    (_REVOKE, Code.CLIENT_INVALID): Reply(422, "credentials.invalid"),
    (_REVOKE, Code.REFRESH_TOKEN_UNKNOWN): Reply(422, "refresh.token.unknown"),
    (_REVOKE, Code.REFRESH_TOKEN_DEAD): Reply(422, "refresh.token.invalid"),
    ("POST /v2/users", Code.REQUEST_INVALID): Reply(400, "http.bad.request"),
    (_TAX_STATUS, Code.REQUEST_INVALID): Reply(400, "http.bad.request"),
    (_TAX_STATUS, Code.PARTY_UNVERIFIED): Reply(422, _TRADING_DISABLED),
    (_TAX_DETAILS, Code.REQUEST_INVALID): Reply(400, "http.bad.request"),
    (_TAX_DETAILS, Code.PARTY_UNVERIFIED): Reply(422, _TRADING_DISABLED),
}

ERROR_SCHEMA = {
    "type": "object",
    "required": ["errors"],
    "properties": {
        "errors": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["code", "title"],
                "properties": {"code": {"type": "string"}, "title": {"type": "string"}},
            },
        }
    },
}

#: The status of a field that is wrong; the routes about tax have no 422 for it.
_FIELD_STATUS = 422
_FIELD_STATUSES = {_TAX_STATUS: 400, _TAX_DETAILS: 400}

#: Sentences of the core whose words are not this dialect's.
_TITLES: dict[Code, str] = {
    Code.PARTY_NOT_FOUND: "There is no such user.",
    Code.PARTY_UNVERIFIED: "The user is not verified.",
    Code.PARTY_INACTIVE: "The user is not active.",
    Code.PARTY_NAME_TAKEN: "There is a user with this external id already.",
    Code.AGREEMENT_NOT_FOUND: "There are no such terms.",
    Code.AGREEMENTS_NOT_ACCEPTED: "The user has not accepted the latest mandatory terms.",
    Code.PRICE_UNAVAILABLE: "No offer can be made at this moment.",
    Code.AMOUNT_TOO_SMALL: "The amount is less than can be traded.",
    Code.AMOUNT_TOO_LARGE: "The amount is more than can be traded.",
    Code.QUOTE_NOT_COVERED: "The balance does not cover this offer.",
    Code.QUOTE_NOT_FOUND: "There is no such offer.",
    Code.QUOTE_GONE: "There is no such offer, or it is another user's.",
    Code.EXTERNAL_ID_TAKEN: "This external transaction id was used for another offer.",
    Code.EXTERNAL_ID_DIFFERS: "This offer was accepted with another external transaction id.",
    Code.QUOTE_FAILED: "This offer was accepted before and failed.",
    Code.QUOTE_ACCEPTED: "This offer was accepted already.",
    Code.QUOTE_EXPIRED: "This offer has expired.",
    Code.QUOTE_SUPERSEDED: "A newer offer was made to this user.",
}

#: What single routes say otherwise, with the replies above that do.
_TITLE_EXCEPTIONS: dict[tuple[str, Code], str] = {
    (route, Code.PARTY_UNVERIFIED): "This user cannot trade: it is not verified."
    for route in (_TAX_STATUS, _TAX_DETAILS)
}

#: Why an accepted offer failed: the key, and a sentence.
FAILED: Mapping[str, tuple[str, str]] = {
    TRADING_DISABLED: (_TRADING_DISABLED, "This asset could not be traded in this direction any more."),
    NOT_COVERED: ("insufficient.wallet.balance", "The balance did not cover the trade any more."),
    VENUE_REFUSED: ("trade.execution.refused", "The trade could not be carried out on the market."),
}
if set(FAILED) != set(FAILURES):
    raise AssertionError("a failure has no key, or a key no failure")

#: What offer-status says of a failure: a status like HTTP's, as a text (contract 3.4).
FAILED_STATUS = "422"


def invalid(field: str, sentence: str) -> Refusal:
    """Return the refusal of a field of the request."""
    return Refusal(Code.REQUEST_INVALID, sentence, field=field)


def failure(reason: str | None) -> tuple[str, str]:
    """Return the key and the sentence of why an accepted offer failed."""
    return FAILED.get(reason or "", FAILED[VENUE_REFUSED])


def reply_to(refusal: Refusal, reply: Reply, route: str) -> Reply:
    """Return a reply with the word that the facts make it."""
    if refusal.code is Code.EXECUTION_FAILED:
        return Reply(reply.status, failure(refusal.facts.get("reason"))[0])
    field = refusal.facts.get("field")
    if refusal.code is Code.REQUEST_INVALID and field is not None:
        return Reply(_FIELD_STATUSES.get(route, _FIELD_STATUS), f"validation.{field}")
    return reply


def error_body(reply: Reply, refusal: Refusal, route: str = "") -> dict[str, Any]:
    """Return the body of an error: one entry, or one for each field that a request for a token lacks."""
    missing = refusal.facts.get("missing_fields")
    if missing:
        codes = [(f"the.{field}.field.is.required.", f"The {field} field is required.") for field in missing]
    else:
        codes = [(reply.word, _title(refusal, route))]
    return {"errors": [{"code": code, "title": title} for code, title in codes]}


def _title(refusal: Refusal, route: str) -> str:
    if refusal.code is Code.EXECUTION_FAILED:
        return failure(refusal.facts.get("reason"))[1]
    if refusal.detail != refusal.code.sentence:
        return refusal.detail
    return _TITLE_EXCEPTIONS.get((route, refusal.code)) or _TITLES.get(refusal.code, refusal.code.sentence)
