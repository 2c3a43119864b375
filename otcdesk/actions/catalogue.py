"""Every command that the desk takes, in one table: its action, its answer, and how it treats its key and refusals.

| policy | meaning |
| --- | --- |
| scope | commands with the same scope share a tenant's key space; none: the command takes no key |
| compares_body | the same key with other content is refused instead of replayed |
| keeps_refusals | a refusal is kept with the key and replayed like a success |
| replay | stored answer, or the current state |
| in_flight | what a key meets whose first request still runs |
| audits_refusals | a refusal is written to the audit chain even if nothing else is |

A command that says what its caller may do is refused to whoever may not, before its key is looked at.
"""

from typing import Any

from otcdesk.actions.accept_quote import AcceptQuote, QuoteAccepted, accept_quote, repeated_accept
from otcdesk.actions.adjust_payout import AdjustPayout, PayoutAdjusted, adjust_payout
from otcdesk.actions.approve_conversion import ApprovalReply, ApproveConversion, approve_conversion
from otcdesk.actions.bid_resale import (
    AcceptBid,
    BidReply,
    DeclineBid,
    PlaceBid,
    WithdrawBid,
    accept_bid,
    decline_bid,
    place_bid,
    withdraw_bid,
)
from otcdesk.actions.burn_holding import BurnHolding, burn_holding
from otcdesk.actions.buy_resale import BuyResale, BuyUnsold, buy_resale, buy_unsold
from otcdesk.actions.cancel_conversion import CancelConversion, cancel_conversion
from otcdesk.actions.confirm_checkout import (
    CancelCheckout,
    CheckoutMoved,
    ConfirmCheckout,
    cancel_checkout,
    confirm_checkout,
)
from otcdesk.actions.confirm_conversion import ConfirmConversion, Confirmed, confirm_conversion
from otcdesk.actions.declare_world import Declared, DeclareWorld, declare_world
from otcdesk.actions.file_payouts import FilePayouts, PayoutsFiled, file_payouts, filed_before
from otcdesk.actions.freeze import (
    FreezeParty,
    FreezeTenant,
    FrozenParty,
    TenantReply,
    admits_tenant,
    freeze_party,
    freeze_tenant,
)
from otcdesk.actions.issue_instrument import IssueInstrument, issue_instrument
from otcdesk.actions.keep_party import KeepParty, PartyKept, keep_party
from otcdesk.actions.list_resale import JobStarted, ListResale, list_resale
from otcdesk.actions.make_currency import ChangeCurrency, CurrencyReply, MakeCurrency, change_currency, make_currency
from otcdesk.actions.make_resale_rule import (
    ChangeResaleRule,
    EndResaleRule,
    MakeResaleRule,
    ResaleRuleKept,
    change_resale_rule,
    end_resale_rule,
    make_resale_rule,
)
from otcdesk.actions.make_rule import MakeRule, RuleMade, StopRule, make_rule, stop_rule
from otcdesk.actions.move_value import Adjust, Booked, Deposit, Withdraw, adjust, deposit, withdraw
from otcdesk.actions.note_act import NoteAct, Noted, note_act
from otcdesk.actions.open_checkout import CheckoutOpened, OpenCheckout, open_checkout, opened_before
from otcdesk.actions.prepare_payout import PayoutPrepared, PreparePayout, prepare_payout
from otcdesk.actions.publish_price import (
    PriceReply,
    PublishPrice,
    SetPrice,
    SwitchFeed,
    publish_price,
    set_price,
    switch_feed,
)
from otcdesk.actions.quote_brokerage import BrokerageQuoted, QuoteBrokerage, quote_brokerage
from otcdesk.actions.quote_conversion import OrderReply, QuoteBuy, QuoteSell, quote_buy, quote_sell
from otcdesk.actions.record_chain_payout import ChainPayoutRecorded, RecordChainPayout, record_chain_payout
from otcdesk.actions.record_deployment import (
    DeploymentReply,
    RecordCurrencyDeployment,
    RecordInstrumentDeployment,
    record_currency_deployment,
    record_instrument_deployment,
)
from otcdesk.actions.record_deposit import (
    ConcludeDeposit,
    DepositRecorded,
    OpenPlace,
    PlaceOpened,
    RecordDeposit,
    conclude_deposit,
    open_place,
    record_deposit,
)
from otcdesk.actions.record_due import DueRecorded, RecordDue, record_due
from otcdesk.actions.record_execution import ExecutionRecorded, RecordExecution, record_execution
from otcdesk.actions.record_job import BeginJob, JobRecorded, RecordJob, begin_job, record_job
from otcdesk.actions.record_leg import LegRecorded, RecordLeg, record_leg
from otcdesk.actions.record_notice import NoticeReply, RecordNotice, record_notice
from otcdesk.actions.record_payout import (
    PayoutRecorded,
    RecordPayout,
    RecordReturn,
    record_payout,
    record_return,
)
from otcdesk.actions.record_statement import LinesRecorded, RecordStatementLines, record_statement_lines
from otcdesk.actions.register_holder import HolderReply, RegisterHolder, register_holder
from otcdesk.actions.register_party import (
    AcceptAgreements,
    PartyReply,
    RegisterParty,
    accept_agreements,
    register_party,
)
from otcdesk.actions.report_token_reuse import ReportTokenReuse, report_token_reuse
from otcdesk.actions.requote_conversion import RequoteConversion, requote_conversion
from otcdesk.actions.resale_checks import permits_for_branch, permits_for_party
from otcdesk.actions.resolve_statement_line import LineResolved, ResolveLine, resolve_line
from otcdesk.actions.retry_job import JobRetried, RetryJob, retry_job
from otcdesk.actions.review_payout import (
    CancelPayout,
    HoldPayout,
    PayoutReviewed,
    ReleasePayout,
    cancel_payout,
    hold_payout,
    release_payout,
)
from otcdesk.actions.second_proposal import (
    ProposalSeconded,
    ProposalWithdrawn,
    SecondProposal,
    WithdrawProposal,
    second_proposal,
    withdraw_proposal,
)
from otcdesk.actions.sell_payout import PayoutSold, SellPayout, sell_payout, sold_before
from otcdesk.actions.send_funds import FundsSent, SendFunds, permits_sending, send_funds
from otcdesk.actions.set_fees import SetBranchFees, SetDeskFees, TermsReply, set_branch_fees, set_desk_fees
from otcdesk.actions.set_guards import (
    GuardReply,
    GuardTermsReply,
    SetGuard,
    SetGuardTerms,
    set_guard,
    set_guard_terms,
)
from otcdesk.actions.set_limit import LimitReply, SetLimit, set_limit
from otcdesk.actions.set_spread import SetSpread, SpreadReply, set_spread
from otcdesk.actions.settle_checkout import CheckoutsSettled, SettleCheckouts, settle_checkouts
from otcdesk.actions.settle_payout import SettlePayout, settle_payout
from otcdesk.actions.steer_sandbox import (
    SetClock,
    SetDebitSettlement,
    SetFault,
    Steered,
    set_clock,
    set_debit_settlement,
    set_fault,
)
from otcdesk.actions.switch_channel import ChannelReply, SwitchChannel, switch_channel
from otcdesk.actions.switch_instrument import InstrumentReply, SwitchInstrument, switch_instrument
from otcdesk.actions.switch_negotiation import BranchReply, SwitchNegotiation, switch_negotiation
from otcdesk.actions.switch_trading import (
    ListingReply,
    SetParty,
    SetPartyReply,
    SwitchTrading,
    set_party,
    switch_trading,
)
from otcdesk.actions.take_resale import ResaleTaken, TakeResale, take_resale
from otcdesk.actions.unwind_conversion import RejectConversion, SettleDebit, reject_conversion, settle_debit
from otcdesk.actions.withdraw_resale import CloseResale, WithdrawResale, close_resale, withdraw_resale
from otcdesk.domain import duties
from otcdesk.domain.commands import Catalogue, Command, InFlight, Policy, Replay, Reply, Verb

