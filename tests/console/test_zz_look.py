"""scratch: pictures"""
import asyncio, sys
from playwright.async_api import async_playwright
from tests.support.consoles import signed_in, context_of
import pytest
pytestmark = pytest.mark.asyncio(loop_scope="session")
from tests.support.server import World
async def test_look(browser, server):
    pass
    for n in range(12):
        pass
    other = World(server, frozen=True)
    for n in range(8):
        o = other.confirmed_buy("10.00"); other.run_workers(); other.approve(o)
    person = signed_in(other, "trader", "finance", "admin")
    person.done("/prices/set", {"source_asset":"EUR","destination_asset":"USDC","rate":"1.09","minutes":"15","why":"x"})
    other.fault("chain","refuse")
    for scheme in ("light","dark"):
        for width in (1280,360):
            context = await context_of(browser, person, color_scheme=scheme, viewport={"width":width,"height":900})
            page = await context.new_page()
            page.on("console", lambda m: print("CONSOLE", m.type, m.text))
            page.on("pageerror", lambda e: print("ERR", e))
            for name in ("system","prices","sandbox"):
                await page.goto(f"/console/{name}")
                if name=="system":
                    for i in range(3 if width==1280 and scheme=="light" else 1):
                        o = other.confirmed_buy("10.00"); other.approve(o)
                        await page.wait_for_timeout(2500)
                print(name, width, await page.evaluate("document.documentElement.scrollWidth"))
                await page.screenshot(path=f"/tmp/b8/shot_{name}_{width}_{scheme}.png", full_page=True)
            await context.close()
