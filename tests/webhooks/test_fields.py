"""What is said of the fields of a message: where they are, what they look like, and whether they are always there."""

from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from otcdesk.webhooks.fields import Field, fields_of


class _Item(msgspec.Struct):
    text: Annotated[str, Meta(description="One.")]


class _Inner(msgspec.Struct):
    items: Annotated[list[_Item], Meta(description="Several.")]
    word: Annotated[Literal["a", "b"], Meta(description="Either.")]
    words: Annotated[Literal["c", "d"] | None, Meta(description="Or none.")]


class _Body(msgspec.Struct, kw_only=True):
    id: Annotated[str | None, Meta(description="Whose.", extra_json_schema={"format": "uuid"})]
    number: Annotated[int, Meta(description="How many.")] = msgspec.field(name="numberOf")
    inner: Annotated[_Inner | None, Meta(description="What.")]
    more: Annotated[str | msgspec.UnsetType, Meta(description="If.", extra_json_schema={"format": "uri"})] = (
        msgspec.UNSET
    )


class _Undescribed(msgspec.Struct):
    id: str


def field(name: str, kind: str, meaning: str, *, form: str | None = None, always: bool = True) -> Field:
    return Field(name=name, type=kind, form=form, always=always, meaning=meaning)


def test_fields_are_listed_in_their_order_with_those_inside() -> None:
    assert fields_of(_Body) == (
        field("id", "string or null", "Whose.", form="uuid"),
        field("numberOf", "integer", "How many."),
        field("inner", "object or null", "What."),
        field("inner.items", "array", "Several."),
        field("inner.items[].text", "string", "One."),
        field("inner.word", "string", "Either.", form="one of a, b"),
        field("inner.words", "string or null", "Or none.", form="one of c, d"),
        field("more", "string", "If.", form="uri", always=False),
    )


def test_a_field_of_which_nothing_is_said_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="description"):
        fields_of(_Undescribed)
