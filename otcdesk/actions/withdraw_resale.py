"""Take a listing back: who has listed it asks the chain to give it back, a branch closes it at once."""

from uuid import UUID

from msgspec.structs import replace

from otcdesk.actions.booking import account
from otcdesk.actions.end_resale import end_resale, escrow_account
from otcdesk.actions.jobs import start_job
from otcdesk.actions.list_resale import JobStarted
from otcdesk.actions.order_checks import order_by_the_clock
from otcdesk.actions.resale_checks import check_mandate, found_parts, found_resale
from otcdesk.actions.take_resale import BranchCommand, ResaleTaken, found_for_branch
from otcdesk.domain.commands import Books, Command, Moment
from otcdesk.domain.jobs import WITHDRAW
from otcdesk.domain.ledger import Account
from otcdesk.domain.resales import ACTIVE, ANYBODY, CANCEL, ESCROW, Mandate, branch_account_id
from otcdesk.errors import Code, Refusal


class WithdrawResale(Command, frozen=True, kw_only=True):
    """Take back what a party has listed; without an order nothing has the number that was asked for."""

    party_id: UUID
    instrument_id: UUID
    order_id: UUID | None
    market: str
    mandate: Mandate

    @property
    def compared(self) -> "WithdrawResale":
        """Return what its key stands for: who asks for it is not part of it."""
        return replace(self, mandate=ANYBODY)


class CloseResale(BranchCommand, frozen=True, kw_only=True):
    """Do not take it, and end it."""


def withdraw_resale(command: WithdrawResale, books: Books, moment: Moment) -> JobStarted:
    """Ask for a listing back; it stays active until the chain is asked, so that a sale may still come first.

    Refuses, in this order: PARTY_NOT_FOUND, INSTRUMENT_NOT_FOUND, NOT_PERMITTED, ORDER_NOT_FOUND, RESALE_NOT_OWN,
    NOT_CANCELLABLE (deals contract, 3.2 and 5).
    """
    parts = found_parts(books, moment, command.party_id, command.instrument_id)
    check_mandate(command.mandate, parts.home)
    order, resale = found_resale(books, command.order_id, parts.instrument, command.market)
    if resale.party_id != parts.party.id:
        raise Refusal(Code.RESALE_NOT_OWN)
    order = order_by_the_clock(books, moment, order)
    if order.state != ACTIVE or resale.available == 0:
        raise Refusal(Code.NOT_CANCELLABLE, state=order.state)
    escrow_id = branch_account_id(resale.branch_id, ESCROW, order.source_asset)
    books.want((Account, order.source_account_id), (Account, escrow_id))
    job = start_job(
        books,
        moment,
        kind=WITHDRAW,
        market=resale.market,
        order_id=order.id,
        party_id=parts.party.id,
        instrument_id=parts.instrument.id,
        source=escrow_account(books, resale, order.source_asset),
        destination=account(books, order.source_account_id),
        units=resale.available,
    )
    return JobStarted(job=job)


def close_resale(command: CloseResale, books: Books, moment: Moment) -> ResaleTaken:
    """End a listing for its branch; what was promised to buyers is still theirs.

    Refuses, in this order: BRANCH_NOT_FOUND, INSTRUMENT_NOT_FOUND, NOT_PERMITTED, ORDER_NOT_FOUND, NOT_CANCELLABLE
    (deals contract, 3.6).
    """
    order, resale = found_for_branch(books, moment, command)
    order = order_by_the_clock(books, moment, order)
    if order.state != ACTIVE or resale.available == 0:
        raise Refusal(Code.NOT_CANCELLABLE, state=order.state)
    return ResaleTaken(order=end_resale(books, moment, order, CANCEL, "closed by the branch"))
