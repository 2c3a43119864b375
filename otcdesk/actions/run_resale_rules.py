"""Put a listing before the rules of its branch, once, and keep what each of them said."""

import msgspec

from otcdesk.actions.end_resale import end_resale
from otcdesk.actions.freeze import is_frozen
from otcdesk.actions.resale_checks import instrument_of
from otcdesk.actions.take_resale import branch_covers, needed_to_take, taken_by_branch
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import Tenant
from otcdesk.domain.resale_rules import ACCEPT, BranchRules, Listed, ResaleDecision, ResaleRule, in_turn, objection
from otcdesk.domain.resales import REJECT, Instrument, Resale


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule said: why it does not decide, or what it did."""

    rule_id: str
    name: str
    said: str


def run_resale_rules(books: Books, moment: Moment, order: Order, resale: Resale) -> Order:
    """Let the first rule that has no objection decide; returns the order after it.

    A rule that would take what the branch cannot pay for, or what a frozen tenant may not, is passed over. A rule that
    its match consumes is inactive from then on, so no two listings consume one (deals contract, 5).
    """
    books.want((BranchRules, resale.branch_id), (Instrument, resale.instrument_id))
    live = books.find(BranchRules, resale.branch_id)
    if live is None or not live.rule_ids:
        return order
    books.want(
        *needed_to_take(order, resale),
        *((ResaleRule, rule_id) for rule_id in live.rule_ids),
        (Tenant, order.tenant_id),
    )
    rules = sorted((rule for rule_id in live.rule_ids if (rule := books.find(ResaleRule, rule_id))), key=in_turn)
    instrument = instrument_of(books, resale.instrument_id)
    refers = instrument.currency_id == resale.currency_id
    listed = Listed(instrument.id, resale.available, order.rate, instrument.price if refers else None)
    verdicts: list[Verdict] = []
    decided_by: ResaleRule | None = None
    for rule in rules:
        said = objection(rule, listed, moment.now)
        if said is None and rule.action == ACCEPT:
            said = _hindrance(books, resale)
        verdicts.append(Verdict(rule_id=str(rule.id), name=rule.name, said=said or rule.action))
        if said is None:
            decided_by = rule
            break
    books.add(
        ResaleDecision(
            order_id=order.id,
            tenant_id=order.tenant_id,
            rule_id=decided_by.id if decided_by else None,
            action=decided_by.action if decided_by else None,
            explanation=msgspec.json.encode(verdicts).decode(),
            decided_at=moment.now,
        )
    )
    if decided_by is None:
        return order
    if decided_by.consume_on_match:
        books.put(decided_by.with_(active=False, updated_at=moment.now))
        books.put(live.with_(rule_ids=tuple(each for each in live.rule_ids if each != decided_by.id)))
    if decided_by.action == ACCEPT:
        return taken_by_branch(books, moment, order, resale)
    return end_resale(books, moment, order, REJECT, f"rule {decided_by.name}")


def _hindrance(books: Books, resale: Resale) -> str | None:
    """Return why a branch cannot take a listing now, None if it can."""
    if is_frozen(books, resale.tenant_id):
        return "the tenant is frozen"
    return None if branch_covers(books, resale) else "the branch does not cover it"
