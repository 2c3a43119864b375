"""The dialects that can be measured: for each its world, who calls it, and how its orders are made without HTTP."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol
from urllib.request import Request, urlopen
from uuid import UUID, uuid4

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from otcdesk.actions.accept_quote import AcceptQuote
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.list_resale import ListResale
from otcdesk.actions.prepare_payout import GivenMethod, PreparePayout
from otcdesk.actions.quote_brokerage import QuoteBrokerage
from otcdesk.actions.quote_conversion import QuoteBuy
from otcdesk.actions.record_job import RecordJob
from otcdesk.actions.sell_payout import SellPayout
from otcdesk.app import Program
from otcdesk.bench.callers import Caller, DealsCaller, ExchangesCaller, OffersCaller, RampCaller
from otcdesk.config import Settings
from otcdesk.domain.compact_ids import declared_compact_id, print_compact_id
from otcdesk.domain.orders import BUY
from otcdesk.domain.parties import DESK_ID, named_party_id
from otcdesk.domain.resales import OTC, Mandate
from otcdesk.domain.world import account_id, parse_world, tenant_id
from otcdesk.domain.world_brokerage import party_id
from otcdesk.world_loading import LIVE, SANDBOX, LoadedWorld


class BenchedDialect(Protocol):
    """What a benchmark asks of a dialect."""

    name: str
    #: Whether both requests of a pair begin something that a worker completes, which is measured as well.
    completes: bool

    async def load_world(self, program: Program) -> LoadedWorld:
        """Open the lane with all callers in it."""
        ...

    def callers(self, settings: Settings, world: LoadedWorld) -> Sequence[Caller]:
        """Return who makes the load, once a server is up."""
        ...

    async def make_order(self, program: Program, lane: int, number: int) -> None:
        """Make one order as the load makes them; `number` says for whom."""
        ...


async def _loaded(program: Program, text: str, kind: str = LIVE) -> LoadedWorld:
    lane = await program.worlds.open_lane("main", kind)
    return await program.worlds.load(lane, parse_world(text), kind=kind)


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
    completes = False

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
    completes = False

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
                _given_token(
                    url,
                    grant_type="client_credentials",
                    client_id=world.clients[f"client-{number}"].client_id,
                    client_secret=world.clients[f"client-{number}"].client_secret,
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


def _given_token(url: str, **asked: str) -> str:
    """Return the access token that is given to a client."""
    request = Request(url, json.dumps(asked).encode(), {"content-type": "application/json"})  # noqa: S310
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        token: str = json.load(answer)["access_token"]
        return token


_RAMP_TENANTS = 32

_RAMP_CHANNEL = "c0de0001-0000-4000-8000-000000000001"

_RAMP_WORLD = """
name = "bench"
assets = [{{ code = "EUR", scale = 2 }}, {{ code = "USDC", scale = 6 }}]
treasury = [{{ asset = "EUR", balance = "100000000000" }}]
prices = [{{ source = "USDC", destination = "EUR", rate = "0.92" }}]
operators = [{{ ref = "operator" }}]
[payouts]
[[payouts.channels]]
ref = "sepa"
id = "{channel}"
type = "BankSepa"
country = "DE"
fiat = "EUR"
minimum = "10"
maximum = "10000"
fixed_fee = "0.50"
fee_percent = "1"
form_schema = '''
{{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "required": ["BankDetails"], "properties": {{
  "BankDetails": {{"type": "object", "required": ["AccountType", "AccountNumber"], "properties": {{
    "AccountType": {{"type": "string", "enum": ["Checking", "Savings"]}},
    "AccountNumber": {{"type": "string", "minLength": 22, "maxLength": 22, "pattern": "^DE[0-9]{{2}}[A-Z0-9]{{18}}$"}}
  }}}}}}}}
'''
"""

_RAMP_TENANT = """
[[tenants]]
ref = "business-{number}"
current = [{{ asset = "USDC", balance = "100000000000" }}]
people = [{{ external_id = "cust-001" }}]
request_keys = [{{ ref = "key-{number}"{public_key} }}]
"""


class Ramp:
    """Pairs of prepare and sell, each payout settled by a provider that pays at once; implements `BenchedDialect`.

    Signed, each request carries a token by ES384; what the load spends on making it is measured with it.
    """

    completes = False

    def __init__(self, name: str, *, signed: bool) -> None:
        self.name = name
        self._key = ec.generate_private_key(ec.SECP384R1()) if signed else None

    async def load_world(self, program: Program) -> LoadedWorld:
        """Open the lane with all callers in it: a sandbox's, where requests need not be signed."""
        public_key = f', public_key = """{self._public}"""' if self._key else ""
        tenants = (_RAMP_TENANT.format(number=number, public_key=public_key) for number in range(_RAMP_TENANTS))
        return await _loaded(program, _RAMP_WORLD.format(channel=_RAMP_CHANNEL) + "".join(tenants), SANDBOX)

    def callers(self, settings: Settings, world: LoadedWorld) -> Sequence[Caller]:
        """Return who makes the load."""
        private = self._private if self._key else None
        return [
            RampCaller(settings.ramp_prefix, world.request_keys[f"key-{number}"], private, _RAMP_CHANNEL)
            for number in range(_RAMP_TENANTS)
        ]

    async def make_order(self, program: Program, lane: int, number: int) -> None:
        """Prepare and sell."""
        owner_id = tenant_id(f"business-{number % _RAMP_TENANTS}")
        asked = PreparePayout(
            channel_id=UUID(_RAMP_CHANNEL),
            asset="USDC",
            arrives=Decimal(100),
            party_id=named_party_id(owner_id, "cust-001"),
            given=GivenMethod(name=_RAMP_METHOD, country="DE", number="DE89370400440532013000", details="{}"),
        )
        submit = program.desk.engine.submit
        made = await submit(lane, asked, caller="history", owner_id=owner_id, request_id="history")
        sell = SellPayout(prepared_id=made.prepared.id, asset="USDC", arrives=Decimal(100), ceiling=Decimal(112))
        await submit(lane, sell, caller="history", owner_id=owner_id, request_id="history", key=str(uuid4()))

    @property
    def _public(self) -> str:
        assert self._key is not None
        kind = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_key().public_bytes(serialization.Encoding.PEM, kind).decode()

    @property
    def _private(self) -> str:
        assert self._key is not None
        kind, nothing = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self._key.private_bytes(serialization.Encoding.PEM, kind, nothing).decode()


