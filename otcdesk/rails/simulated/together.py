"""What is asked of a simulated provider in one turn of the loop is answered together, in one statement.

A provider that were slower than the desk would be measured in its place.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from otcdesk.rails.protocols import RailUnknown

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Together(Generic[Question, Answer]):
    """Gathers questions; `name` is the provider's, `answer` answers many, each with its answer or its error."""

    def __init__(
        self, name: str, answer: Callable[[list[Question]], Awaitable[Sequence[Answer | RailUnknown]]]
    ) -> None:
        self._name = name
        self._answer = answer
        self._asked: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._answering: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        """Return the answer; raises RailUnknown when the provider's memory is out of reach: it may be written."""
        heard: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked.append((question, heard))
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer_all(), name=self._name)
        return await heard

    async def _answer_all(self) -> None:
        """Answer everything that was asked in this turn of the loop, and what comes while it is answered."""
        while self._asked:
            asked, self._asked = self._asked, []
            answers: Sequence[Answer | RailUnknown]
            try:
                answers = await self._answer([question for question, _ in asked])
            except Exception as error:  # noqa: BLE001  (its memory is out of reach)
                answers = [RailUnknown(f"the {self._name} lost its memory: {type(error).__name__}")] * len(asked)
            for (_, future), answer in zip(asked, answers, strict=True):
                if future.done():
                    continue  # whoever asked has not waited for it
                if isinstance(answer, RailUnknown):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        self._answering = None
