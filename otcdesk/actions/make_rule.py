"""Make a rule for deposits to come, with a place of its own for them if it wants one.

The tenant's nonce is the idempotency key. Rules that have run out are taken off the list of those that can fire when
another is made, so that they are in nobody's way.
"""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from otcdesk.actions.deposit_checks import GivenAddress, GivenBankDetails, open_address, open_bank_details
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.deposits import BankDetails, DepositAddress
from otcdesk.domain.parties import Party
from otcdesk.domain.payouts import PreparedPayout
from otcdesk.domain.rules import (
    ACTIONS_MAX,
    CONDITIONS_MAX,
    EXPIRED,
    LIVE,
    RULES_MAX,
    STEPS_MAX,
    Action,
    BuyAction,
    Condition,
    LiveRules,
    Rule,
    RuleTerms,
    SellAction,
)
from otcdesk.errors import Code, Refusal

_write = msgspec.json.Encoder(order="sorted").encode


class MakeRule(Command, frozen=True, kw_only=True):
    """A rule of the caller's; `addresses` and `bank` are places of its own, as whoever watches them gives them."""

    party_id: UUID | None = None
    source_address: str | None = None
    conditions: tuple[Condition, ...]
    actions: tuple[Action, ...]
    addresses: tuple[GivenAddress, ...] = ()
    bank: GivenBankDetails | None = None
    is_permanent: bool = False
    expires_at: datetime | None = None

    @property
    def compared(self) -> "MakeRule":
        """Return what the tenant decided: whether the rule has places of its own, not which; no terms of a purchase."""
        return replace(
            self,
            actions=tuple(
                replace(one, spread_bps=0, fee_bps=0) if isinstance(one, BuyAction) else one for one in self.actions
            ),
            addresses=tuple(replace(one, address="") for one in self.addresses),
            bank=self.bank and replace(self.bank, name="", number="", bank_code=None, holder=""),
        )


class RuleMade(Reply, frozen=True, kw_only=True):
    """The rule, with the places that it was made with."""

    rule: Rule
    addresses: tuple[DepositAddress, ...] = ()
    bank: BankDetails | None = None


class StopRule(Command, frozen=True, kw_only=True):
    """Let a rule fire no more."""

    rule_id: UUID


def make_rule(command: MakeRule, books: Books, moment: Moment) -> RuleMade:
    """Make a rule.

    Refuses, in this order: RULE_EXCESSIVE, PARTY_NOT_FOUND, ASSET_NOT_FOUND, PAYOUT_NOT_PREPARED,
    PREPARED_ASSET_DIFFERS, RULE_EXPIRED, RULES_EXHAUSTED, DEPOSIT_PLACE_TAKEN (ramp contract 3.10).
    """
    _check_size(command)
    _want(command, books, moment)
    _check_party(command, books, moment)
    for asset in _assets(command):
        if books.find(ListedAsset, asset) is None:
            raise Refusal(Code.ASSET_NOT_FOUND)
    for action in command.actions:
        if isinstance(action, SellAction):
            _check_prepared(action, books, moment)
    if command.expires_at is not None and command.expires_at <= moment.now:
        raise Refusal(Code.RULE_EXPIRED)
    live = _still_live(books, moment)
    if len(live.rule_ids) >= RULES_MAX:
        raise Refusal(Code.RULES_EXHAUSTED)
    rule = _rule(command, moment)
    books.add(rule)
    after = live.with_(rule_ids=(*live.rule_ids, rule.id))
    (books.add if books.find(LiveRules, moment.owner_id) is None else books.put)(after)
    owner = {"tenant_id": moment.owner_id, "party_id": command.party_id, "rule_id": rule.id}
    return RuleMade(
        rule=rule,
        addresses=tuple([open_address(books, moment, one, **owner) for one in command.addresses]),  # type: ignore[arg-type]
        bank=None if command.bank is None else open_bank_details(books, moment, command.bank, **owner),  # type: ignore[arg-type]
    )


