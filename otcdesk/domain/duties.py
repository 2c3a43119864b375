"""What the people who run the desk may do: duties, and the roles that carry them.

A duty is what a command or a page asks for; a role is what a person is given. Whoever keeps the people may not move
money, and whoever moves money may not make people, as far as roles say it. Who makes a person knows their first
password: that the two are not one and the same is in the audit chain, and for the desk to see to.
"""

from collections.abc import Iterable
from typing import Final

#: What every role carries: seeing orders, position, books, tenants and the system.
READ: Final = "read"

ORDERS_APPROVE: Final = "orders.approve"
ORDERS_REJECT: Final = "orders.reject"
ORDERS_REQUOTE: Final = "orders.requote"
DEBITS_SETTLE: Final = "debits.settle"
PAYOUTS_REVIEW: Final = "payouts.review"
PAYOUTS_SETTLE: Final = "payouts.settle"
DEPOSITS_CONCLUDE: Final = "deposits.conclude"
RESALES_DECIDE: Final = "resales.decide"
JOBS_MANAGE: Final = "jobs.manage"
PRICES_SET: Final = "prices.set"
BOOKINGS_MAKE: Final = "bookings.make"
BANK_FILES: Final = "bank.files"
BOOKS_VERIFY: Final = "books.verify"
TERMS_SET: Final = "terms.set"
LIMITS_SET: Final = "limits.set"
PARTIES_FREEZE: Final = "parties.freeze"
GUARDS_SET: Final = "guards.set"
CHANNELS_SWITCH: Final = "channels.switch"
CREDENTIALS_MANAGE: Final = "credentials.manage"
WEBHOOKS_MANAGE: Final = "webhooks.manage"
STAFF_MANAGE: Final = "staff.manage"
MAINTENANCE_SWITCH: Final = "maintenance.switch"
SANDBOX_STEER: Final = "sandbox.steer"

TRADER: Final = "trader"
APPROVER: Final = "approver"
FINANCE: Final = "finance"
COMPLIANCE: Final = "compliance"
ADMIN: Final = "admin"

#: What each duty is, for people.
DUTIES: Final[dict[str, str]] = {
    READ: "See everything but the people and their sessions",
    ORDERS_APPROVE: "Approve orders, also as the second person",
    ORDERS_REJECT: "Reject orders",
    ORDERS_REQUOTE: "Give unexecuted orders a new rate",
    DEBITS_SETTLE: "Tell how a debit went at the bank",
    PAYOUTS_REVIEW: "Hold, release and cancel payouts",
    PAYOUTS_SETTLE: "Settle, correct and return payouts",
    DEPOSITS_CONCLUDE: "Record deposits, accept them or send them back",
    RESALES_DECIDE: "Take and close what is listed for resale",
    JOBS_MANAGE: "Retry and fail what waits for a chain",
    PRICES_SET: "Set market rates, switch feeds and trading",
    BOOKINGS_MAKE: "Book deposits, withdrawals and adjustments, also as the second person",
    BANK_FILES: "Make files for the bank and match its statements",
    BOOKS_VERIFY: "Run the invariants and the check of the audit chain",
    TERMS_SET: "Change spreads and fees, also as the second person",
    LIMITS_SET: "Change limits of tenants and parties, also as the second person",
    PARTIES_FREEZE: "Freeze and unfreeze tenants and parties",
    GUARDS_SET: "Change the guards of the desk, also as the second person",
    CHANNELS_SWITCH: "Open and close payout channels",
    CREDENTIALS_MANAGE: "Make and revoke keys of tenants",
    WEBHOOKS_MANAGE: "Keep webhooks and send messages again",
    STAFF_MANAGE: "Keep the people, their roles and their sessions",
    MAINTENANCE_SWITCH: "Close dialects for maintenance",
    SANDBOX_STEER: "Steer clock, prices and faults of a sandbox",
}

#: The matrix: what each role carries beside READ.
ROLES: Final[dict[str, frozenset[str]]] = {
    TRADER: frozenset({READ, ORDERS_REJECT, ORDERS_REQUOTE, RESALES_DECIDE, PRICES_SET, SANDBOX_STEER}),
    APPROVER: frozenset({READ, ORDERS_APPROVE, ORDERS_REJECT, ORDERS_REQUOTE, DEBITS_SETTLE, LIMITS_SET, TERMS_SET}),
    FINANCE: frozenset(
        {
            READ,
            DEBITS_SETTLE,
            PAYOUTS_SETTLE,
            DEPOSITS_CONCLUDE,
            BOOKINGS_MAKE,
            BANK_FILES,
            BOOKS_VERIFY,
            TERMS_SET,
            GUARDS_SET,
        }
    ),
    COMPLIANCE: frozenset(
        {
            READ,
            ORDERS_REJECT,
            PAYOUTS_REVIEW,
            DEPOSITS_CONCLUDE,
            BOOKS_VERIFY,
            LIMITS_SET,
            PARTIES_FREEZE,
            GUARDS_SET,
        }
    ),
    ADMIN: frozenset(
        {
            READ,
            JOBS_MANAGE,
            BOOKS_VERIFY,
            CHANNELS_SWITCH,
            CREDENTIALS_MANAGE,
            WEBHOOKS_MANAGE,
            STAFF_MANAGE,
            MAINTENANCE_SWITCH,
            SANDBOX_STEER,
        }
    ),
}


def duties_of(roles: Iterable[str]) -> frozenset[str]:
    """Return everything that someone with these roles may do; a role that is none carries nothing."""
    return frozenset().union(*(ROLES.get(role, frozenset()) for role in roles))
