"""The forms of guards and terms, read into commands."""

from typing import Final

from otcdesk.actions.set_fees import SetDeskFees
from otcdesk.actions.set_guards import SetGuard, SetGuardTerms
from otcdesk.actions.switch_channel import SwitchChannel
from otcdesk.actions.switch_trading import SwitchTrading
from otcdesk.console.fields import id_of, percent_of, text_of, units_of, whole_of
from otcdesk.console.page import ConsoleCall
from otcdesk.domain.guards import BPS_MAX, PROPOSAL_SECONDS_MAX
from otcdesk.domain.resales import ResaleTerms
from otcdesk.errors import Code, Refusal

#: A second person needs a minute to look at anything.
_PROPOSAL_SECONDS_MIN: Final = 60
_CODE_LENGTH_MAX: Final = 20


def why_of(call: ConsoleCall) -> str:
    """Return the reason, which must be given; refuses REQUEST_INVALID."""
    return text_of(call, "why", "The reason")


def guard_command(call: ConsoleCall, scales: dict[str, int]) -> SetGuard:
    """Read the guard of an asset: an empty size guards nothing. Refuses ASSET_NOT_FOUND, REQUEST_INVALID."""
    asset = call.field("asset")
    if asset not in scales:
        raise Refusal(Code.ASSET_NOT_FOUND)
    sizes = {
        f"{name}_units": units_of(call, name, scales[asset], required=False, said=said)
        for name, said in (("second_from", "The size for two people"), ("typed_from", "The size that is typed"))
    }
    exposure = units_of(call, "exposure", scales[asset], required=False, said="The largest position")
    return SetGuard(asset=asset, **sizes, exposure_units_max=exposure, why=why_of(call))


def guard_terms_command(call: ConsoleCall) -> SetGuardTerms:
    """Read what guards the whole lane; refuses REQUEST_INVALID."""
    most = PROPOSAL_SECONDS_MAX
    seconds = whole_of(call, "proposal_seconds", "The time for a second person", least=_PROPOSAL_SECONDS_MIN, most=most)
    if seconds is None:
        raise Refusal(Code.REQUEST_INVALID, "Say for how many seconds a proposal waits for a second person.")
    return SetGuardTerms(
        deviation_bps_max=whole_of(call, "deviation_bps_max", "The deviation", most=BPS_MAX),
        spread_change_bps_max=whole_of(call, "spread_change_bps_max", "The change of a spread", most=BPS_MAX),
        limits_second=call.field("limits_second") == "yes",
        proposal_seconds=seconds,
        why=why_of(call),
    )


def fees_command(call: ConsoleCall, terms: ResaleTerms) -> SetDeskFees:
    """Read what the desk takes of sales; refuses REQUEST_INVALID."""
    return SetDeskFees(
        otc_fee_percent=percent_of(call, "otc", "The fee over the counter"),
        secondary_fee_percent=percent_of(call, "secondary", "The fee of the secondary market"),
        primary_fee_percent=percent_of(call, "primary", "The fee of the unsold supply"),
        fees=terms.fees,
    )


def channel_command(call: ConsoleCall) -> SwitchChannel:
    """Read which channel is opened or closed; refuses CHANNEL_NOT_FOUND."""
    channel_id = id_of(call.field("channel"), Code.CHANNEL_NOT_FOUND)
    return SwitchChannel(channel_id=channel_id, enabled=call.field("enabled") == "yes")


def listing_command(call: ConsoleCall) -> SwitchTrading:
    """Read which sides of an asset may be traded; refuses REQUEST_INVALID."""
    return SwitchTrading(
        asset=text_of(call, "asset", "The asset", length_max=_CODE_LENGTH_MAX),
        buy_enabled=call.field("buy") == "yes",
        sell_enabled=call.field("sell") == "yes",
    )
