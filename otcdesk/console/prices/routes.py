"""The page of prices: what is in force and why, a rate of one's own for a while, and feeds switched off and on."""

from typing import Final

from otcdesk.api.http import Answer
from otcdesk.console.fields import text_of
from otcdesk.console.page import ConsoleCall, done, opens, page, posts
from otcdesk.console.prices import forms
from otcdesk.console.prices.reads import prices_of
from otcdesk.domain import duties
from otcdesk.errors import Code

_PRICES: Final = "/console/prices"


async def show_prices(call: ConsoleCall) -> Answer:
    """Show the price of each pair with its layers."""
    now = await call.desk.business_time(call.caller.lane)
    views = await prices_of(call.desk.reads, call.caller.lane, now)
    assets = sorted({asset for view in views for asset in view.price.key})
    facts = {"views": views, "now": now, "assets": [(asset, asset) for asset in assets]}
    return await page(call, "prices/prices.html", {**facts, "minutes_max": forms.MINUTES_MAX})


async def set_price(call: ConsoleCall) -> Answer:
    """Set a pair's rate for a while."""
    await call.submit(await forms.set_price(call), why=_why(call))
    return done(_PRICES, "changed")


async def end_price(call: ConsoleCall) -> Answer:
    """Let the feed's rate be in force again."""
    await call.submit(await forms.end_price(call), why=_why(call))
    return done(_PRICES, "changed")


async def switch_feed(call: ConsoleCall) -> Answer:
    """Switch a pair's feed off or on."""
    await call.submit(forms.switch_feed(call), why=_why(call))
    return done(_PRICES, "changed")


def _why(call: ConsoleCall) -> str:
    return text_of(call, "why", "The reason", required=False)


_SET = duties.PRICES_SET
_REFUSES = (Code.PRICE_NOT_FOUND, Code.RATE_DEVIATES)

ROUTES = (
    opens("/prices", show_prices, "The market prices"),
    posts("/prices/set", set_price, "Set a rate for a while", duty=_SET, shows=show_prices, refuses=_REFUSES),
    posts(
        "/prices/end",
        end_price,
        "Let a set rate run out",
        duty=_SET,
        shows=show_prices,
        refuses=(Code.PRICE_NOT_FOUND,),
    ),
    posts("/prices/feed", switch_feed, "Switch a feed", duty=_SET, shows=show_prices, refuses=(Code.PRICE_NOT_FOUND,)),
)
