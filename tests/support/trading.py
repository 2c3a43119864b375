"""A desk in memory with the deals contract's world, on which parties list, buy, bid and burn."""

from collections import defaultdict
from decimal import Decimal
from importlib.resources import files
from typing import Any
from uuid import UUID

from otcdesk.actions.bid_resale import AcceptBid, DeclineBid, PlaceBid, WithdrawBid
from otcdesk.actions.burn_holding import BurnHolding
from otcdesk.actions.buy_resale import BuyResale, BuyUnsold
from otcdesk.actions.list_resale import ListResale
from otcdesk.actions.record_job import BeginJob, JobRecorded, RecordJob
from otcdesk.actions.switch_negotiation import SwitchNegotiation
from otcdesk.actions.take_resale import TakeResale
from otcdesk.actions.withdraw_resale import CloseResale, WithdrawResale
from otcdesk.domain.brokerage import holding_id
from otcdesk.domain.compact_ids import parse_compact_id
from otcdesk.domain.jobs import FOLLOW, Job
from otcdesk.domain.ledger import Account, desk_account_id
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.resales import RESALES, Branch, Mandate, Purchase, Resale, ResaleTerms, branch_account_id
from otcdesk.domain.world import tenant_id
from otcdesk.errors import Code, Refusal
from tests.support.brokerage import assert_balanced
from tests.support.pure import PureDesk

ESTATE = tenant_id("estate")
ROOT = Mandate("1", permitted=True)


def _id(end: str) -> UUID:
    found = parse_compact_id(f"65a1b2c3d4e5f60718290{end}")
    assert found is not None
    return found


N, N2, N3 = _id("d01"), _id("d02"), _id("d03")
U1, U2, U3 = _id("a01"), _id("a02"), _id("a03")
T, C = _id("b01"), _id("c01")
NOBODY = _id("fff")


class TradingDesk(PureDesk):
    """The contract's fixture: U1 has 10 of T, U3 of a branch below has 5, U2 has 500 VUSD, N has 1000 and 990 of T."""

    def __init__(self, *, trades: bool = True) -> None:
        super().__init__((files("otcdesk") / "worlds" / "deals.toml").read_text(encoding="utf-8"))
        if trades:
            self.tell(SwitchNegotiation(branch_id=N, is_open=True, mandate=ROOT))

    def tell(self, command: Any, **how: Any) -> Any:
        """Carry a command of the tenant out."""
        return self.act(command, owner_id=ESTATE, **how)

    def refused(self, command: Any) -> Code:
        """Return with which code a command of the tenant is refused."""
        return self.refuse(command, owner_id=ESTATE)

    # -- the stage -------------------------------------------------------------------------------------------------

    def fees(self, branch: str, desk: str) -> None:
        """Let every sale cost so many percent for the branch, and for the desk."""
        names = ("otc_fee_percent", "secondary_fee_percent", "primary_fee_percent")
        self.put(self.get(Branch, N).with_(**dict.fromkeys(names, Decimal(branch))))
        self.put(self.get(ResaleTerms, 1).with_(**dict.fromkeys(names, Decimal(desk))))

    def listed(self, quantity: int = 4, price: str = "2.5", market: str = "secondary", party: UUID = U1) -> UUID:
        """Return the order of what a party has listed and what is active."""
        job = self.tell(listing(quantity, price, market, party)).job
        self.word(job)
        order_id: UUID = job.order_id
        return order_id

    def word(self, job: Job, outcome: str = "done") -> JobRecorded:
        """Let the chain say what became of a job."""
        told: JobRecorded = self.act(
            RecordJob(job_id=job.id, reference=job.reference, outcome=outcome, detail="0xabc")  # type: ignore[arg-type]
        )
        return told

    def begun(self, job: Job) -> Job:
        """Let a job be begun."""
        begun: JobRecorded = self.act(BeginJob(job_id=job.id, reference=job.reference))
        return begun.job

    # -- what there is ---------------------------------------------------------------------------------------------

    def held(self, party: UUID, asset: str = "EXT") -> tuple[int, int]:
        """Return what a party has of an asset, and how much of that is held."""
        row = self.rows.get((Account, holding_id(party, asset)))
        return (row.balance, row.held) if isinstance(row, Account) else (0, 0)

    def has(self, purpose: str, asset: str = "VUSD", branch: UUID = N) -> int:
        """Return what a branch has for a purpose."""
        return self.get(Account, branch_account_id(branch, purpose, asset)).balance

    def desk_has(self, purpose: str, asset: str) -> int:
        """Return what the desk's own account has."""
        return self.get(Account, desk_account_id(purpose, asset)).balance

    def parts(self, order_id: UUID) -> tuple[str, int, int, int]:
        """Return a listing's state, and what is available, promised and sold of it."""
        row = self.get(Resale, order_id)
        return self.get(Order, order_id).state, row.available, row.promised, row.sold

    def state(self, order_id: UUID) -> str:
        """Return an order's state."""
        return self.get(Order, order_id).state

    def followed(self) -> list[tuple[str, int]]:
        """Return what the chain was told to do after the books, in the order in which it was told."""
        return [(job.asset, job.units) for job in self.all(Job) if job.kind == FOLLOW]

    def assert_sound(self) -> None:
        """Check that the books balance, and that what is listed, promised and sold is what is held and traded."""
        assert_balanced(self)
        promised: dict[UUID, int] = defaultdict(int)
        sold: dict[UUID, int] = defaultdict(int)
        holding: dict[UUID, int] = defaultdict(int)
        orders = {order.id: order for order in self.all(Order)}
        trades = {trade.order_id: trade for trade in self.all(Trade)}
        for purchase in self.all(Purchase):
            order = orders[purchase.order_id]
            if order.state == "pending":
                holding[holding_id_of(self, purchase)] += purchase.quantity
                if purchase.listing_id is not None:
                    promised[purchase.listing_id] += purchase.quantity
            assert (purchase.order_id in trades) == (order.state == "completed"), order
            if order.state == "completed" and purchase.listing_id is not None:
                sold[purchase.listing_id] += purchase.quantity
        for resale in self.all(Resale):
            order = orders[resale.order_id]
            if resale.order_id in trades:
                sold[resale.order_id] += trades[resale.order_id].source_units
            assert (resale.promised, resale.sold) == (promised[resale.order_id], sold[resale.order_id]), resale
            holding[order.source_account_id] += resale.available
            assert resale.available + resale.promised + resale.sold <= resale.quantity
            if order.state in RESALES.ended:
                assert resale.available == 0, (order, resale)
                assert order.pay_hold_id is None
            else:
                assert resale.available + resale.promised + resale.sold == resale.quantity
        burning = [order for order in orders.values() if (order.side, order.state) == ("burn", "pending")]
        for order in burning:
            holding[order.source_account_id] += order.source_units
        for account in self.all(Account):
            if account.asset == "EXT":
                assert account.held == holding[account.id], account


