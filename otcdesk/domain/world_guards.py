"""The part of a world file that is about guards: what takes two people, and how far a rate may be from the market."""

from otcdesk.domain.guards import BPS_MAX, PROPOSAL_SECONDS_MAX, Guard, GuardTerms
from otcdesk.domain.world_tables import Table, invalid, units_in


class FileGuard(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[guards.assets]]`: sizes of an asset, as decimals; what is left out guards nothing."""

    asset: str
    second_from: str | None = None
    typed_from: str | None = None
    exposure_max: str | None = None


class FileGuards(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[guards]`: what guards the whole desk, in ten-thousandths and seconds; what is left out guards nothing.

    It is the beginning: guards that are set already stay, because only two people change them.
    """

    deviation_bps_max: int | None = None
    spread_change_bps_max: int | None = None
    limits_second: bool = False
    proposal_seconds: int = GuardTerms().proposal_seconds
    assets: tuple[FileGuard, ...] = ()


def declared_guard_terms(file: FileGuards) -> GuardTerms:
    """Return what guards the whole lane; refuses DECLARATION_INVALID."""
    bounds = (file.deviation_bps_max, file.spread_change_bps_max)
    if any(bps is not None and not 0 <= bps <= BPS_MAX for bps in bounds):
        raise invalid(f"guards are from 0 to {BPS_MAX} ten-thousandths")
    if not 1 <= file.proposal_seconds <= PROPOSAL_SECONDS_MAX:
        raise invalid(f"a proposal waits from 1 to {PROPOSAL_SECONDS_MAX} seconds")
    return GuardTerms(
        deviation_bps_max=file.deviation_bps_max,
        spread_change_bps_max=file.spread_change_bps_max,
        limits_second=file.limits_second,
        proposal_seconds=file.proposal_seconds,
    )


def declared_guards(file: FileGuards, scales: dict[str, int]) -> list[Guard]:
    """Return the guards of the assets; refuses DECLARATION_INVALID."""
    if len({row.asset for row in file.assets}) != len(file.assets):
        raise invalid("two guards are of the same asset")
    return [
        Guard(
            asset=row.asset,
            second_from_units=_units(row.second_from, row.asset, scales),
            typed_from_units=_units(row.typed_from, row.asset, scales),
            exposure_units_max=_units(row.exposure_max, row.asset, scales),
        )
        for row in file.assets
    ]


def _units(text: str | None, asset: str, scales: dict[str, int]) -> int | None:
    if asset not in scales:
        raise invalid(f"asset {asset!r} is not declared")
    return None if text is None else units_in(text, asset, scales)