_TENANT = Policy()
_CONFIRM = Policy(scope="confirm_conversion", keeps_refusals=True)  # exchanges contract 2.7: body not compared
_OPERATOR = Policy(audits_refusals=True)
_BOOKING = Policy(scope="booking", compares_body=True, audits_refusals=True)

#: What is only reported, and always refused: the refusal is what the audit chain keeps.
_REPORT = Policy(audits_refusals=True)

#: Offers contract 4: the same external id is told what has become of its quote, side by side in its turn.
_ACCEPT = Policy(scope="accept_quote", replay=Replay.CURRENT, in_flight=InFlight.WAIT)

#: Ramp contract 5.1: the same nonce with the same content is told what has become of its payout.
_SELL = Policy(scope="sell_payout", compares_body=True, replay=Replay.CURRENT, in_flight=InFlight.WAIT)

#: As a sell's, in a space of its own.
_OPEN = Policy(scope="open_checkout", compares_body=True, replay=Replay.CURRENT, in_flight=InFlight.WAIT)

#: Ramp contract 5.1: rules have a nonce as sales do; the answer says what was made.
_RULE = Policy(scope="make_rule", compares_body=True, in_flight=InFlight.WAIT)

#: Who asks again would find other payouts waiting, and means the file that was made for the first request.
_FILE = Policy(scope="file_payouts", replay=Replay.CURRENT, in_flight=InFlight.WAIT, audits_refusals=True)

