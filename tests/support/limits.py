"""Limits and freezing, step by step."""

from typing import Any
from uuid import UUID

from otcdesk.actions.freeze import FreezeParty, FreezeTenant
from otcdesk.actions.set_limit import LimitReply, SetLimit
from otcdesk.domain.commands import Command
from otcdesk.domain.limits import Limit
from otcdesk.domain.parties import DESK_ID
from otcdesk.errors import Refusal
from tests.support.pure import PureDesk


def limiting(
    subject_id: UUID, asset: str, *, order: int | None = None, day: int | None = None, month: int | None = None
) -> SetLimit:
    """Return what sets a limit, in units."""
    return SetLimit(
        subject_id=subject_id, asset=asset, order_units_max=order, day_units_max=day, month_units_max=month, why="risk"
    )


def limited(desk: PureDesk, subject_id: UUID, asset: str, **bounds: int | None) -> Limit:
    """Set a limit that one person may set."""
    reply: LimitReply = desk.act(limiting(subject_id, asset, **bounds))
    assert reply.proposal is None
    return reply.limit


def used(desk: PureDesk, subject_id: UUID, asset: str) -> tuple[int, int]:
    """Return what is counted of a limit's latest day and month."""
    limit = desk.get(Limit, (subject_id, asset))
    return limit.day_units, limit.month_units


def freeze(desk: PureDesk, tenant_id: UUID, *, frozen: bool = True) -> None:
    desk.act(FreezeTenant(tenant_id=tenant_id, frozen=frozen, why="as ordered"))


def freeze_party(desk: PureDesk, party_id: UUID, *, frozen: bool = True) -> None:
    desk.act(FreezeParty(party_id=party_id, frozen=frozen, why="as ordered"))


def refusal(desk: PureDesk, command: Command, owner_id: UUID = DESK_ID, **how: Any) -> Refusal:
    """Carry a command out that must be refused, and leave nothing behind; returns the refusal."""
    before = dict(desk.rows)
    try:
        desk.act(command, owner_id=owner_id, **how)
    except Refusal as refused:
        assert desk.rows == before
        return refused
    raise AssertionError(f"not refused: {command}")
