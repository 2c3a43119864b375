"""What the operator decides about channels: whether payouts may be sold through one."""

from uuid import UUID

from otcdesk.actions.payout_checks import found_channel
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.payouts import Channel


class SwitchChannel(Command, frozen=True, kw_only=True):
    """Say whether a channel may be used from now on; payouts that are sold already are made all the same."""

    channel_id: UUID
    enabled: bool


class ChannelReply(Reply, frozen=True, kw_only=True):
    """The channel after the command."""

    channel: Channel


def switch_channel(command: SwitchChannel, books: Books, moment: Moment) -> ChannelReply:  # noqa: ARG001  (an action's shape)
    """Switch a channel on or off; refuses CHANNEL_NOT_FOUND."""
    channel = found_channel(books, command.channel_id)
    switched = channel.with_(enabled=command.enabled)
    if switched != channel:
        books.put(switched)
    return ChannelReply(channel=switched)
