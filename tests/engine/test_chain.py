"""The audit chain's links."""

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.domain.lanes import Fault
from otcdesk.domain.noun import Noun
from otcdesk.domain.parties import Tenant
from otcdesk.domain.registry import KIND_OF, pack_key
from otcdesk.engine import chain
from otcdesk.engine.store import Batch, Encoded
from tests.support.clocks import START

KEY = b"k" * 32


def encoded(row: Noun) -> Encoded:
    return Encoded(row, chain.encode_row(row), None)


def made(**changes: object) -> Batch:
    given_: dict[str, object] = {
        "lane": 1,
        "seq": 2,
        "previous_hash": chain.GENESIS,
        "at": START,
        "writer": "w",
        "rows": [encoded(Fault(rail="one"))],
    }
    return chain.link(KEY, **(given_ | changes))  # type: ignore[arg-type]


def test_a_link_is_the_same_for_the_same_batch() -> None:
    assert made().hash == made().hash
    assert len(made().hash) == 64


@pytest.mark.parametrize(
    "changes",
    [
        {"lane": 2},
        {"seq": 3},
        {"previous_hash": "f" * 64},
        {"at": START.replace(microsecond=1)},
        {"writer": "v"},
        {"kind": chain.VOID},
        {"notes": "[1]"},
        {"rows": []},
        {"rows": [encoded(Fault(rail="one", delay_ms=1))]},
        {"rows": [encoded(Fault(rail="two"))]},
    ],
)
def test_everything_in_a_batch_is_under_its_hash(changes: dict[str, object]) -> None:
    assert made(**changes).hash != made().hash


def test_without_the_key_nobody_makes_the_hash() -> None:
    assert chain.link_hash(b"x" * 32, made()) != made().hash
    assert chain.link_hash(KEY, msgspec.structs.replace(made(), hash="anything")) == made().hash


@given(st.lists(st.text(max_size=30).filter(lambda text: text.isprintable()), max_size=20))
def test_writes_read_back(names: list[str]) -> None:
    rows = [encoded(Fault(rail=name)) for name in names] + [encoded(Tenant(id=UUID(int=5), name="n"))]
    writes = list(chain.unpack_writes(chain.pack_writes(rows)))
    assert [(write.kind, write.key, write.digest) for write in writes] == [
        (KIND_OF[type(row.row)].number, pack_key(row.row.key), chain.digest(row.json)) for row in rows
    ]


def test_writes_that_were_cut_are_seen() -> None:
    packed = chain.pack_writes([encoded(Fault(rail="one")), encoded(Fault(rail="two"))])
    for length in range(1, len(packed)):
        if length == len(packed) // 2:
            continue  # exactly the first row
        with pytest.raises((ValueError, IndexError)):
            list(chain.unpack_writes(packed[:length]))
