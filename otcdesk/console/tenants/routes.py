"""Tenants and their parties: what they have, what they may turn over, at which spreads, by which keys; and freezing."""

from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from otcdesk.actions.freeze import FreezeParty, FreezeTenant
from otcdesk.actions.note_act import NoteAct
from otcdesk.api.http import Answer
from otcdesk.console.fields import TEXT_LENGTH_MAX, beginning_of, named_id, page_number
from otcdesk.console.page import ConsoleCall, done, opens, page, posts, scales_of
from otcdesk.console.tenants import reads
from otcdesk.console.tenants.forms import KINDS, WantedCredential, credential_of, limit_command, spread_command, why_of
from otcdesk.credentials import API_KEY, CLIENT, SCOPES, Credentials
from otcdesk.domain import duties
from otcdesk.domain.lanes import LIVE
from otcdesk.domain.parties import Party, Tenant
from otcdesk.domain.proposals import Proposal
from otcdesk.domain.supervisors import Supervisor
from otcdesk.errors import Code, Refusal
from otcdesk.webhooks.subscriptions import Subscription

_TENANTS: Final = "/tenants"
_TENANT: Final = f"{_TENANTS}/{{id}}"
_PARTIES: Final = f"{_TENANT}/parties"
_CREDENTIALS: Final = f"{_TENANT}/credentials"
_PARTY: Final = "/parties/{id}"


# -- tenants -----------------------------------------------------------------------------------------------------------


