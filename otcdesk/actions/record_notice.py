"""Keep what a tenant tells of its bank transfers. Nothing is booked for it: money is booked when it arrives."""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec

from otcdesk.domain.brokerage import FIAT, Listing, Notice
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.parties import declared_id
from otcdesk.errors import Code, Refusal


class RecordNotice(Command, frozen=True, kw_only=True):
    """What was transferred, by the tenant's own references; the same twice is kept once."""

    kind: Literal["settlement", "top_up"]
    reference: str
    transaction_id: str
    direction: str
    fiat: str
    amount: Decimal
    balance_after: Decimal | None
    noticed_at: datetime


class NoticeReply(Reply, frozen=True, kw_only=True):
    """The notice as it is kept."""

    notice: Notice


def record_notice(command: RecordNotice, books: Books, moment: Moment) -> NoticeReply:
    """Keep a notice; refuses FIAT_NOT_FOUND, and NOTICE_DIFFERS for one that is known with another content."""
    listing = books.find(Listing, command.fiat)
    if listing is None or listing.kind != FIAT:
        raise Refusal(Code.FIAT_NOT_FOUND)
    notice = Notice(
        id=_notice_id(moment.owner_id, command),
        tenant_id=moment.owner_id,
        kind=command.kind,
        reference=command.reference,
        transaction_id=command.transaction_id,
        direction=command.direction,
        fiat=command.fiat,
        amount=command.amount,
        balance_after=command.balance_after,
        noticed_at=command.noticed_at,
        recorded_at=moment.now,
    )
    known = books.find(Notice, notice.id)
    if known is None:
        books.add(notice)
        return NoticeReply(notice=notice)
    if known.with_(recorded_at=notice.recorded_at) != notice:
        raise Refusal(Code.NOTICE_DIFFERS)
    return NoticeReply(notice=known)


def _notice_id(tenant_id: UUID, command: RecordNotice) -> UUID:
    """Return what tells one notice from another; references are quoted, so that no two lists of them read alike."""
    references = [command.kind, command.transaction_id, command.reference, command.direction]
    return declared_id("notice", str(tenant_id), msgspec.json.encode(references).decode())
