"""How a transaction is shown: its type, how far it is, and what it was about."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from otcdesk.api.deals.transactions import (
    REFUSED,
    STATUSES,
    TYPES,
    AskedJob,
    data_of,
    error_of,
    facts_of,
    percentage,
    types_of,
)
from otcdesk.api.deals.values import id_text
from otcdesk.api.http import Request
from otcdesk.domain import resales
from otcdesk.domain.jobs import (
    ASKED_FOR,
    BURN,
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    JOB,
    LIST,
    NOTHING_LEFT,
    PURCHASE,
    STARTED,
    WITHDRAW,
    Job,
    job_reference,
    over_already,
)
from otcdesk.domain.resales import OTC, PRIMARY, SECONDARY, Currency, Purchase, Resale
from otcdesk.errors import Refusal

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
TENANT, BRANCH, PARTY, TOKEN, CURRENCY, ORDER = (uuid4() for _ in range(6))


def a_job(kind: str, market: str, state: str = COMPLETED, **changes: Any) -> Job:
    job_id = uuid4()
    job = Job(
        id=job_id,
        tenant_id=TENANT,
        kind=kind,
        market=market,
        state=state,
        order_id=ORDER,
        party_id=PARTY,
        instrument_id=TOKEN,
        source_account_id=uuid4(),
        destination_account_id=uuid4(),
        asset="EXT",
        units=3,
        reference=job_reference(job_id),
        hash="0xabc",
        caller="test",
        created_at=NOW,
        updated_at=NOW,
    )
    return job.with_(**changes)


def a_currency(address: str | None = "0xc1") -> Currency:
    return Currency(
        id=CURRENCY,
        tenant_id=TENANT,
        branch_id=BRANCH,
        asset="VUSD",
        name="Dollar",
        symbol="VUSD",
        address=address,
        created_at=NOW,
        updated_at=NOW,
    )


RESALE = Resale(
    order_id=ORDER,
    tenant_id=TENANT,
    branch_id=BRANCH,
    party_id=PARTY,
    instrument_id=TOKEN,
    currency_id=CURRENCY,
    market=OTC,
    quantity=7,
    available=3,
    price_units=2_500_000,
    number=9,
)
PURCHASED = Purchase(
    order_id=ORDER,
    tenant_id=TENANT,
    branch_id=BRANCH,
    party_id=PARTY,
    instrument_id=TOKEN,
    currency_id=CURRENCY,
    market=SECONDARY,
    listing_id=uuid4(),
    quantity=7,
    price_units=1_000_000,
    fee_units=200_000,
    desk_fee_units=80_000,
)


def test_the_types_are_the_contracts_and_every_job_that_is_asked_for_has_one() -> None:
    assert [TYPES[PURCHASE, PRIMARY], TYPES[PURCHASE, SECONDARY]] == [1, 2]
    assert [TYPES[LIST, SECONDARY], TYPES[WITHDRAW, SECONDARY]] == [3, 4]
    assert [TYPES[LIST, OTC], TYPES[WITHDRAW, OTC]] == [6, 7]
    assert {TYPES[BURN, market] for market in (PRIMARY, SECONDARY, OTC)} == {8}
    nothing = {(LIST, PRIMARY), (WITHDRAW, PRIMARY)}  # of the unsold supply there is nothing to list
    assert {(kind, market) for kind in ASKED_FOR for market in (PRIMARY, SECONDARY, OTC)} - TYPES.keys() == nothing


def test_the_statuses_only_grow() -> None:
    assert STATUSES == {STARTED: 1, IN_PROGRESS: 2, COMPLETED: 3, FAILED: 4}
    assert all(STATUSES[before] < STATUSES[after] for (before, _), after in JOB.moves.items())


@pytest.mark.parametrize("state, told", [(STARTED, None), (IN_PROGRESS, None), (COMPLETED, "0xabc"), (FAILED, "0xabc")])
def test_the_hash_and_what_it_was_about_are_told_when_it_is_over(state: str, told: str | None) -> None:
    error = "the chain said no" if state == FAILED else None
    job = a_job(LIST, OTC, state, error=error)
    facts = facts_of(AskedJob(job, ("1", "1"), resale=RESALE, number=9, currency=a_currency(), scale=6))
    assert (facts["hash"], facts["error"], facts["type"]) == (told, REFUSED if error else None, 6)
    assert (facts["data"] is not None) == (state == COMPLETED)


@pytest.mark.parametrize(
    "error, said",
    [
        (NOTHING_LEFT, "Nothing of the deal is left."),
        (over_already(resales.COMPLETED), "The deal is completed already."),
        (over_already(resales.CANCELLED), "The deal is cancelled already."),
        (over_already(resales.EXPIRED), "The deal is expired already."),
        ("execution reverted: ERC20InsufficientBalance", REFUSED),
        ("", REFUSED),
        (None, None),
    ],
)
def test_why_it_failed_is_told_in_words_of_the_wire(error: str | None, said: str | None) -> None:
    assert error_of(a_job(WITHDRAW, OTC, FAILED, error=error)) == said


def test_what_an_offer_was_about() -> None:
    asked = AskedJob(
        a_job(LIST, OTC), ("1", "1"), resale=RESALE, number=9, currency=a_currency(), scale=6, seller_address="0xa1"
    )
    data = data_of(asked)
    assert (data.token_id, data.quantity, data.deal_id) == (id_text(TOKEN), 3, 9)  # of a cancel: what came back
    assert (data.price_id, bytes(data.price_amount or b"")) == (id_text(CURRENCY), b"2.5")
    assert (data.price_decimal, data.price_symbol, data.price_address) == (6, "VUSD", "0xc1")
    assert (data.seller_address, data.buyer_address, data.total_fee_amount) == ("0xa1", None, None)


def test_what_a_purchase_was_about() -> None:
    asked = AskedJob(
        a_job(PURCHASE, SECONDARY, units=6_720_000),
        ("1", "1"),
        purchase=PURCHASED,
        number=9,
        currency=a_currency(None),
        scale=6,
    )
    data = data_of(asked)
    assert (data.quantity, data.deal_id, bytes(data.price_amount or b"")) == (7, 9, b"1")
    assert (data.price_address, data.seller_address, data.buyer_address) == ("", "", "")
    assert bytes(data.total_fee_percentage or b"") == b"4"
    assert bytes(data.total_fee_amount or b"") == b"0.28"


def test_what_a_burn_was_about() -> None:
    data = data_of(AskedJob(a_job(BURN, PRIMARY), ("1", "1")))
    assert (data.token_id, data.quantity, data.price_id) == (id_text(TOKEN), 3, None)


@pytest.mark.parametrize(
    "part, whole, said",
    [(28, 700, b"4"), (0, 5, b"0"), (1, 3, b"33.333333"), (2, 3, b"66.666667"), (7, 7, b"100")],
)
def test_a_share_is_told_to_the_nearest_in_six_decimals(part: int, whole: int, said: bytes) -> None:
    assert bytes(percentage(part, whole)) == said


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


def test_types_of_a_query() -> None:
    assert types_of(asked("page=1")) is None
    assert types_of(asked("types=6&types=7&types=6")) == {6, 7}
    for wrong in ("types=", "types=x", "types=6&types=-7", "types=%D9%A1", "types=1234567890"):
        with pytest.raises(Refusal):
            types_of(asked(wrong))
