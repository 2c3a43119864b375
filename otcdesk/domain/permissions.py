"""What the supervisors of a tenant may be permitted to do, each a group of things."""

from typing import Final

#: A role with this one may do everything.
ALL: Final = "*"

OTC_CREATE: Final = "otc.create"
OTC_MANAGE: Final = "otc.manage"
RULES_MANAGE: Final = "rules.manage"
MARKET_TRADE: Final = "market.trade"
TOKENS_MANAGE: Final = "tokens.manage"
USERS_MANAGE: Final = "users.manage"
FEES_MANAGE: Final = "fees.manage"
FUNDS_SEND: Final = "funds.send"
READ: Final = "read"

PERMISSIONS: Final = (
    OTC_CREATE,
    OTC_MANAGE,
    RULES_MANAGE,
    MARKET_TRADE,
    TOKENS_MANAGE,
    USERS_MANAGE,
    FEES_MANAGE,
    FUNDS_SEND,
    READ,
)
