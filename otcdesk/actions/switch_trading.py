"""What the operator decides about quotes: whether an asset is traded, and whether a party may trade."""

from uuid import UUID

from msgspec import UNSET

from otcdesk.domain.brokerage import AccountLevel, Listing
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.parties import Party
from otcdesk.errors import Code, Refusal


class SwitchTrading(Command, frozen=True, kw_only=True):
    """Say which sides of an asset may be traded; None leaves a side as it is."""

    asset: str
    buy_enabled: bool | None = None
    sell_enabled: bool | None = None
    dividend_pending: bool | None = None


class SetParty(Command, frozen=True, kw_only=True):
    """Say what a party may do and how it is taxed; `tax_bps` None: nothing is withheld."""

    party_id: UUID
    status: str
    level_id: UUID | None
    tax_bps: int | None


class ListingReply(Reply, frozen=True, kw_only=True):
    """The listing after the command."""

    listing: Listing


class SetPartyReply(Reply, frozen=True, kw_only=True):
    """The party after the command."""

    party: Party


def switch_trading(command: SwitchTrading, books: Books, moment: Moment) -> ListingReply:  # noqa: ARG001  (an action's shape)
    """Switch an asset's sides on or off; refuses ASSET_NOT_FOUND."""
    listing = books.find(Listing, command.asset)
    if listing is None:
        raise Refusal(Code.ASSET_NOT_FOUND)
    wanted = {
        "buy_enabled": command.buy_enabled,
        "sell_enabled": command.sell_enabled,
        "dividend_pending": command.dividend_pending,
    }
    switched = listing.with_(**{name: value for name, value in wanted.items() if value is not None})
    if switched != listing:
        books.put(switched)
    return ListingReply(listing=switched)


def set_party(command: SetParty, books: Books, moment: Moment) -> SetPartyReply:  # noqa: ARG001  (an action's shape)
    """Change a party's standing, which ends a freeze; refuses PARTY_NOT_FOUND, LEVEL_NOT_FOUND."""
    party = books.find(Party, command.party_id)
    if party is None:
        raise Refusal(Code.PARTY_NOT_FOUND)
    if command.level_id is not None and books.find(AccountLevel, command.level_id) is None:
        raise Refusal(Code.LEVEL_NOT_FOUND)
    after = party.with_(status=command.status, status_before=UNSET, level_id=command.level_id, tax_bps=command.tax_bps)
    if after != party:
        books.put(after)
    return SetPartyReply(party=after)