def stop_rule(command: StopRule, books: Books, moment: Moment) -> RuleMade:
    """Take a rule off the list of those that can fire; refuses RULE_NOT_FOUND. One that is over stays as it is."""
    rule = books.find(Rule, command.rule_id)
    if rule is None:
        raise Refusal(Code.RULE_NOT_FOUND)
    if rule.state != LIVE:
        return RuleMade(rule=rule)
    live = books.find(LiveRules, rule.tenant_id)
    if live is None:
        raise AssertionError(f"rule {rule.id} is live and in no list")
    stopped = rule.with_(state=EXPIRED, updated_at=moment.now)
    books.put(stopped)
    books.put(live.without([rule.id]))
    return RuleMade(rule=stopped)


def _check_size(command: MakeRule) -> None:
    stepped = [
        amount
        for action in command.actions
        if isinstance(action, SellAction)
        for amount in (action.arrives, action.ceiling)
    ]
    if (
        not 0 < len(command.conditions) <= CONDITIONS_MAX
        or any(len(condition.amounts) > CONDITIONS_MAX for condition in command.conditions)
        or not 0 < len(command.actions) <= ACTIONS_MAX
        or any(len(amount.steps) > STEPS_MAX for amount in stepped)
    ):
        raise Refusal(Code.RULE_EXCESSIVE)


def _assets(command: MakeRule) -> list[str]:
    return [*(one.asset for one in command.conditions), *(one.asset for one in command.actions)]


def _want(command: MakeRule, books: Books, moment: Moment) -> None:
    books.want(
        (LiveRules, moment.owner_id),
        (Party, command.party_id),
        *[(ListedAsset, asset) for asset in _assets(command)],
        *[(PreparedPayout, one.prepared_id) for one in command.actions if isinstance(one, SellAction)],
        *[(DepositAddress, (one.network, one.address)) for one in command.addresses],
        *[(BankDetails, one.name) for one in (command.bank,) if one is not None],
    )


def _check_party(command: MakeRule, books: Books, moment: Moment) -> None:
    party = None if command.party_id is None else books.find(Party, command.party_id)
    if command.party_id is not None and (party is None or party.tenant_id != moment.owner_id):
        raise Refusal(Code.PARTY_NOT_FOUND)


def _check_prepared(action: SellAction, books: Books, moment: Moment) -> None:
    """Refuse what could never be sold; once the rule is made, the rule alone says until when it may be used."""
    prepared = books.find(PreparedPayout, action.prepared_id)
    if prepared is None or prepared.tenant_id != moment.owner_id or moment.arrived_at >= prepared.expires_at:
        raise Refusal(Code.PAYOUT_NOT_PREPARED)
    if action.asset != prepared.asset:
        raise Refusal(Code.PREPARED_ASSET_DIFFERS)


def _still_live(books: Books, moment: Moment) -> LiveRules:
    """Return the tenant's rules that can still fire; those that have run out are recorded so."""
    live = books.find(LiveRules, moment.owner_id) or LiveRules(tenant_id=moment.owner_id)
    books.want(*[(Rule, rule_id) for rule_id in live.rule_ids])
    over = [
        rule
        for rule_id in live.rule_ids
        if (rule := books.find(Rule, rule_id)) is not None and rule.is_over(moment.now)
    ]
    for rule in over:
        books.put(rule.with_(state=EXPIRED, updated_at=moment.now))
    return live.without([rule.id for rule in over])


def _rule(command: MakeRule, moment: Moment) -> Rule:
    terms = RuleTerms(conditions=command.conditions, actions=command.actions, source_address=command.source_address)
    return Rule(
        id=moment.command_id,
        tenant_id=moment.owner_id,
        party_id=command.party_id,
        terms=_write(terms).decode(),
        is_bound=bool(command.addresses) or command.bank is not None,
        is_permanent=command.is_permanent,
        expires_at=command.expires_at,
        created_at=moment.now,
        updated_at=moment.now,
    )
