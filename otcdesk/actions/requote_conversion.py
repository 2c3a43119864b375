"""Give an unexecuted conversion a new rate and a new lifetime; the tenant must confirm it (again)."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from otcdesk.actions.conversion_checks import (
    Pair,
    check_deviation,
    found_conversion,
    offered_rate,
    priced,
    terms_of,
)
from otcdesk.actions.four_eyes import want_guards
from otcdesk.actions.order_checks import order_by_the_clock
from otcdesk.actions.quote_conversion import OrderReply
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment
from otcdesk.domain.conversions import MACHINES, REQUOTE, ConversionTerms, event_of, moved
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.pricing import Price, Spread
from otcdesk.errors import Code, Refusal
from otcdesk.money import plain


class RequoteConversion(Command, frozen=True, kw_only=True):
    """Requote at `rate` (None: the live price) for `ttl_seconds` (None: the lane's terms)."""

    order_id: UUID
    rate: Decimal | None = None
    ttl_seconds: int | None = None


def requote_conversion(command: RequoteConversion, books: Books, moment: Moment) -> OrderReply:
    """Requote an order whose source has not been taken.

    Refuses, in this order: ORDER_NOT_FOUND, INVALID_STATE, PRICE_UNAVAILABLE (without a rate, or where the guards
    compare it with the market), AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE (contract 4.2, 4.3 and 5), RATE_DEVIATES.
    """
    books.want((ConversionTerms, ONLY))
    order = found_conversion(books, command.order_id, None)
    pair = Pair(order.source_asset, order.destination_asset)
    want_guards(
        books,
        (),
        (Price, tuple(pair)),
        (Spread, (order.tenant_id, *pair)),
        (ListedAsset, pair.source),
        (ListedAsset, pair.destination),
    )
    order = order_by_the_clock(books, moment, order)
    if not MACHINES[order.side].allows(order.state, REQUOTE):
        raise Refusal(Code.INVALID_STATE, state=order.state)
    changes: dict[str, object] = {}
    rate = None if command.rate is None else plain(command.rate)
    if rate is None:
        offered = offered_rate(books, moment, order.tenant_id, pair)
        rate = offered.rate
        changes = {
            "market_rate": offered.market.value,
            "market_source": offered.market.source,
            "market_at": offered.market.at,
        }
    destination = priced(books, order.source_units, pair, rate)
    check_deviation(books, moment, pair, rate)
    ttl_seconds = command.ttl_seconds or terms_of(books).ttl_seconds
    expires_at = moment.now + timedelta(seconds=ttl_seconds)
    requoted = moved(
        order,
        REQUOTE,
        moment.now,
        rate=rate,
        quoted_rate=rate,
        quoted_by=moment.caller,
        quoted_at=moment.now,
        destination_units=destination.units,
        ttl_seconds=ttl_seconds,
        expires_at=expires_at,
        due_at=expires_at,
        **changes,
    )
    books.put(requoted)
    books.add(event_of(requoted, REQUOTE, moment.caller))
    return OrderReply(order=requoted)
