"""A real HTTP proxy between a rail and its node, which stops, spoils or answers questions as a test says."""

import asyncio
import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web

Answer = Callable[[Any], bytes | None]


class Stopped:
    """A question that is held: `came` is set when it does, and it is forwarded when it is told to go."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.go = asyncio.Event()


class Relay:
    """Forwards JSON-RPC to a node. What a test says of a method holds until it says otherwise.

    `answering` makes the bytes of an answer of the node's, None to close the connection without one. `stopped` holds
    questions before they are forwarded, `stopped_after` before they are answered.
    """

    def __init__(self, url: str) -> None:
        self.node = url
        self.url = ""
        self.forwarded: list[str] = []
        self.answering: dict[str, Answer] = {}
        self.stopped: dict[str, Stopped] = {}
        self.stopped_after: dict[str, Stopped] = {}
        self.forgetful: dict[str, str] = {}
        self.away = False

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=1 << 24)
        application.router.add_post("/", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._session = aiohttp.ClientSession()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        await self._runner.cleanup()

    def answer(self, method: str, change: Answer) -> None:
        """Let the answers to a method be other ones."""
        self.answering[method] = change

    def results_in(self, method: str, result: Any) -> None:
        """Let a method result in this."""
        self.answer(method, lambda answer: json.dumps({**_without(answer), "result": result}).encode())

    def fails_with(self, method: str, message: str) -> None:
        """Let a method be refused, without the node having heard of it."""
        self.answering[method] = _Unheard(message)

    def refuse_past(self, method: str, message: str) -> None:
        """Let a method be refused for all blocks but the newest, as a node without an archive does for old ones."""
        self.forgetful[method] = message

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        method = asked["method"]
        change = self.answering.get(method)
        if self.away:
            return await _close(request)
        unheard = change.message if isinstance(change, _Unheard) else None
        if method in self.forgetful and asked["params"][-1] != "latest":
            unheard = self.forgetful[method]
        if unheard is not None:
            error = {"code": -32000, "message": unheard}
            return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "error": error})
        if held := self.stopped.get(method):
            held.came.set()
            await held.go.wait()
        async with self._session.post(self.node, json=asked) as response:
            answer = await response.json()
        self.forwarded.append(method)
        if held := self.stopped_after.get(method):
            held.came.set()
            await held.go.wait()
        body = json.dumps(answer).encode() if change is None else change(answer)
        if body is None:
            return await _close(request)
        return web.Response(body=body, content_type="application/json")


class _Unheard:
    def __init__(self, message: str) -> None:
        self.message = message

    def __call__(self, answer: Any) -> bytes | None:
        raise AssertionError(answer)


def _without(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in {"result", "error"}}


async def _close(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response(status=500)
