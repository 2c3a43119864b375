"""What handlers of the deals dialect use beside the desk."""

import msgspec

from otcdesk.api.deals.tokens import Bearers
from otcdesk.api.limits import RateLimit
from otcdesk.api.maintenance import Maintenance
from otcdesk.credentials import Credentials
from otcdesk.tokens import RefreshTokens


class DealsServices(msgspec.Struct, frozen=True, kw_only=True):
    """The services of this dialect; what its handlers read, they read by `call.desk.reads`."""

    bearers: Bearers
    credentials: Credentials
    refresh_tokens: RefreshTokens
    limit: RateLimit
    maintenance: Maintenance
