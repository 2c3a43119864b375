"""How tests of invariants break books: one change of a row, and who is named then."""

from typing import NamedTuple

#: The first done key of a scope, as it is printed; $1 is the lane.
DONE_KEY = """select owner_id || '/' || scope || '/' || idempotency_key from idempotency_keys
    where lane = $1 and scope = '{scope}' and outcome = 'done' order by 1 limit 1"""


class Breach(NamedTuple):
    """How books are broken: by which change to `chosen` ($1, in its lane only), and who is named then."""

    invariant: str
    by: str
    chosen: str
    table: str
    key: str = "{chosen}"
