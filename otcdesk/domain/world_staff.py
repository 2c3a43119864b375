"""The part of a world file that is about the people who run the desk; what they sign in with is made for them."""

from collections.abc import Iterable
from typing import Final

from otcdesk.domain.duties import ROLES
from otcdesk.domain.emails import is_email
from otcdesk.domain.world_tables import Table, invalid

#: Each has a password to be hashed, which is slow on purpose.
_STAFF_MAX: Final = 50
NAME_LENGTH_MAX: Final = 200


class FileStaff(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[staff]]`: somebody who runs the desk, to be let in with these roles."""

    ref: str
    email: str
    name: str
    roles: tuple[str, ...]


def check_staff(staff: Iterable[FileStaff]) -> None:
    """Refuse DECLARATION_INVALID for people who cannot be operators, naming the offending value."""
    rows = list(staff)
    refs, emails = {row.ref for row in rows}, {row.email.lower() for row in rows}
    if len(rows) != len(refs) or len(rows) != len(emails):
        raise invalid("two of the staff have the same ref or e-mail address")
    if len(rows) > _STAFF_MAX:
        raise invalid(f"the staff has more than {_STAFF_MAX} people")
    for row in rows:
        if not is_email(row.email):
            raise invalid(f"{row.email!r} is not an e-mail address")
        if not is_name(row.name):
            raise invalid(f"{row.name!r} is no name of one of the staff")
        if not row.roles or set(row.roles) - ROLES.keys():
            raise invalid(f"{row.ref!r} of the staff needs at least one of the roles {', '.join(ROLES)}")


def is_name(text: str) -> bool:
    """Tell whether a person can be called so."""
    return bool(text.strip()) and len(text) <= NAME_LENGTH_MAX and text.isprintable()
