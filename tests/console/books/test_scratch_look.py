import os
import pytest, asyncio
from playwright.async_api import Browser
from tests.support.busy_desk import BusyDesk
from tests.support.consoles import context_of
from tests.support.console_pages import everybody
from tests.support.axe.checking import violations, watched, wider_than_its_window
from tests.support.server import DeskServer


@pytest.mark.asyncio(loop_scope="session")
async def test_look(browser: Browser, server: DeskServer):
    desk = BusyDesk(server)
    desk.live()
    desk.operate("PUT", "/guards/x", {}, ok=False)
    person = everybody(desk)
    from otcdesk.domain.world import account_id
    import re

    acc = "/console/accounts/%s" % account_id("acme", "main")
    person.done("/invariants", {})
    person.done("/chain", {})
    for n in range(0):
        pass
    tx = re.search(r"/console/transactions/[0-9a-f-]+", person.get(acc).text)[0]
    pages = {
        "position": "/console/position",
        "pnl": "/console/pnl",
        "trades": "/console/pnl/trades",
        "accounts": "/console/accounts",
        "account": acc,
        "tx": tx,
        "invariants": "/console/invariants",
        "chain": "/console/chain",
        "audit": "/console/audit",
    }
    only = os.environ.get("ONLY", "").split(",") if os.environ.get("ONLY") else list(pages)
    out = []
    for width in (1280, 360):
        for scheme in ("light", "dark"):
            ctx = await context_of(
                browser, person, viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
            )
            async with watched(ctx, server.url) as window:
                page = await ctx.new_page()
                for name in only:
                    await page.goto(pages[name])
                    await page.wait_for_timeout(500)
                    wrong = [*await violations(page), *await wider_than_its_window(page), *window.complaints()]
                    out += [f"{name} {width} {scheme}: {w}" for w in wrong]
                    if (width, scheme) in ((1280, "light"), (360, "dark")):
                        await page.screenshot(path=f"/tmp/bk/{name}_{width}_{scheme}.png", full_page=True)
                await ctx.close()
    print("\n".join(out))
    for path in (
        "/accounts.csv",
        acc + "/statement.csv",
        acc + "/statement.pdf",
        "/pnl/trades.csv",
        "/audit.csv",
        "/position/series.json?asset=EUR&of=position&days=7",
        "/pnl/series.json?asset=EUR&of=sum",
    ):
        a = person.get(path)
        print(path, a.status_code, a.headers.get("content-disposition"), a.content[:300])
    assert not out
