"""The life of listings told a second time, in plain ifs and whole numbers: who may list and take what, and its end.

It shares no code with the product. Amounts are in units: whole ones of instruments, the last decimal place of
currencies. A verb either returns how the command must end, having done it, or raises `Refused` with nothing changed.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from math import floor

from tests.support.brokerage_oracle import Refused

VALIDITY = timedelta(days=31)
BID_VALIDITY = timedelta(days=1)
UNITS_MAX = 10**38


@dataclass(frozen=True)
class Office:
    """A branch: its place in the tree, its fees by market in percent, and whether its parties trade."""

    path: str
    fees: dict[str, Fraction]
    parties_trade: bool


@dataclass(frozen=True)
class Paper:
    """An instrument: who has issued it, what one costs there, and where it may be listed."""

    issuer: str
    currency: str
    price: Fraction
    markets: tuple[str, ...]


@dataclass(frozen=True)
class Coin:
    """A currency: whose it is, and its decimals."""

    branch: str
    scale: int


def percents(otc: str, secondary: str, primary: str) -> dict[str, Fraction]:
    return {"otc": Fraction(otc), "secondary": Fraction(secondary), "primary": Fraction(primary)}


OFFICES = {
    "N": Office("1", percents("4", "2.5", "1"), parties_trade=True),
    "N2": Office("1.2", percents("0.28", "0", "0"), parties_trade=False),
    "N3": Office("1.3", percents("0", "0", "0"), parties_trade=True),
}
DESK = percents("0.5", "0.1", "0.33")
HOMES = {"U1": "N", "U2": "N", "U3": "N2", "U4": "N3"}
PAPERS = {
    "EXT": Paper("N", "VUSD", Fraction(2), ("otc", "secondary")),
    "TWR": Paper("N2", "VTWO", Fraction("3.5"), ("otc",)),
}
COINS = {"VUSD": Coin("N", 6), "VTWO": Coin("N2", 2)}

#: What everybody has at first, in units: owner, purpose, asset.
Place = tuple[str, str, str]
OPENING: dict[Place, int] = {
    ("N", "funds", "VUSD"): 150_000_000,
    ("N2", "funds", "VTWO"): 6_000,
    ("N", "unsold", "EXT"): 60,
    ("N2", "unsold", "TWR"): 40,
    ("U1", "holding", "EXT"): 20,
    ("U1", "holding", "VUSD"): 100_000_000,
    ("U2", "holding", "EXT"): 6,
    ("U2", "holding", "VUSD"): 500_000_000,
    ("U3", "holding", "EXT"): 9,
    ("U3", "holding", "TWR"): 15,
    ("U3", "holding", "VUSD"): 50_000_000,
    ("U3", "holding", "VTWO"): 4_000,
    ("U4", "holding", "EXT"): 3,
    ("U1", "holding", "TWR"): 5,
    ("U4", "holding", "VUSD"): 30_000_000,
}


@dataclass
class Pot:
    """An account."""

    balance: int = 0
    held: int = 0

    @property
    def free(self) -> int:
        return self.balance - self.held


@dataclass(eq=False)
class Listing:
    """What is listed and its life."""

    party: str
    paper: str
    coin: str
    market: str
    quantity: int
    price: int
    expires_at: datetime
    available: int
    promised: int = 0
    sold: int = 0
    state: str = "pending"
    number: int | None = None

    @property
    def issuer(self) -> str:
        return PAPERS[self.paper].issuer


@dataclass(eq=False)
class Deal:
    """What is bought or bid for, of a listing or of the unsold supply; it expires only as a bid."""

    party: str
    paper: str
    coin: str
    market: str
    listing: Listing | None
    quantity: int
    price: int
    fee: int
    desk_fee: int
    state: str = "pending"
    expires_at: datetime | None = None

    @property
    def gross(self) -> int:
        return self.quantity * self.price

    @property
    def net(self) -> int:
        return self.gross - self.fee - self.desk_fee


@dataclass(eq=False)
class Burn:
    """What a party has burnt."""

    party: str
    paper: str
    units: int
    state: str = "pending"


@dataclass(eq=False)
class Task:
    """A job that somebody has asked for."""

    kind: str
    of: Listing | Deal | Burn
    units: int
    state: str = "started"

    @property
    def over(self) -> bool:
        return self.state in {"completed", "failed"}


@dataclass(eq=False)
class Habit:
    """A rule of a branch; bounds are fractions."""

    issuer: str
    turn: int
    priority: int
    accepts: bool
    test: str = "unconditional"
    side: str = "sells"
    consumed: bool = False
    active: bool = True
    paper: str | None = None
    below: Fraction | None = None
    above: Fraction | None = None
    least: int | None = None
    most: int | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None


@dataclass(frozen=True)
class May:
    """What a caller may do."""

    path: str = "1"
    permitted: bool = True

    def check(self, office: str) -> None:
        if not self.permitted or not above(self.path, OFFICES[office].path):
            raise Refused("NOT_PERMITTED")


def above(path: str, other: str) -> bool:
    """Tell whether a branch is another one, or above it."""
    return (other + ".").startswith(path + ".")


@dataclass
class Model:
    """The world above, as far as listings go."""

    now: datetime
    pots: dict[Place, Pot] = field(
        default_factory=lambda: defaultdict(Pot, {place: Pot(units) for place, units in OPENING.items()})
    )
    listings: list[Listing] = field(default_factory=list)
    deals: list[Deal] = field(default_factory=list)
    burns: list[Burn] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    habits: list[Habit] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OFFICES, 0))
    decided: dict[int, Habit | None] = field(default_factory=dict)
    keys: dict[str, tuple[tuple[object, ...], Task]] = field(default_factory=dict)

    # What commands come to.

    def sell(
        self, party: str, paper: str, coin: str, quantity: int, price: Fraction, market: str, may: May, key: str | None
    ) -> Task:
        content = (party, paper, coin, quantity, price, market)
        if key is not None and key in self.keys:
            may.check(HOMES[party])  # before a key is answered with anything
            used, task = self.keys[key]
            if used != content:
                raise Refused("KEY_REUSED")
            return task
        self._check_dealing(party, paper)
        may.check(HOMES[party])
        if market not in PAPERS[paper].markets:
            raise Refused("RESALE_CLOSED")
        units = self._priced(party, coin, price, quantity)
        pot = self._holding(party, paper)
        if pot.free < quantity:
            raise Refused("RESALE_NOT_COVERED")
        pot.held += quantity
        made = Listing(party, paper, coin, market, quantity, units, self.now + VALIDITY, quantity)
        self.listings.append(made)
        task = self._task("list", made, quantity)
        if key is not None:
            self.keys[key] = content, task
        return task

    def withdraw(self, party: str, paper: str, listing: Listing | None, market: str, may: May) -> Task:
        self._check_dealing(party, paper)
        may.check(HOMES[party])
        listing = self._named(listing, paper, market)
        if listing.party != party:
            raise Refused("RESALE_NOT_OWN")
        if self.is_now(listing) != "active" or listing.available == 0:
            raise Refused("NOT_CANCELLABLE")
        return self._task("withdraw", listing, listing.available)

    def take(self, office: str, paper: str, listing: Listing | None, may: May) -> str:
        listing = self._for_branch(office, paper, listing, may)
        if self.is_now(listing) != "active" or listing.available == 0:
            raise Refused("NOT_TAKEABLE")
        if not self._branch_covers(listing):
            raise Refused("BRANCH_NOT_COVERED")
        self._taken(listing)
        return listing.state

    def close(self, office: str, paper: str, listing: Listing | None, may: May) -> str:
        listing = self._for_branch(office, paper, listing, may)
        if self.is_now(listing) != "active" or listing.available == 0:
            raise Refused("NOT_CANCELLABLE")
        self._end(listing, "cancelled")
        return listing.state

    def buy_unsold(self, party: str, paper: str, quantity: int, may: May) -> Task:
        self._check_dealing(party, paper)
        may.check(HOMES[party])
        about = PAPERS[paper]
        price = self._priced(party, about.currency, about.price, quantity)
        supply = self.pots[about.issuer, "unsold", paper]
        if supply.free < quantity:
            raise Refused("SUPPLY_INSUFFICIENT")
        deal = self._deal(party, paper, about.currency, "primary", None, quantity, price)
        self._check_pays(deal)
        supply.held += quantity
        return self._task("purchase", deal, deal.net)

    def buy(self, party: str, paper: str, listing: Listing | None, quantity: int, market: str, may: May) -> Task:
        self._check_dealing(party, paper)
        may.check(HOMES[party])
        listing = self._buyable(party, paper, listing, quantity, market)
        deal = self._deal(party, paper, listing.coin, market, listing, quantity, listing.price)
        self._check_pays(deal)
        self._promise(listing, quantity)
        return self._task("purchase", deal, deal.net)

    def bid(self, party: str, paper: str, listing: Listing | None, quantity: int, price: Fraction, may: May) -> Deal:
        self._check_dealing(party, paper)
        may.check(HOMES[party])
        listing = self._buyable(party, paper, listing, quantity, "otc")
        units = self._counted(listing.coin, price, quantity)
        deal = self._deal(party, paper, listing.coin, "otc", listing, quantity, units)
        deal.state, deal.expires_at = "active", self.now + BID_VALIDITY
        self._check_pays(deal)
        return deal

    def accept(self, party: str, paper: str, deal: Deal, may: May) -> Task:
        listing = self._bid_on(party, paper, deal, may)
        if listing.party != party:
            raise Refused("RESALE_NOT_OWN")
        if not OFFICES[listing.issuer].parties_trade:
            raise Refused("PARTIES_DO_NOT_TRADE")
        self._check_open(deal)
        if self.is_now(listing) != "active":
            raise Refused("NOT_TAKEABLE")
        if deal.quantity > listing.available:
            raise Refused("QUANTITY_UNAVAILABLE")
        deal.state = "pending"
        self._promise(listing, deal.quantity)
        return self._task("purchase", deal, deal.net)

    def decline(self, party: str, paper: str, deal: Deal, may: May) -> str:
        if self._bid_on(party, paper, deal, may).party != party:
            raise Refused("RESALE_NOT_OWN")
        self._check_open(deal)
        return self._end_bid(deal, "declined")

    def unbid(self, party: str, paper: str, deal: Deal, may: May) -> str:
        self._bid_on(party, paper, deal, may)
        if deal.party != party:
            raise Refused("RESALE_NOT_OWN")
        self._check_open(deal)
        return self._end_bid(deal, "cancelled")

    def burn(self, party: str, paper: str, may: May) -> Task:
        self._check_dealing(party, paper)
        may.check(HOMES[party])
        pot = self._holding(party, paper)
        if pot.free < 1:
            raise Refused("RESALE_NOT_COVERED")
        made = Burn(party, paper, pot.free)
        pot.held += made.units
        self.burns.append(made)
        return self._task("burn", made, made.units)

    def begin(self, task: Task, *, known: bool) -> bool:
        """`known`: the reference is the job's."""
        if task.over or not known or task.state != "started":
            return False
        task.state = "in_progress"
        if task.kind == "withdraw":
            assert isinstance(task.of, Listing)
            self._by_the_clock(task.of)
            if task.of.state != "active" or task.of.available == 0:
                task.state = "failed"
            else:
                task.of.state = "withdrawing"
                task.units = task.of.available
        return True

    def record(self, task: Task, outcome: str, *, known: bool) -> bool:
        if task.over or not known:
            return False
        was, task.state = task.state, "completed" if outcome == "done" else "failed"
        if isinstance(task.of, Deal):
            self._purchased(task.of, done=outcome == "done")
        elif isinstance(task.of, Burn):
            self._burnt(task.of, done=outcome == "done")
        elif task.kind == "list":
            self._listed(task.of, done=outcome == "done")
        elif outcome == "done":
            self._end(task.of, "cancelled")
        elif was == "in_progress":
            task.of.state = "active"
            self._by_the_clock(task.of)
        return True

    def run_out(self, over: list[Listing | Deal]) -> int:
        """Record what the clock has done to some."""
        return sum(self._by_the_clock(one) for one in over)

    def make_rule(self, habit: Habit) -> Habit:
        if habit.paper is not None and PAPERS[habit.paper].issuer != habit.issuer:
            raise Refused("INSTRUMENT_NOT_FOUND")
        if habit.least is not None and habit.most is not None and habit.least > habit.most:
            raise Refused("RULE_BOUNDS_CROSSED")
        if habit.valid_from is not None and habit.valid_until is not None and habit.valid_from > habit.valid_until:
            raise Refused("RULE_BOUNDS_CROSSED")
        self.habits.append(habit)
        return habit

    # How they come to it.

    def is_now(self, one: Listing | Deal) -> str:
        """Return a listing's or a bid's state as the clock has it; what is all promised does not run out."""
        runs_out = one.state == "active" and not (isinstance(one, Listing) and one.available == 0)
        assert one.expires_at is not None or not runs_out
        return "expired" if runs_out and one.expires_at is not None and self.now >= one.expires_at else one.state

    def _by_the_clock(self, one: Listing | Deal) -> bool:
        if self.is_now(one) == one.state:
            return False
        if isinstance(one, Listing):
            self._end(one, "expired")
        else:
            self._end_bid(one, "expired")
        return True

    def _end_bid(self, deal: Deal, state: str) -> str:
        self._holding(deal.party, deal.coin).held -= deal.gross
        deal.state = state
        return state

    def _buyable(self, party: str, paper: str, listing: Listing | None, quantity: int, market: str) -> Listing:
        if market == "otc" and not OFFICES[PAPERS[paper].issuer].parties_trade:
            raise Refused("PARTIES_DO_NOT_TRADE")
        listing = self._named(listing, paper, market)
        if listing.party == party:
            raise Refused("OWN_RESALE")
        if self.is_now(listing) != "active":
            raise Refused("NOT_TAKEABLE")
        if quantity > listing.available:
            raise Refused("QUANTITY_UNAVAILABLE")
        return listing

    def _bid_on(self, party: str, paper: str, deal: Deal, may: May) -> Listing:
        self._check_dealing(party, paper)
        may.check(HOMES[party])
        if deal.paper != paper or deal.listing is None:
            raise Refused("BID_NOT_FOUND")
        return deal.listing

    def _check_open(self, deal: Deal) -> None:
        if self.is_now(deal) != "active":
            raise Refused("BID_OVER")

    def _burnt(self, burn: Burn, *, done: bool) -> None:
        pot = self._holding(burn.party, burn.paper)
        pot.held -= burn.units
        burn.state = "completed" if done else "failed"
        if done:
            pot.balance -= burn.units

    def _holding(self, party: str, asset: str) -> Pot:
        return self.pots[party, "holding", asset]

    def _task(self, kind: str, of: Listing | Deal | Burn, units: int) -> Task:
        made = Task(kind, of, units)
        self.tasks.append(made)
        return made

    def _check_dealing(self, party: str, paper: str) -> None:
        home, issuer = OFFICES[HOMES[party]].path, OFFICES[PAPERS[paper].issuer].path
        if not above(issuer, home) and not above(home, issuer):
            raise Refused("INSTRUMENT_NOT_FOUND")

    def _priced(self, party: str, coin: str, price: Fraction, quantity: int) -> int:
        if not above(OFFICES[COINS[coin].branch].path, OFFICES[HOMES[party]].path):
            raise Refused("CURRENCY_NOT_FOUND")
        return self._counted(coin, price, quantity)

    def _counted(self, coin: str, price: Fraction, quantity: int) -> int:
        units = price * 10 ** COINS[coin].scale
        if units.denominator != 1:
            raise Refused("AMOUNT_TOO_FINE")
        if units <= 0:
            raise Refused("AMOUNT_TOO_SMALL")
        if units * quantity > UNITS_MAX:
            raise Refused("AMOUNT_TOO_LARGE")
        return int(units)

    def _named(self, listing: Listing | None, paper: str, market: str) -> Listing:
        if listing is None or listing.paper != paper or listing.market != market:
            raise Refused("ORDER_NOT_FOUND")
        return listing

    def _for_branch(self, office: str, paper: str, listing: Listing | None, may: May) -> Listing:
        if PAPERS[paper].issuer != office:
            raise Refused("INSTRUMENT_NOT_FOUND")
        may.check(office)
        return self._named(listing, paper, "otc")

    def _deal(
        self, party: str, paper: str, coin: str, market: str, listing: Listing | None, quantity: int, price: int
    ) -> Deal:
        of_branch, of_desk = OFFICES[PAPERS[paper].issuer].fees[market], DESK[market]
        together = floor(quantity * price * (of_branch + of_desk) / 100)
        desk_fee = floor(quantity * price * of_desk / 100)
        return Deal(party, paper, coin, market, listing, quantity, price, together - desk_fee, desk_fee)

    def _check_pays(self, deal: Deal) -> None:
        pays = self._holding(deal.party, deal.coin)
        if pays.free < deal.gross:
            raise Refused("BUYER_NOT_COVERED")
        pays.held += deal.gross
        self.deals.append(deal)

    def _promise(self, listing: Listing, quantity: int) -> None:
        listing.available -= quantity
        listing.promised += quantity

    def _branch_covers(self, listing: Listing) -> bool:
        return self.pots[listing.issuer, "funds", listing.coin].free >= listing.available * listing.price

    def _taken(self, listing: Listing) -> None:
        """The branch takes all that is left, which ends it; what is promised is still the buyers'."""
        deal = self._deal("", listing.paper, listing.coin, "otc", listing, listing.available, listing.price)
        seller = self._holding(listing.party, listing.paper)
        seller.held -= deal.quantity
        self._change_hands(deal, seller, self.pots[listing.issuer, "inventory", listing.paper])
        self.pots[listing.issuer, "funds", listing.coin].balance -= deal.gross
        self._holding(listing.party, listing.coin).balance += deal.net
        listing.sold += listing.available
        listing.available = 0
        listing.state = "completed"

    def _change_hands(self, deal: Deal, gives: Pot, gets: Pot) -> None:
        gives.balance -= deal.quantity
        gets.balance += deal.quantity
        self.pots[PAPERS[deal.paper].issuer, "resale_fees", deal.coin].balance += deal.fee
        self.pots["", "fee_income", deal.coin].balance += deal.desk_fee

    def _end(self, listing: Listing, state: str) -> None:
        self._holding(listing.party, listing.paper).held -= listing.available
        listing.available = 0
        listing.state = state

    def _listed(self, listing: Listing, *, done: bool) -> None:
        if not done:
            self._end(listing, "failed")
            return
        self.numbers[listing.issuer] += 1
        listing.number = self.numbers[listing.issuer]
        listing.state = "active"
        if not self._by_the_clock(listing) and listing.market == "otc":
            self._put_before_rules(listing)

    def _purchased(self, deal: Deal, *, done: bool) -> None:
        deal.state = "completed" if done else "failed"
        about = PAPERS[deal.paper]
        listing = deal.listing
        seller = self.pots[about.issuer, "unsold", deal.paper]
        is_paid = self.pots[about.issuer, "funds", deal.coin]
        if listing is not None:
            seller, is_paid = self._holding(listing.party, deal.paper), self._holding(listing.party, deal.coin)
        buyer = self._holding(deal.party, deal.coin)
        buyer.held -= deal.gross
        seller.held -= deal.quantity
        if done:
            self._change_hands(deal, seller, self._holding(deal.party, deal.paper))
            buyer.balance -= deal.gross
            is_paid.balance += deal.net
        if listing is None:
            return
        self._by_the_clock(listing)
        listing.promised -= deal.quantity
        if done:
            listing.sold += deal.quantity
            if listing.state == "active" and listing.available == listing.promised == 0:
                listing.state = "completed"
        elif listing.state in {"active", "withdrawing"}:
            listing.available += deal.quantity
            seller.held += deal.quantity
            self._by_the_clock(listing)  # its time may have passed while all of it was promised

    def _put_before_rules(self, listing: Listing) -> None:
        live = [habit for habit in self.habits if habit.active and habit.issuer == listing.issuer]
        if not live:
            return
        for habit in sorted(live, key=lambda habit: (habit.priority, habit.turn)):
            if self._says_nothing(habit, listing) or (habit.accepts and not self._branch_covers(listing)):
                continue
            self.decided[id(listing)] = habit
            habit.active = not habit.consumed
            if habit.accepts:
                self._taken(listing)
            else:
                self._end(listing, "cancelled")
            return
        self.decided[id(listing)] = None

    def _says_nothing(self, habit: Habit, listing: Listing) -> bool:
        if habit.side == "buys" or habit.paper not in {None, listing.paper}:
            return True
        if habit.valid_from is not None and self.now < habit.valid_from:
            return True
        if habit.valid_until is not None and self.now > habit.valid_until:
            return True
        if not (habit.least or 0) <= listing.quantity <= (habit.most or UNITS_MAX):
            return True
        if habit.test == "unconditional":
            return False
        about = PAPERS[listing.paper]
        if about.currency != listing.coin:
            return True
        price = Fraction(listing.price, 10 ** COINS[listing.coin].scale)
        if habit.test == "percent":
            lowest = None if habit.below is None else about.price * (1 - habit.below / 100)
            highest = None if habit.above is None else about.price * (1 + habit.above / 100)
        else:
            lowest = None if habit.below is None else about.price - habit.below
            highest = None if habit.above is None else about.price + habit.above
        return (lowest is not None and price < lowest) or (highest is not None and price > highest)

    # What always holds.

    def on_chain(self) -> dict[Place, int]:
        """Return where everything is on the chain when all jobs are done: what is listed waits with its issuer."""
        there = {place: pot.balance for place, pot in self.pots.items()}
        for listing in self.listings:
            if listing.state == "pending":
                continue
            waits = listing.available + listing.promised
            there[listing.party, "holding", listing.paper] -= waits
            escrow = (listing.issuer, "escrow", listing.paper)
            there[escrow] = there.get(escrow, 0) + waits
        for burn in self.burns:
            if burn.state == "completed":
                lies = (PAPERS[burn.paper].issuer, "burnt", burn.paper)
                there[lies] = there.get(lies, 0) + burn.units
        return {place: units for place, units in there.items() if units}
