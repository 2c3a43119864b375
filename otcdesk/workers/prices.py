"""Keep prices fresh: read a source again and again, and publish what it saw as commands.

A source that fails publishes nothing. The last price then goes stale by its own limit, and the desk quotes none rather
than an old one. Failures are logged when they begin, change and end, never end the loop, and make it slower, up to a
bound.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from otcdesk.actions.publish_price import PublishPrice
from otcdesk.errors import Refusal
from otcdesk.money import parse_rate
from otcdesk.rails.protocols import Observation, PriceSource, RailUnavailable

log = structlog.get_logger()

#: More would only make numbers that the longest pause cuts anyway.
_DOUBLINGS_MAX = 16


class PriceWorker:
    """Publishes one source's rates through `publish`, until it is told to stop."""

    def __init__(
        self,
        source: PriceSource,
        publish: Callable[[PublishPrice], Awaitable[object]],
        *,
        timeout_ms: int = 10_000,
        pause_ms_max: int = 10_000,
    ) -> None:
        """Bound a reading and each publishing by `timeout_ms`, and the pause while nothing works by `pause_ms_max`.

        The pause is the source's period; from the second failure in a row on it doubles.
        """
        self._source = source
        self._publish = publish
        self._timeout_ms = timeout_ms
        self._pause_ms_max = max(pause_ms_max, source.period_ms)
        self._troubles: dict[str, str] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then at once: a reading or publishing under way is cancelled."""
        work = asyncio.create_task(self._work())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()
            stopped.cancel()
            await asyncio.gather(work, stopped, return_exceptions=True)
        if not work.cancelled():
            work.result()  # it never ends by itself, unless by a mistake that must be seen

    async def _work(self) -> None:
        failures = 0
        while True:
            failures = 0 if await self._round() else failures + 1
            await asyncio.sleep(self._pause_ms(failures) / 1000)

    def _pause_ms(self, failures: int) -> int:
        doublings = min(max(failures - 1, 0), _DOUBLINGS_MAX)
        return min(self._source.period_ms << doublings, self._pause_ms_max)

    async def _round(self) -> bool:
        """Read and publish once; returns whether anything was published."""
        observations: list[Observation] = []

        async def read() -> None:
            observations.extend(await self._source.read())

        if not await self._attempt("price_source", read):
            return False
        published = [await self._attempt(*self._publishing(seen)) for seen in observations]
        return any(published)

    def _publishing(self, seen: Observation) -> tuple[str, Callable[[], Awaitable[None]]]:
        async def publish() -> None:
            # The books keep what is published as it is, so this is the last place where nonsense can be held up.
            rate = parse_rate(format(seen.rate, "f"))
            if rate is None:
                raise RailUnavailable("the source gave something that is not a rate")
            await self._publish(
                PublishPrice(
                    source_asset=seen.source_asset,
                    destination_asset=seen.destination_asset,
                    rate=rate,
                    feed=self._source.name,
                    stale_after_ms=self._source.stale_after_ms,
                )
            )

        return f"price {seen.source_asset}/{seen.destination_asset}", publish

    async def _attempt(self, what: str, step: Callable[[], Awaitable[None]]) -> bool:
        """Take one bounded step; returns whether it succeeded, and logs when that has changed."""
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                await step()
        except RailUnavailable as error:
            self._note(what, str(error))
        except Refusal as refusal:
            self._note(what, f"refused {refusal.code.name}")
        except TimeoutError:
            self._note(what, f"no answer within {self._timeout_ms} ms")
        except Exception as error:  # noqa: BLE001  (the loop outlives whatever a source or the engine meets)
            self._note(what, f"failed: {type(error).__name__}", error=error)
        else:
            self._note(what, "")
            return True
        return False

    def _note(self, what: str, trouble: str, *, error: Exception | None = None) -> None:
        if trouble == self._troubles.get(what, ""):
            return
        self._troubles[what] = trouble
        if trouble:
            log.warning("prices_failing", what=what, source=self._source.name, reason=trouble, exc_info=error)
        else:
            log.info("prices_recovered", what=what, source=self._source.name)
