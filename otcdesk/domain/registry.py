"""Every kind of row that batches write, in one list: what the store keeps and what the audit chain covers.

A new product adds its nouns at the end; nothing in the engine or the store changes for it. A kind's place in the list
is its number in the audit chain and so never changes.
"""

from typing import Any
from uuid import UUID

import msgspec

from otcdesk.domain.acts import Act
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.bank_files import BankAccount, FiledPayout, PayoutFile, StatementLine
from otcdesk.domain.brokerage import (
    Acceptance,
    AccountLevel,
    Agreement,
    BrokerageTerms,
    FirmQuote,
    Listing,
    Market,
    NewestQuote,
    Notice,
    Position,
    RevenueShare,
)
from otcdesk.domain.chain_payouts import ChainPayout
from otcdesk.domain.checkouts import AwaitedPayment, Checkout
from otcdesk.domain.conversions import ConversionTerms
from otcdesk.domain.deposits import BankDetails, Deposit, DepositAddress
from otcdesk.domain.events import Event
from otcdesk.domain.guards import Guard, GuardTerms
from otcdesk.domain.jobs import Job
from otcdesk.domain.keys import KeyRecord
from otcdesk.domain.lanes import Fault, LaneClock
from otcdesk.domain.ledger import Account, Entry, Hold, LedgerTransaction, Posting
from otcdesk.domain.limits import Limit
from otcdesk.domain.noun import Noun
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.parties import Party, PartyName, Tenant
from otcdesk.domain.payouts import (
    Channel,
    PartyProfile,
    Payment,
    PaymentMethod,
    PayoutTerms,
    PreparedPayout,
    Surcharge,
)
from otcdesk.domain.pricing import Price, Spread
from otcdesk.domain.proposals import OpenProposal, Proposal
from otcdesk.domain.resale_rules import BranchRules, ResaleDecision, ResaleRule
from otcdesk.domain.resales import Branch, Currency, Holder, Instrument, Purchase, Resale, ResaleTerms
from otcdesk.domain.rules import LiveRules, Rule, RuleExecution


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of row: its name (the table's), its noun, the fields of its key, and whether rows change.

    `kept`: whether rows are worth remembering after their batch, because another will want them.
    """

    number: int
    name: str
    noun: type[Noun]
    key_fields: tuple[str, ...]
    changes: bool
    kept: bool

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the noun's fields, which are the table's columns."""
        return self.noun.__struct_fields__


_LISTED: tuple[tuple[str, type[Noun], tuple[str, ...], bool], ...] = (
    ("assets", ListedAsset, ("code",), True),
    ("tenants", Tenant, ("id",), True),
    ("accounts", Account, ("id",), True),
    ("ledger_transactions", LedgerTransaction, ("id",), False),
    ("postings", Posting, ("transaction_id", "number"), False),
    ("entries", Entry, ("account_id", "account_version"), False),
    ("holds", Hold, ("id",), True),
    ("orders", Order, ("id",), True),
    ("trades", Trade, ("order_id",), False),
    ("events", Event, ("order_id", "order_version"), False),
    ("idempotency_keys", KeyRecord, ("owner_id", "scope", "idempotency_key"), False),
    ("prices", Price, ("source_asset", "destination_asset"), True),
    ("spreads", Spread, ("tenant_id", "source_asset", "destination_asset"), True),
    ("conversion_terms", ConversionTerms, ("id",), True),
    ("lane_clocks", LaneClock, ("id",), True),
    ("faults", Fault, ("rail",), True),
    ("parties", Party, ("id",), True),
    ("party_names", PartyName, ("tenant_id", "name"), False),
    ("brokerage_terms", BrokerageTerms, ("id",), True),
    ("listings", Listing, ("code",), True),
    ("markets", Market, ("asset", "fiat"), True),
    ("account_levels", AccountLevel, ("id",), True),
    ("agreements", Agreement, ("id",), True),
    ("revenue_shares", RevenueShare, ("tenant_id",), True),
    ("firm_quotes", FirmQuote, ("order_id",), False),
    ("newest_quotes", NewestQuote, ("party_id",), True),
    ("acceptances", Acceptance, ("order_id",), False),
    ("positions", Position, ("party_id", "asset"), True),
    ("notices", Notice, ("id",), False),
    ("payout_terms", PayoutTerms, ("id",), True),
    ("channels", Channel, ("id",), True),
    ("surcharges", Surcharge, ("tenant_id",), True),
    ("party_profiles", PartyProfile, ("party_id",), True),
    ("payment_methods", PaymentMethod, ("id",), True),
    ("prepared_payouts", PreparedPayout, ("id",), True),
    ("payments", Payment, ("order_id",), False),
    ("deposit_addresses", DepositAddress, ("network", "address"), False),
    ("bank_details", BankDetails, ("name",), False),
    ("deposits", Deposit, ("order_id",), False),
    ("rules", Rule, ("id",), True),
    ("live_rules", LiveRules, ("tenant_id",), True),
    ("rule_executions", RuleExecution, ("id", "number"), False),
    ("chain_payouts", ChainPayout, ("order_id",), False),
    ("checkouts", Checkout, ("order_id",), False),
    ("awaited_payments", AwaitedPayment, ("place",), True),
    ("bank_accounts", BankAccount, ("fiat",), True),
    ("payout_files", PayoutFile, ("id",), False),
    ("filed_payouts", FiledPayout, ("order_id",), True),
    ("statement_lines", StatementLine, ("id",), True),
    ("resale_terms", ResaleTerms, ("id",), True),
    ("branches", Branch, ("id",), True),
    ("holders", Holder, ("party_id",), False),
    ("currencies", Currency, ("id",), True),
    ("instruments", Instrument, ("id",), True),
    ("resales", Resale, ("order_id",), True),
    ("purchases", Purchase, ("order_id",), False),
    ("jobs", Job, ("id",), True),
    ("resale_rules", ResaleRule, ("id",), True),
    ("branch_rules", BranchRules, ("branch_id",), True),
    ("resale_decisions", ResaleDecision, ("order_id",), False),
    ("acts", Act, ("id",), False),
    ("guards", Guard, ("asset",), True),
    ("guard_terms", GuardTerms, ("id",), True),
    ("proposals", Proposal, ("id",), True),
    ("open_proposals", OpenProposal, ("subject_id",), True),
    ("limits", Limit, ("subject_id", "asset"), True),
)

#: Kinds that never change and are read again: by who decides the next step of the same order.
_READ_AGAIN = frozenset(
    {
        "bank_details",
        "checkouts",
        "deposit_addresses",
        "deposits",
        "firm_quotes",
        "holders",
        "payments",
        "payout_files",
        "purchases",
    }
)

#: Kinds of which there are many at once and hardly any is wanted again: they would drive the others out.
_SELDOM = frozenset({"statement_lines"})

KINDS = tuple(
    Kind(
        number=number,
        name=name,
        noun=noun,
        key_fields=key_fields,
        changes=changes,
        kept=(changes and name not in _SELDOM) or name in _READ_AGAIN,
    )
    for number, (name, noun, key_fields, changes) in enumerate(_LISTED)
)

KIND_OF: dict[type[Noun], Kind] = {kind.noun: kind for kind in KINDS}
KIND_NAMED: dict[str, Kind] = {kind.name: kind for kind in KINDS}


def pack_key(key: Any) -> bytes:
    """Write a key as bytes, a kind's keys always in the same shape: ids raw, numbers in 8 bytes, text with length."""
    if isinstance(key, UUID):
        return key.int.to_bytes(16, "big")
    if isinstance(key, tuple):
        return b"".join(map(pack_key, key))
    if isinstance(key, int):
        return key.to_bytes(8, "big", signed=True)
    text = str(key).encode()
    return len(text).to_bytes(4, "big") + text
