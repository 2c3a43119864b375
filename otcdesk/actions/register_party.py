"""Register a tenant's customers, and what they have accepted."""

from uuid import UUID

from otcdesk.actions.brokerage_checks import found_party, settings_of
from otcdesk.domain.brokerage import AccountLevel, BrokerageTerms
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.parties import Party, PartyName
from otcdesk.errors import Code, Refusal


class RegisterParty(Command, frozen=True, kw_only=True):
    """A customer by the tenant's own name for it, with the documents that it has accepted."""

    external_id: str
    account_type: str = "user"
    country: str | None = None
    level_id: UUID | None = None
    agreement_ids: tuple[UUID, ...] = ()


class AcceptAgreements(Command, frozen=True, kw_only=True):
    """Documents that a customer accepts."""

    party_id: UUID
    agreement_ids: tuple[UUID, ...]


class PartyReply(Reply, frozen=True, kw_only=True):
    """The party as it is after the command."""

    party: Party


def register_party(command: RegisterParty, books: Books, moment: Moment) -> PartyReply:
    """Register a customer; refuses LEVEL_NOT_FOUND, AGREEMENT_NOT_FOUND, PARTY_NAME_TAKEN (case is not looked at)."""
    name = PartyName(tenant_id=moment.owner_id, name=command.external_id.casefold(), party_id=moment.command_id)
    books.want((BrokerageTerms, ONLY), (PartyName, name.key))
    if command.level_id is not None and books.find(AccountLevel, command.level_id) is None:
        raise Refusal(Code.LEVEL_NOT_FOUND)
    _check_terms(books, command.agreement_ids)
    if books.find(PartyName, name.key) is not None:
        raise Refusal(Code.PARTY_NAME_TAKEN)
    party = Party(
        id=moment.command_id,
        tenant_id=moment.owner_id,
        external_id=command.external_id,
        level_id=command.level_id,
        country=command.country,
        account_type=command.account_type,
        accepted_agreement_ids=tuple(dict.fromkeys(command.agreement_ids)),
        created_at=moment.now,
    )
    books.add(name)
    books.add(party)
    return PartyReply(party=party)


def accept_agreements(command: AcceptAgreements, books: Books, moment: Moment) -> PartyReply:
    """Keep what a customer has accepted, besides what it had before; refuses PARTY_NOT_FOUND, AGREEMENT_NOT_FOUND."""
    books.want((BrokerageTerms, ONLY), (Party, command.party_id))
    party = found_party(books, command.party_id, moment.owner_id)
    _check_terms(books, command.agreement_ids)
    accepted = party.with_(
        accepted_agreement_ids=tuple(dict.fromkeys((*party.accepted_agreement_ids, *command.agreement_ids)))
    )
    if accepted != party:
        books.put(accepted)
    return PartyReply(party=accepted)


def _check_terms(books: Books, agreement_ids: tuple[UUID, ...]) -> None:
    if not set(agreement_ids) <= set(settings_of(books).agreement_ids):
        raise Refusal(Code.AGREEMENT_NOT_FOUND)
