"""Bring what a lane's books say of limits to what a world file declares; a part of `declare_world`.

A limit that is set already stays as it is, with what is used up of it.
"""

from collections.abc import Iterable

from otcdesk.actions.tally import Tally
from otcdesk.domain.limits import Limit
from otcdesk.domain.noun import Noun
from otcdesk.domain.parties import Party, Tenant
from otcdesk.domain.world import Declaration


def limit_keys(wanted: Declaration) -> Iterable[tuple[type[Noun], object]]:
    """Name the rows that are about to be found."""
    for limit in wanted.limits:
        yield Limit, limit.key
        yield Tenant, limit.subject_id
        yield Party, limit.subject_id


def declare_limits(tally: Tally, wanted: Declaration) -> None:
    """Declare limits of tenants and parties, which are there already; refuses nothing."""
    books = tally.books
    for limit in wanted.limits:
        if books.find(Limit, limit.key) is not None:
            continue
        tally.keep(None, limit)
        subject = books.find(Tenant, limit.subject_id) or books.find(Party, limit.subject_id)
        if subject is None:
            raise AssertionError(f"nobody is declared whom {limit.key} limits")
        if subject.limited is not True:
            books.put(subject.with_(limited=True))
