"""The console on a real server: over plain HTTP, and in a real Chromium."""

import asyncio
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.support import served

#: How Debian and others call it.
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("served"):
        config.pluginmanager.register(served, "served")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    assert found is not None, "These tests drive the machine's own Chromium: install the package chromium."
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        await launched.close()
    await asyncio.sleep(0)  # its transports close in the next turn of the loop
