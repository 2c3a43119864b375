"""Addresses are shown without their passwords, and nothing else of them changes."""

import pytest

from otcdesk.storage.database import without_password


@pytest.mark.parametrize(
    "dsn, address, password",
    [
        ("postgresql://u:s%40cret@h:5/d?host=/x", "postgresql://u@h:5/d?host=/x", "s@cret"),
        ("postgresql://u:p@/d?host=/tmp/s", "postgresql://u@/d?host=/tmp/s", "p"),
        ("postgresql://u@h/d", "postgresql://u@h/d", ""),
        ("postgresql://u@/d?host=/x&password=s%40cret", "postgresql://u@/d?host=/x", "s@cret"),
        ("postgresql:///d", "postgresql:///d", ""),
    ],
)
def test_a_password_is_taken_out_of_an_address(dsn: str, address: str, password: str) -> None:
    assert without_password(dsn) == (address, password)
