"""Files that people take along: their names are safe, and only so many are made at once."""

from collections.abc import AsyncGenerator

import pytest

from otcdesk.console.books.files import AT_ONCE_MAX, csv_file, file_name
from otcdesk.errors import Code, Refusal


@pytest.mark.parametrize(
    "parts, name",
    [
        (("Acme · main (EUR)", "2026-01-01"), "acme-main-eur-2026-01-01.csv"),
        (('x"; filename="../../etc/passwd', ""), "x-filename-etc-passwd.csv"),
        (("a\r\nset-cookie: b",), "a-set-cookie-b.csv"),
        (("東京", "x" * 200), f"{'x' * 80}.csv"),
    ],
)
def test_a_name_is_made_of_safe_letters(parts: tuple[str, ...], name: str) -> None:
    assert file_name(*parts, kind="csv") == name


async def pieces() -> AsyncGenerator[bytes, None]:
    yield b"a"
    yield b"b"


async def test_only_so_many_are_made_at_once() -> None:
    made = [csv_file("x.csv", pieces()).pieces for _ in range(AT_ONCE_MAX)]
    assert [await anext(one) for one in made] == [b"a"] * AT_ONCE_MAX
    with pytest.raises(Refusal) as refused:
        csv_file("x.csv", pieces())
    assert refused.value.code is Code.RATE_LIMITED
    await made.pop().aclose()
    assert [piece async for piece in csv_file("x.csv", pieces()).pieces] == [b"a", b"b"]
    for one in made:
        await one.aclose()
