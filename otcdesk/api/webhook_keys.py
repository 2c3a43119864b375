"""The page with the public halves of the keys that sign callbacks of dialects whose receivers share the desk's pair."""

import msgspec
import structlog

from otcdesk.api.http import Answer, Request
from otcdesk.api.routing import Page
from otcdesk.api.wire import error_body
from otcdesk.storage.database import DATABASE_DOWN
from otcdesk.webhooks.keys import PublishedKey, SigningKeys

log = structlog.get_logger()


class PublishedKeys(msgspec.Struct, frozen=True):
    """A JSON Web Key Set (RFC 7517); each key also says whose it is, and itself as PEM."""

    keys: list[PublishedKey]


def published_keys(keys: SigningKeys) -> Page:
    """Return a page that answers the public keys; no credential is asked for."""

    async def answer(request: Request) -> Answer:
        try:
            return Answer(200, PublishedKeys(await keys.published()))
        except DATABASE_DOWN as error:
            log.warning("database_down", request_id=request.id, error=repr(error))
            return Answer(503, error_body("SERVICE_UNAVAILABLE", "The desk cannot reach its books now."))

    return answer
