"""Everything that happens to payouts through a bank, told in a lane: for the story of all that can happen."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from otcdesk.actions.record_statement import LinesRecorded, RecordStatementLines
from otcdesk.actions.resolve_statement_line import ResolveLine
from otcdesk.domain.bank_files import GivenLine
from otcdesk.domain.commands import Command
from otcdesk.domain.orders import Order
from tests.support.bank import DAY, filing, given_line
from tests.support.payouts import B2, SEPA_FILE
from tests.support.statements import OURS


class Tells(Protocol):
    """What says what happens in a lane."""

    async def tell(self, command: Command, owner_id: UUID | None = None, key: str | None = None) -> Any:
        """Carry out a command."""

    async def sell_payout(
        self, arrives: str = "10.00", tenant_id: UUID = B2, channel_id: UUID = SEPA_FILE, **fields: Any
    ) -> Order:
        """Prepare and sell."""


def debit(order: Order, **fields: Any) -> GivenLine:
    told = {
        "amount": Decimal(order.destination_units).scaleb(-2),
        "end_to_end_id": order.id.hex,
        "bank_reference": f"D{order.id.hex[:12]}",
        **fields,
    }
    return given_line(**told)


def credit(order: Order, **fields: Any) -> GivenLine:
    return debit(order, direction="credit", returned=True, return_reason="AC04", **fields)


def lines(*given: GivenLine) -> RecordStatementLines:
    return RecordStatementLines(account=OURS, statement="2026-11-20", lines=given)


async def banked(story: Tells) -> None:
    """Let everything happen once that happens to payouts in files."""
    orders = [await story.sell_payout("2.00", B2, SEPA_FILE) for _ in range(8)]
    settled, returned, failed, late, waiting = orders[:5]
    files = []
    for key, together in (("file-1", orders[:5]), ("file-2", orders[5:7])):
        answer = await story.tell(filing(*[order.id for order in together]), key=key)
        assert await story.tell(filing(), key=key) == answer
        files.append(answer.file)
    told: LinesRecorded = await story.tell(
        lines(
            *(debit(settled), debit(returned), credit(returned), credit(failed), credit(late)),
            *(debit(late), debit(waiting, amount=Decimal(1)), given_line(), given_line(remittance="a fee")),
            given_line(amount=Decimal(4), batch_reference=files[1].reference, batch_count=2),
        )
    )
    assert (told.new, told.matched, told.unmatched) == (10, 7, {"amount_differs": 1, "unknown_reference": 2})
    aside = given_line(remittance="the bank's interest", booked_on=DAY - timedelta(days=1))
    by_hand = given_line(amount=Decimal(2))
    await story.tell(filing(orders[7].id))
    await story.tell(lines(aside, by_hand))
    await story.tell(ResolveLine(line_id=aside.id, order_id=None, note="not ours"))
    await story.tell(ResolveLine(line_id=by_hand.id, order_id=orders[7].id, note="seen at the bank"))
