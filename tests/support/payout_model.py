"""The life of payouts told a second time, in plain ifs and fractions: who may sell what, and what becomes of it.

It shares no code with the product. Amounts are in units: cents of EUR, millionths of USDC. A verb either returns how
the command must end, having done it, or raises `Refused` with nothing changed.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from uuid import UUID

from tests.support.brokerage_oracle import Refused
from tests.support.payouts import ADA, B1, B2, DE, EVE, SEPA_FILE

VALIDITY = timedelta(seconds=900)
SURCHARGES = {B1: Fraction(0), B2: Fraction(1, 200)}


@dataclass(frozen=True)
class Way:
    """A channel as far as money goes: bounds and fixed fee in cents, and who pays."""

    least: int
    most: int | None
    fixed: int
    percent: Fraction
    rail: str


WAYS = {
    DE: Way(1_000, 1_000_000, 50, Fraction(1, 100), "payout"),
    SEPA_FILE: Way(100, None, 35, Fraction(0), "bank_file"),
}


@dataclass
class Pot:
    """An account."""

    balance: int
    held: int = 0

    @property
    def free(self) -> int:
        return self.balance - self.held


@dataclass(eq=False)
class Sold:
    """One payout and its life."""

    tenant: UUID
    channel: UUID
    cents: int
    fee: int
    surcharge: int
    cost: int
    rate: Fraction
    state: str = "pending"
    returned: int | None = None
    adjustments: int = 0

    @property
    def leaves(self) -> int:
        return self.cents + self.fee + self.surcharge

    @property
    def open(self) -> bool:
        return self.state in {"pending", "held", "cancelling"}


@dataclass(eq=False)
class Prepared:
    """What was prepared."""

    tenant: UUID
    party: UUID | None
    channel: UUID
    cents: int
    cost: int
    expires_at: datetime
    sold: Sold | None = None


#: What a nonce was used with: what was prepared, how much arrives, the ceiling, the tenant's own reference.
Content = tuple[int, int, Fraction, str | None]


@dataclass
class Model:
    """The world of the ramp contract, as far as USDC for EUR goes."""

    now: datetime
    rate: Fraction = Fraction("0.92")
    current: dict[UUID, Pot] = field(default_factory=lambda: {B1: Pot(500_000_000), B2: Pot(1_000_000_000)})
    treasury: dict[str, Pot] = field(default_factory=lambda: {"EUR": Pot(100_000_000), "USDC": Pot(0)})
    outside: int = 0
    fees: int = 0
    withheld: dict[UUID, int] = field(default_factory=lambda: {B1: 0, B2: 0})
    status: dict[UUID, str] = field(default_factory=lambda: dict.fromkeys((ADA, EVE), "active"))
    keys: dict[tuple[UUID, str], tuple[Content, Sold]] = field(default_factory=dict)
    sales: list[Sold] = field(default_factory=list)

    # What commands come to.

    def prepare(self, tenant: UUID, party: UUID | None, channel: UUID, cents: int, *, delayed: bool) -> Prepared:
        self._check_party(party)
        way = WAYS[channel]
        if cents < way.least:
            raise Refused("AMOUNT_TOO_SMALL")
        if way.most is not None and cents > way.most:
            raise Refused("AMOUNT_TOO_LARGE")
        cost = self._priced(tenant, party, channel, cents).cost
        if not delayed and self.current[tenant].free < cost:
            raise Refused("PAYOUT_NOT_COVERED")
        return Prepared(tenant, party, channel, cents, cost, self.now + VALIDITY)

    def sell(
        self, tenant: UUID, prepared: Prepared, nonce: str, cents: int, ceiling: Fraction, external_id: str | None
    ) -> Sold:
        content = (id(prepared), cents, ceiling, external_id)
        used = self.keys.get((tenant, nonce))
        if used is not None:
            if used[0] != content:
                raise Refused("KEY_REUSED")
            return used[1]
        if prepared.tenant != tenant or self.now >= prepared.expires_at:
            raise Refused("PAYOUT_NOT_PREPARED")
        if cents != prepared.cents:
            raise Refused("PREPARED_AMOUNT_DIFFERS")
        if prepared.sold is not None:
            raise Refused("PREPARED_PAYOUT_USED")
        self._check_party(prepared.party)
        made = self._priced(tenant, prepared.party, prepared.channel, cents)
        if made.cost > ceiling:
            raise Refused("CEILING_EXCEEDED")
        if self.current[tenant].free < made.cost:
            raise Refused("PAYOUT_NOT_COVERED")
        if self.treasury["EUR"].free < made.leaves:
            raise Refused("TREASURY_INSUFFICIENT")
        self.current[tenant].held += made.cost
        self.treasury["EUR"].held += made.leaves
        prepared.sold = made
        self.keys[tenant, nonce] = content, made
        self.sales.append(made)
        return made

    def record(self, sold: Sold, outcome: str, *, known: bool) -> bool:
        """`known`: the call is the one that the payout waits for."""
        if not sold.open or not known:
            return False
        self._end(sold, "settled" if outcome == "done" else "failed")
        return True

    def review(self, sold: Sold, verb: str) -> str:
        wanted, after = {
            "hold": ("pending", "held"),
            "release": ("held", "pending"),
            "cancel": ("held", "cancelling"),
        }[verb]
        if sold.state != wanted:
            raise Refused("INVALID_STATE")
        if verb == "cancel" and WAYS[sold.channel].rail != "payout":
            self._end(sold, "failed")
        else:
            sold.state = after
        return sold.state

    def give_back(self, sold: Sold, cents: int) -> bool:
        if sold.state != "settled":
            raise Refused("INVALID_STATE")
        if sold.returned is not None:
            return False
        if not 0 < cents <= sold.cents:
            raise Refused("RETURN_EXCEEDS_PAYOUT")
        units = floor(Fraction(cents, 100) / sold.rate * 10**6)
        if self.treasury["USDC"].free < units:
            raise Refused("TREASURY_INSUFFICIENT")
        sold.returned = units
        self.outside -= cents
        self.treasury["EUR"].balance += cents
        self.treasury["USDC"].balance -= units
        self.current[sold.tenant].balance += units
        return True

    def adjust(self, sold: Sold, units: int) -> int:
        """Credit so many units, or debit them if they are negative."""
        if sold.state != "settled":
            raise Refused("INVALID_STATE")
        if units == 0:
            raise Refused("AMOUNT_TOO_SMALL")
        pot = self.current[sold.tenant]
        if units < 0 and pot.free < -units:
            raise Refused("BALANCE_INSUFFICIENT")
        pot.balance += units
        sold.adjustments += units
        return units

    def book(self, asset: str, units: int) -> None:
        """Let the treasury get or lose something; its USDC begin with the first payout that settles."""
        pot = self.treasury[asset]
        if asset == "USDC" and not any(sold.state == "settled" for sold in self.sales):
            raise Refused("ACCOUNT_NOT_FOUND")
        if units < 0 and pot.free < -units:
            raise Refused("BALANCE_INSUFFICIENT")
        pot.balance += units
        if asset == "EUR":
            self.outside -= units

    # How they come to it.

    def _check_party(self, party: UUID | None) -> None:
        if party is not None and self.status[party] != "active":
            raise Refused({"unverified": "PARTY_UNVERIFIED", "inactive": "PARTY_INACTIVE"}[self.status[party]])

    def _priced(self, tenant: UUID, party: UUID | None, channel: UUID, cents: int) -> Sold:
        way = WAYS[channel]
        fee = way.fixed + ceil(cents * way.percent)
        surcharge = ceil(cents * SURCHARGES[tenant]) if party is not None else 0
        cost = ceil(Fraction(cents + fee + surcharge, 100) / self.rate * 10**6)
        return Sold(tenant, channel, cents, fee, surcharge, cost, self.rate)

    def _end(self, sold: Sold, state: str) -> None:
        current, euros = self.current[sold.tenant], self.treasury["EUR"]
        current.held -= sold.cost
        euros.held -= sold.leaves
        sold.state = state
        if state == "settled":
            current.balance -= sold.cost
            self.treasury["USDC"].balance += sold.cost
            euros.balance -= sold.leaves
            self.outside += sold.cents
            self.fees += sold.fee
            self.withheld[sold.tenant] += sold.surcharge
