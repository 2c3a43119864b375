"""Every command that the desk takes, in one table: its action, its answer, and how it treats its key and refusals.

| policy | meaning |
| --- | --- |
| scope | commands with the same scope share a tenant's key space; none: the command takes no key |
| compares_body | the same key with other content is refused instead of replayed |
| keeps_refusals | a refusal is kept with the key and replayed like a success |
| replay | stored answer, or the current state |
| in_flight | what a key meets whose first request still runs |
| audits_refusals | a refusal is written to the audit chain even if nothing else is |
"""

from otcdesk.actions.approve_conversion import ApproveConversion, approve_conversion
from otcdesk.actions.cancel_conversion import CancelConversion, cancel_conversion
from otcdesk.actions.confirm_conversion import ConfirmConversion, Confirmed, confirm_conversion
from otcdesk.actions.declare_world import Declared, DeclareWorld, declare_world
from otcdesk.actions.move_value import Adjust, Booked, Deposit, Withdraw, adjust, deposit, withdraw
from otcdesk.actions.publish_price import (
    PriceReply,
    PublishPrice,
    SetPrice,
    SwitchFeed,
    publish_price,
    set_price,
    switch_feed,
)
from otcdesk.actions.quote_conversion import OrderReply, QuoteBuy, QuoteSell, quote_buy, quote_sell
from otcdesk.actions.record_due import DueRecorded, RecordDue, record_due
from otcdesk.actions.record_leg import LegRecorded, RecordLeg, record_leg
from otcdesk.actions.requote_conversion import RequoteConversion, requote_conversion
from otcdesk.actions.steer_sandbox import (
    SetClock,
    SetDebitSettlement,
    SetFault,
    Steered,
    set_clock,
    set_debit_settlement,
    set_fault,
)
from otcdesk.actions.unwind_conversion import RejectConversion, SettleDebit, reject_conversion, settle_debit
from otcdesk.domain.commands import Catalogue, Policy, Reply, Verb

_TENANT = Policy()
_CONFIRM = Policy(scope="confirm_conversion", keeps_refusals=True)  # exchanges contract 2.7: body not compared
_OPERATOR = Policy(audits_refusals=True)
_BOOKING = Policy(scope="booking", compares_body=True, audits_refusals=True)

_ROWS = (
    (QuoteBuy, quote_buy, OrderReply, _TENANT),
    (QuoteSell, quote_sell, OrderReply, _TENANT),
    (ConfirmConversion, confirm_conversion, Confirmed, _CONFIRM),
    (CancelConversion, cancel_conversion, OrderReply, _TENANT),
    (ApproveConversion, approve_conversion, OrderReply, _OPERATOR),
    (RejectConversion, reject_conversion, OrderReply, _OPERATOR),
    (RequoteConversion, requote_conversion, OrderReply, _OPERATOR),
    (SettleDebit, settle_debit, OrderReply, _OPERATOR),
    (RecordLeg, record_leg, LegRecorded, _TENANT),
    (RecordDue, record_due, DueRecorded, _TENANT),
    (Deposit, deposit, Booked, _BOOKING),
    (Withdraw, withdraw, Booked, _BOOKING),
    (Adjust, adjust, Booked, _BOOKING),
    (PublishPrice, publish_price, PriceReply, _TENANT),
    (SetPrice, set_price, PriceReply, _OPERATOR),
    (SwitchFeed, switch_feed, PriceReply, _OPERATOR),
    (DeclareWorld, declare_world, Declared, _OPERATOR),
    (SetClock, set_clock, Steered, _TENANT),
    (SetFault, set_fault, Steered, _TENANT),
    (SetDebitSettlement, set_debit_settlement, Steered, _TENANT),
)


def _verb(action: object, reply: type[Reply], policy: Policy) -> Verb:
    return Verb(name=action.__name__, action=action, reply=reply, policy=policy)  # type: ignore[attr-defined,arg-type]


CATALOGUE: Catalogue = {command: _verb(action, reply, policy) for command, action, reply, policy in _ROWS}
