"""What handlers of this dialect look up before they show anything: a user, a token, and whether the caller may see it.

A caller sees what is of its own node or below it; every role reads (contract 2.3).
"""

from datetime import datetime
from typing import Any

import msgspec

from otcdesk.api.deals.tables import USER, USER_OR_TOKEN, path_id
from otcdesk.api.dialect import Call
from otcdesk.domain.lanes import LaneClock
from otcdesk.domain.parties import Party
from otcdesk.domain.payouts import PartyProfile
from otcdesk.domain.resales import Branch, Currency, Instrument, reaches
from otcdesk.errors import Code, Refusal


class Particulars(msgspec.Struct, kw_only=True):
    """What is known of a user, as its profile keeps it."""

    name: str = ""
    surname: str = ""
    email: str = ""

    @property
    def full_name(self) -> str:
        """Return how the user is shown to others."""
        return f"{self.name} {self.surname}".strip()


class KnownHolder(msgspec.Struct, frozen=True):
    """A user: the party, its node, what is known of it, where it is on a chain, and the lane's clock."""

    party: Party
    home: Branch
    profile: PartyProfile | None = None
    address: str | None = None
    clock: LaneClock | None = None

    @property
    def particulars(self) -> Particulars:
        """Return what is known of the user."""
        return particulars_of(self.profile)

    def now(self, call: Call) -> datetime:
        """Return the lane's time."""
        return (self.clock or LaneClock()).business_time(call.desk.clock.now())


class KnownInstrument(msgspec.Struct, frozen=True):
    """A token, the node that has issued it, and the currency token of its price."""

    instrument: Instrument
    issuer: Branch
    currency: Currency
    scale: int


def particulars_of(profile: PartyProfile | None) -> Particulars:
    """Return what a profile says; nothing without one."""
    return Particulars() if profile is None else msgspec.json.decode(profile.details, type=Particulars)


async def holder_in(call: Call) -> KnownHolder:
    """Return the user in the path.

    Refuses REQUEST_INVALID, PARTY_NOT_FOUND, NOT_PERMITTED if the caller may not see it.
    """
    found = await _found_holder(call, USER)
    check_sees(call, found.home.path)
    return found


async def holding_in(call: Call) -> tuple[KnownHolder, KnownInstrument]:
    """Return the user and the token in the path.

    Refuses REQUEST_INVALID, PARTY_NOT_FOUND, INSTRUMENT_NOT_FOUND also for a token of a node beside the user's,
    NOT_PERMITTED.
    """
    path_id(call, "token_id")
    holder = await _found_holder(call, USER_OR_TOKEN)
    known = await found_instrument(call, USER_OR_TOKEN)
    home, issuer = holder.home.path, known.issuer.path
    if not (reaches(issuer, home) or reaches(home, issuer)):
        raise Refusal(Code.INSTRUMENT_NOT_FOUND)
    check_sees(call, home)
    return holder, known


async def found_instrument(call: Call, what: str) -> KnownInstrument:
    """Return the token in the path, whose id sentences call `what`; refuses REQUEST_INVALID, INSTRUMENT_NOT_FOUND."""
    caller, instrument_id = call.caller, path_id(call, "token_id", what)
    found = await call.desk.reads.row(
        "resales", "instrument", KnownInstrument, caller.lane, instrument_id, caller.owner_id
    )
    if found is None:
        raise Refusal(Code.INSTRUMENT_NOT_FOUND)
    return found


async def _found_holder(call: Call, what: str) -> KnownHolder:
    caller, party_id = call.caller, path_id(call, "user_id", what)
    found = await call.desk.reads.row("resales", "holder", KnownHolder, caller.lane, party_id, caller.owner_id)
    if found is None:
        raise Refusal(Code.PARTY_NOT_FOUND)
    return found


def check_sees(call: Call, *paths: str) -> None:
    """Refuse NOT_PERMITTED unless one of the nodes at these paths is the caller's or below it."""
    caller: Any = call.caller
    if not any(reaches(caller.path, path) for path in paths):
        raise Refusal(Code.NOT_PERMITTED)