async def list_tenants(call: ConsoleCall) -> Answer:
    """List the tenants with what each has done today."""
    lane, found, query = call.caller.lane, call.desk.reads, call.request.query
    today = beginning_of((await call.desk.business_time(lane)).date())
    number, text = page_number(query), _searched(query)
    rows = await reads.tenants(found, lane, call.desk.clock.now(), today, text, number)
    facts = {
        "found": rows,
        "traded": await reads.traded(found, lane, today, [row.tenant.id for row in rows.rows]),
        "text": text,
        "number": number,
        "last": max(1, -(-rows.total // reads.PAGE_SIZE)),
        "counted_max": reads.COUNTED_MAX,
        "today": today.date(),
    }
    return await page(call, "tenants/tenants.html", facts)


async def show_tenant(call: ConsoleCall) -> Answer:
    """Show a tenant: its accounts, limits, spreads, webhooks and newest orders."""
    tenant, lane, found = await _tenant(call), call.caller.lane, call.desk.reads
    now = await call.desk.business_time(lane)
    webhooks: list[Subscription] = await call.services.webhooks.subscriptions.of_owner(lane, tenant.id)
    facts = {
        "tenant": tenant,
        "subject": tenant.id,
        "accounts": await reads.accounts(found, lane, tenant.id),
        "limits": await reads.limits(found, lane, tenant.id, now),
        "spreads": await reads.spreads(found, lane, tenant.id),
        "webhooks": webhooks,
        "orders": await reads.orders(found, lane, tenant.id, now),
        "shown_max": reads.SHOWN_MAX,
        "now": now,
    }
    return await page(call, "tenants/tenant.html", facts)


async def freeze_tenant(call: ConsoleCall) -> Answer:
    """Let a tenant start nothing new, or let it do business again."""
    frozen, why = call.field("frozen") == "yes", why_of(call)
    tenant_id = call.path_id("id", Code.TENANT_NOT_FOUND)
    await call.submit(FreezeTenant(tenant_id=tenant_id, frozen=frozen, why=why), why=why)
    return _to_tenant(tenant_id, "frozen" if frozen else "unfrozen")


async def limit_tenant(call: ConsoleCall) -> Answer:
    """Limit what a tenant may turn over of an asset."""
    tenant_id = (await _tenant(call)).id
    command = limit_command(call, tenant_id, await scales_of(call))
    reply = await call.submit(command, why=command.why)
    return _waits(reply.proposal) or _to_tenant(tenant_id, "changed")


async def set_spread(call: ConsoleCall) -> Answer:
    """Set what the desk keeps of the market rate."""
    command = spread_command(call, call.path_id("id", Code.TENANT_NOT_FOUND))
    reply = await call.submit(command, why=command.why)
    return _waits(reply.proposal) or _to_tenant(command.tenant_id, "changed")


# -- parties -----------------------------------------------------------------------------------------------------------


async def list_parties(call: ConsoleCall) -> Answer:
    """List a tenant's parties, newest first, or those that are called as somebody asks for."""
    tenant, lane, found, query = await _tenant(call), call.caller.lane, call.desk.reads, call.request.query
    text, after = _searched(query), await _party_after(call, tenant)
    if text:
        rows = await reads.parties_like(found, lane, tenant.id, text, named_id(text))
    else:
        rows = await reads.parties(found, lane, tenant.id, after)
    full = not text and len(rows) == reads.PAGE_SIZE
    older = urlencode({"after": str(rows[-1].id)}) if full else None
    facts = {"tenant": tenant, "rows": rows, "text": text, "older": older, "after": after}
    return await page(call, "tenants/parties.html", {**facts, "looked_max": reads.PARTIES_LOOKED_MAX})


async def _party_after(call: ConsoleCall, tenant: Tenant) -> Party | None:
    """Return the party that a page goes on after, None for the first page."""
    party_id = named_id(call.request.query.get("after", ""))
    found = None if party_id is None else await reads.party(call.desk.reads, call.caller.lane, party_id)
    return found if found is not None and found.tenant_id == tenant.id else None


async def show_party(call: ConsoleCall) -> Answer:
    """Show a party: its accounts, limits and newest orders."""
    party, lane, found = await _party(call), call.caller.lane, call.desk.reads
    now = await call.desk.business_time(lane)
    facts = {
        "party": party,
        "subject": party.id,
        "tenant": await reads.tenant(found, lane, party.tenant_id),
        "accounts": await reads.accounts(found, lane, party.id),
        "limits": await reads.limits(found, lane, party.id, now),
        "orders": await reads.party_orders(found, lane, party, now),
        "looked_max": reads.ORDERS_LOOKED_MAX,
        "frozen": isinstance(party.status_before, str),
        "shown_max": reads.SHOWN_MAX,
        "now": now,
    }
    return await page(call, "tenants/party.html", facts)


async def freeze_party(call: ConsoleCall) -> Answer:
    """Let a party do nothing new, or let it be again what it was."""
    frozen, why = call.field("frozen") == "yes", why_of(call)
    party_id = call.path_id("id", Code.PARTY_NOT_FOUND)
    await call.submit(FreezeParty(party_id=party_id, frozen=frozen, why=why), why=why)
    return _to_party(party_id, "frozen" if frozen else "unfrozen")


async def limit_party(call: ConsoleCall) -> Answer:
    """Limit what a party may turn over of an asset."""
    party_id = (await _party(call)).id
    command = limit_command(call, party_id, await scales_of(call))
    reply = await call.submit(command, why=command.why)
    return _waits(reply.proposal) or _to_party(party_id, "changed")


# -- credentials -------------------------------------------------------------------------------------------------------


async def list_credentials(call: ConsoleCall) -> Answer:
    """Show by which keys a tenant calls, and the forms that make them."""
    tenant = await _tenant(call)
    known = await reads.credentials(call.desk.reads, call.caller.lane, tenant.id)
    facts = {
        "tenant": tenant,
        "credentials": known,
        "revocable": [(one.id, f"{one.name} ({one.shown_prefix}…)") for one in known if one.revoked_at is None],
        "kinds": KINDS,
        "scopes": sorted(SCOPES[API_KEY]),
        "supervisors": [(one.id, f"for deals, as {one.email}") for one in await _supervisors(call, tenant)],
        "live": call.signed_in.lane_kind == LIVE,
        "shown_max": reads.SHOWN_MAX,
        "now": call.desk.clock.now(),
    }
    return await page(call, "tenants/credentials.html", facts)


async def create_credential(call: ConsoleCall) -> Answer:
    """Make a credential and show its secret, this once."""
    tenant, why = await _tenant(call), why_of(call)
    wanted = credential_of(call, call.signed_in.lane_kind)
    await _check_supervisor(call, tenant)
    if await _credentials(call).named(call.caller.lane, tenant.id, wanted.name) is not None:
        raise Refusal(Code.REQUEST_INVALID, f"There is a live key {wanted.name!r} of this tenant already.")
    note = NoteAct(what="made a credential", about_id=tenant.id, about=wanted.name, detail=wanted.said)
    await call.submit(note, why=why)
    facts = {"title": f"Key {wanted.name} of {tenant.name}", "secrets": await _made(call, tenant, wanted)}
    back = f"/console/tenants/{tenant.id}/credentials"
    return await page(call, "shown_once.html", {**facts, "back": back, "back_name": f"the keys of {tenant.name}"})


async def _made(call: ConsoleCall, tenant: Tenant, wanted: WantedCredential) -> list[tuple[str, str]]:
    """Make a credential as it is wanted, and return what is told of it."""
    credentials, now = _credentials(call), call.desk.clock.now()
    whose: dict[str, Any] = {
        "lane": call.caller.lane,
        "owner_id": tenant.id,
        "name": wanted.name,
        "world_kind": call.signed_in.lane_kind,
    }
    if wanted.kind == CLIENT:
        client_id, secret = await credentials.create_client(**whose, supervisor_id=wanted.supervisor_id)
        return [("Client id", client_id), ("Client secret", secret)]
    if wanted.kind == API_KEY:
        grant: dict[str, Any] = {
            "scopes": wanted.scopes,
            "source_ips": wanted.source_ips,
            "expires_at": wanted.expires_at(now),
        }
        return [("API key", await credentials.create(**whose, kind=API_KEY, **grant))]
    return [("Request key", await credentials.create_request_key(**whose, public_key=wanted.public_key))]


async def revoke_credential(call: ConsoleCall) -> Answer:
    """End a credential at once."""
    tenant, why, wanted = await _tenant(call), why_of(call), named_id(call.field("credential"))
    known = await reads.credentials(call.desk.reads, call.caller.lane, tenant.id)
    one = next((row for row in known if row.id == wanted and row.revoked_at is None), None)
    if one is None:
        raise Refusal(Code.REQUEST_INVALID, "This key was revoked already, or is none of this tenant's.")
    note = NoteAct(what="revoked a credential", about_id=tenant.id, about=one.name, detail=one.shown_prefix)
    await call.submit(note, why=why)
    await _credentials(call).revoke(call.caller.lane, str(one.id))
    return done(f"/console/tenants/{tenant.id}/credentials", "revoked")


def _credentials(call: ConsoleCall) -> Credentials:
    credentials: Credentials = call.services.credentials
    return credentials


async def _supervisors(call: ConsoleCall, tenant: Tenant) -> list[Supervisor]:
    found: list[Supervisor] = await call.services.supervisors.supervisors(call.caller.lane)
    return [one for one in found if one.tenant_id == tenant.id]


async def _check_supervisor(call: ConsoleCall, tenant: Tenant) -> None:
    """Refuse REQUEST_INVALID for a supervisor that is named and none of the tenant's."""
    named = call.field("supervisor")
    if named and named not in {str(one.id) for one in await _supervisors(call, tenant)}:
        raise Refusal(Code.REQUEST_INVALID, "The tenant has no such supervisor.")


# -- what they share ---------------------------------------------------------------------------------------------------


async def _tenant(call: ConsoleCall) -> Tenant:
    tenant_id = call.path_id("id", Code.TENANT_NOT_FOUND)
    found = await reads.tenant(call.desk.reads, call.caller.lane, tenant_id)
    if found is None:
        raise Refusal(Code.TENANT_NOT_FOUND)
    return found


async def _party(call: ConsoleCall) -> Party:
    found = await reads.party(call.desk.reads, call.caller.lane, call.path_id("id", Code.PARTY_NOT_FOUND))
    if found is None:
        raise Refusal(Code.PARTY_NOT_FOUND)
    return found


def _searched(query: dict[str, str]) -> str:
    return query.get("text", "").replace("\x00", "").strip()[:TEXT_LENGTH_MAX]


def _waits(proposal: Proposal | None) -> Answer | None:
    """Return the way to what waits for a second person, None if nothing does."""
    return None if proposal is None else done(f"/console/proposals/{proposal.id}", "waits")


def _to_tenant(tenant_id: UUID, said: str) -> Answer:
    return done(f"/console/tenants/{tenant_id}", said)


def _to_party(party_id: UUID, said: str) -> Answer:
    return done(f"/console/parties/{party_id}", said)


_KNOWN: Final = (Code.TENANT_NOT_FOUND,)
_LIMITED: Final = (Code.LIMIT_SUBJECT_NOT_FOUND, Code.ASSET_NOT_FOUND, Code.PROPOSAL_OPEN)
_SPREAD: Final = (*_KNOWN, Code.SPREAD_NOT_FOUND, Code.SPREAD_EXCESSIVE, Code.EFFECTIVE_IN_PAST, Code.PROPOSAL_OPEN)


def _acts(path: str, handler: Any, summary: str, duty: str, shows: Any, *refuses: Code) -> Any:
    return posts(path, handler, summary, duty=duty, shows=shows, refuses=refuses)


ROUTES = (
    opens(_TENANTS, list_tenants, "The tenants"),
    opens(_TENANT, show_tenant, "A tenant", refuses=_KNOWN),
    _acts(f"{_TENANT}/freeze", freeze_tenant, "Freeze a tenant", duties.PARTIES_FREEZE, show_tenant, *_KNOWN),
    _acts(f"{_TENANT}/limits", limit_tenant, "Limit a tenant", duties.LIMITS_SET, show_tenant, *_KNOWN, *_LIMITED),
    _acts(f"{_TENANT}/spreads", set_spread, "Set a spread", duties.TERMS_SET, show_tenant, *_SPREAD),
    opens(_PARTIES, list_parties, "A tenant's parties", refuses=_KNOWN),
    opens(_CREDENTIALS, list_credentials, "A tenant's keys", refuses=_KNOWN),
    _acts(_CREDENTIALS, create_credential, "Make a key", duties.CREDENTIALS_MANAGE, list_credentials, *_KNOWN),
    _acts(
        f"{_CREDENTIALS}/revoke",
        revoke_credential,
        "Revoke a key",
        duties.CREDENTIALS_MANAGE,
        list_credentials,
        *_KNOWN,
    ),
    opens(_PARTY, show_party, "A party", refuses=(Code.PARTY_NOT_FOUND,)),
    _acts(f"{_PARTY}/freeze", freeze_party, "Freeze a party", duties.PARTIES_FREEZE, show_party, Code.PARTY_NOT_FOUND),
    _acts(
        f"{_PARTY}/limits", limit_party, "Limit a party", duties.LIMITS_SET, show_party, Code.PARTY_NOT_FOUND, *_LIMITED
    ),
)
