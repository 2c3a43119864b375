"""The dialects that can be measured: for each its world, who calls it, and how its orders are made without HTTP."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol
from urllib.request import Request, urlopen
from uuid import uuid4

from otcdesk.actions.accept_quote import AcceptQuote
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.quote_brokerage import QuoteBrokerage
from otcdesk.actions.quote_conversion import QuoteBuy
from otcdesk.app import Program
from otcdesk.bench.callers import Caller, ExchangesCaller, OffersCaller
from otcdesk.config import Settings
from otcdesk.domain.orders import BUY
from otcdesk.domain.world import account_id, parse_world, tenant_id
from otcdesk.domain.world_brokerage import party_id
from otcdesk.world_loading import LIVE, LoadedWorld


class BenchedDialect(Protocol):
    """What a benchmark asks of a dialect."""

    name: str

    async def load_world(self, program: Program) -> LoadedWorld:
        """Open the lane with all callers in it."""
        ...

    def callers(self, settings: Settings, world: LoadedWorld) -> Sequence[Caller]:
        """Return who makes the load, once a server is up."""
        ...

    async def make_order(self, program: Program, lane: int, number: int) -> None:
        """Make one order as the load makes them; `number` says for whom."""
        ...


async def _loaded(program: Program, text: str) -> LoadedWorld:
    lane = await program.worlds.open_lane("main", LIVE)
    return await program.worlds.load(lane, parse_world(text), kind=LIVE)


_EXCHANGES_TENANTS = 32

_EXCHANGES_WORLD = """
name = "bench"
assets = [{ code = "EUR", scale = 2 }, { code = "USDC", scale = 6 }]
treasury = [{ asset = "EUR", balance = "1000000000" }, { asset = "USDC", network = "ethereum", balance = "1000000000" }]
prices = [{ source = "EUR", destination = "USDC", rate = "1.0842" }]
operators = [{ ref = "operator" }]
[conversions]
ttl_seconds = 900
"""

_EXCHANGES_TENANT = """
[[tenants]]
ref = "customer-{number}"
accounts = [{{ ref = "main", asset = "EUR", balance = "100000000000" }}]
wallets = [{{ ref = "ops", addresses = {{ ethereum = "0x{number:040x}" }} }}]
keys = [{{ ref = "key-{number}", scopes = ["otc-exchanges:read", "otc-exchanges:write"] }}]
"""


class Exchanges:
    """Pairs of quote and confirm; implements `BenchedDialect`."""

    name = "exchanges"

    async def load_world(self, program: Program) -> LoadedWorld:
        """Open the lane with all callers in it."""
        tenants = "".join(_EXCHANGES_TENANT.format(number=number) for number in range(_EXCHANGES_TENANTS))
        return await _loaded(program, _EXCHANGES_WORLD + tenants)

    def callers(self, settings: Settings, world: LoadedWorld) -> Sequence[Caller]:
        """Return who makes the load."""
        return [
            ExchangesCaller(
                settings.exchanges_prefix,
                world.api_keys[f"key-{number}"],
                world.accounts[f"customer-{number}/main"],
                world.accounts[f"customer-{number}/ops"],
            )
            for number in range(_EXCHANGES_TENANTS)
        ]

    async def make_order(self, program: Program, lane: int, number: int) -> None:
        """Quote and confirm."""
        tenant = f"customer-{number % _EXCHANGES_TENANTS}"
        asked = QuoteBuy(
            source_account_id=account_id(tenant, "main"),
            destination_account_id=account_id(tenant, "ops"),
            source_units=2500,
        )
        submit, owner_id = program.desk.engine.submit, tenant_id(tenant)
        quoted = await submit(lane, asked, caller="history", owner_id=owner_id, request_id="history")
        confirm = ConfirmConversion(order_id=quoted.order.id, side=BUY)
        await submit(lane, confirm, caller="history", owner_id=owner_id, request_id="history", key=str(uuid4()))


#: So many that the contract's limit for each of them never binds.
_OFFERS_TENANTS = 256

_OFFERS_WORLD = """
name = "bench"
assets = [{ code = "EUR", scale = 2 }, { code = "BTC", scale = 8 }]
prices = [{ source = "BTC", destination = "EUR", rate = "50000" }]
operators = [{ ref = "operator" }]
[brokerage]
default_level = "standard"
levels = [{ ref = "standard", margin_bps = 200 }]
listings = [{ asset = "EUR", kind = "fiat", number = 1 }, { asset = "BTC", number = 1 }]
markets = [{ asset = "BTC", fiat = "EUR", broker_cost = "0.25" }]
agreements = [{ ref = "general", type = "general", url = "https://broker.example/general" }]
"""

_OFFERS_TENANT = """
[[tenants]]
ref = "partner-{number}"
corporate = [{{ asset = "EUR", balance = "100000000000" }}]
clients = [{{ ref = "client-{number}" }}]
parties = [{{ ref = "party", agreements = ["general"] }}]
"""


class Offers:
    """Pairs of create and accept, each carried out by a venue that answers at once; implements `BenchedDialect`."""

    name = "offers"

    async def load_world(self, program: Program) -> LoadedWorld:
        """Open the lane with all callers in it."""
        tenants = "".join(_OFFERS_TENANT.format(number=number) for number in range(_OFFERS_TENANTS))
        return await _loaded(program, _OFFERS_WORLD + tenants)

    def callers(self, settings: Settings, world: LoadedWorld) -> Sequence[Caller]:
        """Return who makes the load, each with a fresh access token."""
        url = f"{settings.base_url}{settings.offers_prefix}/v1/oauth/token"
        return [
            OffersCaller(
                settings.offers_prefix,
                _token(
                    url, world.clients[f"client-{number}"].client_id, world.clients[f"client-{number}"].client_secret
                ),
                str(party_id(f"partner-{number}", "party")),
            )
            for number in range(_OFFERS_TENANTS)
        ]

    async def make_order(self, program: Program, lane: int, number: int) -> None:
        """Quote and accept."""
        tenant = f"partner-{number % _OFFERS_TENANTS}"
        party = party_id(tenant, "party")
        asked = QuoteBrokerage(
            party_id=party, side=BUY, asset="BTC", fiat="EUR", amount=Decimal(100), defined_for="fiat"
        )
        submit, owner_id = program.desk.engine.submit, tenant_id(tenant)
        quoted = await submit(lane, asked, caller="history", owner_id=owner_id, request_id="history")
        key = str(uuid4())
        accept = AcceptQuote(order_id=quoted.order.id, party_id=party, external_id=key, repeats=True)
        await submit(lane, accept, caller="history", owner_id=owner_id, request_id="history", key=key)


def _token(url: str, client_id: str, client_secret: str) -> str:
    asked = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
    request = Request(url, json.dumps(asked).encode(), {"content-type": "application/json"})  # noqa: S310
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        token: str = json.load(answer)["access_token"]
        return token


DIALECTS: dict[str, BenchedDialect] = {dialect.name: dialect for dialect in (Exchanges(), Offers())}
