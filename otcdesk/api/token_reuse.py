"""What dialects with refresh tokens do about one that is used a second time: somebody has a copy."""

import structlog

from otcdesk.actions.report_token_reuse import ReportTokenReuse
from otcdesk.credentials import CLIENT, Credential
from otcdesk.desk import Caller, Desk
from otcdesk.errors import Code, Refusal
from otcdesk.tokens import RefreshTokens, Reused

log = structlog.get_logger()


async def report_reuse(desk: Desk, tokens: RefreshTokens, reused: Reused, request_id: str) -> None:
    """Tell the audit chain that a token was used again, once for each token; what it did not take is told next time."""
    if not await tokens.claim_report(reused):
        return
    client = reused.client
    log.warning("refresh_token_reused", client_id=str(client.id), issued_at=reused.issued_at.isoformat())
    report = ReportTokenReuse(credential_id=client.id, issued_at=reused.issued_at)
    try:
        await desk.submit(client_caller(client), report, request_id=request_id)
    except Refusal as refusal:
        if refusal.code is not Code.REFRESH_TOKEN_DEAD:  # which is how it is taken
            await tokens.give_back_report(reused)
            raise


def client_caller(client: Credential) -> Caller:
    """Return who a client is as a caller."""
    return Caller(
        lane=client.lane,
        owner_id=client.owner_id,
        name=f"{CLIENT}:{client.name}",
        kind=CLIENT,
        scopes=frozenset(client.scopes),
        client_id=client.id,
    )
