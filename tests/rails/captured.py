"""What the product logs during a test, from the least level on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.testing import capture_logs


@contextmanager
def captured_events() -> Iterator[list[Any]]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(0))
    try:
        with capture_logs() as events:
            yield events
    finally:
        structlog.configure(**before)


def named(events: list[Any], name: str) -> list[Any]:
    return [event for event in events if event["event"] == name]
