"""The panel of a sandbox: its clock, prices, faults and deposits. In a live lane nothing is at these paths."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from otcdesk.actions.note_act import NoteAct
from otcdesk.api import payout_ends, simulated_deposits, steering
from otcdesk.api.dialect import Route
from otcdesk.api.http import Answer
from otcdesk.console.fields import text_of
from otcdesk.console.page import ConsoleCall, FormRoute, done, opens, page, posts
from otcdesk.console.sandbox_panel import forms
from otcdesk.console.sandbox_panel.reads import RAILS, panel_of, scales_of
from otcdesk.domain import duties
from otcdesk.domain.deposits import CHAIN_ASSETS, CHAIN_NETWORKS
from otcdesk.domain.lanes import SANDBOX
from otcdesk.errors import Code, Refusal

_PANEL: Final = "/console/sandbox"

Handler = Callable[[ConsoleCall], Awaitable[Answer]]


def in_sandbox(handler: Handler) -> Handler:
    """Return the handler for sandboxes' lanes alone; elsewhere it refuses ROUTE_UNKNOWN."""

    async def checked(call: ConsoleCall) -> Answer:
        if call.signed_in.lane_kind != SANDBOX:
            raise Refusal(Code.ROUTE_UNKNOWN)
        return await handler(call)

    return checked


async def show_panel(call: ConsoleCall) -> Answer:
    """Show how the sandbox is steered."""
    panel = await panel_of(call.desk, call.caller.lane)
    assets = sorted({asset for view in panel.prices for asset in view.price.key})
    listed = await scales_of(call.desk.reads, call.caller.lane)
    facts = {
        "panel": panel,
        "rails": [(rail, meaning) for rail, meaning in RAILS.items()],
        "assets": [(asset, asset) for asset in assets],
        "chain_assets": [(asset, asset) for asset in sorted(CHAIN_ASSETS & listed.keys())],
        "networks": [(network, network) for network in sorted(CHAIN_NETWORKS)],
        "fiats": [(asset, asset) for asset in sorted({place.fiat for place in panel.places})],
    }
    return await page(call, "sandbox_panel/panel.html", facts)


async def set_clock(call: ConsoleCall) -> Answer:
    """Steer the clock."""
    panel = await panel_of(call.desk, call.caller.lane)
    await call.submit(forms.clock_command(call, panel.clock), why=_why(call))
    return done(_PANEL, "steered")


async def publish_price(call: ConsoleCall) -> Answer:
    """Say what the simulated feed sees."""
    await call.submit(forms.price_command(call), why=_why(call))
    return done(_PANEL, "steered")


async def switch_feeds(call: ConsoleCall) -> Answer:
    """Switch the feeds of all pairs off or on."""
    await steering.switch_feeds(call, up=call.field("up") == "yes", why=_why(call))
    return done(_PANEL, "steered")


async def set_fault(call: ConsoleCall) -> Answer:
    """Make a part of the outside fail, or work again."""
    await call.submit(forms.fault_command(call), why=_why(call))
    return done(_PANEL, "steered")


async def set_debit_settlement(call: ConsoleCall) -> Answer:
    """Say how debits settle."""
    await call.submit(forms.debit_command(call), why=_why(call))
    return done(_PANEL, "steered")


async def run_workers(call: ConsoleCall) -> Answer:
    """Let the workers do now what they would do in a moment."""
    await call.submit(NoteAct(what="let the workers work once"), why=_why(call))
    await call.services.work_once(call.caller.lane)
    return done(_PANEL, "steered")


async def chain_deposit(call: ConsoleCall) -> Answer:
    """Let an asset arrive on a chain."""
    scales = await scales_of(call.desk.reads, call.caller.lane)
    await simulated_deposits.arrive_on_chain(call, forms.chain_deposit(call), scales, why=_why(call))
    return done(_PANEL, "arrived")


async def fiat_deposit(call: ConsoleCall) -> Answer:
    """Let fiat arrive at a bank."""
    scales = await scales_of(call.desk.reads, call.caller.lane)
    await simulated_deposits.arrive_at_bank(call, forms.fiat_deposit(call), scales, why=_why(call))
    return done(_PANEL, "arrived")


async def end_payout(call: ConsoleCall) -> Answer:
    """Tell the simulated provider how a payout ends."""
    order_id, body = call.path_id("id", Code.ORDER_NOT_FOUND), forms.payout_end(call)
    note = NoteAct(what="told the simulated provider how a payout ends", about_id=order_id, detail=body.outcome)
    await call.submit(note, why=_why(call))
    await payout_ends.end_payout(call, order_id, body)
    return done(_PANEL, "steered")


def _why(call: ConsoleCall) -> str:
    return text_of(call, "why", "The reason", required=False)


_SHOWN: Final = in_sandbox(show_panel)


def _steers(path: str, handler: Handler, summary: str, *refuses: Code, duty: str = duties.SANDBOX_STEER) -> FormRoute:
    refused = (Code.ROUTE_UNKNOWN, *refuses)
    return posts(f"/sandbox{path}", in_sandbox(handler), summary, duty=duty, shows=_SHOWN, refuses=refused)


def _arrives(path: str, handler: Handler, summary: str) -> FormRoute:
    return _steers(path, handler, summary, *simulated_deposits.REFUSES, duty=duties.DEPOSITS_CONCLUDE)


_ENDED: Any = (Code.ORDER_NOT_FOUND, Code.INVALID_STATE, Code.RETURN_EXCEEDS_PAYOUT)

ROUTES: tuple[Route, ...] = (
    opens("/sandbox", _SHOWN, "The panel of a sandbox", refuses=(Code.ROUTE_UNKNOWN,)),
    _steers("/clock", set_clock, "Steer the clock"),
    _steers("/prices", publish_price, "Say what the simulated feed sees", Code.PRICE_NOT_FOUND),
    _steers("/feeds", switch_feeds, "Switch the feeds of all pairs", duty=duties.PRICES_SET),
    _steers("/faults", set_fault, "Make a part of the outside fail or work again"),
    _steers("/debits", set_debit_settlement, "Say how debits settle"),
    _steers("/work", run_workers, "Let the workers work once, now"),
    _arrives("/chain-deposits", chain_deposit, "Let an asset arrive on a chain"),
    _arrives("/fiat-deposits", fiat_deposit, "Let fiat arrive at a bank"),
    _steers("/payouts/{id}", end_payout, "Tell the simulated provider how a payout ends", *_ENDED),
)
