"""Webhooks that a world file names: checked before anything of the file is made, and made if they are not there yet.

A webhook is known again by its owner, envelope and URL. One that is there stays as it is, with its secret, which cannot
be shown again; what was changed by hand since is not changed back.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Final
from uuid import UUID

import msgspec
import structlog

from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.world import FileOwnWebhook, FileWebhook, WorldFile, tenant_id
from otcdesk.errors import Code, Refusal
from otcdesk.webhooks.envelope import Discreet
from otcdesk.webhooks.subscriptions import SUBSCRIPTIONS_MAX, Subscriptions, Wanted

log = structlog.get_logger()

#: So many a file may name, of all owners together: anybody may load one into a sandbox, and each costs a lookup.
WEBHOOKS_MAX: Final = 20

_SHOWN_URL_CHARACTERS = 100

#: No lane has this number: it stands for one that is not opened yet.
_NO_LANE = 0


class NamedWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook as the file wants it; `tenant`: its owner's name in the file, None for the desk itself."""

    tenant: str | None
    wanted: Wanted


class MadeWebhook(Discreet, frozen=True, kw_only=True):
    """A webhook that was made; `secret` is to be shown this once, None where a key pair signs."""

    unshown: ClassVar[frozenset[str]] = frozenset({"secret"})

    id: UUID
    tenant: str | None
    envelope: str
    url: str
    secret: str | None


class MissedWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook that could not be made, though all was well when the file was checked; `reason` says why."""

    tenant: str | None
    envelope: str
    url: str
    reason: str


class WebhooksMade(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the webhooks that were missing."""

    made: list[MadeWebhook]
    missed: list[MissedWebhook]


def check_webhooks(subscriptions: Subscriptions, world: WorldFile, lane: int = _NO_LANE) -> list[NamedWebhook]:
    """Return the webhooks that a file names, as they would be kept; refuses DECLARATION_INVALID.

    Whether their hosts can be resolved is not asked.
    """
    if len(world.webhooks) + sum(len(tenant.webhooks) for tenant in world.tenants) > WEBHOOKS_MAX:
        raise _invalid_file(f"a file may name {WEBHOOKS_MAX} webhooks")
    named = [_checked(subscriptions, lane, None, row) for row in world.webhooks]
    named += [_checked(subscriptions, lane, tenant.ref, row) for tenant in world.tenants for row in tenant.webhooks]
    for one, count in Counter(map(_identity, named)).items():
        if count > 1:
            raise _invalid(one[2], "it is named twice")
    _check_places(Counter(one.wanted.owner_id for one in named))
    return named


async def missing_webhooks(subscriptions: Subscriptions, lane: int, world: WorldFile) -> list[NamedWebhook]:
    """Return those webhooks of a file that a lane does not have, with their hosts resolved.

    Refuses DECLARATION_INVALID.
    """
    named = check_webhooks(subscriptions, world, lane)
    there = [
        known
        for owner_id in {one.wanted.owner_id for one in named}
        for known in await subscriptions.of_owner(lane, owner_id)
    ]
    known = {(row.owner_id, row.envelope, row.url) for row in there}
    missing = [one for one in named if _identity(one) not in known]
    _check_places(Counter([*(row.owner_id for row in there), *(one.wanted.owner_id for one in missing)]))
    await _resolve(subscriptions, [one.wanted.url for one in missing])
    return missing


async def _resolve(subscriptions: Subscriptions, urls: Sequence[str]) -> None:
    """Resolve URLs at the same time, so that together they take no longer than one; the first bad one is refused."""
    distinct = list(dict.fromkeys(urls))
    found = await asyncio.gather(*(subscriptions.resolve(url) for url in distinct), return_exceptions=True)
    for url, error in zip(distinct, found, strict=True):
        if isinstance(error, Refusal):
            raise _invalid(url, error.detail)
        if error is not None:
            raise error


async def make_webhooks(subscriptions: Subscriptions, missing: list[NamedWebhook]) -> WebhooksMade:
    """Make webhooks and return their secrets, this once.

    They are not resolved again, as the sender does before every message. Nothing is raised: by now there are secrets,
    of credentials and of other webhooks, that whoever loads the file must be shown.
    """
    result = WebhooksMade(made=[], missed=[])
    for one in missing:
        wanted = one.wanted
        try:
            result.made.append(await _make(subscriptions, one))
        except Refusal as refusal:
            reason = refusal.detail
        except Exception:
            log.exception("webhook_of_world_file_missed")
            reason = "It could not be made; load the file again."
        else:
            continue
        missed = MissedWebhook(tenant=one.tenant, envelope=wanted.envelope, url=wanted.url, reason=reason)
        result.missed.append(missed)
    return result


async def _make(subscriptions: Subscriptions, one: NamedWebhook) -> MadeWebhook:
    fresh = await subscriptions.create_resolved(one.wanted)
    return MadeWebhook(
        id=fresh.subscription.id,
        tenant=one.tenant,
        envelope=fresh.subscription.envelope,
        url=fresh.subscription.url,
        secret=fresh.made_key.secret if fresh.made_key is not None else None,
    )


def _checked(
    subscriptions: Subscriptions, lane: int, tenant: str | None, row: FileWebhook | FileOwnWebhook
) -> NamedWebhook:
    wanted = Wanted(
        lane=lane,
        owner_id=DESK_ID if tenant is None else tenant_id(tenant),
        envelope=row.envelope,
        url=row.url,
        event_types=row.event_types,
        description=row.description,
    )
    try:
        return NamedWebhook(tenant=tenant, wanted=subscriptions.check(wanted))
    except Refusal as refusal:
        raise _invalid(row.url, refusal.detail) from None


def _identity(one: NamedWebhook) -> tuple[UUID, str, str]:
    return one.wanted.owner_id, one.wanted.envelope, one.wanted.url


def _check_places(owners: Counter[UUID]) -> None:
    if any(count > SUBSCRIPTIONS_MAX for count in owners.values()):
        raise _invalid_file(f"an owner may have {SUBSCRIPTIONS_MAX} webhooks")


def _invalid(url: str, sentence: str) -> Refusal:
    shown = url[:_SHOWN_URL_CHARACTERS]
    return Refusal(Code.DECLARATION_INVALID, f"The world file is not valid: the webhook {shown!r}: {sentence}")


def _invalid_file(sentence: str) -> Refusal:
    return Refusal(Code.DECLARATION_INVALID, f"The world file is not valid: {sentence}.")
