"""What a node and the platform take of sales (contract 3.15).

Of the table three figures are used: `otc_sale` for what is sold over the counter, `sell_order` for what is sold on the
secondary market, `tokenized_asset_sales` for what is sold of the unsold supply. The others are kept and shown, and
nothing is charged by them.
"""

from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from otcdesk.actions.set_fees import SetBranchFees
from otcdesk.api.deals.callers import FEES_MANAGE
from otcdesk.api.deals.node_reads import GONE, branch_in, caller_of
from otcdesk.api.deals.tables import NODE, path_id, read, write
from otcdesk.api.deals.values import Id, Number, Whole, decimal_number, id_text, invalid, number_of, whole_of
from otcdesk.api.dialect import Call
from otcdesk.api.http import Answer
from otcdesk.domain.resales import Branch, ResaleTerms
from otcdesk.domain.world_resales import FEE_PERCENT_MAX
from otcdesk.errors import Code, Refusal
from otcdesk.money import RATE_DECIMALS_MAX

#: The leaves that the contract names; of `lending` it does not say which there are.
LEAVES: Final = {
    "tokenization": ("asset_tokenization", "tokenized_asset_sales", "management"),
    "secondary_market": ("buy_order", "sell_order", "otc_sale"),
    "lending": (),
}
#: The leaves that are charged, and which fee each is.
CHARGED: Final = {
    ("secondary_market", "otc_sale"): "otc_fee_percent",
    ("secondary_market", "sell_order"): "secondary_fee_percent",
    ("tokenization", "tokenized_asset_sales"): "primary_fee_percent",
}

#: What the contract calls whose fees they are.
_NODE: Final = 3
_PLATFORM: Final = 2
_LENDING_MAX: Final = 20
_NAME_MAX: Final = 60
_ID_MAX: Final = 2**31 - 1


class Leaf(msgspec.Struct, kw_only=True):
    """A fee in percent, and its number."""

    id: Whole
    value: Number


class _GivenLeaf(msgspec.Struct, kw_only=True):
    value: Number
    id: Whole | UnsetType = UNSET


_PERCENT: Final = {"type": "number", "minimum": 0, "exclusiveMaximum": FEE_PERCENT_MAX}
#: A fee as it is set: in percent, by itself or as the value of an object.
GivenFee = Annotated[
    msgspec.Raw,
    Meta(
        extra_json_schema={
            "anyOf": [
                _PERCENT,
                {
                    "type": "object",
                    "required": ["value"],
                    "properties": {"value": _PERCENT, "id": {"type": "integer", "minimum": 0, "maximum": _ID_MAX}},
                },
            ]
        }
    ),
]


class FeeTable(msgspec.Struct, kw_only=True):
    """All fees, by group and name."""

    tokenization: dict[str, Leaf]
    secondary_market: dict[str, Leaf]
    lending: dict[str, Leaf]


class FeesAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The fees of a node (`entity` 3) or of the platform (2)."""

    id: Id
    entity: int
    value: FeeTable
    categories: None
    node_id: Id | UnsetType = UNSET


class FeesRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All fees, in the shape in which they are read, or without its `value`; what is left out of a group is 0.

    A fee is an object with a `value` and perhaps an `id`, or a number. There is at least one group, in one of the two
    places. Whose fees they are is said by the path: what a body says of it, as it is read, is not looked at.
    """

    value: dict[str, dict[str, GivenFee]] | UnsetType = UNSET
    tokenization: dict[str, GivenFee] | UnsetType = UNSET
    secondary_market: dict[str, GivenFee] | UnsetType = UNSET
    lending: dict[str, GivenFee] | UnsetType = UNSET
    id: Any = UNSET
    entity: Any = UNSET
    node_id: Any = UNSET
    categories: Any = UNSET


class _KeptLeaf(msgspec.Struct, frozen=True):
    id: int
    value: Decimal


#: A table as the books keep it.
_Kept = dict[str, dict[str, _KeptLeaf]]
_keep = msgspec.json.Encoder(decimal_format="number").encode
_read_kept = msgspec.json.Decoder(_Kept).decode


async def read_node_fees(call: Call) -> FeesAnswer:
    """Show the fees of a node."""
    branch = await branch_in(call, "id")
    return FeesAnswer(
        id=id_text(branch.id), entity=_NODE, node_id=id_text(branch.id), value=_table(branch), categories=None
    )


async def read_platform_fees(call: Call) -> FeesAnswer:
    """Show the fees of the platform, whose id is that of the node above all others; whoever may call sees them."""
    caller, branch_id = call.caller, path_id(call, "id", "platform ID")
    reads = call.desk.reads
    branch = await reads.row("resales", "branch", Branch, caller.lane, branch_id, caller.owner_id)
    if branch is None or "." in branch.path:
        raise Refusal(Code.BRANCH_NOT_FOUND)
    terms = await reads.row("resales", "terms", ResaleTerms, caller.lane)
    return FeesAnswer(id=id_text(branch.id), entity=_PLATFORM, value=_table(terms or ResaleTerms()), categories=None)


