"""The forms of webhooks, read into what is to be made or changed of them."""

from datetime import datetime
from uuid import UUID

from msgspec import UNSET

from otcdesk.console.fields import text_of, ticked_of, time_of
from otcdesk.console.page import ConsoleCall
from otcdesk.errors import Code, Refusal
from otcdesk.webhooks.addresses import URL_CHARACTERS_MAX
from otcdesk.webhooks.envelope import KeyKind
from otcdesk.webhooks.subscriptions import DESCRIPTION_CHARACTERS_MAX, Change, Subscription, Wanted


def why_of(call: ConsoleCall) -> str:
    """Return the reason, which must be given; refuses REQUEST_INVALID."""
    return text_of(call, "why", "The reason")


def wanted_of(call: ConsoleCall, owner_id: UUID) -> Wanted:
    """Read a webhook that is to be made; refuses REQUEST_INVALID, and the rest when it is made."""
    kind = call.field("key_kind")
    if kind and kind not in {one.value for one in KeyKind}:
        raise Refusal(Code.REQUEST_INVALID, "There is no such kind of key.")
    return Wanted(
        lane=call.caller.lane,
        owner_id=owner_id,
        envelope=call.field("envelope"),
        url=_url_of(call),
        event_types=sorted(ticked_of(call, "event")),
        description=_description_of(call),
        key_kind=KeyKind(kind) if kind else None,
    )


def change_of(call: ConsoleCall, known: Subscription) -> Change:
    """Read what is to be different; a URL that stays is not looked up again. Refuses REQUEST_INVALID."""
    url = _url_of(call)
    return Change(
        url=UNSET if url == known.url else url,
        event_types=sorted(ticked_of(call, "event")),
        description=_description_of(call),
    )


def since_of(call: ConsoleCall) -> datetime:
    """Read since when everything is sent again; refuses REQUEST_INVALID."""
    since = time_of(call.field("since"))
    if since is None:
        raise Refusal(Code.REQUEST_INVALID, "Say since when.")
    return since


def _url_of(call: ConsoleCall) -> str:
    return text_of(call, "url", "The URL", length_max=URL_CHARACTERS_MAX)


def _description_of(call: ConsoleCall) -> str | None:
    most = DESCRIPTION_CHARACTERS_MAX
    return text_of(call, "description", "The description", required=False, length_max=most) or None
