"""What handlers of this dialect look up before they answer: a user of the caller's, and an offer with its order."""

import asyncio
from uuid import UUID

from otcdesk.api.dialect import Call
from otcdesk.api.offers.shapes import Brokered, by_the_clock, user_of
from otcdesk.domain.lanes import LaneClock
from otcdesk.domain.parties import INACTIVE, UNVERIFIED, Party
from otcdesk.errors import Code, Refusal
from otcdesk.rails.protocols import RailUnavailable, RailUnknown


async def party_of(call: Call, party_id: UUID, *, unknown: Code = Code.PARTY_NOT_FOUND) -> Party:
    """Return a user of the caller's; another's looks as if it did not exist, and is refused with `unknown`."""
    caller = call.caller
    party = await call.desk.reads.row("brokerage", "party", Party, caller.lane, party_id, caller.owner_id)
    if party is None:
        raise Refusal(unknown)
    return party


async def user(call: Call, *, unknown: Code = Code.PARTY_NOT_FOUND) -> Party:
    """Return the user whom the request's header names; refuses `unknown`, PARTY_INACTIVE."""
    party = await party_of(call, user_of(call.request), unknown=unknown)
    check_active(party)
    return party


def check_active(party: Party) -> None:
    """Refuse PARTY_INACTIVE."""
    if party.status == INACTIVE:
        raise Refusal(Code.PARTY_INACTIVE)


def check_verified(party: Party) -> None:
    """Refuse PARTY_INACTIVE, PARTY_UNVERIFIED."""
    check_active(party)
    if party.status == UNVERIFIED:
        raise Refusal(Code.PARTY_UNVERIFIED)


async def brokered(call: Call, order_id: UUID, party_id: UUID | None, *, unknown: Code) -> Brokered:
    """Return an offer of the caller's, of one user unless None, as it is now; any other is refused with `unknown`."""
    caller, reads = call.caller, call.desk.reads
    found = await reads.row("brokerage", "brokered", Brokered, caller.lane, order_id, caller.owner_id, party_id)
    if found is None:
        raise Refusal(unknown)
    now = (found.clock or LaneClock()).business_time(call.desk.clock.now())
    return by_the_clock(found, now)


async def tax_rate(call: Call, party: Party) -> int | None:
    """Return what is withheld of a user's gains, in ten-thousandths; refuses UNAVAILABLE if nobody can tell."""
    try:
        async with asyncio.timeout(call.desk.settings.tax_timeout_ms / 1000):
            return await call.desk.tax.rate_bps(call.caller.lane, party.id)
    except (RailUnavailable, RailUnknown, TimeoutError):
        raise Refusal(Code.UNAVAILABLE, "Nobody can tell now what is withheld of this user's gains.") from None
