"""Limits: refuse what a tenant or a party may not turn over, and count what becomes binding.

Every verb that makes an order binding asks here last, when nothing else is in the way, and before anything is staged.
What counts is the order's source: the cash of a buyer, the tokens of a seller, what a payout is paid from. Who has no
limits costs nothing but a look at a row that is kept in memory.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from otcdesk.actions.order_checks import amount_of
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.limits import OF_DAY, OF_MONTH, OF_ORDER, Left, Limit
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import Party, Tenant
from otcdesk.errors import Code, Refusal
from otcdesk.money import print_units

_SENTENCES: Final = {
    OF_ORDER: "One order may be of at most {left}.",
    OF_DAY: "Of what may be ordered in a day, {left} is left.",
    OF_MONTH: "Of what may be ordered in a month, {left} is left.",
}


def check_and_count(books: Books, moment: Moment, order: Order, *, party_id: UUID | None = None) -> None:
    """Count an order that becomes binding now against the limits of its tenant, and of the party that it is for.

    Refuses LIMIT_EXCEEDED, with the bound that is in the way and what it leaves, and then counts nothing.
    """
    check_left(books, moment, order.tenant_id, order.source_asset, order.source_units, party_id=party_id)
    count(books, moment, order, party_id=party_id)


def count(books: Books, moment: Moment, order: Order, *, party_id: UUID | None = None) -> None:
    """Count an order that becomes binding now whatever the limits leave, because it was promised before."""
    for limit in _limits(books, order.tenant_id, party_id, order.source_asset):
        books.put(limit.at(moment.now).counting(order.source_units))


def check_left(
    books: Books, moment: Moment, tenant_id: UUID, asset: str, units: int, *, party_id: UUID | None = None
) -> None:
    """Refuse LIMIT_EXCEEDED for more than all bounds leave now; counts nothing."""
    for limit in _limits(books, tenant_id, party_id, asset):
        now = limit.at(moment.now)
        _check(books, now, now.left(), units)


def check_order(books: Books, tenant_id: UUID, asset: str, units: int, *, party_id: UUID | None = None) -> None:
    """Refuse LIMIT_EXCEEDED for what could never become binding as one order; counts nothing.

    What day and month leave is asked when it becomes binding: by then it may be another day, or more may be used up.
    """
    for limit in _limits(books, tenant_id, party_id, asset):
        _check(books, limit, [left for left in limit.left() if left.bound == OF_ORDER], units)


def want_limits(books: Books, orders: Sequence[tuple[UUID, UUID | None, str]]) -> None:
    """Name at once what orders of these tenants, parties and assets are counted against."""
    books.want(*[(Tenant, tenant_id) for tenant_id, _, _ in orders], *[(Party, party_id) for _, party_id, _ in orders])
    books.want(*[(Limit, key) for one in orders for key in _limit_keys(books, *one)])


def _limits(books: Books, tenant_id: UUID, party_id: UUID | None, asset: str) -> list[Limit]:
    """Return the limits that concern an order, the tenant's first; rows that are not there are not looked for twice."""
    want_limits(books, [(tenant_id, party_id, asset)])
    keys = _limit_keys(books, tenant_id, party_id, asset)
    return [limit for key in keys if (limit := books.find(Limit, key)) is not None]


def _limit_keys(books: Books, tenant_id: UUID, party_id: UUID | None, asset: str) -> list[tuple[UUID, str]]:
    subjects = (books.find(Tenant, tenant_id), books.find(Party, party_id) if party_id is not None else None)
    return [(subject.id, asset) for subject in subjects if subject is not None and subject.limited is True]


def _check(books: Books, limit: Limit, lefts: list[Left], units: int) -> None:
    for left in lefts:
        if units > left.units:
            books.want((ListedAsset, limit.asset))
            scale = amount_of(books, limit.asset, 0).asset.scale
            sentence = _SENTENCES[left.bound].format(left=f"{print_units(left.units, scale)} {limit.asset}")
            raise Refusal(Code.LIMIT_EXCEEDED, sentence, bound=left.bound, asset=limit.asset, left_units=left.units)
