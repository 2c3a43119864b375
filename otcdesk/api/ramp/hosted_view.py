"""What the page of a checkout shows, from what is stored: amounts, fees, ways to be paid, and until when."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from otcdesk.api.ramp.bank_details import MANY_COUNTRIES
from otcdesk.api.ramp.checkout_shapes import line_items
from otcdesk.api.ramp.codes import ENVIRONMENTS, Environment
from otcdesk.domain.checkouts import CHECKOUTS, FIAT_OUT, Checkout
from otcdesk.domain.deposits import BankDetails
from otcdesk.domain.lanes import LaneClock
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import Party
from otcdesk.domain.payouts import CARD, Channel, Cost, Surcharge, cost_of
from otcdesk.domain.pricing import Price
from otcdesk.money import Amount, Asset, less_spread, print_units

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
#: How a kind of payment method is called by people.
_NAMES: Final = {
    "BankSepa": "SEPA transfer",
    "BankLocal": "Bank transfer",
    "BankAch": "Bank transfer (ACH)",
    "BankFedwire": "Wire transfer (Fedwire)",
    "BankSortCode": "Bank transfer (sort code)",
    "BankSwift": "International transfer (SWIFT)",
    "IdentifierPix": "Pix",
    "IdentifierMobileMoney": "Mobile money",
}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout with all that its page may show, as it is stored."""

    lane: int
    lane_kind: str
    checkout: Checkout
    order: Order
    clock: LaneClock | None
    tenant_name: str
    party: Party | None
    scales: dict[str, int]
    channels: list[Channel]
    price: Price | None
    surcharge: Surcharge | None
    bank: BankDetails | None
    now: datetime | None = None

    def at(self, now: datetime) -> "Found":
        """Return the checkout in the state that the clock has brought it to at a business time."""
        return msgspec.structs.replace(self, order=CHECKOUTS.by_the_clock(self.order, now), now=now)

    def text(self, code: str, units: int) -> str:
        """Return an amount as it is shown."""
        return f"{print_units(units, self.scales[code])} {self.shown(code)}"

    def shown(self, code: str) -> str:
        """Return an asset as it is shown: in sandboxes it is one of a test network."""
        return self._environment.shown_asset(code)

    def network(self, name: str) -> str:
        """Return a network as it is shown."""
        return self._environment.shown_network(name)

    @property
    def _environment(self) -> Environment:
        return ENVIRONMENTS["live" if self.lane_kind == "live" else "sandbox"]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A way to be paid: the channel, what it is called, what it costs now if that is known, and how long it takes."""

    channel: Channel
    name: str
    country: str
    fee: str
    takes: str

    @property
    def id(self) -> str:
        """Return the channel's id as it is sent."""
        return str(self.channel.id)


def choices_of(found: Found) -> list[Choice]:
    """Return the ways to be paid that fit amount and country, the cheapest first."""
    if found.order.side != FIAT_OUT:
        return []
    arrives = Amount(found.order.destination_units, _asset(found, found.order.destination_asset))
    fitting = [
        (channel, _cost(found, channel, arrives)) for channel in found.channels if _fits(found, channel, arrives)
    ]
    fitting.sort(key=lambda one: (one[1].fees.units if one[1] else 0, str(one[0].id)))
    return [
        Choice(
            channel=channel,
            name=_NAMES.get(channel.type, "Transfer"),
            country="" if channel.country == MANY_COUNTRIES else channel.country,
            fee=found.text(channel.fiat, cost.fees.units) if cost is not None else "",
            takes=_duration(channel.processing_seconds),
        )
        for channel, cost in fitting
    ]


def _fits(found: Found, channel: Channel, arrives: Amount) -> bool:
    """Tell whether a channel can pay this: a card cannot be told on a page of ours."""
    country = found.party.country if found.party else None
    at_home = country is None or channel.country in {country, MANY_COUNTRIES}
    below = channel.max_units is None or arrives.units <= channel.max_units
    return at_home and below and arrives.units >= channel.min_units and channel.category != CARD


def _cost(found: Found, channel: Channel, arrives: Amount) -> Cost | None:
    market = found.price.market(found.now) if found.price and found.now else None
    rate = less_spread(market.value, channel.spread_bps) if market else None
    if not rate:
        return None
    percent = found.surcharge.percent if found.surcharge else Decimal(0)
    return cost_of(arrives, channel, percent, rate, _asset(found, found.checkout.asset))


def _asset(found: Found, code: str) -> Asset:
    return Asset(code, found.scales[code])


def facts_of(found: Found) -> dict[str, Any]:
    """Return what every page of a checkout may show."""
    order, checkout = found.order, found.checkout
    pays_out = order.side == FIAT_OUT
    code, units = (
        (order.destination_asset, order.destination_units) if pays_out else (order.source_asset, order.source_units)
    )
    return {
        "business": found.tenant_name,
        "side": order.side,
        "state": order.state,
        "reason": order.reason or "",
        "amount": found.text(code, units),
        "number": print_units(units, found.scales[code]),
        "currency": found.shown(code),
        "items": [_item(item, found.shown(code)) for item in line_items(checkout)],
        "reference": checkout.reference or "",
        "address": checkout.address or "",
        "network": found.network(checkout.network) if checkout.network else "",
        "bank": found.bank,
        "until": _time(order.expires_at),
        "until_iso": order.expires_at.isoformat(timespec="seconds"),
        "external_id": checkout.external_id or "",
        "is_test": found.lane_kind != "live",
    }


def _item(item: Any, currency: str) -> dict[str, str]:
    return {
        "description": item.Description,
        "quantity": _plain(item.Quantity),
        "unit": f"{_plain(item.UnitAmount)} {currency}",
        "total": f"{_plain(item.TotalAmount)} {currency}",
    }


def _plain(text: str) -> str:
    """Return a positive decimal as people write it: `+5.` as `5`, `.50` as `0.50`."""
    whole, _, fraction = text.removeprefix("+").partition(".")
    return f"{whole or '0'}.{fraction}" if fraction else whole


def _time(moment: datetime) -> str:
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}, {moment:%H:%M} UTC"


def _duration(seconds: int) -> str:
    """Return how long something takes, rounded up."""
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= unit:
            count = -(-seconds // unit)
            return f"within {count} {name}{'' if count == 1 else 's'}"
    return "within a minute"
