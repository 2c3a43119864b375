"""What a message says at a glance, in every envelope; what is no message says nothing and breaks nothing."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otcdesk.app import ENVELOPES
from otcdesk.domain.conversions import CONFIRM
from otcdesk.domain.event_types import Occurrence
from otcdesk.domain.orders import BUY
from otcdesk.webhooks.envelope import Captured
from otcdesk.webhooks.messages import Glance, glance
from tests.support.callbacks import about_webhook, captured, fresh, sending, story

NOTHING = Glance(event_type=None, event_id=None, subject_id=None, status=None)


def seen(name: str, occurrence: Occurrence) -> tuple[Glance, str]:
    """Return what is seen of an occurrence, and the event id in the headers."""
    envelope = ENVELOPES.named(name)
    told = envelope.told(occurrence)
    assert told is not None
    sent = sending(told.body, fresh(envelope.key_kinds[0]), event_type=told.event_type)
    sent = msgspec.structs.replace(sent, event_id=occurrence.id)
    return glance(name, captured(envelope, sent)), occurrence.id


@pytest.mark.parametrize(
    "name,event_type", [("exchanges", "otc_exchange.created"), ("standard", "conversion.confirmed")]
)
def test_an_order_is_seen(name: str, event_type: str) -> None:
    (occurrence,) = story(BUY, CONFIRM)
    found, event_id = seen(name, occurrence)
    assert found == Glance(
        event_type=event_type, event_id=event_id, subject_id=str(occurrence.subject_id), status="debit_pending"
    )


@pytest.mark.parametrize("name", ENVELOPES.names)
def test_a_test_message_is_seen(name: str) -> None:
    found, event_id = seen(name, about_webhook())
    assert found.event_type == ENVELOPES.named(name).test_type
    assert found.event_id == (f"{event_id}/1" if name == "ramp" else event_id)


def test_a_ramp_transaction_is_seen() -> None:
    body = b'{"EventType":"Transaction","EventVersion":7,"Data":{"ID":"5a2f","Status":"Settled"}}'
    found = glance("ramp", Captured(method="POST", url="", headers={}, body=body))
    assert found == Glance(event_type="Transaction", event_id="5a2f/7", subject_id="5a2f", status="Settled")


def test_an_offers_message_is_known_by_its_header() -> None:
    body = b'{"params":{"user_id":"u1","success":true}}'
    headers = {"webhook-event-type": "user.update", "webhook-event-id": "evt_7"}
    found = glance("offers", Captured(method="POST", url="", headers=headers, body=body))
    assert found == Glance(event_type="user.update", event_id="evt_7", subject_id="u1", status=None)


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "type", "data", "params", "Data"]), inner)
    ),
)


@pytest.mark.parametrize("name", ENVELOPES.names)
@given(body=st.binary() | JSON.map(msgspec.json.encode))
@settings(max_examples=25)
def test_whatever_comes_is_looked_at(name: str, body: bytes) -> None:
    glance(name, Captured(method="POST", url="", headers={}, body=body))


@pytest.mark.parametrize("name", ENVELOPES.names)
@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"\xff", b"[" * 100_000, b'{"data":[],"params":1,"type":{}}'])
def test_what_is_no_message_says_nothing(name: str, body: bytes) -> None:
    assert glance(name, Captured(method="POST", url="", headers={}, body=body)) == NOTHING


def test_nothing_of_it_can_steer_a_terminal() -> None:
    body = msgspec.json.encode({"type": "a\x1b[2J\u202eb\n", "id": "x" * 1_000})
    found = glance("exchanges", Captured(method="POST", url="", headers={}, body=body))
    assert found.event_type == "a?[2J?b?"
    assert found.event_id == "x" * 200
