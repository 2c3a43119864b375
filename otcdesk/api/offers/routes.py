"""The offers routes, in the contract's order (2, 3.1 to 3.6), and what this dialect does before its handlers.

Routes of v1 name assets and fiats by integer, those of v2 by UUID. Paths that the contract could not recover, and the
one that it does not have, are ours: `account-levels`, `trades/{id}`, `tax-details`, `assets`, `fiats`, `portfolio` and
`POST users/{id}/terms`.
"""

from typing import Any

from otcdesk.api.dialect import Dialect, Reply, Route
from otcdesk.api.http import Request, check_content_type, decode_body
from otcdesk.api.offers import errors, offers, reference, reference_shapes, shapes, tokens, trade_shapes, trades
from otcdesk.api.offers.callbacks import OffersCallbacks
from otcdesk.api.offers.queries import Links
from otcdesk.credentials import OFFERS_SCOPE
from otcdesk.desk import Caller
from otcdesk.domain.parties import DESK_ID
from otcdesk.errors import Code, Refusal

_NOBODY = Caller(lane=0, owner_id=DESK_ID, name="anyone", kind="none", scopes=frozenset())

_USER = {shapes.USER: True}
_PERHAPS_USER = {shapes.USER: False}

_PAGE = {"meta": trade_shapes.PageMeta, "links": Links}

_TRADES = (Code.PARTY_UNVERIFIED, Code.PARTY_INACTIVE, Code.AGREEMENTS_NOT_ACCEPTED)
_CREATE = (
    Code.PARTY_NOT_FOUND,
    Code.ASSET_NOT_FOUND,
    Code.FIAT_NOT_FOUND,
    *_TRADES,
    Code.TRADING_DISABLED,
    Code.PRICE_UNAVAILABLE,
    Code.AMOUNT_TOO_FINE,
    Code.AMOUNT_TOO_SMALL,
    Code.AMOUNT_TOO_LARGE,
    Code.QUOTE_NOT_COVERED,
    Code.LIMIT_EXCEEDED,
)
_ACCEPT = (
    *_TRADES,
    Code.QUOTE_GONE,
    Code.EXTERNAL_ID_TAKEN,
    Code.EXTERNAL_ID_DIFFERS,
    Code.QUOTE_FAILED,
    Code.QUOTE_ACCEPTED,
    Code.QUOTE_EXPIRED,
    Code.QUOTE_SUPERSEDED,
    Code.LIMIT_EXCEEDED,
    Code.EXECUTION_FAILED,
)
_USERS = (Code.PARTY_NOT_FOUND, Code.PARTY_INACTIVE)
_TOKENS = (Code.CLIENT_INVALID, Code.GRANT_INVALID, Code.REFRESH_TOKEN_UNKNOWN, Code.REFRESH_TOKEN_DEAD)


def _token(path: str, handler: Any, summary: str, body: Any, answer: Any, *required: str) -> Route:
    return Route(
        method="POST",
        path=path,
        handler=handler,
        summary=summary,
        scope=None,
        body=body,
        body_required=required,
        answer=answer,
        wrapped=False,
        refuses=_TOKENS,
    )


def _create(path: str, handler: Any, summary: str, body: Any, answer: Any) -> Route:
    return Route(
        method="POST",
        path=path,
        handler=handler,
        summary=summary,
        scope=OFFERS_SCOPE,
        status=201,
        body=body,
        answer=answer,
        headers=_USER,
        refuses=_CREATE,
    )


def _accept(path: str, handler: Any, summary: str, *required: str) -> Route:
    return Route(
        method="PATCH",
        path=path,
        handler=handler,
        summary=summary,
        scope=OFFERS_SCOPE,
        answer=shapes.AcceptedAnswer,
        also={202: "Taken and in progress; no body"},
        headers=_USER,
        query=shapes.AcceptQuery,
        query_required=required,
        beside={},
        refuses=_ACCEPT,
    )


def _read(path: str, handler: Any, summary: str, answer: Any, *refuses: Code, **more: Any) -> Route:
    return Route(
        method="GET",
        path=path,
        handler=handler,
        summary=summary,
        scope=OFFERS_SCOPE,
        answer=answer,
        refuses=refuses,
        **more,
    )


def _listed(path: str, handler: Any, summary: str, row: Any, *refuses: Code, **more: Any) -> Route:
    how = {"query": reference_shapes.PagesQuery, "beside": _PAGE, **more}
    return _read(path, handler, summary, list[row], *refuses, **how)


