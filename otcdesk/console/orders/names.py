"""What accounts are called for people."""

from otcdesk.console.orders.states import words
from otcdesk.domain.ledger import Account
from otcdesk.domain.parties import DESK_ID

#: Whose account it is when nobody who is known owns it.
_UNKNOWN = "Somebody"


def account_name(account: Account, owner: str | None) -> str:
    """Return what an account is called: whose it is and what for, as `Acme · main (EUR)`.

    `owner` is the name of its tenant, party or branch. The desk's own are `Desk treasury USDC on ethereum`.
    """
    network = f" on {account.network}" if account.network else ""
    if account.owner_id == DESK_ID:
        return f"Desk {words(account.purpose)} {account.asset}{network}"
    return f"{owner or _UNKNOWN} · {account.label or words(account.purpose)} ({account.asset}{network})"
