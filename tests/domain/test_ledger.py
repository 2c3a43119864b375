"""What an account covers, and the names of the desk's own accounts."""

from uuid import UUID

import pytest

from otcdesk.domain.ledger import Account, Entry, Posting, desk_account_id
from otcdesk.domain.parties import declared_id


def account(balance: int, held: int, floor: int | None) -> Account:
    return Account(
        id=UUID(int=1), owner_id=UUID(int=2), purpose="cash", asset="EUR", balance=balance, held=held, floor=floor
    )


@pytest.mark.parametrize(
    "balance, held, floor, units, covered",
    [
        (100, 0, 0, 100, True),
        (100, 0, 0, 101, False),
        (100, 30, 0, 70, True),
        (100, 30, 0, 71, False),
        (0, 0, -50, 50, True),
        (0, 0, -50, 51, False),
        (100, 0, 20, 81, False),
        (0, 0, None, 10**40, True),
    ],
)
def test_an_account_covers_down_to_its_floor(
    balance: int, held: int, floor: int | None, units: int, covered: bool
) -> None:
    assert account(balance, held, floor).covers(units) is covered


def test_held_units_are_not_available() -> None:
    assert account(100, 30, 0).available == 70


def test_keys_tell_rows_apart() -> None:
    entry = Entry(
        account_id=UUID(int=1),
        account_version=3,
        transaction_id=UUID(int=4),
        posting_number=1,
        units=1,
        balance_after=1,
    )
    assert entry.key == (UUID(int=1), 3)
    posting = Posting(
        transaction_id=UUID(int=4),
        number=2,
        source_account_id=UUID(int=1),
        destination_account_id=UUID(int=2),
        asset="EUR",
        units=1,
    )
    assert posting.key == (UUID(int=4), 2)


def test_the_desk_has_one_account_for_each_purpose_asset_and_network() -> None:
    names = [
        desk_account_id("treasury", "USDC", "ethereum"),
        desk_account_id("treasury", "USDC", "base"),
        desk_account_id("treasury", "USDC"),
        desk_account_id("equity", "USDC"),
        desk_account_id("treasury", "EUR"),
    ]
    assert len(set(names)) == len(names)
    assert desk_account_id("treasury", "EUR") == declared_id("desk", "treasury", "EUR", "")
