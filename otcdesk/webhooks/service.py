"""Everything of webhooks that the edges and workers hold, in one value."""

import msgspec

from otcdesk.webhooks.deliveries import Deliveries
from otcdesk.webhooks.envelope import Envelopes
from otcdesk.webhooks.keys import SigningKeys
from otcdesk.webhooks.outbox import Outbox
from otcdesk.webhooks.sender import Sender
from otcdesk.webhooks.subscriptions import Subscriptions


class Webhooks(msgspec.Struct, frozen=True, kw_only=True):
    """The webhooks of this desk."""

    envelopes: Envelopes
    keys: SigningKeys
    sender: Sender
    subscriptions: Subscriptions
    outbox: Outbox
    deliveries: Deliveries