#: As a booking's, in a space of its own: what such a key leads to is an order.
_ADJUSTMENT = Policy(scope="adjust_payout", compares_body=True, audits_refusals=True)

#: Deals contract 6: the header is an extension; the same key with the same content starts one job.
_JOB = Policy(scope="resale", compares_body=True, in_flight=InFlight.WAIT)

#: As a job's, in a space of its own: what such a key leads to is an order.
_BID = Policy(scope="resale_bid", compares_body=True, in_flight=InFlight.WAIT)

#: The same for what admins of branches make and send, in a space of its own: such a key leads to no job and no order.
_ADMIN = Policy(scope="resale_admin", compares_body=True, in_flight=InFlight.WAIT, audits_refusals=True)

_ROWS = (
    (QuoteBuy, quote_buy, OrderReply, _TENANT),
    (QuoteSell, quote_sell, OrderReply, _TENANT),
    (ConfirmConversion, confirm_conversion, Confirmed, _CONFIRM),
    (CancelConversion, cancel_conversion, OrderReply, _TENANT),
    (ApproveConversion, approve_conversion, ApprovalReply, _OPERATOR),
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
    (QuoteBrokerage, quote_brokerage, BrokerageQuoted, _TENANT),
    (AcceptQuote, accept_quote, QuoteAccepted, _ACCEPT),
    (RecordExecution, record_execution, ExecutionRecorded, _TENANT),
    (RegisterParty, register_party, PartyReply, _TENANT),
    (AcceptAgreements, accept_agreements, PartyReply, _TENANT),
    (RecordNotice, record_notice, NoticeReply, _TENANT),
    (SwitchTrading, switch_trading, ListingReply, _OPERATOR),
    (SetParty, set_party, SetPartyReply, _OPERATOR),
    (ReportTokenReuse, report_token_reuse, Reply, _REPORT),
    (KeepParty, keep_party, PartyKept, _TENANT),
    (PreparePayout, prepare_payout, PayoutPrepared, _TENANT),
    (SellPayout, sell_payout, PayoutSold, _SELL),
    (RecordPayout, record_payout, PayoutRecorded, _TENANT),
    (RecordReturn, record_return, PayoutRecorded, _OPERATOR),
    (HoldPayout, hold_payout, PayoutReviewed, _OPERATOR),
    (ReleasePayout, release_payout, PayoutReviewed, _OPERATOR),
    (CancelPayout, cancel_payout, PayoutReviewed, _OPERATOR),
    (AdjustPayout, adjust_payout, PayoutAdjusted, _ADJUSTMENT),
    (SettlePayout, settle_payout, PayoutRecorded, _OPERATOR),
    (SwitchChannel, switch_channel, ChannelReply, _OPERATOR),
    (OpenCheckout, open_checkout, CheckoutOpened, _OPEN),
    (ConfirmCheckout, confirm_checkout, CheckoutMoved, _TENANT),
    (CancelCheckout, cancel_checkout, CheckoutMoved, _TENANT),
    (OpenPlace, open_place, PlaceOpened, _TENANT),
    (RecordDeposit, record_deposit, DepositRecorded, _OPERATOR),
    (ConcludeDeposit, conclude_deposit, DepositRecorded, _OPERATOR),
    (MakeRule, make_rule, RuleMade, _RULE),
    (StopRule, stop_rule, RuleMade, _OPERATOR),
    (RecordChainPayout, record_chain_payout, ChainPayoutRecorded, _TENANT),
    (FilePayouts, file_payouts, PayoutsFiled, _FILE),
    (RecordStatementLines, record_statement_lines, LinesRecorded, _TENANT),
    (ResolveLine, resolve_line, LineResolved, _OPERATOR),
    (SettleCheckouts, settle_checkouts, CheckoutsSettled, _TENANT),
    (ListResale, list_resale, JobStarted, _JOB),
    (WithdrawResale, withdraw_resale, JobStarted, _JOB),
    (BuyUnsold, buy_unsold, JobStarted, _JOB),
    (BuyResale, buy_resale, JobStarted, _JOB),
    (TakeResale, take_resale, ResaleTaken, _OPERATOR),
    (CloseResale, close_resale, ResaleTaken, _OPERATOR),
    (BeginJob, begin_job, JobRecorded, _TENANT),
    (RecordJob, record_job, JobRecorded, _TENANT),
    (PlaceBid, place_bid, BidReply, _BID),
    (AcceptBid, accept_bid, JobStarted, _JOB),
    (DeclineBid, decline_bid, BidReply, _TENANT),
    (WithdrawBid, withdraw_bid, BidReply, _TENANT),
    (BurnHolding, burn_holding, JobStarted, _JOB),
    (SwitchNegotiation, switch_negotiation, BranchReply, _OPERATOR),
    (RegisterHolder, register_holder, HolderReply, _ADMIN),
    (MakeResaleRule, make_resale_rule, ResaleRuleKept, _ADMIN),
    (ChangeResaleRule, change_resale_rule, ResaleRuleKept, _OPERATOR),
    (EndResaleRule, end_resale_rule, ResaleRuleKept, _OPERATOR),
    (SwitchInstrument, switch_instrument, InstrumentReply, _OPERATOR),
    (IssueInstrument, issue_instrument, InstrumentReply, _ADMIN),
    (MakeCurrency, make_currency, CurrencyReply, _ADMIN),
    (ChangeCurrency, change_currency, CurrencyReply, _OPERATOR),
    (SendFunds, send_funds, FundsSent, _ADMIN),
    (SetBranchFees, set_branch_fees, BranchReply, _OPERATOR),
    (SetDeskFees, set_desk_fees, TermsReply, _OPERATOR),
    (RecordCurrencyDeployment, record_currency_deployment, DeploymentReply, _OPERATOR),
    (RecordInstrumentDeployment, record_instrument_deployment, DeploymentReply, _OPERATOR),
    (RetryJob, retry_job, JobRetried, _OPERATOR),
    (FreezeTenant, freeze_tenant, TenantReply, _OPERATOR),
    (FreezeParty, freeze_party, FrozenParty, _OPERATOR),
    (SetLimit, set_limit, LimitReply, _OPERATOR),
    (SetSpread, set_spread, SpreadReply, _OPERATOR),
    (NoteAct, note_act, Noted, _OPERATOR),
    (SecondProposal, second_proposal, ProposalSeconded, _OPERATOR),
    (WithdrawProposal, withdraw_proposal, ProposalWithdrawn, _OPERATOR),
    (SetGuard, set_guard, GuardReply, _OPERATOR),
    (SetGuardTerms, set_guard_terms, GuardTermsReply, _OPERATOR),
)