_RAMP_METHOD = "Bank/Sepa/EUR/DE89370400440532013000"


#: Each with a node, a token and a currency of its own.
_DEALS_TENANTS = 8

_DEALS_USERS = ("ada", "ben")

_DEALS_WORLD = """
name = "bench"
operators = [{ ref = "operator" }]
[resales]
validity_days = 31
"""

_DEALS_TENANT = """
[[assets]]
code = "USD{number}"
scale = 6
[[assets]]
code = "TKN{number}"
scale = 0
[[tenants]]
ref = "estate-{number}"
branches = [{{ ref = "node", funds = [{{ asset = "USD{number}", balance = "1000000000" }}] }}]
currencies = [{{ ref = "currency", branch = "node", asset = "USD{number}" }}]
instruments = [{{ ref = "token", branch = "node", asset = "TKN{number}", currency = "currency", price = "2" }}]
roles = [{{ ref = "role", permissions = ["*"] }}]
supervisors = [{{ ref = "supervisor", branch = "node", role = "role", email = "supervisor@estate-{number}.example" }}]
clients = [{{ ref = "client-{number}", supervisor = "supervisor" }}]
"""

_DEALS_HOLDER = """
[[tenants.holders]]
ref = "{user}"
branch = "node"
name = "{user}"
identity_number = "{place:011}"
holdings = [{{ asset = "TKN{number}", balance = "1000000000" }}]
"""


class Deals:
    """Pairs of sells of two users, each carried out by a chain that answers at once; implements `BenchedDialect`."""

    name = "deals"
    completes = True

    async def load_world(self, program: Program) -> LoadedWorld:
        """Open the lane with all callers in it."""
        tenants = (
            _DEALS_TENANT.format(number=number)
            + "".join(
                _DEALS_HOLDER.format(number=number, user=user, place=place)
                for place, user in enumerate(_DEALS_USERS, start=1)
            )
            for number in range(_DEALS_TENANTS)
        )
        return await _loaded(program, _DEALS_WORLD + "".join(tenants))

    def callers(self, settings: Settings, world: LoadedWorld) -> Sequence[Caller]:
        """Return who makes the load, each with a fresh access token."""
        url = f"{settings.base_url}{settings.deals_prefix}/v2/auth/authenticate"
        return [
            DealsCaller(
                settings.deals_prefix,
                _given_token(
                    url,
                    api_key=world.clients[f"client-{number}"].client_id,
                    secret_key=world.clients[f"client-{number}"].client_secret,
                ),
                (_compact("holder", number, _DEALS_USERS[0]), _compact("holder", number, _DEALS_USERS[1])),
                _compact("instrument", number, "token"),
                _compact("currency", number, "currency"),
            )
            for number in range(_DEALS_TENANTS)
        ]

    async def make_order(self, program: Program, lane: int, number: int) -> None:
        """Sell, and complete it."""
        number %= _DEALS_TENANTS
        tenant = f"estate-{number}"
        sell = ListResale(
            party_id=declared_compact_id("holder", tenant, _DEALS_USERS[0]),
            instrument_id=declared_compact_id("instrument", tenant, "token"),
            currency_id=declared_compact_id("currency", tenant, "currency"),
            quantity=1,
            price=Decimal("2.5"),
            market=OTC,
            mandate=Mandate("1", permitted=True),
        )
        submit = program.desk.engine.submit
        made = await submit(lane, sell, caller="history", owner_id=tenant_id(tenant), request_id="history")
        done = RecordJob(job_id=made.job.id, reference=made.job.reference, outcome="done", detail="0x")
        await submit(lane, done, caller="history", owner_id=DESK_ID, request_id="history")


def _compact(kind: str, number: int, ref: str) -> str:
    return print_compact_id(declared_compact_id(kind, f"estate-{number}", ref))


DIALECTS: dict[str, BenchedDialect] = {
    dialect.name: dialect
    for dialect in (Exchanges(), Offers(), Ramp("ramp", signed=False), Ramp("ramp-signed", signed=True), Deals())
}
