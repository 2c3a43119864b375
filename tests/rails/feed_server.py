"""A web server that answers each path as a test wants it, as rudely as the test wants it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class FeedServer:
    """Speaks just enough HTTP/1.1, on the loopback interface."""

    def __init__(self) -> None:
        self.port = 0
        self.answers: dict[str, Answer] = {}
        self.heads: list[str] = []
        self.connections = 0
        self.closed_by_peer = 0
        self.bytes_sent = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                await self.answers[head.split()[1].partition("?")[0]](writer)
        except (OSError, asyncio.IncompleteReadError):
            self.closed_by_peer += 1
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks)

    def forever(self, head: bytes, part: bytes) -> Answer:
        """Send `part` again and again until the other side hangs up."""

        async def answer(writer: asyncio.StreamWriter) -> None:
            writer.write(head)
            while True:
                writer.write(part)
                await writer.drain()
                self.bytes_sent += len(part)
                await asyncio.sleep(0.001)

        return answer


async def never(_writer: asyncio.StreamWriter) -> None:
    """Take the request and say nothing."""
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def feed_server() -> AsyncIterator[FeedServer]:
    feeds = FeedServer()
    server = await asyncio.start_server(feeds.serve, "127.0.0.1", 0)
    feeds.port = server.sockets[0].getsockname()[1]
    try:
        yield feeds
    finally:
        server.close()
        await feeds.stop()
        await server.wait_closed()


def raw(sent: bytes, *, then_close: bool = False) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        if then_close:
            writer.close()

    return answer


def body(content: str | bytes, *, status: str = "200 OK", headers: str = "") -> Answer:
    content = content.encode() if isinstance(content, str) else content
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
    return raw(head.encode() + content)


def price(value: str) -> Answer:
    """Answer a number, written as it is given."""
    return body(f'{{"result": [{{"pair": "EURUSDC", "price": {value}}}]}}')


PRICE_PATH = "result[0].price"