def _write(
    path: str, handler: Any, summary: str, body: Any, answer: Any, *refuses: Code, status: int = 201, **more: Any
) -> Route:
    return Route(
        method="POST",
        path=path,
        handler=handler,
        summary=summary,
        scope=OFFERS_SCOPE,
        status=status,
        body=body,
        answer=answer,
        refuses=refuses,
        **more,
    )


ROUTES = (
    _token(
        "/v1/oauth/token",
        tokens.issue_tokens,
        "Get a pair of tokens",
        tokens.TokenRequest,
        tokens.TokenAnswer,
        *("grant_type", "client_id"),
    ),
    _token(
        "/v1/oauth/revoke",
        tokens.revoke_token,
        "End a refresh token",
        tokens.RevokeRequest,
        None,
        *("client_id", "client_secret", "refresh_token"),
    ),
    _create("/v1/offers", offers.create_offer, "Make an offer", shapes.OfferRequest, shapes.OfferAnswer),
    _create(
        "/v2/offers",
        offers.create_offer_v2,
        "Make an offer, named by pids",
        shapes.OfferRequestV2,
        shapes.OfferAnswerV2,
    ),
    _accept("/v2/offers/{id}/accept", offers.accept_offer, "Accept an offer; may be repeated", shapes.EXTERNAL_ID),
    _accept("/v1/offers/{id}/accept", offers.accept_offer_v1, "Accept an offer, once"),
    _read(
        "/v1/offer-status/{id}",
        offers.offer_status,
        "Tell where an offer stands",
        shapes.StatusAnswer,
        Code.QUOTE_NOT_FOUND,
        Code.PARTY_INACTIVE,
        headers=_USER,
    ),
    _listed(
        "/v1/trades",
        trades.history,
        "List what a user has traded, newest first",
        trade_shapes.TradeRow,
        *_USERS,
        headers=_USER,
        query=trade_shapes.HistoryQuery,
    ),
    _listed(
        "/v2/trades",
        trades.history_v2,
        "List what a user has traded, newest first",
        trade_shapes.TradeRowV2,
        *_USERS,
        headers=_USER,
        query=trade_shapes.HistoryQueryV2,
        beside={"meta": trade_shapes.PageMeta},
    ),
    _listed(
        "/v1/trades/search",
        trades.search,
        "Search trades by when they were executed, oldest first",
        trade_shapes.TradeRow,
        query=trade_shapes.SearchQuery,
    ),
    _listed(
        "/v2/trades/search",
        trades.search_v2,
        "Search offers and trades by when they were offered, newest first",
        trade_shapes.TradeRowV2,
        query=trade_shapes.SearchQueryV2,
        beside={"meta": trade_shapes.CursorMeta},
    ),
    _read(
        "/v2/trades/{id}",
        trades.read_trade,
        "Show a trade (ours)",
        trade_shapes.TradeAnswer,
        Code.TRADE_NOT_FOUND,
        headers=_PERHAPS_USER,
    ),
    _read(
        "/v1/trades/{id}/tax-details",
        trades.tax_details,
        "Show what of a trade is taxed (ours)",
        trade_shapes.TaxDetailsAnswer,
        Code.TRADE_NOT_FOUND,
        Code.PARTY_NOT_FOUND,
        Code.PARTY_INACTIVE,
        Code.PARTY_UNVERIFIED,
        headers=_PERHAPS_USER,
    ),
    _read(
        "/v1/tax-status",
        reference.tax_status,
        "Tell whether tax is withheld of a user's gains",
        list[reference_shapes.TaxStatusAnswer],
        *_USERS,
        Code.PARTY_UNVERIFIED,
        headers=_USER,
    ),
    _write(
        "/v2/users",
        reference.create_user,
        "Make a user",
        reference_shapes.UserRequest,
        reference_shapes.UserAnswer,
        Code.LEVEL_NOT_FOUND,
        Code.AGREEMENT_NOT_FOUND,
        Code.PARTY_NAME_TAKEN,
        also={422: "validation.<field>"},
    ),
    _listed(
        "/v1/terms", reference.list_terms, "List terms", reference_shapes.TermAnswer, query=reference_shapes.TermsQuery
    ),
    _listed(
        "/v2/terms",
        reference.list_terms_v2,
        "List the terms of a country and a kind of account",
        reference_shapes.TermAnswer,
        query=reference_shapes.TermsQuery,
        query_required=("country", "account_type"),
    ),
    _listed(
        "/v1/users/{id}/terms",
        reference.list_accepted_terms,
        "List the terms that a user has accepted",
        reference_shapes.TermAnswer,
        Code.PARTY_NOT_FOUND,
        query=reference_shapes.AcceptedTermsQuery,
    ),
    _listed(
        "/v2/users/{id}/terms",
        reference.list_accepted_terms_v2,
        "List the terms that a user has accepted",
        reference_shapes.TermAnswer,
        Code.PARTY_NOT_FOUND,
        query=reference_shapes.AcceptedTermsQuery,
    ),
    _write(
        "/v2/users/{id}/terms",
        reference.accept_terms,
        "Keep that a user has accepted terms (ours)",
        reference_shapes.TermsRequest,
        list[reference_shapes.TermAnswer],
        Code.PARTY_NOT_FOUND,
        Code.AGREEMENT_NOT_FOUND,
        status=200,
    ),
    _listed("/v1/account-levels", reference.list_levels, "List account levels (ours)", reference_shapes.LevelAnswer),
    _write(
        "/v1/fiat-stock",
        reference.fiat_stock,
        "Tell that a trade was settled by a bank transfer",
        reference_shapes.SettlementRequest,
        reference_shapes.NoticeAnswer,
        Code.TRADE_NOT_FOUND,
        Code.NOTICE_DIFFERS,
        status=200,
    ),
    _write(
        "/v1/deposit",
        reference.announce_deposit,
        "Tell that a top-up is on its way",
        reference_shapes.TopUpRequest,
        reference_shapes.NoticeAnswer,
        Code.FIAT_NOT_FOUND,
        Code.NOTICE_DIFFERS,
    ),
    _listed("/v1/assets", reference.list_assets, "List assets (ours)", reference_shapes.AssetAnswer),
    _listed("/v1/fiats", reference.list_fiats, "List fiats (ours)", reference_shapes.FiatAnswer),
    _listed(
        "/v1/portfolio",
        reference.portfolio,
        "List what a user has (ours)",
        reference_shapes.HoldingAnswer,
        *_USERS,
        headers=_USER,
    ),
)


