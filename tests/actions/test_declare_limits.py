"""Limits in a world file: the beginning, from which operators go on."""

import pytest

from otcdesk.actions.declare_world import Declared, DeclareWorld
from otcdesk.domain.limits import Limit
from otcdesk.domain.parties import Party, Tenant
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.errors import Refusal
from tests.support.brokerage import OFFERS_WORLD, P, Q, U, brokerage_desk
from tests.support.limits import limited

#: What comes after everything of U in the world.
_NEXT = "[[tenants.parties]] # the same partner's"
_LIMITS = """
[[{of}.limits]]
asset = "EUR"
per_order = "100.00"
per_day = "250.5"

[[{of}.limits]]
asset = "BTC"
per_month = "2"
"""


def declare(text: str) -> DeclareWorld:
    return DeclareWorld(declaration=declaration_of(parse_world(text)))


def limited_world(limits: str = _LIMITS) -> str:
    """Return the world with limits of U and of P."""
    assert _NEXT in OFFERS_WORLD
    declared = limits.format(of="tenants.parties") + limits.format(of="tenants")
    return OFFERS_WORLD.replace(_NEXT, f"{declared}\n{_NEXT}", 1)


def test_limits_are_declared_for_a_tenant_and_for_a_party() -> None:
    desk = brokerage_desk(limited_world())
    for subject in (P, U):
        assert desk.get(Limit, (subject, "EUR")).bounds == (10_000, 25_050, None)
        assert desk.get(Limit, (subject, "BTC")).bounds == (None, None, 2 * 10**8)
    assert (desk.get(Tenant, P).limited, desk.get(Party, U).limited) == (True, True)
    assert desk.get(Tenant, Q).limited is not True


def test_the_same_file_again_changes_nothing_and_another_leaves_what_was_set() -> None:
    desk = brokerage_desk(limited_world())
    reply: Declared = desk.act(declare(limited_world()))
    assert (reply.added, reply.changed) == (0, 0)
    limited(desk, P, "EUR", order=5)
    before = dict(desk.rows)
    desk.act(declare(limited_world(_LIMITS.replace("100.00", "7"))))
    assert desk.rows == before


@pytest.mark.parametrize(
    "old, new",
    [
        ('asset = "EUR"', 'asset = "XXX"'),
        ('"250.5"', '"1.005"'),
        ('"250.5"', '"-1"'),
        ('asset = "BTC"', 'asset = "EUR"'),
    ],
    ids=["asset", "too fine", "negative", "twice"],
)
def test_what_is_no_limit_is_refused(old: str, new: str) -> None:
    with pytest.raises(Refusal, match="DECLARATION_INVALID"):
        declare(limited_world(_LIMITS.replace(old, new)))
