"""What is counted is what happened, and comes out as Prometheus reads it."""

from pathlib import Path
from uuid import uuid4

import pytest

from otcdesk.actions.quote_conversion import QuoteBuy
from otcdesk.errors import Refusal
from otcdesk.metrics import Metrics
from tests.support.desk import FA1, FA2, WA1, A, Lane, submit
from tests.support.program import opened


def value(text: bytes, series: str) -> str | None:
    found = [line for line in text.decode().splitlines() if line.startswith(series + " ")]
    return found[0].rpartition(" ")[2] if found else None


def test_batches_and_requests_are_counted() -> None:
    metrics = Metrics()
    metrics.batch({("quote_buy", "done"): 3, ("quote_buy", "PRICE_UNAVAILABLE"): 1}, 2_000_000)
    metrics.request("exchanges", "GET /otc-exchanges/{id}", 404, 1_000_000)
    text = metrics.text()
    assert value(text, 'otcdesk_commands_total{command="quote_buy",outcome="done"}') == "3.0"
    assert value(text, 'otcdesk_commands_total{command="quote_buy",outcome="PRICE_UNAVAILABLE"}') == "1.0"
    assert value(text, 'otcdesk_batch_commands_bucket{le="4.0"}') == "1.0"
    assert value(text, 'otcdesk_batch_commands_bucket{le="2.0"}') == "0.0"
    route = 'dialect="exchanges",route="GET /otc-exchanges/{id}"'
    assert value(text, f'otcdesk_http_requests_total{{{route},status="404"}}') == "1.0"


async def test_the_engine_tells_every_outcome(lane: Lane, tmp_path: Path) -> None:
    async with opened(lane, tmp_path) as program:
        ask = QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=100)
        await submit(program.desk.engine, lane.number, ask, owner_id=A)
        refused = QuoteBuy(source_account_id=FA2, destination_account_id=WA1, source_units=100)
        with pytest.raises(Refusal):
            await submit(program.desk.engine, lane.number, refused, owner_id=A)
        text = program.metrics.text()
    assert value(text, 'otcdesk_commands_total{command="quote_buy",outcome="done"}') == "1.0"
    assert value(text, 'otcdesk_commands_total{command="quote_buy",outcome="SOURCE_CASH_INACTIVE"}') == "1.0"
    assert value(text, "otcdesk_commands_waiting") == "0.0"


def test_webhooks_leave_room_for_the_desks_own_figures() -> None:
    metrics = Metrics()
    ids = [uuid4() for _ in range(3_000)]
    for subscription_id in ids:
        metrics.webhook(subscription_id, received=True)
    metrics.webhook(ids[-1], received=False)
    metrics.webhook(ids[0], received=True)
    metrics.batch({("new_command", "done"): 1}, 1_000)
    text = metrics.text()
    name = "otcdesk_webhook_attempts_total"
    assert value(text, f'{name}{{outcome="received",webhook="{ids[0]}"}}') == "2.0"
    assert value(text, f'{name}{{outcome="received",webhook="others"}}') == "1000.0"
    assert value(text, f'{name}{{outcome="failed",webhook="others"}}') == "1.0"
    assert value(text, 'otcdesk_commands_total{command="new_command",outcome="done"}') == "1.0"


def test_workers_are_counted_by_how_their_steps_end(tmp_path: Path) -> None:
    one, other = Metrics(1, tmp_path), Metrics(2, tmp_path)
    for metrics, outcome in ((one, "done"), (one, "failed"), (other, "done")):
        metrics.worker_step("settlement", outcome)
    text = one.text()
    assert value(text, 'otcdesk_worker_steps_total{outcome="done",worker="settlement"}') == "2.0"
    assert value(text, 'otcdesk_worker_steps_total{outcome="failed",worker="settlement"}') == "1.0"
    for process in "12":
        assert value(text, f'otcdesk_worker_last_step_seconds{{process="{process}",worker="settlement"}}') is not None
