"""Keep what a tenant tells of its parties: who they are, under its own names for them."""

from typing import Literal

from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.parties import Party, named_party_id
from otcdesk.domain.payouts import PartyProfile

#: What a party is, and the kind of account that it then has.
ACCOUNT_TYPES = {"individual": "user", "business": "business_user"}


class KeepParty(Command, frozen=True, kw_only=True):
    """A party by the tenant's own name for it, with its particulars as JSON; what was told before is replaced."""

    external_id: str
    kind: Literal["individual", "business"]
    country: str | None = None
    details: str


class PartyKept(Reply, frozen=True, kw_only=True):
    """The party as it is now, and whether it is new."""

    party: Party
    profile: PartyProfile
    is_new: bool


def keep_party(command: KeepParty, books: Books, moment: Moment) -> PartyKept:
    """Register a party, or replace what is known of it; refuses nothing.

    The tenant has looked into its parties itself (ramp contract 3.8): a new one may be paid at once. Whatever the
    operator has decided of one that is known stays.
    """
    party_id = named_party_id(moment.owner_id, command.external_id)
    books.want((Party, party_id), (PartyProfile, party_id))
    known, told = books.find(Party, party_id), books.find(PartyProfile, party_id)
    party = Party(
        id=party_id,
        tenant_id=moment.owner_id,
        external_id=command.external_id,
        country=command.country,
        account_type=ACCOUNT_TYPES[command.kind],
        created_at=moment.now,
    )
    if known is not None:
        party = known.with_(country=command.country, account_type=ACCOUNT_TYPES[command.kind])
    profile = PartyProfile(
        party_id=party_id,
        tenant_id=moment.owner_id,
        kind=command.kind,
        details=command.details,
        updated_at=moment.now,
    )
    if told is not None and (told.kind, told.details) == (profile.kind, profile.details):
        profile = told
    if known != party:
        (books.add if known is None else books.put)(party)
    if told != profile:
        (books.add if told is None else books.put)(profile)
    return PartyKept(party=party, profile=profile, is_new=known is None)