#: How a verb answers a key that was used before, where its policy says that it is told what has become of it.
_CURRENT: dict[type[Command], Any] = {
    AcceptQuote: repeated_accept,
    SellPayout: sold_before,
    OpenCheckout: opened_before,
    FilePayouts: filed_before,
}

#: Who may be told what a key was answered with, where a command says what its caller may do and where.
_PERMITS: dict[type[Command], Any] = {
    **dict.fromkeys(
        (ListResale, WithdrawResale, BuyUnsold, BuyResale, PlaceBid, AcceptBid, BurnHolding), permits_for_party
    ),
    **dict.fromkeys((RegisterHolder, MakeResaleRule, IssueInstrument, MakeCurrency), permits_for_branch),
    SendFunds: permits_sending,
}

#: What a person must carry who asks for a command; what is not here is no command for people.
_DUTIES: dict[type[Command], str] = {
    ApproveConversion: duties.ORDERS_APPROVE,
    RejectConversion: duties.ORDERS_REJECT,
    RequoteConversion: duties.ORDERS_REQUOTE,
    SettleDebit: duties.DEBITS_SETTLE,
    Deposit: duties.BOOKINGS_MAKE,
    Withdraw: duties.BOOKINGS_MAKE,
    Adjust: duties.BOOKINGS_MAKE,
    SetPrice: duties.PRICES_SET,
    SwitchFeed: duties.PRICES_SET,
    SwitchTrading: duties.PRICES_SET,
    SetParty: duties.PARTIES_FREEZE,
    SetClock: duties.SANDBOX_STEER,
    SetFault: duties.SANDBOX_STEER,
    SetDebitSettlement: duties.SANDBOX_STEER,
    PublishPrice: duties.SANDBOX_STEER,
    HoldPayout: duties.PAYOUTS_REVIEW,
    ReleasePayout: duties.PAYOUTS_REVIEW,
    CancelPayout: duties.PAYOUTS_REVIEW,
    AdjustPayout: duties.PAYOUTS_SETTLE,
    SettlePayout: duties.PAYOUTS_SETTLE,
    RecordReturn: duties.PAYOUTS_SETTLE,
    SwitchChannel: duties.CHANNELS_SWITCH,
    OpenPlace: duties.DEPOSITS_CONCLUDE,
    RecordDeposit: duties.DEPOSITS_CONCLUDE,
    ConcludeDeposit: duties.DEPOSITS_CONCLUDE,
    FilePayouts: duties.BANK_FILES,
    RecordStatementLines: duties.BANK_FILES,
    ResolveLine: duties.BANK_FILES,
    TakeResale: duties.RESALES_DECIDE,
    CloseResale: duties.RESALES_DECIDE,
    SwitchInstrument: duties.RESALES_DECIDE,
    SwitchNegotiation: duties.RESALES_DECIDE,
    RetryJob: duties.JOBS_MANAGE,
    RecordJob: duties.JOBS_MANAGE,
    SetBranchFees: duties.TERMS_SET,
    SetDeskFees: duties.TERMS_SET,
    SetSpread: duties.TERMS_SET,
    SetLimit: duties.LIMITS_SET,
    FreezeTenant: duties.PARTIES_FREEZE,
    FreezeParty: duties.PARTIES_FREEZE,
    NoteAct: duties.READ,
    SecondProposal: duties.READ,  # and, asked by the action, what the proposal itself asks for
    WithdrawProposal: duties.READ,
    SetGuard: duties.GUARDS_SET,
    SetGuardTerms: duties.GUARDS_SET,
}

#: What a frozen tenant may not ask for: whatever starts or commits business. What ends something, and what happens
#: without it, goes on.
_STARTS: frozenset[type[Command]] = frozenset(
    {
        QuoteBuy,
        QuoteSell,
        ConfirmConversion,
        QuoteBrokerage,
        AcceptQuote,
        RegisterParty,
        KeepParty,
        PreparePayout,
        SellPayout,
        OpenCheckout,
        ConfirmCheckout,
        MakeRule,
        RegisterHolder,
        ListResale,
        BuyUnsold,
        BuyResale,
        PlaceBid,
        AcceptBid,
        BurnHolding,
        TakeResale,
        MakeResaleRule,
        ChangeResaleRule,
        IssueInstrument,
        MakeCurrency,
        SendFunds,
    }
)

CATALOGUE: Catalogue = {
    command: Verb(
        name=action.__name__,
        action=action,
        reply=reply,
        policy=policy,
        current=_CURRENT.get(command),
        permits=_PERMITS.get(command),
        duty=_DUTIES.get(command),
        admits=admits_tenant if command in _STARTS else None,
    )
    for command, action, reply, policy in _ROWS
}
