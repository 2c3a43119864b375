"""The forms of prices, read into commands."""

from typing import Final

from otcdesk.actions.publish_price import SetPrice, SwitchFeed
from otcdesk.console.fields import rate_of, text_of, whole_of
from otcdesk.console.page import ConsoleCall
from otcdesk.console.prices.reads import PriceView, deviation_max, prices_of
from otcdesk.errors import Code, Refusal

#: A rate is set for a week at most.
MINUTES_MAX: Final = 7 * 24 * 60

#: Where the desk guards no deviation, a rate that is further than this from the market is taken for a slip.
_SLIP_BPS: Final = 1_000

_CODE_LENGTH_MAX: Final = 20


def pair_of(call: ConsoleCall) -> tuple[str, str]:
    """Return the directed pair of a form; refuses REQUEST_INVALID."""
    source = text_of(call, "source_asset", "The asset that is given", length_max=_CODE_LENGTH_MAX)
    return source, text_of(call, "destination_asset", "The asset that is received", length_max=_CODE_LENGTH_MAX)


async def view_of(call: ConsoleCall) -> PriceView:
    """Return the price of a form's pair; refuses REQUEST_INVALID, PRICE_NOT_FOUND."""
    pair, lane = pair_of(call), call.caller.lane
    now = await call.desk.business_time(lane)
    for view in await prices_of(call.desk.reads, lane, now):
        if view.price.key == pair:
            return view
    raise Refusal(Code.PRICE_NOT_FOUND)


async def set_price(call: ConsoleCall) -> SetPrice:
    """Return the command that sets a rate for a while; refuses REQUEST_INVALID, PRICE_NOT_FOUND.

    Where the desk guards how far rates may be from the market, the command says so. Elsewhere one that is far must be
    confirmed: it is a slip more often than not.
    """
    view, rate = await view_of(call), rate_of(call, "rate")
    minutes = whole_of(call, "minutes", "The number of minutes", least=1, most=MINUTES_MAX)
    if rate is None or minutes is None:
        raise Refusal(Code.REQUEST_INVALID, "Give a rate, and for how many minutes.")
    apart = view.apart_from_market(rate)
    guarded = await deviation_max(call.desk.reads, call.caller.lane) is not None
    if not guarded and apart is not None and abs(apart) > _SLIP_BPS and not call.field("sure"):
        raise Refusal(
            Code.REQUEST_INVALID, f"This is {apart / 100:+.2f} % away from the market. If it is meant, say so below."
        )
    source, destination = view.price.key
    return SetPrice(source_asset=source, destination_asset=destination, rate=rate, lasts_seconds=60 * minutes)


async def end_price(call: ConsoleCall) -> SetPrice:
    """Return the command that lets a set rate run out now; refuses REQUEST_INVALID, PRICE_NOT_FOUND."""
    view = await view_of(call)
    if not view.is_set or view.price.set_rate is None:
        raise Refusal(Code.REQUEST_INVALID, "No rate is set for this pair.")
    source, destination = view.price.key
    return SetPrice(source_asset=source, destination_asset=destination, rate=view.price.set_rate, lasts_seconds=0)


def switch_feed(call: ConsoleCall) -> SwitchFeed:
    """Return the command that switches a pair's feed; refuses REQUEST_INVALID."""
    source, destination = pair_of(call)
    return SwitchFeed(source_asset=source, destination_asset=destination, up=call.field("up") == "yes")
