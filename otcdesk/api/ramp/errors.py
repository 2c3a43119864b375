"""How the ramp dialect says every refusal that its callers may meet (ramp contract 3.0).

The contract documents the statuses 400, 401 and 500; the live service was seen to answer 403 and 404 as well, which a
setting chooses. A path or method that there is not is no endpoint of the contract, so HTTP's own statuses say it; and
who switches a limit of requests on wants its 429.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final
from uuid import uuid4

import structlog

from otcdesk.api.dialect import Reply
from otcdesk.errors import Code, Refusal

log = structlog.get_logger()

INVALID: Final = "InvalidMessage"
UNEXPECTED: Final = "Unexpected"
NOT_FOUND: Final = "ResourceNotFound"
UNAUTHORIZED: Final = "Unauthorized"
FORBIDDEN: Final = "Forbidden"
INSUFFICIENT: Final = "InsufficientBalance"

#: Why a field is refused: by itself, or by what it refers to.
_OF_SCHEMA: Final = "SchemaValidation"
_OF_INTEGRITY: Final = "IntegrityValidation"

_BAD_REQUEST, _DENIED, _BROKEN = 400, 401, 500

REPLIES: Final[dict[Code, Reply]] = {
    Code.UNAUTHENTICATED: Reply(_DENIED, UNAUTHORIZED),
    Code.CREDENTIAL_EXPIRED: Reply(_DENIED, UNAUTHORIZED),
    Code.SOURCE_ADDRESS_DENIED: Reply(_DENIED, UNAUTHORIZED),
    Code.SCOPE_MISSING: Reply(_DENIED, FORBIDDEN),
    Code.TENANT_FROZEN: Reply(_DENIED, FORBIDDEN),
    Code.ROUTE_UNKNOWN: Reply(404, NOT_FOUND),
    Code.METHOD_NOT_ALLOWED: Reply(405, INVALID),
    Code.BODY_TOO_LARGE: Reply(_BAD_REQUEST, INVALID),
    Code.CONTENT_TYPE_UNSUPPORTED: Reply(_BAD_REQUEST, INVALID),
    Code.REQUEST_INVALID: Reply(_BAD_REQUEST, INVALID),
    Code.KEY_REUSED: Reply(_BAD_REQUEST, INVALID),
    Code.KEY_IN_FLIGHT: Reply(_BROKEN, UNEXPECTED),
    Code.RATE_LIMITED: Reply(429, UNEXPECTED),
    Code.MAINTENANCE: Reply(_DENIED, FORBIDDEN),
    Code.OVERLOADED: Reply(_BROKEN, UNEXPECTED),
    Code.UNAVAILABLE: Reply(_BROKEN, UNEXPECTED),
    Code.STOPPING: Reply(_BROKEN, UNEXPECTED),
    Code.CRASHED: Reply(_BROKEN, UNEXPECTED),
    Code.CHANNEL_NOT_FOUND: Reply(_BAD_REQUEST, NOT_FOUND),
    Code.PARTY_NOT_FOUND: Reply(_BAD_REQUEST, NOT_FOUND),
    Code.PAYMENT_METHOD_NOT_FOUND: Reply(_BAD_REQUEST, NOT_FOUND),
    Code.PAYOUT_NOT_PREPARED: Reply(_BAD_REQUEST, NOT_FOUND),
    Code.ORDER_NOT_FOUND: Reply(_BAD_REQUEST, NOT_FOUND),
    Code.PREPARED_ASSET_DIFFERS: Reply(_BAD_REQUEST, INVALID),
    Code.PREPARED_AMOUNT_DIFFERS: Reply(_BAD_REQUEST, INVALID),
    Code.PREPARED_PAYOUT_USED: Reply(_BAD_REQUEST, INVALID),
    Code.ASSET_NOT_FOUND: Reply(_BAD_REQUEST, INVALID),
    Code.FIAT_NOT_FOUND: Reply(_BAD_REQUEST, INVALID),
    Code.RULE_EXCESSIVE: Reply(_BAD_REQUEST, INVALID),
    Code.RULE_EXPIRED: Reply(_BAD_REQUEST, INVALID),
    Code.RULES_EXHAUSTED: Reply(_BAD_REQUEST, INVALID),
    Code.DEPOSIT_PLACE_UNKNOWN: Reply(_BAD_REQUEST, NOT_FOUND),
    Code.DEPOSIT_ASSET_WRONG: Reply(_BAD_REQUEST, INVALID),
    Code.AMOUNT_TOO_FINE: Reply(_BAD_REQUEST, INVALID),
    Code.AMOUNT_TOO_SMALL: Reply(_BAD_REQUEST, INVALID),
    Code.AMOUNT_TOO_LARGE: Reply(_BAD_REQUEST, INVALID),
    Code.CEILING_EXCEEDED: Reply(_BAD_REQUEST, INVALID),
    Code.LIMIT_EXCEEDED: Reply(_BAD_REQUEST, INVALID),
    Code.PAYOUT_NOT_COVERED: Reply(_BAD_REQUEST, INSUFFICIENT),
    Code.PARTY_UNVERIFIED: Reply(_DENIED, FORBIDDEN),
    Code.PARTY_INACTIVE: Reply(_DENIED, FORBIDDEN),
    Code.CHANNEL_CLOSED: Reply(_DENIED, FORBIDDEN),
    Code.DEPOSIT_PLACES_CLOSED: Reply(_DENIED, FORBIDDEN),
    Code.PRICE_UNAVAILABLE: Reply(_BROKEN, UNEXPECTED),
    Code.TREASURY_INSUFFICIENT: Reply(_BROKEN, UNEXPECTED),
}

#: What of the documented statuses was seen otherwise (setting DESK_RAMP_STATUSES).
STATUSES: Final[Mapping[str, Mapping[tuple[int, str], int]]] = {
    "documented": {},
    "observed": {(_BAD_REQUEST, NOT_FOUND): 404, (_DENIED, FORBIDDEN): 403},
}

#: The field that a refusal of the core is about; where a request has no FiatAmount, its amount is the asset's.
_FIELDS: Final[Mapping[Code, str]] = {
    Code.KEY_REUSED: "Nonce",
    Code.CHANNEL_NOT_FOUND: "ChannelID",
    Code.PARTY_NOT_FOUND: "CustomerID",
    Code.PAYMENT_METHOD_NOT_FOUND: "PaymentMethodID",
    Code.PAYOUT_NOT_PREPARED: "FormSessionID",
    Code.PREPARED_ASSET_DIFFERS: "CryptoCurrency",
    Code.PREPARED_AMOUNT_DIFFERS: "FiatAmount",
    Code.PREPARED_PAYOUT_USED: "FormSessionID",
    Code.RULE_EXPIRED: "Expiry",
    Code.DEPOSIT_PLACE_UNKNOWN: "PaymentMethodID",
    Code.DEPOSIT_ASSET_WRONG: "FiatCurrency",
    Code.AMOUNT_TOO_FINE: "FiatAmount",
    Code.AMOUNT_TOO_SMALL: "FiatAmount",
    Code.AMOUNT_TOO_LARGE: "FiatAmount",
    Code.CEILING_EXCEEDED: "CryptoAuthorizedAmount",
    Code.LIMIT_EXCEEDED: "FiatAmount",
}

#: Which feature is disabled, and why (`Extensions.Features`); the features' names are ours.
_FEATURES: Final[Mapping[Code, tuple[str, str]]] = {
    Code.CHANNEL_CLOSED: ("Channel", "GloballyDisabled"),
    Code.DEPOSIT_PLACES_CLOSED: ("Deposit", "GloballyDisabled"),
    Code.MAINTENANCE: ("Api", "Maintenance"),
    Code.TENANT_FROZEN: ("Business", "Suspended"),
    Code.PARTY_UNVERIFIED: ("Customer", "Kyc"),
    Code.PARTY_INACTIVE: ("Customer", "Suspended"),
}

#: Sentences of the core whose words are not this dialect's.
_SENTENCES: Final[Mapping[Code, str]] = {
    Code.KEY_REUSED: "This Nonce was used before with different content.",
    Code.PARTY_NOT_FOUND: "There is no such customer.",
    Code.ORDER_NOT_FOUND: "There is no such transaction.",
    Code.PARTY_UNVERIFIED: "The customer is not approved.",
    Code.PARTY_INACTIVE: "The customer is suspended.",
    Code.PAYOUT_NOT_PREPARED: "There is no such form session, or it has expired.",
    Code.PREPARED_ASSET_DIFFERS: "The form session was prepared for another CryptoCurrency.",
    Code.PREPARED_AMOUNT_DIFFERS: "The form session was prepared for another FiatAmount.",
    Code.PREPARED_PAYOUT_USED: "The form session was sold already.",
    Code.CEILING_EXCEEDED: "The payout costs more than CryptoAuthorizedAmount.",
    Code.DEPOSIT_PLACE_UNKNOWN: "There are no such bank details.",
    Code.DEPOSIT_ASSET_WRONG: "These bank details are of another FiatCurrency.",
    Code.PRICE_UNAVAILABLE: "There is no price at this moment.",
    Code.TREASURY_INSUFFICIENT: "This payout cannot be made at this moment.",
}

ERROR_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["Type", "Instance", "Detail"],
    "properties": {
        "Type": {"enum": [INVALID, UNEXPECTED, NOT_FOUND, UNAUTHORIZED, FORBIDDEN, INSUFFICIENT]},
        "Instance": {"type": "string", "format": "uuid"},
        "Action": {"type": "string"},
        "Detail": {"type": "string"},
        "Extensions": {
            "type": "object",
            "properties": {
                "Request": {"type": "object", "additionalProperties": {"type": "string"}},
                "Features": {
                    "type": "object",
                    "additionalProperties": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
        "RequestExtension": {
            "type": "object",
            "properties": {
                "Body": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Reason", "Description"],
                        "properties": {
                            "Field": {"type": "string"},
                            "Reason": {"enum": [_OF_INTEGRITY, _OF_SCHEMA]},
                            "Description": {"type": "string"},
                        },
                    },
                }
            },
        },
    },
}

#: How a decoder names the place of a mistake in a body.
_MISTAKE: Final = re.compile(r"^The body is not valid: (.*?)(?: - at `\$\.?(.*)`)?$", re.DOTALL)
_IN_LIST: Final = re.compile(r"\[([0-9]+)\]")
_MISSING: Final = re.compile(r"missing required field `(\w+)`")


#: How the field of an amount is called in requests that name it otherwise.
_OTHERWISE: Final[Mapping[str, str]] = {"FiatAmount": "CryptoAmount"}


def error_body(
    reply: Reply, refusal: Refusal, request_id: str, action: str | None, known: Collection[str] = ()
) -> dict[str, Any]:
    """Return the error object; its `Instance` is in the log beside the request's id.

    `known` are the fields of the request's body.
    """
    instance = str(uuid4())
    log.debug("refused", request_id=request_id, instance=instance, code=refusal.code.name)
    body: dict[str, Any] = {"Type": reply.word, "Instance": instance}
    if action is not None:
        body["Action"] = action
    fields = fields_of(refusal, known)
    body["Detail"] = _detail(refusal, fields)
    extensions: dict[str, Any] = {"Request": fields} if fields else {}
    if refusal.code in _FEATURES:
        feature, reason = _FEATURES[refusal.code]
        extensions["Features"] = {feature: [reason]}
    if extensions:
        body["Extensions"] = extensions
    if fields:
        reason = _OF_SCHEMA if refusal.code is Code.REQUEST_INVALID else _OF_INTEGRITY
        body["RequestExtension"] = {
            "Body": [{"Field": field, "Reason": reason, "Description": why} for field, why in fields.items()]
        }
    return body


def fields_of(refusal: Refusal, known: Collection[str] = ()) -> dict[str, str]:
    """Return what is wrong with which fields of the request, by their paths; nothing if no field is.

    Parts of a path are parted by points, also the places in lists: `Actions.0.FormSessionID`.
    """
    told: dict[str, str] | None = refusal.facts.get("fields")
    if told is not None:
        return told
    field = _FIELDS.get(refusal.code)
    if field is not None:
        otherwise = _OTHERWISE.get(field, field)
        return {otherwise if otherwise in known and field not in known else field: _sentence(refusal)}
    found = _MISTAKE.match(refusal.detail) if refusal.code is Code.REQUEST_INVALID else None
    if found is None:
        return {}
    missing = _MISSING.search(found[1])
    place = _IN_LIST.sub(r".\1", found[2]) if found[2] else None
    path = ".".join(part for part in (place, missing[1] if missing else None) if part)
    return {path: "is required" if missing else found[1]} if path else {}


def _detail(refusal: Refusal, fields: dict[str, str]) -> str:
    if fields and refusal.code is Code.REQUEST_INVALID:
        return "; ".join(f"{field}: {why}" for field, why in fields.items())
    return _sentence(refusal)


def _sentence(refusal: Refusal) -> str:
    if refusal.detail != refusal.code.sentence:
        return refusal.detail
    return _SENTENCES.get(refusal.code, refusal.code.sentence)
