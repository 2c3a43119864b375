"""The life of quotes told a second time, in plain dicts and ifs: who may accept what, and what becomes of it.

It shares no code with the product; what a trade comes to it asks of `tests.support.brokerage_oracle`. A verb either
returns how the command must end, having done it, or raises `Refused` with nothing changed.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from uuid import UUID

from tests.support import brokerage_oracle as oracle
from tests.support.brokerage import TENANT_OF, P, Q, U, V, W
from tests.support.brokerage_oracle import CENT, Figures, Refused, Terms

REFERENCE = Fraction(50_000)
MARGINS = {U: Fraction("0.02"), V: Fraction("0.005"), W: Fraction("0.02")}
SHARES = {P: Fraction(0), Q: Fraction("0.2")}
VALIDITY = timedelta(seconds=60)


@dataclass
class Pot:
    """An account, in whole fiat or asset."""

    balance: Fraction
    held: Fraction = Fraction(0)

    @property
    def free(self) -> Fraction:
        return self.balance - self.held


@dataclass(eq=False)
class Quoted:
    """One quote and its life."""

    party: UUID
    side: str
    figures: Figures
    expires_at: datetime
    state: str = "created"
    external_id: str | None = None
    accepted: bool = False
    reason: str | None = None
    trades: int = 0

    @property
    def tenant(self) -> UUID:
        return TENANT_OF[self.party]


@dataclass
class Model:
    """The world of the offers contract, as far as bitcoin for euros goes."""

    now: datetime
    cash: dict[UUID, Pot] = field(default_factory=lambda: {P: Pot(Fraction(100_000)), Q: Pot(Fraction(50))})
    holdings: dict[UUID, Pot] = field(
        default_factory=lambda: {U: Pot(Fraction("0.05")), V: Pot(Fraction(1)), W: Pot(Fraction(0))}
    )
    basis: dict[UUID, tuple[Fraction, Fraction]] = field(
        default_factory=lambda: {U: (Fraction("0.05"), Fraction(2_000))}
    )
    quotes: list[Quoted] = field(default_factory=list)
    newest: dict[UUID, Quoted] = field(default_factory=dict)
    keys: dict[tuple[UUID, str], Quoted] = field(default_factory=dict)
    enabled: dict[str, bool] = field(default_factory=lambda: {"buy": True, "sell": True})
    status: dict[UUID, str] = field(default_factory=lambda: dict.fromkeys((U, V, W), "active"))
    agreed: dict[UUID, int] = field(default_factory=lambda: dict.fromkeys((U, V, W), 1))
    agreement: int = 1

    # What commands come to.

    def quote(self, party: UUID, side: str, amount: Fraction, defined_for: str, tax_rate: Fraction | None) -> Quoted:
        self._check_party(party)
        if not self.enabled[side]:
            raise Refused("TRADING_DISABLED")
        terms = Terms(
            side=side,
            reference=REFERENCE,
            margin=MARGINS[party],
            decimals=8,
            cost=Fraction("0.25"),
            share=SHARES[TENANT_OF[party]],
            tax_rate=tax_rate,
            basis=self.basis.get(party),
        )
        figures = oracle.quote(terms, amount, defined_for)
        made = Quoted(party, side, figures, self.now + VALIDITY)
        pot, units = self._source(made)
        if pot.free < units:
            raise Refused("QUOTE_NOT_COVERED")
        self.quotes.append(made)
        self.newest[party] = made
        return made

    def accept(self, quoted: Quoted | None, party: UUID, external_id: str | None, *, repeats: bool) -> str:
        tenant = TENANT_OF[party]
        used = self.keys.get((tenant, external_id)) if external_id is not None else None
        mine = quoted is not None and quoted.party == party
        if used is not None and used is quoted and mine:
            if not repeats:
                raise Refused("QUOTE_ACCEPTED")
            if used.state == "failed":
                raise Refused("QUOTE_FAILED")
            return used.state
        self._check_party(party)
        if quoted is None or not mine:
            raise Refused("QUOTE_GONE")
        if quoted.accepted and not repeats:
            raise Refused("QUOTE_ACCEPTED")
        if used is not None:
            raise Refused("EXTERNAL_ID_TAKEN")
        if quoted.accepted:
            if external_id is not None and quoted.external_id is not None:
                raise Refused("EXTERNAL_ID_DIFFERS")
            raise Refused("QUOTE_ACCEPTED")
        if quoted.state == "expired" or self.now >= quoted.expires_at:
            raise Refused("QUOTE_EXPIRED")
        if self.newest[party] is not quoted:
            raise Refused("QUOTE_SUPERSEDED")
        return self._accept(quoted, tenant, external_id)

    def record(self, quoted: Quoted, outcome: str, reason: str, *, known: bool) -> bool:
        """`known`: the call is the one that the order waits for."""
        if quoted.state != "in_progress" or not known:
            return False
        pot, units = self._source(quoted)
        pot.held -= units
        if outcome == "refused":
            quoted.state, quoted.reason = "failed", reason
            return True
        figures, cash, holding = quoted.figures, self.cash[quoted.tenant], self.holdings[quoted.party]
        if quoted.side == "buy":
            cash.balance -= figures.total
            holding.balance += figures.quantity
        else:
            cash.balance += figures.total - figures.tax
            holding.balance -= figures.quantity
        held = self.basis.get(quoted.party)
        self.basis[quoted.party] = oracle.basis_after(quoted.side, held, figures.quantity, figures.total)
        quoted.state = "finished"
        quoted.trades += 1
        return True

    def record_due(self, quotes: list[Quoted]) -> int:
        late = {id(one): one for one in quotes if one.state == "created" and self.now >= one.expires_at}
        for one in late.values():
            one.state = "expired"
        return len(late)

    def book(self, tenant: UUID, cents: int) -> None:
        pot = self.cash[tenant]
        if cents < 0 and pot.free < -cents * CENT:
            raise Refused("BALANCE_INSUFFICIENT")
        pot.balance += cents * CENT

    # How they come to it.

    def _check_party(self, party: UUID) -> None:
        if self.status[party] != "active":
            raise Refused({"unverified": "PARTY_UNVERIFIED", "inactive": "PARTY_INACTIVE"}[self.status[party]])
        if self.agreed[party] != self.agreement:
            raise Refused("AGREEMENTS_NOT_ACCEPTED")

    def _accept(self, quoted: Quoted, tenant: UUID, external_id: str | None) -> str:
        quoted.accepted, quoted.external_id = True, external_id
        if external_id is not None:
            self.keys[tenant, external_id] = quoted
        pot, units = self._source(quoted)
        if not self.enabled[quoted.side]:
            quoted.state, quoted.reason = "failed", "trading_disabled"
        elif pot.free < units:
            quoted.state, quoted.reason = "failed", "not_covered"
        else:
            quoted.state = "in_progress"
            pot.held += units
        return quoted.state

    def _source(self, quoted: Quoted) -> tuple[Pot, Fraction]:
        if quoted.side == "buy":
            return self.cash[quoted.tenant], quoted.figures.total
        return self.holdings[quoted.party], quoted.figures.quantity
