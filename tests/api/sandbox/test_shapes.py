"""What a test may ask of the simulated outside, and what becomes of it."""

from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from otcdesk.actions.steer_sandbox import SetFault
from otcdesk.api.sandbox.shapes import fault_answer
from otcdesk.api.steering import FaultRequest, fault_command, price_is_up
from otcdesk.domain.brokerage import FAILURES
from otcdesk.domain.payouts import PAYOUT_RAIL
from otcdesk.errors import Code, Refusal
from otcdesk.rails.simulated.custody import RAILS
from otcdesk.rails.simulated.tax import TAX
from otcdesk.rails.simulated.venue import VENUE


def asked(**body: Any) -> FaultRequest:
    return msgspec.convert(body, FaultRequest)


def test_every_simulated_rail_and_every_reason_can_be_asked_for() -> None:
    hints = get_type_hints(FaultRequest)
    assert set(get_args(hints["rail"])) == {*RAILS, VENUE, TAX, PAYOUT_RAIL, "price"}
    for reason in FAILURES:
        assert fault_command(asked(rail=VENUE, mode="refuse", reason=reason)).reason == reason
    assert fault_command(asked(rail=PAYOUT_RAIL, mode="refuse", reason="account closed")).reason == "account closed"


def test_a_fault_of_the_venue_says_everything() -> None:
    body = asked(rail="venue", mode="refuse", delayMs=5, percent=30, reason="trading_disabled", priceBps=-12)
    assert fault_command(body) == SetFault(
        rail="venue", mode="refuse", delay_ms=5, reason="trading_disabled", percent=30, price_bps=-12
    )
    assert fault_answer(body) == {
        "rail": "venue",
        "mode": "refuse",
        "delayMs": 5,
        "percent": 30,
        "reason": "trading_disabled",
        "priceBps": -12,
    }


def test_what_is_not_asked_for_has_a_value_all_the_same() -> None:
    assert fault_command(asked(rail="chain")) == SetFault(
        rail="chain", mode="up", delay_ms=0, reason="", percent=100, price_bps=0
    )


@pytest.mark.parametrize(
    "body",
    [
        {"rail": "tax", "mode": "refuse"},
        {"rail": "balance", "mode": "refuse"},
        {"rail": "chain", "mode": "refuse", "reason": "not_covered"},
        {"rail": "tax", "priceBps": 1},
        {"rail": "payout", "priceBps": 1},
        {"rail": "venue", "mode": "refuse", "reason": "because"},
        {"rail": "chain", "mode": "pending"},
        {"rail": "venue", "mode": "pending"},
    ],
)
def test_what_a_rail_cannot_do_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        fault_command(asked(**body))
    assert refused.value.code is Code.REQUEST_INVALID


@pytest.mark.parametrize("more", [{"percent": 50}, {"reason": "not_covered"}, {"priceBps": 1}, {"mode": "unknown"}])
def test_prices_are_up_or_not(more: dict[str, Any]) -> None:
    assert price_is_up(asked(rail="price"))
    assert not price_is_up(asked(rail="price", mode="unavailable", delayMs=5))
    with pytest.raises(Refusal):
        price_is_up(asked(rail="price", **more))


@pytest.mark.parametrize(
    "body",
    [
        {"rail": "venue", "percent": 101},
        {"rail": "venue", "percent": -1},
        {"rail": "venue", "priceBps": -10_000},
        {"rail": "weather"},
    ],
)
def test_nonsense_is_not_understood(body: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        asked(**body)
