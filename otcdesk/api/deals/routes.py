"""The deals routes, in the contract's order, and what this dialect does before its handlers."""

import re
from typing import Any

from otcdesk.api.deals import (
    currency_tokens,
    deal_lists,
    errors,
    fees,
    holdings,
    market,
    negotiation,
    node_deals,
    node_tokens,
    rules,
    sales,
    tokens,
    transactions,
    users,
)
from otcdesk.api.deals.multipart_forms import MEDIA_TYPE
from otcdesk.api.deals.tables import PATH_SCHEMAS, public
from otcdesk.api.dialect import Call, Dialect, Reply, Route
from otcdesk.api.http import Request
from otcdesk.desk import Caller
from otcdesk.domain.parties import DESK_ID
from otcdesk.errors import Code, Refusal

_NOBODY = Caller(lane=0, owner_id=DESK_ID, name="anyone", kind="none", scopes=frozenset())

_KEY_PATTERN = "[!-~]{1,255}"
_KEY = re.compile(_KEY_PATTERN)

_TOKEN_ROUTES = (
    public(
        "/v2/auth/authenticate",
        tokens.authenticate,
        "Get a pair of tokens",
        tokens.AuthenticateRequest,
        tokens.TokenPair,
        body_optional=True,
        credential_headers=tokens.HEADERS,
    ),
    public(
        "/v2/auth/refresh",
        tokens.refresh,
        "Get the next pair of tokens; a refresh token is good once",
        tokens.RefreshRequest,
        tokens.TokenPair,
    ),
)

ROUTES = (
    *_TOKEN_ROUTES,
    *sales.SALES_ROUTES,
    *deal_lists.DEAL_ROUTES,
    *transactions.TRANSACTION_ROUTES,
    *users.USER_ROUTES,
    *holdings.HOLDING_ROUTES,
    *market.MARKET_ROUTES,
    *negotiation.NEGOTIATION_ROUTES,
    *node_deals.NODE_DEAL_ROUTES,
    *rules.RULE_ROUTES,
    *node_tokens.NODE_TOKEN_ROUTES,
    *currency_tokens.CURRENCY_ROUTES,
    *fees.FEE_ROUTES,
)

#: What single routes, by their labels, say beside an error.
DETAILS: dict[tuple[str, Code], str] = {
    **sales.SALES_DETAILS,
    **deal_lists.DEAL_DETAILS,
    **transactions.TRANSACTION_DETAILS,
    **users.USER_DETAILS,
    **market.MARKET_DETAILS,
    **negotiation.NEGOTIATION_DETAILS,
    **node_deals.NODE_DEAL_DETAILS,
    **rules.RULE_DETAILS,
    **node_tokens.NODE_TOKEN_DETAILS,
    **currency_tokens.CURRENCY_DETAILS,
    **fees.FEE_DETAILS,
}

#: What single routes, by their labels, answer otherwise than the others.
EXCEPTIONS: dict[tuple[str, Code], Reply] = {
    **sales.SALES_EXCEPTIONS,
    **deal_lists.DEAL_EXCEPTIONS,
    **transactions.TRANSACTION_EXCEPTIONS,
    **market.MARKET_EXCEPTIONS,
    **negotiation.NEGOTIATION_EXCEPTIONS,
    **node_deals.NODE_DEAL_EXCEPTIONS,
    **currency_tokens.CURRENCY_EXCEPTIONS,
}


class DealsDialect(Dialect):
    """Tokens resold over the counter: bearer tokens of supervisors, snake_case bodies, errors with details.

    What submits a command may carry an idempotency key, which the contract does not have.
    """

    name = "deals"
    title = "Tokenisation platform, OTC"
    routes = ROUTES
    replies = errors.REPLIES
    exceptions = EXCEPTIONS
    credentials = ("bearer",)
    error_schema = errors.ERROR_SCHEMA
    key_pattern = _KEY_PATTERN
    path_schemas = PATH_SCHEMAS

    async def admit(self, request: Request, route: Route) -> Caller:
        """Let anybody ask for tokens: who asks, and whether its lane is closed, is told by what the body says."""
        return _NOBODY if route.scope is None else await super().admit(request, route)

    def before_body(self, call: Call, route: Route) -> None:
        """Take the key of a command."""
        given = call.request.header("idempotency-key") if route.keyed else None
        if given is not None and not _KEY.fullmatch(given):
            raise Refusal(Code.KEY_INVALID, "The Idempotency-Key must be 1 to 255 visible ASCII characters.")
        call.key = given

    async def read_body(self, request: Request, route: Route) -> Any:
        """Read a body, but leave that of a request for tokens to its handler: a wrong one counts for its address."""
        if route.scope is None:
            return None
        if route.body_optional and not await self.raw_body(request):
            return route.body()
        return await super().read_body(request, route)

    def body_bytes_max(self, route: Route) -> int | None:
        """Let forms with files be longer than other bodies."""
        return self.desk.settings.deals_form_bytes_max if route.takes == MEDIA_TYPE else None

    def count_request(self, caller: Caller) -> None:
        """Count a request for its client."""
        if caller.client_id is None:
            raise AssertionError("only clients have bearers of this dialect")
        self.limit.count(caller.lane, caller.client_id.bytes)

    def error_body(self, reply: Reply, refusal: Refusal, request: Request) -> Any:
        """Return the error object (contract 3)."""
        return errors.error_body(reply, refusal, DETAILS.get((request.route, refusal.code)))
