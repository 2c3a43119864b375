"""How this dialect says a currency token, wherever one is shown (contract 3.14)."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from otcdesk.api.deals.values import Id, Number, id_text, time_text, units_number
from otcdesk.api.wire import TimeText
from otcdesk.domain.resales import DEPLOYED, DRAFT, ERROR, IN_PROGRESS, Currency

#: How far a currency token is on its chain, as numbers.
CURRENCY_STATUSES: Final = {DRAFT: 1, IN_PROGRESS: 2, DEPLOYED: 3, ERROR: 4}


class CurrencyMeta(msgspec.Struct, kw_only=True):
    """What a currency token looks like."""

    logo: str | None


class Contract(msgspec.Struct, kw_only=True):
    """Where a token is on its chain, and by which of the chain's transactions it came there."""

    address: str
    tx_hash: str | None


class CurrencyToken(msgspec.Struct, kw_only=True):
    """A currency token; there is one type. `total_supply` is all that anybody has of it."""

    id: Id
    node_id: Id
    type: int = 0
    status: Annotated[int, Meta(extra_json_schema={"enum": [*CURRENCY_STATUSES.values()]})]
    name: str
    symbol: str
    total_supply: Number
    description: str
    decimals: int
    meta: CurrencyMeta
    contract: Contract | None
    is_active: bool
    created_at: TimeText
    updated_at: TimeText


def currency_token_of(currency: Currency, scale: int, supply_units: int) -> CurrencyToken:
    """Return a currency token as it is shown."""
    contract = None if currency.address is None else Contract(address=currency.address, tx_hash=currency.hash)
    return CurrencyToken(
        id=id_text(currency.id),
        node_id=id_text(currency.branch_id),
        status=CURRENCY_STATUSES[currency.state],
        name=currency.name,
        symbol=currency.symbol,
        total_supply=units_number(supply_units, scale),
        description=currency.description,
        decimals=scale,
        meta=CurrencyMeta(logo=currency.logo),
        contract=contract,
        is_active=currency.enabled,
        created_at=time_text(currency.created_at),
        updated_at=time_text(currency.updated_at),
    )
