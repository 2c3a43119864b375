"""Let money arrive in a sandbox, on a chain or at a bank, and say what becomes of it."""

from typing import Any

from otcdesk.actions.record_deposit import ConcludeDeposit, DepositRecorded
from otcdesk.api import deposit_shapes as shapes
from otcdesk.api.dialect import Call, Route
from otcdesk.api.simulated_deposits import (
    REFUSES,
    ChainDepositRequest,
    FiatDepositRequest,
    arrive_at_bank,
    arrive_on_chain,
)
from otcdesk.credentials import OPERATOR_SCOPE
from otcdesk.domain.assets import ListedAsset
from otcdesk.errors import Code


async def chain_deposit(call: Call) -> Any:
    """Let an asset arrive on a chain."""
    scales = await _scales(call)
    return _answer(await arrive_on_chain(call, call.body, scales), scales)


async def fiat_deposit(call: Call) -> Any:
    """Let fiat arrive at a bank."""
    scales = await _scales(call)
    return _answer(await arrive_at_bank(call, call.body, scales), scales)


async def end_chain_deposit(call: Call) -> Any:
    """Say what became of a deposit on a chain."""
    return await _end(call)


async def end_fiat_deposit(call: Call) -> Any:
    """Say what became of a deposit at a bank."""
    return await _end(call)


async def _end(call: Call) -> Any:
    command = ConcludeDeposit(
        order_id=call.path_id("id", Code.ORDER_NOT_FOUND), stage=call.body.outcome, reason=call.body.reason
    )
    return _answer(await call.submit(command), await _scales(call))


def _answer(recorded: DepositRecorded, scales: dict[str, int]) -> dict[str, Any]:
    return shapes.deposit_answer(recorded.order, recorded.deposit, scales)


async def _scales(call: Call) -> dict[str, int]:
    rows = await call.desk.reads.rows("lanes", "assets", ListedAsset, call.caller.lane)
    return {row.code: row.scale for row in rows}


def _route(path: str, handler: Any, summary: str, body: Any, *refuses: Code) -> Route:
    return Route(
        method="POST",
        path=path,
        handler=handler,
        summary=summary,
        scope=OPERATOR_SCOPE,
        body=body,
        answer=dict[str, Any],
        refuses=refuses,
    )


_ENDED = (Code.ORDER_NOT_FOUND, Code.INVALID_STATE, Code.AMOUNT_TOO_LARGE)

ROUTES = (
    _route("/chain-deposits", chain_deposit, "Let an asset arrive on a chain", ChainDepositRequest, *REFUSES),
    _route("/chain-deposits/{id}", end_chain_deposit, "Say what became of it", shapes.OutcomeRequest, *_ENDED),
    _route("/fiat-deposits", fiat_deposit, "Let fiat arrive at a bank", FiatDepositRequest, *REFUSES),
    _route("/fiat-deposits/{id}", end_fiat_deposit, "Say what became of it", shapes.OutcomeRequest, *_ENDED),
)