def holding_id_of(desk: TradingDesk, purchase: Purchase) -> UUID:
    """Return the account that gives the units of a purchase."""
    if purchase.listing_id is None:
        return branch_account_id(purchase.branch_id, "unsold", "EXT")
    return desk.get(Order, purchase.listing_id).source_account_id


def listing(quantity: int = 4, price: str = "2.5", market: str = "secondary", party: UUID = U1) -> ListResale:
    """Return what lists units of T."""
    return ListResale(
        party_id=party,
        instrument_id=T,
        currency_id=C,
        quantity=quantity,
        price=Decimal(price),
        market=market,
        mandate=ROOT,
    )


def buying(order_id: UUID | None, quantity: int = 1, market: str = "secondary", **changes: Any) -> BuyResale:
    """Return what buys of a listing, by U2 unless told."""
    given: dict[str, Any] = {"party_id": U2, "instrument_id": T, "mandate": ROOT, **changes}
    return BuyResale(order_id=order_id, quantity=quantity, market=market, **given)


def buying_unsold(quantity: int = 1, **changes: Any) -> BuyUnsold:
    """Return what buys on the primary market, by U2 unless told."""
    return BuyUnsold(**{"party_id": U2, "instrument_id": T, "mandate": ROOT, "quantity": quantity, **changes})


def bidding(order_id: UUID | None, quantity: int = 2, price: str = "1.5", **changes: Any) -> PlaceBid:
    """Return what bids for a listing, by U2 unless told."""
    given: dict[str, Any] = {"party_id": U2, "instrument_id": T, "mandate": ROOT, **changes}
    return PlaceBid(order_id=order_id, quantity=quantity, price=Decimal(price), **given)


def accepting(bid_id: UUID, **changes: Any) -> AcceptBid:
    """Return what accepts a bid, by U1 unless told."""
    return AcceptBid(**{"party_id": U1, "instrument_id": T, "order_id": bid_id, "mandate": ROOT, **changes})


def declining(bid_id: UUID, **changes: Any) -> DeclineBid:
    """Return what declines a bid, by U1 unless told."""
    return DeclineBid(**{"party_id": U1, "instrument_id": T, "order_id": bid_id, "mandate": ROOT, **changes})


def withdrawing_bid(bid_id: UUID, **changes: Any) -> WithdrawBid:
    """Return what takes a bid back, by U2 unless told."""
    return WithdrawBid(**{"party_id": U2, "instrument_id": T, "order_id": bid_id, "mandate": ROOT, **changes})


def withdrawing(order_id: UUID, market: str = "secondary") -> WithdrawResale:
    """Return what takes a listing of U1 back."""
    return WithdrawResale(party_id=U1, instrument_id=T, order_id=order_id, market=market, mandate=ROOT)


def taking(order_id: UUID) -> TakeResale:
    """Return what lets the branch take a listing."""
    return TakeResale(branch_id=N, instrument_id=T, order_id=order_id, mandate=ROOT)


def closing(order_id: UUID) -> CloseResale:
    """Return what lets the branch close a listing."""
    return CloseResale(branch_id=N, instrument_id=T, order_id=order_id, mandate=ROOT)


def burning(party: UUID = U1, **changes: Any) -> BurnHolding:
    """Return what burns all that a party has available of T."""
    return BurnHolding(**{"party_id": party, "instrument_id": T, "mandate": ROOT, **changes})


def refusal_of(desk: TradingDesk, command: Any) -> Refusal:
    """Return the refusal of a command, with its facts."""
    try:
        desk.tell(command)
    except Refusal as refusal:
        return refusal
    raise AssertionError(f"not refused: {command}")
