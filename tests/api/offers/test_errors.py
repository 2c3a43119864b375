"""The table of replies: total, with keys of one style, and no word of the core in what a partner reads."""

import re

import pytest

from otcdesk.api.offers import errors
from otcdesk.api.offers.routes import ROUTES, OffersDialect
from otcdesk.domain.brokerage import FAILURES
from otcdesk.errors import Code, Refusal

_CORE_WORDS = re.compile(r"\b(party|parties|quote|quotes|agreement|agreements)\b", re.IGNORECASE)

#: The keys that the contract states itself (section 3.0), and those of the token endpoints (2.2).
PUBLIC = {
    *("user.terms.not.accepted", "offer.not_found", "user.transaction.trading.disabled", "insufficient.wallet.balance"),
    *("http.bad.request", "header.content.type", "credentials.invalid"),
    *("refresh.token.unknown", "refresh.token.invalid"),
}


def all_words() -> set[str]:
    replies = [*errors.REPLIES.values(), *errors.EXCEPTIONS.values()]
    return {reply.word for reply in replies} | {key for key, _ in errors.FAILED.values()}


def test_keys_are_dotted_and_those_that_are_public_are_there() -> None:
    assert all(re.fullmatch(r"[a-z]+([._][a-z]+)*\.?", word) for word in all_words())
    assert all_words() >= PUBLIC


@pytest.mark.parametrize("code", list(errors.REPLIES))
def test_no_title_has_a_word_of_the_core(code: Code) -> None:
    told = errors.error_body(errors.REPLIES[code], Refusal(code, reason="not_covered"))
    assert not _CORE_WORDS.search(told["errors"][0]["title"]), told


@pytest.mark.parametrize("reason", [*FAILURES, None, "", "what a venue made up"])
def test_every_failure_has_a_key(reason: str | None) -> None:
    key, sentence = errors.failure(reason)
    assert key
    assert sentence.endswith(".")
    refusal = Refusal(Code.EXECUTION_FAILED, reason=reason)
    reply = errors.reply_to(refusal, errors.REPLIES[refusal.code], "PATCH /v2/offers/{id}/accept")
    assert (reply.status, reply.word) == (422, key)


def test_exceptions_are_of_routes_and_codes_that_there_are() -> None:
    labels = {route.label for route in ROUTES}
    assert {label for label, _ in errors.EXCEPTIONS} <= labels
    assert set(errors._FIELD_STATUSES) <= labels
    for (label, code), reply in errors.EXCEPTIONS.items():
        assert reply != errors.REPLIES[code], label
        assert OffersDialect.reply_to(code, label) == reply
        assert OffersDialect.reply_to(code, "GET /elsewhere") == errors.REPLIES[code]


def test_handlers_are_short_and_decide_nothing() -> None:
    """A handler parses, submits or reads, and renders; what may go wrong is its helpers'."""
    import ast
    import inspect
    import textwrap

    for route in ROUTES:
        source = textwrap.dedent(inspect.getsource(route.handler))
        nodes = list(ast.walk(ast.parse(source)))
        assert not [node for node in nodes if isinstance(node, ast.If | ast.Try)], route.label
        assert len(source.splitlines()) <= 12, route.label
