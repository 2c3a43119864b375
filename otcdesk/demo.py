"""The demo: a desk with people who run it, a customer, a partner, a business and an issuer; stories to paste.

Data and credentials are kept between runs. The secrets stand in `demo.json` only (mode 600), so if it is lost new
ones are made and the old ones die.
"""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import msgspec

from otcdesk.app import Program
from otcdesk.domain.compact_ids import print_compact_id
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.world import WorldFile, account_id, tenant_id
from otcdesk.domain.world_brokerage import party_id
from otcdesk.domain.world_payouts import channel_id
from otcdesk.domain.world_resales import compact_ref
from otcdesk.operators import MadeOperator
from otcdesk.secret_files import write_private
from otcdesk.world_loading import SANDBOX, LoadedWorld, shipped_world

_LANE = "demo"
_TENANT = "acme"
_PARTNER = "northbank"
_USER = "ada"
_BUSINESS = "paylane"
_PAYEE = "maria"
_CHANNEL = "de-sepa"
_ISSUER = "harbour"
_HOLDER, _BUYER = "lena", "noah"


class _Person(msgspec.Struct):
    """Somebody who runs the desk, with all that they sign in with."""

    email: str
    name: str
    roles: list[str]
    password: str
    totp_secret: str


class _Console(msgspec.Struct):
    users: list[_Person]


class _Known(msgspec.Struct):
    console: _Console
    operator: dict[str, str]
    exchanges: dict[str, str]
    offers: dict[str, str]
    ramp: dict[str, str]
    deals: dict[str, str]


async def load_demo(program: Program) -> dict[str, Any]:
    """Load the demo world and write `demo.json`; returns what it says."""
    world = shipped_world("demo")
    path = program.settings.home_path / "demo.json"
    lane = await program.worlds.open_lane(_LANE, SANDBOX)
    known = await _known(program, path)
    if known is None:
        await _revoke_old(program, lane, world)
    loaded = await program.worlds.load(lane, world, kind=SANDBOX)
    people = await _people(program, world, loaded, known)
    told = _told(program, loaded, known, people)
    write_private(path, json.dumps(told, indent=2) + "\n")
    return told


async def _known(program: Program, path: Path) -> _Known | None:
    """Return the credentials of an earlier run if they are there and still good."""
    try:
        known = msgspec.json.decode(path.read_bytes(), type=_Known)  # noqa: ASYNC240  (one small file, before anything is served)
        secrets = [known.operator["token"], known.exchanges["api_key"], known.offers["client_secret"]]
        secrets += [known.ramp["api_key"], known.deals["secret_key"]]
    except (OSError, KeyError, msgspec.MsgspecError):
        return None
    found = [await program.credentials.find(secret) for secret in secrets]
    return known if all(row is not None and row.revoked_at is None for row in found) else None


async def _revoke_old(program: Program, lane: int, world: WorldFile) -> None:
    owners = [(tenant_id(tenant.ref), row.ref) for tenant in world.tenants for row in tenant.keys]
    owners += [(tenant_id(tenant.ref), row.ref) for tenant in world.tenants for row in tenant.clients]
    owners += [(tenant_id(tenant.ref), row.ref) for tenant in world.tenants for row in tenant.request_keys]
    for owner_id, name in [*owners, *((DESK_ID, row.ref) for row in world.operators)]:
        old = await program.credentials.named(lane, owner_id, name)
        if old is not None:
            await program.credentials.revoke(lane, str(old.id))


async def _people(
    program: Program, world: WorldFile, loaded: LoadedWorld, known: _Known | None
) -> list[dict[str, Any]]:
    """Return who runs the desk; whoever was made before and is not told of in `demo.json` is reset."""
    before = {one.email: one for one in known.console.users} if known else {}
    people = []
    for row in world.staff:
        access: MadeOperator | _Person | None = loaded.staff.get(row.ref) or before.get(row.email)
        if access is None:
            one = await program.operators.of_email(loaded.lane, row.email)
            assert one is not None, "who was not made now was there"
            access = await program.operators.reset(loaded.lane, one.id)
        person = _Person(row.email, row.name, list(row.roles), access.password, access.totp_secret)
        people.append(msgspec.to_builtins(person))
    return people


