"""Pages: sizes, directions, and tokens that are good for one list only."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.api.http import Request
from otcdesk.api.ramp.paging import Page, SortedQuery
from otcdesk.errors import Code, Refusal

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)


def asked(query: str = "", path: str = "/v1/transactions") -> Request:
    return Request(
        method="GET",
        path=path,
        query_string=query.encode(),
        headers={},
        client_address="",
        keep_alive=True,
        body_bytes_max=0,
    )


class Filtered(SortedQuery, kw_only=True):
    """The query of a list with a filter."""

    CustomerID: str | None = None


Row = tuple[datetime, UUID]
ROWS: list[Row] = [(NOW + timedelta(microseconds=number), uuid4()) for number in range(3)]


def next_token(query: str = "PageSize=2", **how: Any) -> str:
    token = Page(asked(query, **how), Filtered).token_by_time(ROWS, lambda row: row)
    assert isinstance(token, str)
    return token


def test_the_last_page_has_no_token() -> None:
    page = Page(asked("PageSize=3"))
    assert page.fetched == 4
    assert page.token_by_time(ROWS, lambda row: row) is msgspec.UNSET
    assert page.token_by_key([], str) is msgspec.UNSET
    assert Page(asked()).size == 20


def test_a_token_says_after_which_row() -> None:
    page = Page(asked(f"PageSize=2&PageToken={next_token()}"), Filtered)
    assert page.after == ROWS[1]


def test_the_size_may_change_on_the_way() -> None:
    assert Page(asked(f"PageSize=50&PageToken={next_token()}"), Filtered).after == ROWS[1]


def test_a_list_by_key() -> None:
    token = Page(asked("PageSize=1")).token_by_key(["BTC", "ETH"], str)
    assert Page(asked(f"PageToken={token}")).after_key == "BTC"
    assert Page(asked()).after_key == ""


@pytest.mark.parametrize(
    "query, path",
    [
        ("SortDirection=ASC", "/v1/transactions"),
        ("CustomerID=1", "/v1/transactions"),
        ("", "/v1/customers"),
    ],
)
def test_a_token_of_another_list(query: str, path: str) -> None:
    with pytest.raises(Refusal) as caught:
        Page(asked(f"{query}&PageToken={next_token()}", path), Filtered)
    assert caught.value.code is Code.REQUEST_INVALID


@pytest.mark.parametrize("query", ["SortDirection=DESC", "Other=1", "PageSize=7"])
def test_what_makes_no_other_list(query: str) -> None:
    assert Page(asked(f"{query}&PageToken={next_token()}"), Filtered).after == ROWS[1]


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.hex()))
def test_any_text_is_refused_as_a_token(text: str) -> None:
    request = asked()
    with pytest.raises(Refusal):
        Page(_with_token(request, text))


def _with_token(request: Request, token: str) -> Request:
    request.query_string = urlencode({"PageToken": token}).encode()
    return request


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00"])
def test_times_that_no_row_has(at: str) -> None:
    token = next_token()
    place = msgspec.json.decode(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    forged = urlsafe_b64encode(msgspec.json.encode([place[0], at, place[2], None])).decode()
    with pytest.raises(Refusal):
        Page(asked(f"PageSize=2&PageToken={forged}"))


@pytest.mark.parametrize("size", ["0", "101", "-1", "+5", "1e1", " 5", "5 ", "", "9" * 20, "\u0665"])
def test_sizes_that_are_refused(size: str) -> None:
    with pytest.raises(Refusal):
        Page(_with_size(size))


def _with_size(size: str) -> Request:
    return asked(urlencode({"PageSize": size}))
