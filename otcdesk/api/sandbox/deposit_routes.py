"""Let money arrive in a sandbox, on a chain or at a bank, and say what becomes of it."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from otcdesk.actions.deposit_checks import GivenAddress, simulated
from otcdesk.actions.record_deposit import ConcludeDeposit, DepositRecorded, OpenPlace, RecordDeposit
from otcdesk.api import deposit_shapes as shapes
from otcdesk.api.deposit_shapes import Stage, Text
from otcdesk.api.dialect import Call, Route
from otcdesk.api.wire import AssetCode
from otcdesk.credentials import OPERATOR_SCOPE
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.deposits import CHAIN_ASSETS, CHAIN_NETWORKS, DepositAddress
from otcdesk.domain.parties import Tenant, named_party_id
from otcdesk.errors import Code, Refusal
from otcdesk.rails.simulated.places import simulated_address, simulated_bank, simulated_hash


class ChainDepositRequest(msgspec.Struct, kw_only=True):
    """An asset that arrives at a known `address`, or at the address of a `tenant` and perhaps of its `customer`.

    The asset and network go by the desk's own codes (`USDC`, `Ethereum`). The same `hash` is the same deposit.
    """

    tenant: Text | None = None
    customer: Text | None = None
    address: Text | None = None
    asset: AssetCode
    network: Text
    amount: Annotated[str, Meta(max_length=64)]
    hash: Text | None = None
    sender: Text | None = None
    stage: Stage = "settled"


class FiatDepositRequest(msgspec.Struct, kw_only=True):
    """Fiat that arrives at the bank details of this name."""

    destination: Text
    fiat: AssetCode
    amount: Annotated[str, Meta(max_length=64)]
    reference: Text | None = None
    sender: Text | None = None
    stage: Stage = "settled"


async def chain_deposit(call: Call) -> Any:
    """Let an asset arrive on a chain; refuses DEPOSIT_ASSET_WRONG for what is on none, and for what is none."""
    body, scales = call.body, await _scales(call)
    if body.asset not in CHAIN_ASSETS or body.network not in CHAIN_NETWORKS:
        raise Refusal(Code.DEPOSIT_ASSET_WRONG)
    units = simulated(shapes.units_given(body.amount, scales, body.asset))
    fresh = str(call.desk.clock.new_id())
    found = body.hash or simulated_hash(body.network, fresh)
    command = RecordDeposit(
        network=body.network,
        destination=await _address(call),
        asset=body.asset,
        units=units,
        outside_id=found,
        stage=body.stage,
        sender_address=body.sender or simulated_address(body.network, "sender"),
        hash=found,
    )
    return _answer(await call.submit(command), scales)


async def _address(call: Call) -> str:
    """Return where it arrives; refuses REQUEST_INVALID, DEPOSIT_PLACE_UNKNOWN."""
    body, lane = call.body, call.caller.lane
    if (body.tenant is None) == (body.address is None):
        raise Refusal(Code.REQUEST_INVALID, "Name the tenant or the address, one of them.")
    if body.address is not None:
        found: str = body.address
        return found
    tenant = await call.desk.reads.row("deposits", "tenant", Tenant, lane, body.tenant)
    if tenant is None:
        raise Refusal(Code.DEPOSIT_PLACE_UNKNOWN)
    party_id = None if body.customer is None else named_party_id(tenant.id, body.customer)
    address = simulated_address(body.network, f"{lane}/{tenant.id}/{party_id or ''}")
    opened = await call.submit(
        OpenPlace(tenant_id=tenant.id, party_id=party_id, given=GivenAddress(network=body.network, address=address))
    )
    place: DepositAddress = opened.address
    return place.address


async def fiat_deposit(call: Call) -> Any:
    """Let fiat arrive at a bank."""
    body, scales = call.body, await _scales(call)
    command = RecordDeposit(
        destination=body.destination,
        asset=body.fiat,
        units=simulated(shapes.units_given(body.amount, scales, body.fiat)),
        outside_id=str(call.desk.clock.new_id()),
        stage=body.stage,
        reference=body.reference,
        sender_name=body.sender or "Simulated Sender",
        sender_number=simulated_bank(body.fiat, "sender", "").number,
    )
    return _answer(await call.submit(command), scales)


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


_RECORDED = (
    Code.DEPOSIT_DIFFERS,
    Code.INVALID_STATE,
    Code.DEPOSIT_PLACE_UNKNOWN,
    Code.ASSET_NOT_FOUND,
    Code.DEPOSIT_ASSET_WRONG,
    Code.AMOUNT_TOO_SMALL,
    Code.AMOUNT_TOO_LARGE,
)
_ENDED = (Code.ORDER_NOT_FOUND, Code.INVALID_STATE, Code.AMOUNT_TOO_LARGE)

ROUTES = (
    _route("/chain-deposits", chain_deposit, "Let an asset arrive on a chain", ChainDepositRequest, *_RECORDED),
    _route("/chain-deposits/{id}", end_chain_deposit, "Say what became of it", shapes.OutcomeRequest, *_ENDED),
    _route("/fiat-deposits", fiat_deposit, "Let fiat arrive at a bank", FiatDepositRequest, *_RECORDED),
    _route("/fiat-deposits/{id}", end_fiat_deposit, "Say what became of it", shapes.OutcomeRequest, *_ENDED),
)
