"""scratch: pictures"""
import pytest
from tests.support.busy_desk import BusyDesk
from tests.support.console_pages import everybody
from tests.support.consoles import context_of
from tests.support.axe.checking import violations, wider_than_its_window
pytestmark = pytest.mark.asyncio(loop_scope="session")
async def test_look(browser, server):
    busy = BusyDesk(server); busy.live()
    person = everybody(busy)
    print(busy.orders)
    rows = person.open("/orders").rows
    paths = {"blotter": "/console/orders", "search": "/console/search?q=x"}
    seen = set()
    import re
    for row in rows:
        html = person.get(row["data-href"]).text
        if "<h1>" not in html: print(html[:3000]); raise SystemExit
        h1 = re.search("<h1>(.*?)</h1>", html)[1]
        if h1 not in seen:
            seen.add(h1); paths[re.sub("[^a-zA-Z]+", "_", h1)] = row["data-href"]
    print(paths)
    for scheme, width in (("light",1280),("dark",360)):
        context = await context_of(browser, person, color_scheme=scheme, viewport={"width":width,"height":900}, reduced_motion="reduce")
        page = await context.new_page()
        page.on("console", lambda m: print("CONSOLE", m.type, m.text))
        page.on("pageerror", lambda e: print("ERR", e))
        for name, path in paths.items():
            await page.goto(path)
            print(name, width, await violations(page), await wider_than_its_window(page))
            await page.screenshot(path=f"/tmp/b8/scratch/orders/{name}_{width}_{scheme}.png", full_page=True)
        await context.close()