def _told(program: Program, loaded: LoadedWorld, known: _Known | None, people: list[dict[str, Any]]) -> dict[str, Any]:
    base_url, urls = program.settings.base_url, program.urls
    return {
        "base_url": base_url,
        "console": {"base_url": urls.get("console", f"{base_url}/console"), "users": people},
        "operator": {
            "base_url": urls["operator"],
            "token": known.operator["token"] if known else loaded.operators["operator"],
        },
        "exchanges": {
            "base_url": urls["exchanges"],
            "api_key": known.exchanges["api_key"] if known else loaded.api_keys[_TENANT],
            "account_id": str(account_id(_TENANT, "main")),
            "wallet_id": str(account_id(_TENANT, "ops")),
        },
        "offers": {
            "base_url": urls["offers"],
            **(_client(loaded) if known is None else _kept(known.offers, "client_id", "client_secret")),
            "user_id": str(party_id(_PARTNER, _USER)),
        },
        "ramp": {
            "base_url": urls["ramp"] + "/v1",
            "api_key": known.ramp["api_key"] if known else loaded.request_keys[_BUSINESS],
            "user_id": str(tenant_id(_BUSINESS)),
            "channel_id": str(channel_id(_CHANNEL)),
            "customer_id": _PAYEE,
        },
        "deals": {
            "base_url": urls["deals"] + "/v2",
            **(_issuers_client(loaded) if known is None else _kept(known.deals, "api_key", "secret_key")),
            "node_id": _issuers("branch", "main"),
            "user_id": _issuers("holder", _HOLDER),
            "second_user_id": _issuers("holder", _BUYER),
            "token_id": _issuers("instrument", "house"),
            "price_id": _issuers("currency", "vusd"),
        },
    }


def _client(loaded: LoadedWorld) -> dict[str, str]:
    made = loaded.clients[_PARTNER]
    return {"client_id": made.client_id, "client_secret": made.client_secret}


def _issuers_client(loaded: LoadedWorld) -> dict[str, str]:
    made = loaded.clients[_ISSUER]
    return {"api_key": made.client_id, "secret_key": made.client_secret}


def _issuers(kind: str, ref: str) -> str:
    """Return the id of something of the issuer's that the file names, as the deals dialect writes it."""
    return print_compact_id(compact_ref(kind, _ISSUER, ref, None))


def _kept(known: dict[str, str], *names: str) -> dict[str, str]:
    return {name: known[name] for name in names}


def _program() -> str:
    """Return how this program is called from another terminal, where it may not be on the path."""
    script = Path(sys.executable).with_name("otcdesk")
    return shlex.quote(str(script)) if script.exists() else f"{shlex.quote(sys.executable)} -m otcdesk"


