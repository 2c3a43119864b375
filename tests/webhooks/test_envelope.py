"""What all envelopes share: values that hold secrets and do not tell them, and what is sent is what is said of it."""

from uuid import uuid4

import jsonschema_rs
import msgspec
import pytest

from otcdesk.app import ENVELOPES
from otcdesk.domain import conversions as c
from otcdesk.domain.event_types import WEBHOOK_DISABLED, Occurrence
from otcdesk.domain.orders import BUY, SELL
from otcdesk.webhooks.envelope import CheckingKey, Discreet, KeyKind, SigningKey
from otcdesk.webhooks.fields import fields_of
from tests.support.callbacks import (
    about_webhook,
    assert_as_documented,
    balance_updated,
    brokerage_story,
    every_move,
    fresh,
    sending,
    story,
)

KEY = SigningKey(id=uuid4(), kind=KeyKind.HMAC_SHA256, secret=b"whsec_hidden")
CHECKING = CheckingKey(kind=KeyKind.HMAC_SHA256, content=b"whsec_hidden", id="7")


@pytest.mark.parametrize("value", [KEY, CHECKING, sending(b"{}", KEY)], ids=lambda value: type(value).__name__)
def test_a_secret_is_not_written_down(value: object) -> None:
    assert "hidden" not in f"{value!r} {value} {[value]}"
    assert str(KeyKind.HMAC_SHA256) in repr(value)


@pytest.mark.parametrize("value,shown", [(KEY, {"id", "kind"}), (CHECKING, {"id", "kind"})])
def test_nor_is_it_told_to_who_draws_traces(value: Discreet, shown: set[str]) -> None:
    assert dict(value.__rich_repr__()).keys() == shown


def test_what_may_be_shown_is_as_ever() -> None:
    assert repr(CHECKING) == f"CheckingKey(kind={KeyKind.HMAC_SHA256!r}, id='7')"


# -- what is sent is what is said of it --------------------------------------------------------------------------------


def occurrences() -> list[Occurrence]:
    """Return everything that can happen: whole stories, and every move for itself."""
    told = [
        *story(BUY, c.CONFIRM, c.DEBIT_SETTLED, c.APPROVE, c.LEG_DONE),
        *story(SELL, c.CONFIRM, c.REQUOTE, c.CANCEL),
    ]
    told += [*brokerage_story(), *brokerage_story(SELL), *brokerage_story(reason="not_covered")]
    bare = balance_updated(-5)
    assert bare.account is not None
    nameless = msgspec.structs.replace(bare, account=bare.account.with_(label=None, address=None))
    return [*told, *every_move(), balance_updated(), nameless, about_webhook(), about_webhook(WEBHOOK_DISABLED)]


@pytest.mark.parametrize("name", ENVELOPES.names)
def test_whatever_is_told_is_as_documented_and_whatever_is_documented_is_told(name: str) -> None:
    envelope = ENVELOPES.named(name)
    told = [one for occurrence in occurrences() if (one := envelope.told(occurrence)) is not None]
    for one in told:
        assert_as_documented(envelope, one.event_type, one.body)
    assert {one.event_type for one in told} == envelope.messages.keys()


@pytest.mark.parametrize("name", ENVELOPES.names)
def test_every_field_of_what_may_be_subscribed_to_is_described(name: str) -> None:
    envelope = ENVELOPES.named(name)
    assert envelope.messages.keys() <= envelope.event_types | {envelope.test_type}
    assert envelope.balance_types <= envelope.messages.keys()
    for kind in envelope.messages.values():
        sentences = [kind.meaning, *(field.meaning for field in fields_of(kind.shape))]
        assert len(sentences) > 3
        assert all(text[0].isupper() or text[0] == "`" for text in sentences)


@pytest.mark.parametrize("name", ENVELOPES.names)
def test_the_headers_are_those_that_are_said_to_be_sent(name: str) -> None:
    envelope = ENVELOPES.named(name)
    one, two = fresh(envelope.key_kinds[0]), fresh(envelope.key_kinds[0])
    always = {"Content-Type", *(header.name for header in envelope.sent_headers if header.always)}
    assert envelope.headers(sending(b"{}", one)).keys() == always
    assert envelope.headers(sending(b"{}", one, two)).keys() == always | {one.name for one in envelope.sent_headers}


def test_what_is_not_as_documented_is_noticed() -> None:
    """The check of these tests can fail: for a field more, a field less, another type, another look."""
    envelope = ENVELOPES.named("standard")
    told = envelope.told(story(BUY, c.CONFIRM)[0])
    assert told is not None
    body = msgspec.json.decode(told.body)
    changes: list[dict[str, object]] = [
        {"more": 1},
        {"rate": 1},
        {"rate": "1e5"},
        {"id": "7"},
        {"updatedAt": "today"},
        {"side": "swap"},
    ]
    for change in changes:
        wrong = msgspec.json.encode({**body, "data": {**body["data"], **change}})
        with pytest.raises((AssertionError, msgspec.ValidationError, jsonschema_rs.ValidationError)):
            assert_as_documented(envelope, told.event_type, wrong)
    less = {name: value for name, value in body.items() if name != "timestamp"}
    with pytest.raises(msgspec.ValidationError):
        assert_as_documented(envelope, told.event_type, msgspec.json.encode(less))
