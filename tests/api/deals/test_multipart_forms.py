"""Forms are read within bounds: their texts, and of their files the names and sizes."""

from types import SimpleNamespace
from typing import Any

import pytest

from otcdesk.api.deals.multipart_forms import Form, Upload, form_of
from otcdesk.errors import Code, Refusal


def part(name: str, content: bytes, filename: str | None = None, *more: str) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    lines = [disposition, *more]
    return b"--b\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"


def read(*parts: bytes, end: bytes = b"--b--\r\n", media: str = "multipart/form-data; boundary=b") -> Form:
    request = SimpleNamespace(header=lambda name: media if name == "content-type" else None)
    call: Any = SimpleNamespace(request=request, body=b"".join(parts) + end)
    return form_of(call)


def code_of(*parts: bytes, **how: Any) -> Code:
    with pytest.raises(Refusal) as caught:
        read(*parts, **how)
    return caught.value.code


def test_texts_and_files_are_told_apart() -> None:
    form = read(
        part("name", "T\N{LATIN SMALL LETTER U WITH DIAERESIS}rk".encode()),
        part("images", b"\x89PNG\r\n--", "a.png", "Content-Type: image/png"),
        part("images", b"", "b.png"),
        part("images", b"", ""),
        part("other", b""),
    )
    assert form.texts == {"name": "T\N{LATIN SMALL LETTER U WITH DIAERESIS}rk", "other": ""}
    assert form.files == {"images": [Upload(name="a.png", size=8), Upload(name="b.png", size=0)]}
    assert (form.uploads("images")[0].name, form.uploads("documents")) == ("a.png", [])


def test_the_boundary_may_be_quoted_and_the_media_type_in_any_case() -> None:
    assert read(part("name", b"x"), media='Multipart/Form-Data; charset=utf-8; boundary="b"').texts == {"name": "x"}


def test_a_text_that_must_be_there() -> None:
    form = read(part("name", b"abc"), part("empty", b""), part("blank", b" \t"))
    assert form.text("name", length_max=3) == "abc"
    for name in ("empty", "blank", "missing"):
        with pytest.raises(Refusal, match="REQUEST_INVALID") as caught:
            form.text(name, length_max=3)
        assert caught.value.detail == f"{name} is required"
    with pytest.raises(Refusal) as caught:
        form.text_or_none("name", length_max=2)
    assert caught.value.detail == "name has more than 2 characters"
    assert form.text_or_none("missing", length_max=2) is None


@pytest.mark.parametrize(
    "media", ["application/json", "multipart/mixed; boundary=b", "text/plain", "application/x-www-form-urlencoded", ""]
)
def test_another_kind_of_body_is_not_supported(media: str) -> None:
    assert code_of(part("name", b"x"), media=media) is Code.CONTENT_TYPE_UNSUPPORTED


@pytest.mark.parametrize(
    "body",
    [
        [part("name", b"x"), part("name", b"y")],
        [part("name", b"\xff\xfe")],
        [part("name", b"a\0b")],
        [b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"],
        [b"--b\r\nno header\r\n\r\nx\r\n"],
    ],
)
def test_what_is_no_good_form(body: list[bytes]) -> None:
    assert code_of(*body) is Code.REQUEST_INVALID


def test_a_form_that_breaks_off() -> None:
    assert code_of(part("name", b"x"), end=b"") is Code.REQUEST_INVALID
    assert code_of(part("name", b"x"), media="multipart/form-data") is Code.REQUEST_INVALID


def test_bounds_of_parts_headers_and_texts() -> None:
    most = [part(f"name{number}", b"") for number in range(64)]
    assert len(read(*most).texts) == 64
    assert code_of(*most, part("more", b"")) is Code.BODY_TOO_LARGE
    assert code_of(part("name", b"", None, *["X: y"] * 9)) is Code.BODY_TOO_LARGE
    assert code_of(part("n" * 5_000, b"")) is Code.BODY_TOO_LARGE
    assert len(read(part("name", b"x" * 20_000)).texts["name"]) == 20_000
    assert code_of(part("name", b"x" * 20_001)) is Code.BODY_TOO_LARGE
    assert read(part("images", b"x" * 30_000, "a.png")).uploads("images")[0].size == 30_000


def test_names_of_files_are_cut_and_nothing_but_names() -> None:
    form = read(part("images", b"x", "../" * 100 + "a.png"))
    assert form.uploads("images") == [Upload(name=("../" * 100)[:200], size=1)]
