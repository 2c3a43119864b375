"""Is the process alive, may it be sent requests, and what has it counted."""

import asyncio
from collections.abc import Callable
from typing import Any

from otcdesk.api.http import Answer, Request
from otcdesk.api.routing import Page
from otcdesk.desk import Desk

#: Who asks for readiness wants an answer soon.
_READY_SECONDS = 2


class Health:
    """The two health routes, outside every dialect."""

    def __init__(self, desk: Desk, process: int) -> None:
        self.desk = desk
        self.process = process

    async def live(self, request: Request) -> Answer:  # noqa: ARG002
        """Answer 200 as long as the event loop turns."""
        return Answer(200, {"status": "ok"})

    async def ready(self, request: Request) -> Answer:  # noqa: ARG002
        """Answer 200 when the database answers and this process takes commands, else 503."""
        leads, hands_over = self.desk.leadership.leads, self.desk.handover.hands_over
        checks: dict[str, Any] = {
            "process": self.process,
            "stopping": self.desk.engine.stopping,
            "waiting": self.desk.engine.waiting(),
            "leads": leads,
            "hands_over": hands_over,
            "stands_by": self.desk.settings.stand_by and not leads and not hands_over,
        }
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await self.desk.reads.value("lanes", "count_open")
            checks["database"] = "ok"
        except Exception:  # noqa: BLE001  (whatever it is, the database cannot be used)
            checks["database"] = "unreachable"
        good = checks["database"] == "ok" and not checks["stopping"] and not checks["stands_by"]
        return Answer(200 if good else 503, {"status": "ready" if good else "not ready", **checks})

    @staticmethod
    def metrics(text: Callable[[], bytes]) -> Page:
        """Return a page that answers what is counted, for Prometheus."""

        async def answer(request: Request) -> Answer:  # noqa: ARG001
            return Answer(200, text(), content_type=b"text/plain; version=0.0.4; charset=utf-8")

        return answer

    @staticmethod
    def document(body: bytes) -> Page:
        """Return a page that answers a fixed JSON document."""

        async def answer(request: Request) -> Answer:  # noqa: ARG001
            return Answer(200, body)

        return answer
