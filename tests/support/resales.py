"""A world in which listings can meet everything: three branches with fees, two instruments, two currencies.

Who and what there is, is told once, in `resale_model`; the world's file is made from that.
"""

from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from otcdesk.domain.brokerage import holding_id
from otcdesk.domain.compact_ids import declared_compact_id
from otcdesk.domain.ledger import desk_account_id
from otcdesk.domain.resales import Mandate, branch_account_id
from otcdesk.domain.world import tenant_id
from tests.support.resale_model import COINS, DESK, HOMES, OFFICES, OPENING, PAPERS, May, Place

ESTATE = tenant_id("estate")
BRANCH = {name: declared_compact_id("branch", "estate", name) for name in OFFICES}
PAPER = {name: declared_compact_id("instrument", "estate", name) for name in PAPERS}
COIN = {name: declared_compact_id("currency", "estate", name) for name in COINS}
PARTY = {name: declared_compact_id("holder", "estate", name) for name in HOMES}


def account_at(place: Place) -> UUID:
    """Return the id of an account of the model."""
    owner, purpose, asset = place
    if not owner:
        return desk_account_id(purpose, asset)
    return holding_id(PARTY[owner], asset) if owner in PARTY else branch_account_id(BRANCH[owner], purpose, asset)


def mandate(may: May) -> Mandate:
    """Say what a caller of the model may do as the desk takes it."""
    return Mandate(may.path, may.permitted)


def _percent(value: Fraction) -> str:
    return str(Decimal(value.numerator) / Decimal(value.denominator))


def _fees(of: dict[str, Fraction]) -> str:
    return "{ " + ", ".join(f'{market} = "{_percent(value)}"' for market, value in of.items()) + " }"


def _amounts(owner: str, purpose: str) -> str:
    scales = {name: coin.scale for name, coin in COINS.items()}
    found = [
        f'{{ asset = "{asset}", balance = "{Decimal(units).scaleb(-scales.get(asset, 0)):f}" }}'
        for (whose, what, asset), units in OPENING.items()
        if (whose, what) == (owner, purpose)
    ]
    return f"[{', '.join(found)}]"


def _world() -> str:
    lines = ['name = "resales"']
    scales = {**{name: coin.scale for name, coin in COINS.items()}, **dict.fromkeys(PAPERS, 0)}
    lines += [f'[[assets]]\ncode = "{code}"\nscale = {scale}' for code, scale in scales.items()]
    lines.append(f"[resales]\nvalidity_days = 31\nfees = {_fees(DESK)}")
    lines.append('[[tenants]]\nref = "estate"')
    for number, (name, office) in enumerate(OFFICES.items(), start=1):
        lines.append(
            f'[[tenants.branches]]\nref = "{name}"\nnumber = {number}\npath = "{office.path}"\n'
            f"parties_trade = {str(office.parties_trade).lower()}\nfees = {_fees(office.fees)}\n"
            f"funds = {_amounts(name, 'funds')}"
        )
    for name, coin in COINS.items():
        lines.append(f'[[tenants.currencies]]\nref = "{name}"\nbranch = "{coin.branch}"\nasset = "{name}"')
    for name, paper in PAPERS.items():
        open_to = [f"open_to_{word} = {str(market in paper.markets).lower()}" for word, market in _OPEN]
        lines.append(
            f'[[tenants.instruments]]\nref = "{name}"\nbranch = "{paper.issuer}"\nasset = "{name}"\n'
            f'currency = "{paper.currency}"\nprice = "{_percent(paper.price)}"\n'
            f'unsold = "{OPENING[paper.issuer, "unsold", name]}"\n' + "\n".join(open_to)
        )
    for number, (name, home) in enumerate(HOMES.items(), start=1):
        lines.append(
            f'[[tenants.holders]]\nref = "{name}"\nbranch = "{home}"\nname = "{name}"\n'
            f'identity_number = "{number:011}"\nholdings = {_amounts(name, "holding")}'
        )
    lines.append('[[operators]]\nref = "operator"')
    return "\n".join(lines)


_OPEN = (("resale", "otc"), ("market", "secondary"))

RESALES_WORLD = _world()
