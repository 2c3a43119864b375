"""The console: every section's routes in one table."""

import re
from typing import Final

from otcdesk.api.dialect import Route
from otcdesk.api.http import Stream
from otcdesk.console.approvals import routes as approvals
from otcdesk.console.assets import show_asset
from otcdesk.console.bookings import routes as bookings
from otcdesk.console.books import routes as books
from otcdesk.console.dialect import ConsoleBase, cookie_of
from otcdesk.console.feed import Feed
from otcdesk.console.guards import routes as guards
from otcdesk.console.orders import routes as orders
from otcdesk.console.page import ConsoleCall, opens
from otcdesk.console.people import routes as people
from otcdesk.console.position import routes as position
from otcdesk.console.prices import routes as prices
from otcdesk.console.sandbox_panel import routes as sandbox_panel
from otcdesk.console.sign_in import routes as sign_in
from otcdesk.console.system import routes as system
from otcdesk.console.tenants import routes as tenants
from otcdesk.console.webhooks import routes as webhooks

#: What nginx must be told, or it keeps the first events until there are many.
_UNBUFFERED: Final = ((b"x-accel-buffering", b"no"),)

_SEQ: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


async def follow(call: ConsoleCall) -> Stream:
    """Tell a page when its lane's books have moved, for as long as its person is signed in."""
    feed: Feed = call.services.feed
    token = cookie_of(call.request)

    async def is_signed_in() -> bool:
        return await call.services.operators.session(token, seen=False) is not None

    text = call.request.query.get("since", "")
    since = int(text) if _SEQ.fullmatch(text) else None
    return Stream(200, feed.stream(call.caller.lane, call.caller.name, is_signed_in, since=since), _UNBUFFERED)


ROUTES: tuple[Route, ...] = (
    opens("/static/{name}", show_asset, "A style, a script or a picture", duty=None),
    opens("/events", follow, "Be told when the books move"),
    *sign_in.ROUTES,
    *orders.ROUTES,
    *approvals.ROUTES,
    *position.ROUTES,
    *books.ROUTES,
    *bookings.ROUTES,
    *prices.ROUTES,
    *tenants.ROUTES,
    *guards.ROUTES,
    *webhooks.ROUTES,
    *people.ROUTES,
    *system.ROUTES,
    *sandbox_panel.ROUTES,
)


class Console(ConsoleBase):
    """The operator's console."""

    routes = ROUTES
