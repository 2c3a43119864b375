"""Register a party that holds instruments of a branch, by its national number."""

from uuid import UUID

from msgspec.structs import replace

from otcdesk.actions.resale_checks import check_mandate, found_branch
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.compact_ids import compact_id
from otcdesk.domain.parties import UNVERIFIED, Party, PartyName
from otcdesk.domain.payouts import PartyProfile
from otcdesk.domain.resales import ANYBODY, Holder, Mandate
from otcdesk.errors import Code, Refusal


class RegisterHolder(Command, frozen=True, kw_only=True):
    """A party of a branch. `details` are its particulars as JSON, which the core does not read."""

    branch_id: UUID
    identity_number: str
    details: str
    mandate: Mandate

    @property
    def compared(self) -> "RegisterHolder":
        """Return what its key stands for: who asks for it is not part of it."""
        return replace(self, mandate=ANYBODY)


class HolderReply(Reply, frozen=True, kw_only=True):
    """The party, and what is known of it."""

    party: Party
    profile: PartyProfile


def register_holder(command: RegisterHolder, books: Books, moment: Moment) -> HolderReply:
    """Register a party; refuses BRANCH_NOT_FOUND, NOT_PERMITTED, PARTY_NAME_TAKEN (deals contract, 3.10)."""
    party_id = compact_id(moment.new_id(1), moment.now)
    name = named_holder(moment.owner_id, command.branch_id, command.identity_number, party_id)
    books.want((PartyName, name.key))
    check_mandate(command.mandate, found_branch(books, moment, command.branch_id))
    if books.find(PartyName, name.key) is not None:
        raise Refusal(Code.PARTY_NAME_TAKEN)
    party = Party(
        id=party_id,
        tenant_id=moment.owner_id,
        external_id=command.identity_number,
        status=UNVERIFIED,
        created_at=moment.now,
    )
    profile = PartyProfile(
        party_id=party_id,
        tenant_id=moment.owner_id,
        kind="individual",
        details=command.details,
        updated_at=moment.now,
    )
    books.add(name)
    books.add(party)
    books.add(profile)
    books.add(Holder(party_id=party_id, tenant_id=moment.owner_id, branch_id=command.branch_id))
    return HolderReply(party=party, profile=profile)


def named_holder(tenant_id: UUID, branch_id: UUID, identity_number: str, party_id: UUID) -> PartyName:
    """Return the name by which a branch knows a party: no two of its parties have the same number."""
    return PartyName(tenant_id=tenant_id, name=f"{branch_id.hex}/{identity_number.casefold()}", party_id=party_id)
