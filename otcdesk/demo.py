"""The demo: a desk with people who run it, a customer, a partner, a business and an issuer.

Data and credentials are kept between runs. The secrets stand in `demo.json` only (mode 600), so if it is lost new
ones are made and the old ones die.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

import msgspec

from otcdesk.api.exchanges.callbacks import ExchangesCallbacks
from otcdesk.app import Program
from otcdesk.domain.compact_ids import print_compact_id
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.world import WorldFile, account_id, tenant_id
from otcdesk.domain.world_brokerage import party_id
from otcdesk.domain.world_payouts import channel_id
from otcdesk.domain.world_resales import compact_ref
from otcdesk.errors import Refusal
from otcdesk.operators import MadeOperator
from otcdesk.secret_files import write_private
from otcdesk.webhooks.subscriptions import Change, Wanted
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
_ENVELOPE = ExchangesCallbacks.name
_RECEIVER = f"/sandbox/received/{_TENANT}"


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
    await _keep_receiver(program, lane)
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


async def _keep_receiver(program: Program, lane: int) -> None:
    """Have all callbacks of the customer go to where this sandbox itself takes them, on whatever port it is now.

    Only where webhooks may go to this machine. A customer that has no place for one more does without.
    """
    settings, subscriptions = program.settings, program.webhooks.subscriptions
    if not settings.webhooks_local:
        return
    url, owner_id = f"http://127.0.0.1:{settings.port}{_RECEIVER}", tenant_id(_TENANT)
    known = [one for one in await subscriptions.of_owner(lane, owner_id, _ENVELOPE) if one.url.endswith(_RECEIVER)]
    with contextlib.suppress(Refusal):
        if not known:
            await subscriptions.create(
                Wanted(
                    lane=lane,
                    owner_id=owner_id,
                    envelope=_ENVELOPE,
                    url=url,
                    event_types=sorted(ExchangesCallbacks.event_types),
                    description="Taken by the sandbox itself, and kept nowhere",
                )
            )
        elif all(one.url != url for one in known):
            await subscriptions.change(known[0], Change(url=url))


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
