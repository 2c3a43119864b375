"""What all envelopes share: values that hold secrets, and do not tell them."""

from uuid import uuid4

import pytest

from otcdesk.webhooks.envelope import CheckingKey, Discreet, KeyKind, SigningKey
from tests.support.callbacks import sending

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
