"""Let what a payout was sold for end as the payout does, in the same batch."""

from otcdesk.domain.checkouts import CONFIRMED, FAIL, SETTLE, event_of, moved
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import SETTLED, Payment


def follow_payout(books: Books, moment: Moment, payout: Order) -> None:
    """Move the checkout that a payout belongs to, if it belongs to one, now that the payout has ended."""
    payment = books.find(Payment, payout.id)
    if payment is None or payment.checkout_id is None:
        return
    checkout = books.find(Order, payment.checkout_id)
    if checkout is None or checkout.state != CONFIRMED:
        raise AssertionError(f"payout {payout.id} is of checkout {payment.checkout_id}, which does not wait for it")
    event = SETTLE if payout.state == SETTLED else FAIL
    after = moved(checkout, event, moment.now, reason=payout.reason)
    books.put(after)
    books.add(event_of(after, event, moment.caller, payout.reason))
