"""Put prices in force: what a feed saw, what the operator sets until a time, and a feed switched off and on.

What an operator sets is the market for everybody, for the guards of rates as well. So it is itself no further from what
the feed saw last than they allow, or one person could move the market and then approve at it.
"""

from datetime import timedelta
from decimal import Decimal

from otcdesk.actions.conversion_checks import check_near
from otcdesk.actions.four_eyes import want_guards
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.pricing import Price
from otcdesk.errors import Code, Refusal
from otcdesk.money import plain


class PublishPrice(Command, frozen=True, kw_only=True):
    """What a feed saw: destination per one source at market. `stale_after_ms` None: it never goes stale."""

    source_asset: str
    destination_asset: str
    rate: Decimal
    feed: str
    stale_after_ms: int | None


class SetPrice(Command, frozen=True, kw_only=True):
    """The operator's own market rate, which wins over the feed for `lasts_seconds`; 0: not any longer."""

    source_asset: str
    destination_asset: str
    rate: Decimal
    lasts_seconds: int


class SwitchFeed(Command, frozen=True, kw_only=True):
    """Say that a pair's feed works, or that it does not."""

    source_asset: str
    destination_asset: str
    up: bool


class PriceReply(Reply, frozen=True, kw_only=True):
    """The pair's price row after the command."""

    price: Price


def publish_price(command: PublishPrice, books: Books, moment: Moment) -> PriceReply:
    """Keep what the feed saw as of now; refuses PRICE_NOT_FOUND for a pair that the lane does not price."""
    return _put(
        books,
        _found(books, command).with_(
            feed_rate=plain(command.rate),
            feed_source=command.feed,
            feed_at=moment.now,
            stale_after_ms=command.stale_after_ms,
        ),
    )


def set_price(command: SetPrice, books: Books, moment: Moment) -> PriceReply:
    """Let the operator's rate be in force for a while.

    Refuses PRICE_NOT_FOUND, RATE_DEVIATES from what the feed has seen last, stale or switched off as it may be. Where
    no feed has seen anything the operator alone says it, and to end what is set is always allowed.
    """
    price = _found(books, command)
    if command.lasts_seconds and price.feed_rate is not None:
        want_guards(books, ())
        check_near(books, command.rate, price.feed_rate)
    return _put(
        books,
        price.with_(
            set_rate=plain(command.rate),
            set_by=moment.caller,
            set_at=moment.now,
            set_until=moment.now + timedelta(seconds=command.lasts_seconds),
        ),
    )


def switch_feed(command: SwitchFeed, books: Books, moment: Moment) -> PriceReply:  # noqa: ARG001  (an action's shape)
    """Switch a pair's feed off or on; refuses PRICE_NOT_FOUND."""
    return _put(books, _found(books, command).with_(feed_up=command.up))


def _found(books: Books, command: PublishPrice | SetPrice | SwitchFeed) -> Price:
    price = books.find(Price, (command.source_asset, command.destination_asset))
    if price is None:
        raise Refusal(Code.PRICE_NOT_FOUND)
    return price


def _put(books: Books, price: Price) -> PriceReply:
    books.put(price)
    return PriceReply(price=price)
