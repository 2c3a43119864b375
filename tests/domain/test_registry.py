"""Every kind of row: its place in the list is for ever, its packed keys never collide."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from otcdesk.domain.noun import Noun
from otcdesk.domain.registry import KIND_NAMED, KIND_OF, KINDS, pack_key

# The audit chain names kinds by number: a line of this list may be added at its end and never changed.
NUMBERS = [
    "assets",
    "tenants",
    "accounts",
    "ledger_transactions",
    "postings",
    "entries",
    "holds",
    "orders",
    "trades",
    "events",
    "idempotency_keys",
    "prices",
    "spreads",
    "conversion_terms",
    "lane_clocks",
    "faults",
    "parties",
    "party_names",
    "brokerage_terms",
    "listings",
    "markets",
    "account_levels",
    "agreements",
    "revenue_shares",
    "firm_quotes",
    "newest_quotes",
    "acceptances",
    "positions",
    "notices",
    "payout_terms",
    "channels",
    "surcharges",
    "party_profiles",
    "payment_methods",
    "prepared_payouts",
    "payments",
]

parts = st.integers(-(2**63), 2**63 - 1) | st.uuids() | st.text(max_size=20)


def test_numbers_never_change() -> None:
    assert [kind.name for kind in KINDS][: len(NUMBERS)] == NUMBERS
    assert [kind.number for kind in KINDS] == list(range(len(KINDS)))


def test_every_kind_is_found_by_noun_and_by_name() -> None:
    for kind in KINDS:
        assert KIND_OF[kind.noun] is KIND_NAMED[kind.name] is kind
        assert set(kind.key_fields) <= set(kind.fields)


def test_the_key_of_a_row_is_made_of_its_key_fields() -> None:
    for kind in KINDS:
        row = _filled(kind.noun)
        values = tuple(getattr(row, field) for field in kind.key_fields)
        assert row.key == (values[0] if len(values) == 1 else values)


def _filled(noun: type[Noun]) -> Noun:
    return noun(**{name: f"the {name}" for name in noun.__struct_fields__})


@given(st.lists(st.tuples(st.uuids(), st.integers(0, 2**31), st.text(max_size=9), st.text(max_size=9)), max_size=9))
def test_keys_of_one_shape_pack_apart(keys: list[tuple[UUID, int, str, str]]) -> None:
    assert len({pack_key(key) for key in keys}) == len(set(keys))


@given(parts)
def test_a_key_packs_the_same_alone_and_in_a_tuple(part: UUID | int | str) -> None:
    assert pack_key(part) == pack_key((part,))
