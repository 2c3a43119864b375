"""The two statements of a batch, put together from `sql/batches.sql` for the kinds of rows that it touches.

Rows travel as one JSON array for each kind: measured, that costs this process a fifth of what arrays for every column
do, and the bytes that are hashed are the bytes that are stored. Statements are cached by shape, so each is parsed and
planned once on a connection.
"""

from functools import cache

from otcdesk.domain.registry import KIND_NAMED, Kind
from otcdesk.storage.queries import queries

#: The class of the advisory locks by which a lane's turn is taken; the second number is the lane.
TURN_CLASS = 20260

#: PostgreSQL takes 100 arguments to a function: with each a name, so many parts of a load stand in one object.
_PARTS_MAX = 49

#: Under this name stands the object of the parts that have no room beside the first ones.
MORE_PARTS = "more"

#: The fence's own parameters come before the rows.
_FENCE_PARAMETERS = 9


@cache
def load_statement(names: tuple[str, ...]) -> str:
    """Return the statement that reads a lane's head and rows of these kinds; parameters: lane, keys of each kind."""
    blocks = queries("batches")
    parts = [f"'head', ({blocks['head']})"]
    for parameter, name in enumerate(names, start=2):
        matches = _key_matches(KIND_NAMED[name], "k")
        parts.append(blocks["load_part"].format(name=name, parameter=parameter, key_matches=matches))
    return f"select {_object_of(parts)}::text"


def _object_of(parts: list[str]) -> str:
    first, more = parts[:_PARTS_MAX], parts[_PARTS_MAX:]
    if more:
        first.append(f"'{MORE_PARTS}', {_object_of(more)}")
    return f"json_build_object({', '.join(first)})"


@cache
def save_statement(inserted: tuple[str, ...], updated: tuple[str, ...]) -> str:
    """Return the statement that saves a batch with rows of these kinds.

    Parameters: lane, seq, previous hash, hash, kind, time, writer, notes, writes; then the new rows of each inserted
    kind; then the rows of each updated kind; then how many rows each of those must change.
    """
    blocks = queries("batches")
    parts = [f"fence as ({blocks['fence'].format(turn_class=TURN_CLASS)})"]
    checks = []
    parameter = _FENCE_PARAMETERS
    for name in inserted:
        parameter += 1
        parts.append(f"{name}_inserted as ({_insert(KIND_NAMED[name], parameter)})")
    for number, name in enumerate(updated):
        parameter += 1
        parts.append(f"{name}_updated as ({_update(KIND_NAMED[name], parameter)})")
        expected = _FENCE_PARAMETERS + len(inserted) + len(updated) + number + 1
        checks.append(f"otcdesk_expect('{name}', ${expected}::bigint, (select count(*) from {name}_updated))")  # noqa: S608  (names are the registry's)
    fenced = "exists (select from fence)"
    checked = " and ".join(checks) if checks else "true"
    return f"with {', '.join(parts)} select case when {fenced} then {checked} else false end"


def _key_matches(kind: Kind, other: str) -> str:
    return " and ".join(f"kept.{field} = {other}.{field}" for field in kind.key_fields)


def _insert(kind: Kind, parameter: int) -> str:
    return queries("batches")["insert_part"].format(
        name=kind.name,
        parameter=parameter,
        columns=", ".join(kind.fields),
        selected=", ".join(f"r.{field}" for field in kind.fields),
    )


def _update(kind: Kind, parameter: int) -> str:
    changing = [field for field in kind.fields if field not in kind.key_fields]
    return queries("batches")["update_part"].format(
        name=kind.name,
        parameter=parameter,
        assignments=", ".join(f"{field} = found.{field}" for field in changing),
        key_matches=_key_matches(kind, "r"),
    )
