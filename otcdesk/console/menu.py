"""Where one can go in the console, and the letter that leads there after `g`."""

import msgspec

from otcdesk.domain import duties


class Place(msgspec.Struct, frozen=True):
    """One entry: its name, its path, and its letter."""

    name: str
    path: str
    letter: str
    #: Shown in sandboxes only.
    sandbox: bool = False
    #: What says how many wait there.
    counts: str = ""
    #: Shown to those only whose roles carry it.
    duty: str = duties.READ


class Group(msgspec.Struct, frozen=True):
    """Entries that belong together."""

    name: str
    places: tuple[Place, ...]


MENU = (
    Group(
        "Trading",
        (
            Place("Orders", "/console/orders", "o"),
            Place("Approvals", "/console/approvals", "a", counts="/console/approvals/count"),
            Place("Position", "/console/position", "p"),
            Place("Profit and loss", "/console/pnl", "l"),
            Place("Prices", "/console/prices", "r"),
        ),
    ),
    Group(
        "Books",
        (
            Place("Accounts", "/console/accounts", "b"),
            Place("Bookings", "/console/bookings", "k"),
            Place("Invariants", "/console/invariants", "i"),
            Place("Audit", "/console/audit", "u"),
        ),
    ),
    Group(
        "Desk",
        (
            Place("Tenants", "/console/tenants", "t"),
            Place("Guards and terms", "/console/guards", "d"),
            Place("Webhooks", "/console/webhooks", "w"),
            Place("People", "/console/people", "e", duty=duties.STAFF_MANAGE),
            Place("System", "/console/system", "s"),
            Place("Sandbox", "/console/sandbox", "x", sandbox=True),
        ),
    ),
)
