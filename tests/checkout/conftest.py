"""A real Chromium against a real server, and a shop to which the browser comes back."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.support import served
from tests.support.ramp import RampWorld
from tests.support.server import DeskServer

#: How Debian and others call it.
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("served"):
        config.pluginmanager.register(served, "served")


class Shop:
    """A business's own site; it knows where browsers came back to."""

    def __init__(self) -> None:
        self.visits: list[str] = []
        visits = self.visits

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path != "/favicon.ico":
                    visits.append(self.path)
                self.send_response(200)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(b"<!doctype html><title>The shop</title><h1>Welcome back</h1>")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/back?cart=7"
        self.thread = Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop() as opened:
        yield opened


@pytest.fixture
def world(server: DeskServer) -> RampWorld:
    return RampWorld(server)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    assert found is not None, "These tests drive the machine's own Chromium: install the package chromium."
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        await launched.close()
    await asyncio.sleep(0)  # its transports close in the next turn of the loop
