"""Payouts on the world of the ramp contract, step by step."""

from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import UUID

from otcdesk.actions.prepare_payout import GivenMethod, PayoutPrepared, PreparePayout
from otcdesk.actions.publish_price import PublishPrice
from otcdesk.actions.record_payout import PayoutRecorded, RecordPayout, RecordReturn
from otcdesk.actions.sell_payout import PayoutSold, SellPayout
from otcdesk.domain.events import Event
from otcdesk.domain.ledger import ADJUSTMENT, OUTSIDE, TREASURY, Account, Hold, desk_account_id
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import named_party_id
from otcdesk.domain.payouts import FEE_INCOME, PreparedPayout, current_id, surcharge_id
from otcdesk.domain.world import tenant_id
from tests.support.brokerage import balance
from tests.support.pure import PureDesk

RAMP_WORLD = (files("otcdesk") / "worlds" / "ramp.toml").read_text(encoding="utf-8")

# Who and what the world declares.
B1, B2 = tenant_id("user-b1"), tenant_id("user-b2")
ADA, UNVERIFIED, INACTIVE = (named_party_id(B1, name) for name in ("cust-001", "cust-unverified", "cust-inactive"))
EVE = named_party_id(B2, "cust-001")
PARTY_OF = {B1: ADA, B2: EVE}
DE, SEPA_FILE, US, BR, JP, KW = (UUID(f"c0de0001-0000-4000-8000-{number:012}") for number in range(1, 7))

IBAN = "DE89370400440532013000"

#: What the contract's `SELL` may cost at most: 110.326087 and one hundredth of it.
CEILING = "111.429348"

#: The desk's own accounts of the product, one for each asset.
PURPOSES = (TREASURY, OUTSIDE, FEE_INCOME, ADJUSTMENT)


@cache
def _declared(world: str) -> PureDesk:
    return PureDesk(world)


def ramp_desk(world: str = RAMP_WORLD) -> PureDesk:
    """Return a desk of its own in which a world is declared."""
    desk = PureDesk(world=None)
    desk.rows = dict(_declared(world).rows)
    return desk


def given(number: str = IBAN, **fields: Any) -> GivenMethod:
    """Name a bank account as a channel's form gives it."""
    told = {"name": f"Bank/Sepa/EUR/{number}", "country": "DE", "number": number, **fields}
    return GivenMethod(**{"details": f'{{"BankDetails":{{"AccountNumber":"{number}"}}}}', **told})


def preparing(arrives: str = "100.00", **fields: Any) -> PreparePayout:
    """Ask what the contract's `PREP` asks, unless told otherwise: 100 EUR to Ada's account, out of USDC."""
    asked = {"channel_id": DE, "asset": "USDC", "party_id": ADA, "given": given(), **fields}
    return PreparePayout(arrives=Decimal(arrives), **asked)


def prepared(desk: PureDesk, arrives: str = "100.00", *, tenant: UUID = B1, **fields: Any) -> PayoutPrepared:
    command = preparing(arrives, **{"party_id": PARTY_OF[tenant], **fields})
    reply: PayoutPrepared = desk.act(command, owner_id=tenant, caller="key")
    return reply


def selling(payout: PreparedPayout, ceiling: str | Decimal | None = None, **fields: Any) -> SellPayout:
    """Sell for what was prepared, at any price unless told otherwise."""
    asked = {
        "prepared_id": payout.id,
        "asset": payout.asset,
        "arrives": arrives_of(payout),
        "ceiling": Decimal(ceiling or 10**12),
        "external_id": "inv-1",
        **fields,
    }
    return SellPayout(**asked)


def arrives_of(payout: PreparedPayout) -> Decimal:
    """Return how much of its fiat arrives, as a number."""
    scale = {"JPY": 0, "KWD": 3}.get(payout.fiat, 2)
    return Decimal((0, tuple(map(int, str(payout.fiat_units))), -scale))


def sold(
    desk: PureDesk, payout: PreparedPayout, nonce: str = "n-1", ceiling: str | None = None, **fields: Any
) -> PayoutSold:
    reply: PayoutSold = desk.act(selling(payout, ceiling, **fields), owner_id=payout.tenant_id, caller="key", key=nonce)
    return reply


def pending(desk: PureDesk, arrives: str = "100.00", *, tenant: UUID = B1, **fields: Any) -> Order:
    """Bring a payout to where it waits for its rail; its nonce is the id of what was prepared."""
    payout = prepared(desk, arrives, tenant=tenant, **fields).prepared
    order = sold(desk, payout, str(payout.id)).order
    assert order is not None
    return order


def done(order: Order, detail: str | None = "rail-1", **fields: Any) -> RecordPayout:
    """Say that a rail has paid."""
    reference = fields.pop("reference", order.rail_reference or "")
    return RecordPayout(order_id=order.id, reference=reference, outcome="done", detail=detail)


def refused(order: Order, detail: str | None = "account closed", **fields: Any) -> RecordPayout:
    """Say that it has not and will not."""
    reference = fields.pop("reference", order.rail_reference or "")
    return RecordPayout(order_id=order.id, reference=reference, outcome="refused", detail=detail)


def recorded(desk: PureDesk, command: RecordPayout) -> Order:
    reply: PayoutRecorded = desk.act(command, caller="rail")
    assert (reply.applied, reply.agrees) == (True, True)
    return reply.order


def settled(desk: PureDesk, arrives: str = "100.00", **fields: Any) -> Order:
    return recorded(desk, done(pending(desk, arrives, **fields)))


def returning(order: Order, fiat_units: int = 10_000, reason: str | None = "no such account") -> RecordReturn:
    """Say that a payout came back."""
    return RecordReturn(order_id=order.id, fiat_units=fiat_units, reference="bank-9", reason=reason)


def moved_price(rate: str, asset: str = "USDC", fiat: str = "EUR") -> PublishPrice:
    pair = {"source_asset": asset, "destination_asset": fiat}
    return PublishPrice(**pair, rate=Decimal(rate), feed="tests", stale_after_ms=None)


def current(desk: PureDesk, tenant: UUID = B1, asset: str = "USDC") -> tuple[int, int]:
    """Return what the contract calls `Available` and `Total`, in units."""
    total, held = balance(desk, current_id(tenant, asset))
    return total - held, total


def withheld(desk: PureDesk, tenant: UUID = B2, fiat: str = "EUR") -> int:
    return balance(desk, surcharge_id(tenant, fiat))[0]


def of_the_desk(desk: PureDesk, asset: str) -> dict[str, int]:
    """Return the balances of the desk's own accounts of an asset that are not zero, its equity left out."""
    found = {purpose: balance(desk, desk_account_id(purpose, asset))[0] for purpose in PURPOSES}
    return {purpose: units for purpose, units in found.items() if units}


def held_of(desk: PureDesk, order: Order) -> dict[UUID, tuple[int, str]]:
    """Return what is or was reserved for an order: account, units and state."""
    return {hold.account_id: (hold.units, hold.state) for hold in desk.all(Hold) if hold.order_id == order.id}


def told_of(desk: PureDesk, order: Order) -> list[tuple[int, str, str, str | None]]:
    """Return the events of an order: version, name, state and detail."""
    events = sorted((row for row in desk.all(Event) if row.order_id == order.id), key=lambda row: row.order_version)
    return [(row.order_version, row.name, row.state, row.detail) for row in events]


def treasury_of(desk: PureDesk, asset: str) -> Account:
    return desk.get(Account, desk_account_id(TREASURY, asset))
