"""The forms of tenants and parties, read into commands and into what keys are made of."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from otcdesk.actions.set_limit import SetLimit
from otcdesk.actions.set_spread import BPS_MAX, SetSpread
from otcdesk.console.fields import block_of, named_id, text_of, ticked_of, time_of, units_of, whole_of
from otcdesk.console.page import ConsoleCall
from otcdesk.credentials import API_KEY, CLIENT, REQUEST_KEY, check_grant
from otcdesk.domain.lanes import LIVE
from otcdesk.errors import Code, Refusal
from otcdesk.request_signatures import checked_public_key

#: The kinds of credentials that a tenant can have, as people call them.
KINDS: Final = {
    API_KEY: "API key, for conversions",
    REQUEST_KEY: "Request key, for payouts",
    CLIENT: "Client id and secret, for brokerage and deals",
}

DAYS_MAX: Final = 3_650
_NAME_LENGTH_MAX: Final = 100
_ADDRESSES_MAX: Final = 50
_ADDRESSES_LENGTH_MAX: Final = 2_500
_PEM_LENGTH_MAX: Final = 2_000


class WantedCredential(msgspec.Struct, frozen=True, kw_only=True):
    """A credential to be made: what its kind asks for, and nothing of what others do."""

    kind: str
    name: str
    scopes: list[str] = []
    source_ips: list[str] = []
    days: int | None = None
    public_key: str | None = None
    supervisor_id: UUID | None = None

    @property
    def said(self) -> str:
        """Return what the audit chain says of it."""
        parts = [self.kind, *self.scopes]
        parts += [f"from {', '.join(self.source_ips)}"] if self.source_ips else []
        parts += [f"for {self.days} days"] if self.days else []
        parts += [f"as supervisor {self.supervisor_id}"] if self.supervisor_id else []
        return "; ".join(parts)

    def expires_at(self, now: datetime) -> datetime | None:
        """Return when it ends if it is made now, None if it lasts."""
        return now + timedelta(days=self.days) if self.days else None


def why_of(call: ConsoleCall) -> str:
    """Return the reason, which must be given; refuses REQUEST_INVALID."""
    return text_of(call, "why", "The reason")


def limit_command(call: ConsoleCall, subject_id: UUID, scales: dict[str, int]) -> SetLimit:
    """Read a limit: an empty bound bounds nothing. Refuses ASSET_NOT_FOUND, REQUEST_INVALID."""
    asset = call.field("asset")
    if asset not in scales:
        raise Refusal(Code.ASSET_NOT_FOUND)
    bounds = {
        f"{bound}_units_max": units_of(call, bound, scales[asset], required=False, said=said)
        for bound, said in (("order", "The limit of an order"), ("day", "The day's"), ("month", "The month's"))
    }
    return SetLimit(subject_id=subject_id, asset=asset, **bounds, why=why_of(call))


def spread_command(call: ConsoleCall, tenant_id: UUID) -> SetSpread:
    """Read a spread: at once, or from a time on; refuses REQUEST_INVALID."""
    source, _, destination = call.field("pair").partition("/")
    bps = whole_of(call, "bps", "The spread", most=BPS_MAX)
    if not source or not destination or bps is None:
        raise Refusal(Code.REQUEST_INVALID, "Say of which pair the spread is, and how large it is.")
    return SetSpread(
        tenant_id=tenant_id,
        source_asset=source,
        destination_asset=destination,
        bps=bps,
        effective_from=time_of(call.field("from")),
        why=why_of(call),
    )


def credential_of(call: ConsoleCall, lane_kind: str) -> WantedCredential:
    """Read what a credential is to be; refuses REQUEST_INVALID with what is wrong."""
    kind, name = call.field("kind"), text_of(call, "name", "The name", length_max=_NAME_LENGTH_MAX)
    if kind == API_KEY:
        return _api_key(call, name)
    if kind == REQUEST_KEY:
        return _request_key(call, name, lane_kind)
    if kind == CLIENT:
        return WantedCredential(kind=kind, name=name, supervisor_id=named_id(call.field("supervisor")))
    raise Refusal(Code.REQUEST_INVALID, "Say what kind of key it is.")


def _api_key(call: ConsoleCall, name: str) -> WantedCredential:
    scopes = sorted(ticked_of(call, "scope"))
    addresses = block_of(call, "addresses", "The list of addresses", length_max=_ADDRESSES_LENGTH_MAX).split()
    if len(addresses) > _ADDRESSES_MAX:
        raise Refusal(Code.REQUEST_INVALID, f"A key may come from at most {_ADDRESSES_MAX} addresses.")
    check_grant(API_KEY, scopes, addresses)
    days = whole_of(call, "days", "The number of days", least=1, most=DAYS_MAX)
    return WantedCredential(kind=API_KEY, name=name, scopes=scopes, source_ips=addresses, days=days)


def _request_key(call: ConsoleCall, name: str, lane_kind: str) -> WantedCredential:
    pem = block_of(call, "public_key", "The public key", length_max=_PEM_LENGTH_MAX)
    if not pem and lane_kind == LIVE:
        raise Refusal(Code.REQUEST_INVALID, "A request key of a live lane needs a public key.")
    return WantedCredential(kind=REQUEST_KEY, name=name, public_key=checked_public_key(pem) if pem else None)
