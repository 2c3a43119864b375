"""Accept a quote: bind the tenant's own id to it, reserve what the trade takes, and let it wait for the venue.

One quote is accepted once and one external id accepts one quote, whatever the network does: the id is the command's
idempotency key, and what it leads to commits with it. The same id again is told what has become of the quote by then.
"""

from uuid import UUID

from otcdesk.actions.booking import account, place_hold
from otcdesk.actions.brokerage_checks import check_party, journey_of
from otcdesk.actions.limit_checks import check_and_count
from otcdesk.actions.order_checks import order_by_the_clock
from otcdesk.domain.brokerage import (
    ACCEPT,
    CREATED,
    EXPIRED,
    FAIL,
    FAILED,
    NOT_COVERED,
    PRODUCT,
    TRADING_DISABLED,
    Acceptance,
    BrokerageTerms,
    FirmQuote,
    Listing,
    NewestQuote,
    event_of,
    moved,
)
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import Party
from otcdesk.errors import Code, Refusal


class AcceptQuote(Command, frozen=True, kw_only=True):
    """Accept a quote for the party that it was made to.

    `external_id` is the tenant's own id for the trade, the idempotency key as well, if there is one. With `repeats`
    the same request may be sent again to learn the outcome; without, an accepted quote is refused.
    """

    order_id: UUID
    party_id: UUID
    external_id: str | None
    repeats: bool

    @property
    def may_repeat(self) -> bool:
        """Tell whether it may be sent again: who may not repeat would be told that it was accepted by another."""
        return self.repeats


class QuoteAccepted(Reply, frozen=True, kw_only=True):
    """The order and the state that it is in: in progress, or finished, or failed for `reason` right away."""

    order_id: UUID
    state: str
    reason: str | None = None


def accept_quote(command: AcceptQuote, books: Books, moment: Moment) -> QuoteAccepted:
    """Accept a quote that nobody has accepted.

    Refuses, in this order: PARTY_UNVERIFIED, PARTY_INACTIVE, AGREEMENTS_NOT_ACCEPTED, QUOTE_GONE, EXTERNAL_ID_DIFFERS,
    QUOTE_ACCEPTED, QUOTE_EXPIRED, QUOTE_SUPERSEDED (offers contract 4, steps 3 to 9), LIMIT_EXCEEDED. Who may not
    repeat is never told EXTERNAL_ID_DIFFERS: a second acceptance is QUOTE_ACCEPTED, whatever the id (3.3). A quote that
    cannot be carried out any more fails at once; that is no refusal, and binds the id.
    """
    order, quote = _checked(command, books, moment)
    order = order_by_the_clock(books, moment, order)
    if order.state not in {CREATED, EXPIRED}:
        known = books.find(Acceptance, order.id)
        bound = known.external_id if known else None
        if command.repeats and command.external_id is not None and bound not in {None, command.external_id}:
            raise Refusal(Code.EXTERNAL_ID_DIFFERS)
        raise Refusal(Code.QUOTE_ACCEPTED)
    if order.state == EXPIRED:
        raise Refusal(Code.QUOTE_EXPIRED)
    newest = books.find(NewestQuote, quote.party_id)
    if newest is None or newest.order_id != order.id:
        raise Refusal(Code.QUOTE_SUPERSEDED)
    return _accepted(command, books, moment, order, quote)


def repeated_accept(command: AcceptQuote, first: QuoteAccepted, books: Books, moment: Moment) -> QuoteAccepted:
    """Answer an external id that was used before: what has become of its quote, or why it cannot be used for another.

    Refuses QUOTE_FAILED, and QUOTE_ACCEPTED to who may not repeat; for another quote, in this order, PARTY_UNVERIFIED,
    PARTY_INACTIVE, AGREEMENTS_NOT_ACCEPTED, QUOTE_GONE, QUOTE_ACCEPTED to who may not repeat, if the other one is,
    EXTERNAL_ID_TAKEN (offers contract 4, steps 3 to 7).
    """
    quote = books.find(FirmQuote, first.order_id)
    if command.order_id != first.order_id or quote is None or quote.party_id != command.party_id:
        other, _ = _checked(command, books, moment)
        if not command.repeats and other.state not in {CREATED, EXPIRED}:
            raise Refusal(Code.QUOTE_ACCEPTED)
        raise Refusal(Code.EXTERNAL_ID_TAKEN)
    if not command.repeats:
        raise Refusal(Code.QUOTE_ACCEPTED)
    order = books.find(Order, first.order_id)
    if order is None:
        raise AssertionError(f"the accepted order {first.order_id} is not there")
    if order.state == FAILED:
        raise Refusal(Code.QUOTE_FAILED, reason=order.reason)
    return QuoteAccepted(order_id=order.id, state=order.state)


def _checked(command: AcceptQuote, books: Books, moment: Moment) -> tuple[Order, FirmQuote]:
    """Return the quote if it is there and its party may trade."""
    books.want(
        (Order, command.order_id), (FirmQuote, command.order_id), (Party, command.party_id), (BrokerageTerms, ONLY)
    )
    order, quote, party = (
        books.find(Order, command.order_id),
        books.find(FirmQuote, command.order_id),
        books.find(Party, command.party_id),
    )
    if party is None or party.tenant_id != moment.owner_id:
        raise Refusal(Code.QUOTE_GONE)
    if order is None or quote is None or order.product != PRODUCT or quote.party_id != party.id:
        check_party(books, moment, party)
        raise Refusal(Code.QUOTE_GONE)
    books.want((Listing, quote.asset), (NewestQuote, party.id), (Account, order.source_account_id))
    listing = books.find(Listing, quote.asset)
    check_party(books, moment, party, *([journey_of(order.side, listing)] if listing else []))
    return order, quote


def _accepted(command: AcceptQuote, books: Books, moment: Moment, order: Order, quote: FirmQuote) -> QuoteAccepted:
    reason = _hindrance(books, order, quote)
    if reason is None:
        check_and_count(books, moment, order, party_id=quote.party_id)
    hold_id = moment.new_id(1)
    accepted = moved(
        order,
        ACCEPT,
        moment.now,
        confirmed_at=moment.now,
        collect_hold_id=hold_id,
        rail_reference=f"{order.id}:{order.version + 1}",
    )
    books.add(event_of(accepted, ACCEPT, moment.caller))
    books.add(
        Acceptance(
            order_id=order.id,
            tenant_id=quote.tenant_id,
            party_id=quote.party_id,
            external_id=command.external_id,
            accepted_at=moment.now,
        )
    )
    if reason is not None:
        failed = moved(accepted, FAIL, moment.now, reason=reason, collect_hold_id=None, rail_reference=None)
        books.put(failed)
        books.add(event_of(failed, FAIL, moment.caller, reason))
        return QuoteAccepted(order_id=order.id, state=failed.state, reason=reason)
    books.put(accepted)
    source = account(books, order.source_account_id)
    place_hold(books, moment, source, order.source_units, hold_id=hold_id, order_id=order.id)
    return QuoteAccepted(order_id=order.id, state=accepted.state)


def _hindrance(books: Books, order: Order, quote: FirmQuote) -> str | None:
    """Return why the trade cannot be carried out any more, None if it can."""
    listing = books.find(Listing, quote.asset)
    if listing is None or not listing.enabled(order.side):
        return TRADING_DISABLED
    source = books.find(Account, order.source_account_id)
    if source is None or not source.covers(order.source_units):
        return NOT_COVERED
    return None