def story(told: dict[str, Any], home: Path) -> str:
    """Return the stories: commands that work when pasted into another terminal, one after another."""
    exchanges, operator, offers, ramp, deals = (
        told[name] for name in ("exchanges", "operator", "offers", "ramp", "deals")
    )
    csrf = "0" * 64
    person = told["console"]["users"][0]
    return f"""
otcdesk is open at {told["base_url"]}. Credentials: {home / "demo.json"}. Stop it with Ctrl-C; data is kept.

Sign in at {told["console"]["base_url"]} as {person["email"]}
  password  {person["password"]}
  code      {_program()} operators code {person["email"]} --home {shlex.quote(str(home))}
The others, with other roles, are in demo.json.

Paste these into another terminal, one after another.

1. Acme asks what 2500.00 EUR bring in USDC (nothing moves; the quote lives 15 minutes):

QUOTE=$(curl -s {exchanges["base_url"]}/otc-exchanges/quote \\
  -H 'x-api-key: {exchanges["api_key"]}' -H 'X-CSRF-Token: {csrf}' -H 'Content-Type: application/json' \\
  -d '{{"sourceFrAccountId":"{exchanges["account_id"]}","destinationUtilaWalletId":"{exchanges["wallet_id"]}",\
"sourceAmountEur":"2500.00"}}' \\
  | tee /dev/stderr | sed 's/.*"quoteId":"\\([^"]*\\)".*/\\1/'); echo

2. Acme confirms; its EUR go to the treasury, and the order waits for you:

curl -s {exchanges["base_url"]}/otc-exchanges \\
  -H 'x-api-key: {exchanges["api_key"]}' -H 'X-CSRF-Token: {csrf}' -H 'Content-Type: application/json' \\
  -H "Idempotency-Key: $(python3 -c 'import uuid; print(uuid.uuid4())')" -d "{{\\"quoteId\\":\\"$QUOTE\\"}}"; echo

3. You, the operator, approve at a final rate; the USDC arrive in Acme's wallet:

curl -s {operator["base_url"]}/otc-exchanges/$QUOTE/approve \\
  -H 'Authorization: Bearer {operator["token"]}' -H 'Content-Type: application/json' -d '{{"rate":"1.0838"}}'; echo

The second story: Northbank sells a bitcoin's part to Ada, its user.

1. Northbank gets an access token, for ten minutes:

ACCESS=$(curl -s {offers["base_url"]}/v1/oauth/token -H 'Content-Type: application/json' \\
  -d '{{"grant_type":"client_credentials","client_id":"{offers["client_id"]}",\
"client_secret":"{offers["client_secret"]}"}}' | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')

2. It asks for an offer: how much bitcoin 100.00 EUR buy, for a quarter of an hour:

OFFER=$(curl -s {offers["base_url"]}/v1/offers -H "Authorization: Bearer $ACCESS" \\
  -H 'bp-user-id: {offers["user_id"]}' -H 'Content-Type: application/json' \\
  -d '{{"type":"buy","fiat_id":1,"asset_id":1,"amount":"100.00","amount_defined_for":"fiat"}}' \\
  | tee /dev/stderr | sed 's/.*"id":"\\([^"]*\\)","type".*/\\1/'); echo

3. It accepts, under an id of its own; the same again is answered the same and buys nothing more:

curl -s -X PATCH "{offers["base_url"]}/v2/offers/$OFFER/accept?external_transaction_id=bank-$OFFER" \\
  -H "Authorization: Bearer $ACCESS" -H 'bp-user-id: {offers["user_id"]}'; echo

The third story: Paylane sells USDC, and Maria's bank account gets 100.00 EUR.

1. Paylane prepares it: who is paid, through which channel, and what it would cost (nothing moves):

SESSION=$(curl -s {ramp["base_url"]}/transactions/sell/prepare \\
  -H 'X-Api-Key: {ramp["api_key"]}' -H 'Content-Type: application/json' \\
  -d '{{"ChannelID":"{ramp["channel_id"]}","CryptoCurrency":"USDC_TEST","FiatAmount":"100.00",\
"CustomerID":"{ramp["customer_id"]}","Form":{{"BankDetails":{{"AccountType":"Checking",\
"AccountNumber":"DE89370400440532013000"}}}}}}' \\
  | tee /dev/stderr | sed 's/.*"FormSessionID":"\\([^"]*\\)".*/\\1/'); echo

2. It sells, for at most 115 USDC; the same nonce again is told what has become of it:

SOLD=$(curl -s {ramp["base_url"]}/transactions/sell \\
  -H 'X-Api-Key: {ramp["api_key"]}' -H 'Content-Type: application/json' \\
  -d "{{\\"CryptoCurrency\\":\\"USDC_TEST\\",\\"FiatAmount\\":\\"100.00\\",\\"CryptoAuthorizedAmount\\":\\"115\\",\
\\"FormSessionID\\":\\"$SESSION\\",\\"Nonce\\":\\"$SESSION\\"}}" \\
  | tee /dev/stderr | sed 's/.*"Transaction":{{"ID":"\\([^"]*\\)".*/\\1/'); echo

3. Two seconds later it is settled:

sleep 3; curl -s {ramp["base_url"]}/transactions/$SOLD -H 'X-Api-Key: {ramp["api_key"]}'; echo

The fourth story: Lena resells tokens of Harbour House over the counter, and Harbour takes them.

1. Harbour gets an access token:

ACCESS=$(curl -s {deals["base_url"]}/auth/authenticate -H 'Content-Type: application/json' \\
  -d '{{"api_key":"{deals["api_key"]}","secret_key":"{deals["secret_key"]}"}}' \\
  | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')

2. Lena offers 7 tokens at 1.00 VUSD each; the answer is a transaction to poll:

TRANSACTION=$(curl -s {deals["base_url"]}/users/otcs/users/{deals["user_id"]}/tokens/{deals["token_id"]}/sell \\
  -H "Authorization: Bearer $ACCESS" -H 'Content-Type: application/json' \\
  -d '{{"quantity":7,"price_id":"{deals["price_id"]}","price_amount":1}}' \\
  | tee /dev/stderr | sed 's/.*"transaction_id":"\\([^"]*\\)".*/\\1/'); echo
sleep 1
DEAL=$(curl -s {deals["base_url"]}/admin/tokens/{deals["token_id"]}/transactions/$TRANSACTION \\
  -H "Authorization: Bearer $ACCESS" | tee /dev/stderr | sed 's/.*"deal_id":\\([0-9]*\\).*/\\1/'); echo

3. Harbour accepts: tokens one way, money the other, 4 % aside, or nothing at all. What Lena has then:

curl -s -X POST {deals["base_url"]}/admin/otcs/nodes/{deals["node_id"]}/tokens/{deals["token_id"]}/deals/$DEAL/accept \\
  -H "Authorization: Bearer $ACCESS"
curl -s {deals["base_url"]}/users/users/{deals["user_id"]}/wallet/summary -H "Authorization: Bearer $ACCESS"; echo
"""
