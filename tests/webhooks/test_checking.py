"""What receivers do alike: whole seconds, never rounded up, and five minutes to either side."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.webhooks.checking import age, header, keys_of, optional_header, seconds_of, unix_seconds
from otcdesk.webhooks.envelope import Captured, CheckingKey, KeyKind, SignatureInvalid

NOW = datetime(2026, 5, 6, 7, 8, 9, 999_999, tzinfo=UTC)


def message(**headers: str) -> Captured:
    return Captured(method="POST", url="https://a.example/", headers=headers, body=b"")


@given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  (made aware by the strategy)
def test_seconds_are_cut(moment: datetime) -> None:
    seconds = unix_seconds(moment)
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds) == moment.replace(microsecond=0)


@pytest.mark.parametrize("seconds,said", [(0, "signed 0 seconds ago"), (300, "signed 300 seconds ago")])
def test_an_age_within_five_minutes_is_said(seconds: int, said: str) -> None:
    assert age(unix_seconds(NOW) - seconds, NOW) == said


def test_an_age_of_more_is_refused_to_either_side() -> None:
    assert age(unix_seconds(NOW) + 300, NOW) == "signed 300 seconds in the future"
    for seconds, word in ((301, "too old"), (-301, "too new"), (10**11, "too old")):
        with pytest.raises(SignatureInvalid, match=word):
            age(unix_seconds(NOW) - seconds, NOW)


def test_headers_are_found_in_any_case_and_missed_by_name() -> None:
    assert header(message(name="x"), "Name") == "x"
    with pytest.raises(SignatureInvalid, match=r"The header Other is missing\."):
        header(message(name="x"), "Other")


def test_what_is_no_text_is_refused_and_not_stumbled_over() -> None:
    assert optional_header(message(name="x"), "Name") == "x"
    assert optional_header(message(name="x"), "Other") is None
    for text in ("\udcff", "caf\u00e9"):
        with pytest.raises(SignatureInvalid, match=r"The header Name is not ASCII\."):
            optional_header(message(name=text), "Name")


@pytest.mark.parametrize("text", ["", " 1", "+1", "1.0", "0x1", "\u0661", "1" * 13])
def test_a_time_is_digits(text: str) -> None:
    assert seconds_of(message(name="0123"), "Name") == 123
    with pytest.raises(SignatureInvalid, match=r"not a time|not ASCII"):
        seconds_of(message(name=text), "Name")


def test_keys_of_another_kind_are_left_out() -> None:
    secret = CheckingKey(kind=KeyKind.HMAC_SHA256, content=b"a")
    pair = CheckingKey(kind=KeyKind.ED25519, content=b"b")
    assert keys_of([secret, pair], KeyKind.ED25519, "a pair") == [pair]
    with pytest.raises(SignatureInvalid, match=r"checked with a pair, which was not given\."):
        keys_of([secret], KeyKind.ED25519, "a pair")
