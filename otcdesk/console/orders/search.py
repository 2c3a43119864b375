"""The search: whatever id somebody quotes, found in whichever place of the books it has.

A text is looked up as an id, as what others call something, and as the end of an IBAN or an address. Each source is one
look-up along an index, and a text that cannot be anything is nothing.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.console.orders.states import words
from otcdesk.domain.compact_ids import parse_compact_id
from otcdesk.storage.database import Reads

#: More hits than these are shown to nobody.
HITS_MAX: Final = 20

#: Nothing that anybody quotes is longer; references of rails and ids of tenants are shorter.
_LENGTH_MAX: Final = 200

#: Fewer last characters than these end too many addresses.
_END_LENGTH_MIN: Final = 4
_END_LENGTH_MAX: Final = 80

_UUID: Final = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
#: References that the desk gives to rails begin with the id of what they are for.
_OWN_REFERENCE: Final = re.compile(rf"({_UUID.pattern})(?::[a-z0-9:]{{1,40}})?", re.ASCII | re.IGNORECASE)
_LIKE_SPECIAL: Final = re.compile(r"([\\%_])")

#: The key spaces in which a tenant's keys are kept.
_SCOPES: Final = sorted({verb.policy.scope for verb in CATALOGUE.values() if verb.policy.scope})

#: What a hit is called.
_NAMES: Final[Mapping[str, str]] = {
    "external_id": "Named by its tenant",
    "idempotency_key": "Asked for under this key",
    "awaited_payment": "Payment reference of a checkout",
    "chain_send": "Sent on a chain",
    "rail_reference": "What the rail calls it",
    "statement_line": "Bank statement entry",
    "act": "Act of an operator",
    "delivery": "Webhook delivery",
    "subscription": "Webhook",
}

_FILE: Final = "console_orders"


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was found: what it is, its id, the order that it belongs to, if to any, and a sentence."""

    what: str
    id: str
    order_id: UUID | None
    sentence: str


class _Found(msgspec.Struct, frozen=True):
    what: str
    id: str
    order_id: UUID | None = None
    detail: str | None = None
    product: str | None = None
    side: str | None = None
    created_at: datetime | None = None
    tenant: str | None = None


async def found(reads: Reads, lane: int, text: str) -> list[Hit]:
    """Return what a text may stand for in a lane, orders first, at most `HITS_MAX`; nothing for what is no id."""
    text = cleaned(text)
    if not text:
        return []
    rows: list[_Found] = []
    for some_id in ids_in(text):
        rows += await reads.rows(_FILE, "found_by_id", _Found, lane, some_id)
    rows += await _resolved(reads, lane, await reads.rows(_FILE, "found_by_text", _Found, lane, text, _SCOPES))
    pattern = end_pattern(text)
    if pattern and not any(row.what == "order" for row in rows):
        rows += await reads.rows(_FILE, "found_by_end", _Found, lane, pattern)
    return _hits(rows)


def cleaned(text: str) -> str:
    """Return a text as it can be looked up: printable, without blanks around it; empty if it is too long for an id."""
    if len(text) > _LENGTH_MAX:
        return ""
    return "".join(letter for letter in text if letter.isprintable()).encode("utf-8", "ignore").decode("utf-8").strip()


def ids_in(text: str) -> list[UUID]:
    """Return the ids that a text may be: a UUID however it is spelt, the head of a rail's reference, a compact id."""
    bare = text.removeprefix("urn:uuid:").strip("{}")
    own = _OWN_REFERENCE.fullmatch(bare)
    if own:
        return [UUID(own[1])]
    compact = parse_compact_id(bare)
    return [compact] if compact else []


def end_pattern(text: str) -> str | None:
    """Return the pattern of everything that ends so, read backwards; None for what is too short or too long."""
    bare = "".join(text.split())
    if not _END_LENGTH_MIN <= len(bare) <= _END_LENGTH_MAX:
        return None
    return _LIKE_SPECIAL.sub(r"\\\1", bare[::-1]) + "%"


async def _resolved(reads: Reads, lane: int, rows: Iterable[_Found]) -> list[_Found]:
    """Return rows with the orders that references and stored answers name."""
    resolved: list[_Found] = []
    for row in rows:
        shown, named = row, None
        if row.what == "idempotency_key":
            shown, named = msgspec.structs.replace(row, id=row.detail or ""), _order_in(row.id)
        elif row.what == "chain_send":
            named = next(iter(ids_in(row.id)), None)
        about = await reads.rows(_FILE, "found_by_id", _Found, lane, named) if named else []
        order = next((one for one in about if one.order_id is not None), None)
        if order is not None:
            shown = msgspec.structs.replace(order, what=shown.what, id=shown.id, detail=shown.detail)
        resolved.append(shown)
    return resolved


def _order_in(answer: str) -> UUID | None:
    """Return the order that a stored answer is about, if it names one."""
    try:
        told = msgspec.json.decode(answer)
    except msgspec.DecodeError:
        return None
    for path in (("order", "id"), ("order_id",), ("job", "order_id"), ("payment", "order_id")):
        value: Any = told
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str) and _UUID.fullmatch(value):
            return UUID(value)
    return None


def _hits(rows: Iterable[_Found]) -> list[Hit]:
    seen: dict[tuple[str, str, UUID | None], Hit] = {}
    for row in rows:
        hit = Hit(what=row.what, id=row.id, order_id=row.order_id, sentence=_sentence(row))
        seen.setdefault((hit.what, hit.id, hit.order_id), hit)
    return sorted(seen.values(), key=lambda hit: (hit.what != "order", hit.order_id is None))[:HITS_MAX]


def _sentence(row: _Found) -> str:
    name = _NAMES.get(row.what, words(row.what).capitalize())
    parts = [f"{name}: {row.detail}" if row.detail else name]
    if row.product is not None and row.created_at is not None:
        order = f"{words(row.product)}, {words(row.side or '')}, of {row.created_at:%Y-%m-%d %H:%M}"
        parts = [order.capitalize()] if row.what == "order" else [*parts, f"the order is a {order}"]
    if row.tenant is not None:
        parts.append(f"tenant {row.tenant}")
    return "; ".join(parts) + "."
