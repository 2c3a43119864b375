"""What the desk asks of the outside world, and the ways in which an outside call can end without an answer.

Every transfer carries a reference of its own that was recorded before the call, so that repeating the call after a
crash at any point moves money at most once. Implementations plug in beside `simulated`.
"""

from decimal import Decimal
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from otcdesk.domain.ledger import Account
from otcdesk.money import Amount


class RailUnavailable(Exception):
    """The provider did not take the request; provably nothing happened by this call.

    `lasting` says that asking again changes nothing until somebody changes what the desk is set up with or asks for: a
    key, an address, a token or a wallet that is missing, an amount that cannot be counted exactly. Without it the
    reason may pass by itself, as a node's that is away does.
    """

    def __init__(self, message: str = "", *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class RailUnknown(Exception):
    """The provider may have taken the request; ask again with the same reference."""


class RailPending(RailUnknown):
    """The provider has taken the request and it is on its way, not confirmed yet; ask again with the same reference.

    `detail` is the transaction's hash, empty while only what prepares it is out; a replacement has another.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(f"not confirmed yet: {detail or 'its wallet is being given gas'}")
        self.detail = detail


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """A market rate that a source saw: how many of the destination one of the source brings."""

    source_asset: str
    destination_asset: str
    rate: Decimal


class PriceSource(Protocol):
    """Where market rates come from. `name` goes into every price, quote and trade made from it."""

    name: str
    #: How long a rate from here may be used, in milliseconds; None: for ever.
    stale_after_ms: int | None
    #: How long to wait between two readings, in milliseconds.
    period_ms: int

    async def read(self) -> list[Observation]:
        """Return the present rates; raises RailUnavailable when there are none to be trusted."""
        ...


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer to be made once: from where, to where, how much, and the reference that makes it safe to repeat."""

    lane: int
    reference: str
    source: Account
    destination: Account
    amount: Amount


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's final word: done, or refused and nothing moved; with its own reference or its reason."""

    done: bool
    detail: str


class ChainRail(Protocol):
    """A provider of custody wallets on chains."""

    async def balance(self, lane: int, account: Account) -> int:
        """Return a wallet's live balance in units; raises RailUnavailable or RailUnknown."""
        ...

    async def transfer(self, transfer: Transfer) -> Receipt:
        """Move tokens between two wallets; raises RailUnavailable, RailUnknown or RailPending."""
        ...

    async def cancel(self, transfer: Transfer) -> Receipt:
        """Decide that a transfer is not made, unless it was sent; returns what is so for ever.

        Raises RailPending or RailUnknown where it was sent, or may have been, and nothing is decided. What is refused
        here is refused to everybody who asks for it at the same time or afterwards.
        """
        ...


class FiatRail(Protocol):
    """A provider of bank accounts."""

    async def transfer(self, transfer: Transfer) -> Receipt:
        """Pay from one account to another; raises RailUnavailable or RailUnknown."""
        ...

    async def cancel(self, transfer: Transfer) -> Receipt:
        """Decide that a transfer is not made, unless it was; returns what is so for ever.

        Raises RailUnknown where it may have been made and nothing is decided.
        """
        ...


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """A trade to be made once with a venue: which side the desk's party is on, how much of what, against which fiat.

    `market_rate` is what the party's price was made from, fiat for one of the asset.
    """

    lane: int
    reference: str
    side: str
    quantity: Amount
    fiat: str
    market_rate: Decimal


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """A venue's final word: done at `price` (fiat for one of the asset), or not at all for a `reason`.

    `reason` is of `domain.brokerage.FAILURES`; `venue` and `detail` are what it says of itself and of the trade.
    """

    done: bool
    price: Decimal | None = None
    reason: str = ""
    venue: str
    detail: str


class ExecutionVenue(Protocol):
    """Where the desk trades what it has sold to parties, or bought from them."""

    async def execute(self, instruction: Instruction) -> Fill:
        """Carry out an instruction, once however often it is asked for under its reference.

        Raises RailUnavailable or RailUnknown; asking again under the same reference is how the outcome is learnt.
        """
        ...


class PayoutInstruction(msgspec.Struct, frozen=True, kw_only=True):
    """A payout to be made once: how much, through which kind of channel of which country, and to whom.

    `details` are the values of the channel's form, JSON, as they were prepared. `external_id` is the tenant's own
    reference, which is told to who is paid.
    """

    lane: int
    reference: str
    order_id: UUID
    channel_type: str
    country: str
    amount: Amount
    details: str
    external_id: str | None


class PayoutWord(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of a payout: it is done, it is refused for ever, or it is taken and not decided.

    `detail` is its own reference for what is done, and why for what is refused.
    """

    outcome: Literal["done", "refused", "pending"]
    detail: str = ""


class PayoutReturn(msgspec.Struct, frozen=True, kw_only=True):
    """A payout that was made and came back: which, how much of it, and why."""

    lane: int
    reference: str
    order_id: UUID
    amount: Amount
    reason: str | None


class PayoutRail(Protocol):
    """A provider that pays into bank accounts, to cards and identifiers; seconds or days after it was asked."""

    async def pay(self, instruction: PayoutInstruction) -> PayoutWord:
        """Take a payout, once however often it is asked for under its reference, and say what has become of it.

        Raises RailUnavailable or RailUnknown; asking again under the same reference is how the outcome is learnt.
        """
        ...

    async def cancel(self, instruction: PayoutInstruction) -> PayoutWord:
        """Decide that a payout is not made, heard of or not, unless it is decided already; never leaves it pending.

        Raises RailUnavailable or RailUnknown, as `pay`.
        """
        ...

    async def returns(self, at_most: int, lane: int | None = None) -> list[PayoutReturn]:
        """Return what has come back and is not acknowledged, of all lanes or of one; raises RailUnavailable."""
        ...

    async def acknowledge(self, returned: PayoutReturn) -> None:
        """Say that a return is booked and need not be told again."""
        ...


class BankPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A bank account at which money arrives; `name` is how whoever pays to it is told of it (ramp contract 3.7)."""

    name: str
    type: str
    country: str
    fiat: str
    number: str
    bank_code: str | None
    holder: str


class DepositPlaces(Protocol):
    """Who opens places where money arrives for the desk: a custodian's addresses, a bank's virtual accounts.

    A name has one place for ever: asking again is answered with the same. Raises RailUnavailable or RailUnknown.
    """

    async def address(self, lane: int, network: str, name: str) -> str:
        """Return the address of a name on a network."""
        ...

    async def bank(self, lane: int, fiat: str, name: str) -> BankPlace:
        """Return the bank account of a name for a fiat."""
        ...


class TaxProvider(Protocol):
    """Who knows what is withheld of a party's gains."""

    async def rate_bps(self, lane: int, party_id: UUID) -> int | None:
        """Return ten-thousandths of a gain, None where nothing is withheld; raises RailUnavailable or RailUnknown."""
        ...