class OffersDialect(Dialect):
    """White-label brokerage: tokens of partners, the user in a header, the `data` envelope and lists of errors."""

    name = "offers"
    title = "White-label brokerage"
    routes = ROUTES
    replies = errors.REPLIES
    exceptions = errors.EXCEPTIONS
    credentials = ("bearer",)
    error_schema = errors.ERROR_SCHEMA
    callbacks = OffersCallbacks()

    async def admit(self, request: Request, route: Route) -> Caller:
        """Let anybody ask for tokens: who asks, and whether its lane is closed, is told by what the body says."""
        return _NOBODY if route.scope is None else await super().admit(request, route)

    async def read_body(self, request: Request, route: Route) -> Any:
        """Read a body; whose it is that asks for tokens may be known of one that is wrong."""
        if route.scope is not None:
            return await super().read_body(request, route)
        raw = b""
        try:
            check_content_type(request)
            raw = await self.raw_body(request)
            return decode_body(raw, route.body)
        except Refusal:
            await tokens.refuse_unread(self.services, request, raw)
            raise

    def count_request(self, caller: Caller) -> None:
        """Count a request for its client (contract 3.0)."""
        if caller.client_id is None:
            raise AssertionError("only clients have bearers of this dialect")
        self.limit.count(caller.lane, caller.client_id.bytes)

    def enveloped(self, value: Any) -> Any:
        """Wrap a value in the envelope."""
        return {"data": value}

    def reply_of(self, refusal: Refusal, request: Request) -> Reply:
        """Return a reply whose key may name the field, or the failure."""
        return errors.reply_to(refusal, super().reply_of(refusal, request), request.route)

    def refusal_headers(self, refusal: Refusal) -> tuple[tuple[bytes, bytes], ...]:
        """Return the four headers of a limit that was reached (contract 3.0)."""
        most = refusal.facts.get("requests_per_second")
        if most is None:
            return ()
        return (
            (b"x-ratelimit-limit", b"%d, %d;w=1" % (most, most)),
            (b"x-ratelimit-remaining", b"0"),
            (b"x-ratelimit-reset", b"1"),
            (b"x-envoy-ratelimited", b"true"),
        )

    def error_body(self, reply: Reply, refusal: Refusal, request: Request) -> Any:
        """Return the list of errors (contract 3.0)."""
        return errors.error_body(reply, refusal, request.route)
