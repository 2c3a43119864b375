"""What people may do about one order: which moves there are, when each is possible, and whose duty it is.

A page shows the moves that its order allows now and that its reader may make; the action decides again.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from otcdesk.console.orders import forms
from otcdesk.console.orders.order_page import OrderPage
from otcdesk.console.page import ConsoleCall
from otcdesk.domain import conversions, deposits, duties, payouts, resales
from otcdesk.domain.commands import Command
from otcdesk.domain.jobs import FAILED, FOLLOW, SEND, Job
from otcdesk.domain.orders import SELL
from otcdesk.domain.products import lifecycle_of


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A move: its name in the address, whose duty it is, when it is possible, and how its form is read.

    `keyed`: the form has a key of its own, under which it acts once. `said`: what the page says after it.
    """

    name: str
    summary: str
    duty: str
    possible: Callable[[OrderPage], bool]
    command: Callable[[ConsoleCall, OrderPage], Command]
    said: str
    keyed: bool = False


def _allows(product: str, event: str) -> Callable[[OrderPage], bool]:
    def possible(page: OrderPage) -> bool:
        return page.order.product == product and lifecycle_of(page.order).allows(page.order, event)

    return possible


def _is_made_by_the_desk(page: OrderPage) -> bool:
    """Tell whether a payout is the desk's own to end: no provider's, and not held."""
    channel = page.whole.channel
    if page.order.product != payouts.PRODUCT or channel is None or channel.rail == payouts.PAYOUT_RAIL:
        return False
    return page.order.state in {payouts.PENDING, payouts.FILED}


def _is_paid(page: OrderPage) -> bool:
    order = page.order
    return (order.product, order.side, order.state) == (payouts.PRODUCT, SELL, payouts.SETTLED)


def _is_undecided(page: OrderPage) -> bool:
    return page.order.product == deposits.PRODUCT and page.order.state in {deposits.PENDING, deposits.FAILED}


def _is_listed(page: OrderPage) -> bool:
    resale = page.whole.resale
    if resale is None or resale.market != resales.OTC:
        return False
    return page.order.state == resales.ACTIVE and resale.available > 0


MOVES: Final = (
    Move(
        name="settle-debit",
        summary="Tell how a debit went",
        duty=duties.DEBITS_SETTLE,
        possible=_allows(conversions.PRODUCT, conversions.DEBIT_SETTLED),
        command=forms.settle_debit,
        said="settled",
    ),
    Move(
        name="requote",
        summary="Requote a conversion",
        duty=duties.ORDERS_REQUOTE,
        possible=_allows(conversions.PRODUCT, conversions.REQUOTE),
        command=forms.requote,
        said="requoted",
    ),
    Move(
        name="reject",
        summary="Reject a conversion",
        duty=duties.ORDERS_REJECT,
        possible=_allows(conversions.PRODUCT, conversions.REJECT),
        command=forms.reject,
        said="rejected",
    ),
    Move(
        name="hold",
        summary="Hold a payout",
        duty=duties.PAYOUTS_REVIEW,
        possible=_allows(payouts.PRODUCT, payouts.HOLD),
        command=forms.hold,
        said="held",
    ),
    Move(
        name="release",
        summary="Release a payout",
        duty=duties.PAYOUTS_REVIEW,
        possible=_allows(payouts.PRODUCT, payouts.RELEASE),
        command=forms.release,
        said="released",
    ),
    Move(
        name="cancel",
        summary="Cancel a payout",
        duty=duties.PAYOUTS_REVIEW,
        possible=_allows(payouts.PRODUCT, payouts.CANCEL),
        command=forms.cancel,
        said="cancelled",
    ),
    Move(
        name="settle",
        summary="Record that the desk has paid a payout",
        duty=duties.PAYOUTS_SETTLE,
        possible=_is_made_by_the_desk,
        command=forms.settle,
        said="settled",
    ),
    Move(
        name="fail",
        summary="Give back what a payout took that nobody makes",
        duty=duties.PAYOUTS_SETTLE,
        possible=_is_made_by_the_desk,
        command=forms.fail,
        said="settled",
    ),
    Move(
        name="return",
        summary="Record that a payout came back",
        duty=duties.PAYOUTS_SETTLE,
        possible=_is_paid,
        command=forms.record_return,
        said="settled",
    ),
    Move(
        name="adjust",
        summary="Correct what a payout took",
        duty=duties.PAYOUTS_SETTLE,
        possible=_is_paid,
        command=forms.adjust,
        said="booked",
        keyed=True,
    ),
    Move(
        name="conclude",
        summary="Say what became of a deposit",
        duty=duties.DEPOSITS_CONCLUDE,
        possible=_is_undecided,
        command=forms.conclude,
        said="settled",
    ),
    Move(
        name="take",
        summary="Take a listing for its branch",
        duty=duties.RESALES_DECIDE,
        possible=_is_listed,
        command=forms.take,
        said="taken",
    ),
    Move(
        name="close",
        summary="Close a listing",
        duty=duties.RESALES_DECIDE,
        possible=_is_listed,
        command=forms.close,
        said="closed",
    ),
)


class OpenJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job about which something can be done: ask the chain again, or decide that it is not carried out."""

    job: Job
    can_fail: bool


def possible_moves(page: OrderPage, may: Callable[[str], bool]) -> dict[str, Move]:
    """Return the moves that an order allows now and that its reader may make, by name."""
    return {move.name: move for move in MOVES if may(move.duty) and move.possible(page)}


def open_jobs(jobs: Iterable[Job]) -> list[OpenJob]:
    """Return the jobs that can be asked for again: those under way, and failed ones that the books do not wait for."""
    jobs = list(jobs)
    replaced = {job.replaces for job in jobs}
    return [
        OpenJob(job=job, can_fail=not job.is_over)
        for job in jobs
        if not job.is_over or (job.state == FAILED and job.kind in {FOLLOW, SEND} and job.id not in replaced)
    ]


def may_be_approved(page: OrderPage) -> bool:
    """Tell whether an order waits to be approved."""
    order = page.order
    return (order.product, order.state) == (conversions.PRODUCT, conversions.PENDING_APPROVAL)


def word_after(move: Move, reply: Any) -> str:
    """Return what a page says after a move: what was known before, was not done again."""
    return move.said if getattr(reply, "applied", True) else "known"
