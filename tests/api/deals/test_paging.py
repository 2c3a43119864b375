"""Pages of this dialect: which one is asked for, what is none, and how one is told."""

import msgspec
import pytest

from otcdesk.api.deals.paging import (
    NUMBER_MAX,
    SIZE_MAX,
    OptionalPageRequest,
    Page,
    PageRequest,
    listed,
    page_of_body,
    page_of_query,
)
from otcdesk.api.http import Request
from otcdesk.errors import Code, Refusal


def asked(query: str) -> Request:
    return Request(
        method="GET",
        path="/",
        query_string=query.encode(),
        headers={},
        client_address="",
        keep_alive=True,
        body_bytes_max=0,
    )


def body(text: str) -> PageRequest:
    return msgspec.json.decode(text, type=PageRequest)


def test_a_page_of_a_body() -> None:
    assert page_of_body(body('{"page": 3, "per_page": 20}')) == Page(3, 20)
    assert page_of_body(body(f'{{"page": {NUMBER_MAX}, "per_page": {SIZE_MAX}.0}}')).size == SIZE_MAX
    assert page_of_body(OptionalPageRequest()) == Page(1, 20)
    assert page_of_body(OptionalPageRequest(per_page=msgspec.Raw(b"5"))) == Page(1, 5)


def test_a_page_of_a_query() -> None:
    assert page_of_query(asked("")) == Page(1, 20)
    assert page_of_query(asked("page=2&per_page=100&more=x")) == Page(2, 100)
    assert page_of_query(asked("page=2&per_page=3"), required=True) == Page(2, 3)


@pytest.mark.parametrize("query", ["", "page=1", "per_page=1", "page=&per_page=1"])
def test_a_query_that_must_say_its_page(query: str) -> None:
    with pytest.raises(Refusal):
        page_of_query(asked(query), required=True)


@pytest.mark.parametrize(
    "number, size",
    [("0", "1"), ("-1", "1"), (f"{NUMBER_MAX + 1}", "1"), ("1", "0"), ("1", "101"), ("1.5", "1"), ("x", "1")],
)
def test_what_is_no_page(number: str, size: str) -> None:
    with pytest.raises(Refusal) as of_query:
        page_of_query(asked(f"page={number}&per_page={size}"))
    with pytest.raises(Refusal) as of_body:
        page_of_body(PageRequest(page=msgspec.Raw(number.encode()), per_page=msgspec.Raw(size.encode())))
    assert of_query.value.code is of_body.value.code is Code.REQUEST_INVALID


@pytest.mark.parametrize("total, pages", [(0, 0), (1, 1), (10, 1), (11, 2), (20, 2)])
def test_how_many_pages_there_are(total: int, pages: int) -> None:
    said = Page(1, 10).pagination(total)
    assert (said.current_page, said.per_page, said.total, said.total_pages) == (1, 10, total, pages)


def test_the_place_and_the_admins_shape_of_a_page() -> None:
    assert Page(3, 20).offset == 40
    assert listed(["a"], Page(2, 1), 5) == {"data": ["a"], "total": 5, "page": 2, "per_page": 1}
