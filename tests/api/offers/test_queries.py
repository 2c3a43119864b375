"""The query of a request: single values, lists, numbers, pages and times; and the links of pages."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.api.http import Request
from otcdesk.api.offers.queries import MOMENT, PERIOD, Page, Period, Query, bounded, linked
from otcdesk.errors import Refusal

NOW = datetime(2025, 3, 4, 12, tzinfo=UTC)


def query(text: str) -> Query:
    """Return a query as it stands in a request."""
    return Query(
        Request(
            method="GET",
            path="/",
            query_string=text.encode("latin-1"),
            headers={},
            client_address="127.0.0.1",
            keep_alive=True,
            body_bytes_max=0,
        )
    )


def field_of(refusal: Any) -> str:
    """Return the field that a refusal names."""
    field: str = refusal.value.facts["field"]
    return field


@pytest.mark.parametrize(
    "text, found",
    [
        ("", None),
        ("b=1", None),
        ("a=", ""),
        ("a", ""),
        ("a=1", "1"),
        ("a=%C3%A9+x", "é x"),
        ("b=1&a=2&b=3", "2"),
    ],
)
def test_a_single_value(text: str, found: str | None) -> None:
    assert query(text).text("a") == found


@pytest.mark.parametrize("text", ["a=1&a=2", "a=1&a=1", "a=%00", "a=x%00"])
def test_what_is_no_single_value(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        query(text).text("a")
    assert field_of(caught) == "a"


@pytest.mark.parametrize("text", ["a=%ff", "&".join("a=1" for _ in range(101))])
def test_what_is_no_query(text: str) -> None:
    with pytest.raises(Refusal):
        query(text)


def test_lists() -> None:
    assert query("").texts("a") is None
    assert query("a[]=1&a[]=2").texts("a") == query("a=1,2").texts("a") == ["1", "2"]
    assert query("a[]=1").words("a", {"1", "2"}) == ["1"]
    with pytest.raises(Refusal) as caught:
        query("a[]=1&a[]=3").words("a", {"1", "2"})
    assert field_of(caught) == "a"


@given(st.text(max_size=20))
def test_numbers_are_ascii_and_bounded(text: str) -> None:
    made = query("")
    made._given = {"a": [text]}
    plain = text.isascii() and text.isdigit() and 1 <= int(text) <= 50 and len(text) <= 12
    if plain:
        assert made.number("a", most=50) == int(text)
    else:
        with pytest.raises(Refusal):
            made.number("a", most=50)


def test_pages() -> None:
    assert query("").page() == Page(page=1, page_size=10)
    assert query("page=3&page_size=100").page().offset == 200


@pytest.mark.parametrize(
    "text, found",
    [
        ("", (NOW - PERIOD, NOW)),
        ("date_start=2025-01-01", (datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC))),
        ("date_end=2025-02-28", (datetime(2025, 3, 1, tzinfo=UTC) - PERIOD, datetime(2025, 3, 1, tzinfo=UTC))),
        (
            "date_start=2025-01-01&date_end=2025-01-01",
            (datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 2, tzinfo=UTC)),
        ),
    ],
)
def test_a_period_has_both_ends_in_the_end(text: str, found: tuple[datetime, datetime]) -> None:
    assert bounded(query(text).dates(), NOW) == found


@given(st.dates(min_value=datetime(1971, 1, 1).date(), max_value=datetime(8000, 1, 1).date()), st.integers(-40, 40))  # noqa: DTZ001
def test_periods_of_days_are_at_most_31_days_long(start: Any, days: int) -> None:
    end = start + timedelta(days=days)
    asked = query(f"date_start={start}&date_end={end}")
    if 0 <= days <= 30:
        period = asked.dates()
        assert isinstance(period, Period)
        assert period.start is not None
        assert period.end is not None
        assert (period.end - period.start).days == days + 1
    else:
        with pytest.raises(Refusal) as caught:
            asked.dates()
        assert field_of(caught) == "date_end"


FIRST, LAST = datetime(1971, 1, 1), datetime(8000, 1, 1)  # noqa: DTZ001


@given(st.datetimes(min_value=FIRST, max_value=LAST), st.sampled_from(["Z", "+01:00", "-11:30"]))
def test_times_are_read_as_they_are_written(moment: datetime, offset: str) -> None:
    written = moment.isoformat(timespec="microseconds") + offset
    found = query(f"start={written}").times().start
    assert found == datetime.fromisoformat(written)


@given(st.text(alphabet="0123456789-:TZ+. ", max_size=30))
def test_whatever_is_no_time_is_refused_and_nothing_breaks(text: str) -> None:
    made = query("")
    made._given = {"start": [text]}
    try:
        found = made.times().start
    except Refusal:
        return
    assert found is not None
    assert found.tzinfo is UTC


@given(st.integers(1, 50), st.integers(1, 100), st.integers(0, 2_000))
def test_links_lead_from_page_to_page(page: int, size: int, total: int) -> None:
    links = linked(query("x=1"), Page(page=page, page_size=size), total)
    last = max(1, -(-total // size))
    assert links.first == f"?x=1&page=1&page_size={size}"
    assert links.last == f"?x=1&page={last}&page_size={size}"
    assert (links.next is not None) == (page < last)
    assert (links.prev is not None) == (1 < page <= last + 1)


@pytest.mark.parametrize(
    "text, days",
    [
        ("", ("2025-02-02", "2025-03-04")),
        ("date_start=2025-01-01", ("2025-01-01", "2025-01-31")),
        ("date_end=2025-01-31", ("2025-01-01", "2025-01-31")),
        ("date_start=2025-01-01&date_end=2025-01-01", ("2025-01-01", "2025-01-01")),
        ("date_end=1970-01-01", ("1970-01-01", "1970-01-01")),
        ("date_start=8999-12-31", ("8999-12-31", "8999-12-31")),
    ],
)
@pytest.mark.parametrize("now", [NOW, NOW.replace(hour=0), NOW.replace(hour=23, minute=59)])
def test_days_are_written_out_and_lead_to_themselves(text: str, days: tuple[str, str], now: datetime) -> None:
    asked = query("x=1&" + text)
    written = asked.with_days(now)
    assert (written.text("date_start"), written.text("date_end"), written.text("x")) == (*days, "1")
    assert query(written.link(2, 10)[1:]).with_days(now + timedelta(days=400)).dates() == written.dates()
    assert query(asked.link(1, 10)[1:]).text("date_start") == asked.text("date_start")  # which is as it was


@pytest.mark.parametrize(
    "text, field",
    [
        ("start=2025-03-02T00:00:00Z&end=2025-03-01T00:00:00Z", "end"),
        ("date_start=2025-03-02&date_end=2025-03-01", "date_end"),
        ("date_start=2025-03-02T12:00:00Z&date_end=2025-03-01", "date_end"),
        ("date_start=2025-03-02T00:00:00Z&date_end=2025-03-01T00:00:00Z", "date_end"),
        ("start=2025-03-02&date_end=2025-03-01", "date_end"),
        ("date_start=2025-03-02&end=2025-03-01", "end"),
        ("date_start=2025-03-01&date_end=2025-04-01", "date_end"),
        ("start=2025-03-01&end=2025-04-01T00:00:00.000001Z", "end"),
        ("start=x&date_start=2025-03-01", "start"),
        ("date_start=x", "date_start"),
        ("date_end=x", "date_end"),
    ],
)
def test_times_that_are_wrong_are_named_as_they_were_sent(text: str, field: str) -> None:
    with pytest.raises(Refusal) as caught:
        query(text).times()
    assert field_of(caught) == field


@pytest.mark.parametrize(
    "text",
    [
        "date_start=2025-03-01&date_end=2025-03-31",
        "start=2025-03-01&end=2025-04-01",
        "date_start=2025-03-01T12:00:00Z&date_end=2025-03-01",
    ],
)
def test_times_that_are_right(text: str) -> None:
    period = query(text).times()
    assert period.start is not None
    assert period.end is not None
    assert MOMENT <= period.end - period.start <= PERIOD
