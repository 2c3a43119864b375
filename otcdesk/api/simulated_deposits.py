"""Money that arrives in a sandbox, on a chain or at a bank: what is told of it, and how it gets into the books."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from otcdesk.actions.deposit_checks import GivenAddress, simulated
from otcdesk.actions.record_deposit import DepositRecorded, OpenPlace, RecordDeposit
from otcdesk.api.deposit_shapes import Stage, Text, units_given
from otcdesk.api.dialect import Call
from otcdesk.api.wire import AssetCode
from otcdesk.domain.deposits import CHAIN_ASSETS, CHAIN_NETWORKS, DepositAddress
from otcdesk.domain.parties import Tenant, named_party_id
from otcdesk.errors import Code, Refusal
from otcdesk.rails.simulated.places import simulated_address, simulated_bank, simulated_hash

#: What either can be refused with, besides REQUEST_INVALID.
REFUSES = (
    Code.DEPOSIT_DIFFERS,
    Code.INVALID_STATE,
    Code.DEPOSIT_PLACE_UNKNOWN,
    Code.ASSET_NOT_FOUND,
    Code.DEPOSIT_ASSET_WRONG,
    Code.AMOUNT_TOO_SMALL,
    Code.AMOUNT_TOO_LARGE,
)


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


async def arrive_on_chain(
    call: Call, body: ChainDepositRequest, scales: Mapping[str, int], *, why: str = ""
) -> DepositRecorded:
    """Let an asset arrive on a chain; refuses DEPOSIT_ASSET_WRONG for what is on none, and for what is none."""
    if body.asset not in CHAIN_ASSETS or body.network not in CHAIN_NETWORKS:
        raise Refusal(Code.DEPOSIT_ASSET_WRONG)
    units = simulated(units_given(body.amount, scales, body.asset))
    fresh = str(call.desk.clock.new_id())
    found = body.hash or simulated_hash(body.network, fresh)
    command = RecordDeposit(
        network=body.network,
        destination=await _address(call, body, why),
        asset=body.asset,
        units=units,
        outside_id=found,
        stage=body.stage,
        sender_address=body.sender or simulated_address(body.network, "sender"),
        hash=found,
    )
    recorded: DepositRecorded = await call.submit(command, why=why)
    return recorded


async def _address(call: Call, body: ChainDepositRequest, why: str) -> str:
    """Return where it arrives; refuses REQUEST_INVALID, DEPOSIT_PLACE_UNKNOWN."""
    lane = call.caller.lane
    if (body.tenant is None) == (body.address is None):
        raise Refusal(Code.REQUEST_INVALID, "Name the tenant or the address, one of them.")
    if body.address is not None:
        return body.address
    tenant = await call.desk.reads.row("deposits", "tenant", Tenant, lane, body.tenant)
    if tenant is None:
        raise Refusal(Code.DEPOSIT_PLACE_UNKNOWN)
    party_id = None if body.customer is None else named_party_id(tenant.id, body.customer)
    address = simulated_address(body.network, f"{lane}/{tenant.id}/{party_id or ''}")
    given = GivenAddress(network=body.network, address=address)
    opened = await call.submit(OpenPlace(tenant_id=tenant.id, party_id=party_id, given=given), why=why)
    place: DepositAddress = opened.address
    return place.address


async def arrive_at_bank(
    call: Call, body: FiatDepositRequest, scales: Mapping[str, int], *, why: str = ""
) -> DepositRecorded:
    """Let fiat arrive at a bank."""
    command = RecordDeposit(
        destination=body.destination,
        asset=body.fiat,
        units=simulated(units_given(body.amount, scales, body.fiat)),
        outside_id=str(call.desk.clock.new_id()),
        stage=body.stage,
        reference=body.reference,
        sender_name=body.sender or "Simulated Sender",
        sender_number=simulated_bank(body.fiat, "sender", "").number,
    )
    recorded: DepositRecorded = await call.submit(command, why=why)
    return recorded
