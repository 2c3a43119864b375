"""The part of a world file that is about limits: how much of an asset a tenant or one of its parties may turn over."""

from collections.abc import Iterable
from uuid import UUID

from otcdesk.domain.limits import Limit
from otcdesk.domain.world_tables import Table, invalid, units_in


class FileLimit(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tenants.limits]]` and `[[tenants.parties.limits]]`: decimals of an asset; what is left out is not bounded.

    It is the beginning: a limit that is set already stays, because operators decide on it from then on.
    """

    asset: str
    per_order: str | None = None
    per_day: str | None = None
    per_month: str | None = None


def declared_limits(subject_id: UUID, files: Iterable[FileLimit], scales: dict[str, int]) -> list[Limit]:
    """Return the limits of a tenant or a party; refuses DECLARATION_INVALID."""
    limits = [_limit(subject_id, file, scales) for file in files]
    if len({limit.asset for limit in limits}) != len(limits):
        raise invalid("two limits of the same tenant or party are of the same asset")
    return limits


def _limit(subject_id: UUID, file: FileLimit, scales: dict[str, int]) -> Limit:
    if file.asset not in scales:
        raise invalid(f"asset {file.asset!r} is not declared")
    order, day, month = (
        None if text is None else units_in(text, file.asset, scales)
        for text in (file.per_order, file.per_day, file.per_month)
    )
    return Limit(
        subject_id=subject_id, asset=file.asset, order_units_max=order, day_units_max=day, month_units_max=month
    )
