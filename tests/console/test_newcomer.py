"""The newcomer's way: a demo, what it prints, and a browser; nothing else is known."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.cli.commands import Demo, Running, paste

pytestmark = pytest.mark.asyncio(loop_scope="session")

_ACCOUNT = re.compile(r" as (?P<email>\S+)\n  password  (?P<password>\S+)\n  code      (?P<command>.+)$", re.MULTILINE)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    with Demo(tmp_path / "a home") as made:
        yield made


def printed(running: Running) -> str:
    """Return what is printed before the stories of the terminal, which is said at once."""
    assert running.process.stdout is not None
    told = ""
    while "The other stories" not in told:
        told += running.process.stdout.readline()
    return told


async def sign_in(browser: Browser, url: str, account: dict[str, str], folder: Path) -> Page:
    """Open a window of its own and sign in as somebody, with the code that the printed command prints."""
    page = await (await browser.new_context()).new_page()
    await page.goto(url)
    await page.get_by_label("E-mail").fill(account["email"])
    await page.get_by_label("Password").fill(account["password"])
    await page.get_by_label("Code").fill(paste([account["command"]], folder).out.strip())
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("link", name="Approvals").click()
    await expect(page.locator("[data-live]")).to_be_visible()
    return page


async def test_an_order_is_approved_by_two_people_and_its_traces_are_found(
    demo: Demo, browser: Browser, tmp_path: Path
) -> None:
    with demo.run() as running:
        said = printed(running)
        accounts = [found.groupdict() for found in _ACCOUNT.finditer(said)]
        assert [one["email"] for one in accounts] == ["ada@desk.example", "ben@desk.example"]
        assert accounts[0]["password"] == demo.told["console"]["users"][1]["password"]
        ada, ben = [await sign_in(browser, demo.told["console"]["base_url"], one, tmp_path) for one in accounts]

        (block,) = [part for part in said.split("\n\n") if part.startswith("LARGE=")]
        pasted = paste([block], tmp_path)
        assert '"status":"debit_pending"' in pasted.out, pasted

        await ada.get_by_role("link", name="Decide").click()  # it appeared by itself
        await ada.get_by_label("Type the amount").fill("12500.00")
        await ada.get_by_role("button", name="Approve").click()
        await expect(ada.get_by_role("status")).to_contain_text("second person")

        await ben.get_by_role("link", name="Look").click()
        await ben.get_by_role("button", name="Approve as the second person").click()
        await expect(ben.get_by_role("status")).to_contain_text("Approved")
        await expect(ben.locator(".head .state")).to_have_text("completed")
        for text in ("−12,500.00 EUR", "987,500.00 EUR", "13,552.50 USDC", "513,552.50 USDC"):  # noqa: RUF001  (as printed)
            await expect(ben.get_by_role("group", name="Entries in the books")).to_contain_text(text)
        callbacks = ben.get_by_role("group", name="Callbacks that were made").locator("tbody tr")
        await expect(callbacks).to_have_count(3)
        for text in ("otc_exchange.created", f"{demo.url}/sandbox/received/acme", "succeeded", "204"):
            await expect(callbacks.filter(has_text="otc_exchange.created")).to_contain_text(text)
        await expect(callbacks.filter(has_text="succeeded")).to_have_count(
            3, timeout=15_000
        )  # the page looks by itself

        await expect(ada.locator(".head .state")).to_have_text("carried out")  # without a reload of hers
        await expect(ada.get_by_role("link", name="The whole order")).to_be_visible()
        for page in (ada, ben):
            await page.context.close()