async def set_node_fees(call: Call) -> Answer:
    """Set the fees of a node."""
    branch_id = path_id(call, "id", NODE)
    kept = kept_table(call.body)
    command = SetBranchFees(
        branch_id=branch_id,
        **{fee: kept[group][name].value for (group, name), fee in CHARGED.items()},
        fees=_keep(kept).decode(),
        mandate=caller_of(call).mandate(FEES_MANAGE),
    )
    await call.submit(command)
    return GONE


def kept_table(body: FeesRequest) -> _Kept:
    """Read all fees of a body, 0 where it names none of a group.

    Refuses REQUEST_INVALID for a name that the contract has not, for no group at all, and for groups in both places.
    """
    beside: dict[str, Any] = {group: found for group in LEAVES if (found := getattr(body, group)) is not UNSET}
    given = beside if isinstance(body.value, UnsetType) else body.value
    if beside and given is not beside:
        raise invalid("groups of fees are in value or beside it, not both")
    if not given:
        raise invalid(f"at least one of {', '.join(LEAVES)} is required")
    if unknown := given.keys() - LEAVES.keys():
        raise invalid(f"{min(unknown)[:_NAME_MAX]} is no group of fees")
    return _filled({group: _group(group, leaves) for group, leaves in given.items()})


def _group(group: str, leaves: dict[str, msgspec.Raw]) -> dict[str, _KeptLeaf]:
    known = LEAVES[group]
    if group == "lending":
        if len(leaves) > _LENDING_MAX or any(len(name) > _NAME_MAX or "\0" in name for name in leaves):
            raise invalid(f"lending has more than {_LENDING_MAX} fees, or a name that is too long")
    elif unknown := leaves.keys() - set(known):
        raise invalid(f"{group} has no fee {min(unknown)[:_NAME_MAX]}")
    return {name: _leaf(name, raw) for name, raw in leaves.items()}


def _leaf(name: str, raw: msgspec.Raw) -> _KeptLeaf:
    number = 0
    if bytes(raw).lstrip().startswith(b"{"):
        try:
            leaf = msgspec.json.decode(raw, type=_GivenLeaf)
        except msgspec.ValidationError:  # of what it may have, all but the value can be left out
            raise invalid(f"{name}.value is required") from None
        raw, number = leaf.value, 0 if leaf.id is UNSET else whole_of(leaf.id, f"{name}.id")
    value = number_of(raw, name)
    if not 0 <= value < FEE_PERCENT_MAX:
        raise invalid(f"{name} must be at least 0 and less than {FEE_PERCENT_MAX}")
    if value.as_tuple().exponent < -RATE_DECIMALS_MAX:  # type: ignore[operator]  # it is finite
        raise invalid(f"{name} has more than {RATE_DECIMALS_MAX} decimals")
    if not 0 <= number <= _ID_MAX:
        raise invalid(f"{name}.id is out of range")
    return _KeptLeaf(number, value)


def _filled(given: _Kept) -> _Kept:
    """Return the whole table: what is not given is 0, and what has no number is numbered in the contract's order."""
    numbers = iter(range(1, 1_000))
    filled: _Kept = {}
    for group, names in LEAVES.items():
        leaves = given.get(group, {})
        filled[group] = {}
        for name in (*names, *(each for each in leaves if each not in names)):
            leaf, number = leaves.get(name, _KeptLeaf(0, Decimal(0))), next(numbers)
            filled[group][name] = _KeptLeaf(leaf.id or number, leaf.value)
    return filled


def _table(of: Branch | ResaleTerms) -> FeeTable:
    """Return whose fees they are as they are shown; what is charged is what the books charge."""
    kept = _filled(_read_kept(of.fees))
    for (group, name), fee in CHARGED.items():
        kept[group][name] = _KeptLeaf(kept[group][name].id, getattr(of, fee))
    shown = {group: {name: _shown(leaf) for name, leaf in leaves.items()} for group, leaves in kept.items()}
    return FeeTable(**shown)


def _shown(leaf: _KeptLeaf) -> Leaf:
    return Leaf(id=msgspec.Raw(b"%d" % leaf.id), value=decimal_number(leaf.value))


_NODE_FEES = "/v2/fees/nodes/{id}"

FEE_ROUTES = (
    read(
        _NODE_FEES,
        read_node_fees,
        "The fees of a node",
        FeesAnswer,
        Code.BRANCH_NOT_FOUND,
        Code.NOT_PERMITTED,
    ),
    read(
        "/v2/fees/platforms/{id}",
        read_platform_fees,
        "The fees of the platform, whose id is that of the root node",
        FeesAnswer,
        Code.BRANCH_NOT_FOUND,
    ),
    write(
        _NODE_FEES,
        set_node_fees,
        "Set the fees of a node; of them otc_sale, sell_order and tokenized_asset_sales are charged",
        FeesRequest,
        None,
        Code.BRANCH_NOT_FOUND,
        Code.NOT_PERMITTED,
        Code.FEE_EXCESSIVE,
        status=204,
    ),
)

#: What these routes say beside their errors otherwise than the others.
FEE_DETAILS = {
    (FEE_ROUTES[1].label, Code.BRANCH_NOT_FOUND): "Platform not found",
    (FEE_ROUTES[2].label, Code.NOT_PERMITTED): "Insufficient permissions to set fees",
}
