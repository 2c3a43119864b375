"""Users: registered with the caller's node, read, and what is in their wallets (contract 3.10)."""

import re
from typing import Final

import msgspec

from otcdesk.actions.register_holder import HolderReply, RegisterHolder
from otcdesk.api.deals.callers import USERS_MANAGE
from otcdesk.api.deals.currency_shapes import CurrencyToken, currency_token_of
from otcdesk.api.deals.holders import Particulars, holder_in
from otcdesk.api.deals.tables import read, write
from otcdesk.api.deals.values import Id, Number, id_text, invalid, units_number
from otcdesk.api.dialect import Call
from otcdesk.domain.parties import ACTIVE, DESK_ID, UNVERIFIED, Party
from otcdesk.domain.resales import Currency
from otcdesk.errors import Code

_TEXT_MAX: Final = 200
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")


class CreateUserRequest(msgspec.Struct, kw_only=True):
    """Who is to be registered; `identity_number` is theirs alone at their node."""

    email: str
    name: str
    surname: str
    identity_number: str


class Kyc(msgspec.Struct, kw_only=True):
    """Whether a user was verified; the desk sends no tokens for it, so nothing is said of one."""

    is_verified: bool
    token_sent: bool = False
    token_sent_at: str = ""
    token_tx_hash: str = ""


class User(msgspec.Struct, kw_only=True):
    """A user; nothing of an address or of verification while there is none."""

    id: Id
    name: str
    surname: str
    email: str
    address: str
    identity_number: str
    kyc: Kyc | None


class CurrencyBalance(msgspec.Struct, kw_only=True):
    """What a wallet has of a currency token, what is held included."""

    currency_token: CurrencyToken
    amount: Number


class WalletSummary(msgspec.Struct, kw_only=True):
    """What is in a wallet. The desk keeps no chain's own coin for anybody: there is none of it."""

    stable_currencies: list[CurrencyBalance]
    balance_native: int = 0
    balance_native_symbol: str = ""
    balance_native_logo: str = ""


class HeldCurrency(msgspec.Struct, frozen=True):
    """What a user has of a currency, and all that anybody has of it, in its smallest units."""

    currency: Currency
    scale: int
    units: int
    supply: int


async def create_user(call: Call) -> User:
    """Register a user with the caller's own node."""
    body: CreateUserRequest = call.body
    particulars = Particulars(
        name=_text(body.name, "name"), surname=_text(body.surname, "surname"), email=_email(body.email)
    )
    command = RegisterHolder(
        branch_id=call.caller.branch_id,  # type: ignore[attr-defined]
        identity_number=_text(body.identity_number, "identity_number"),
        details=msgspec.json.encode(particulars).decode(),
        mandate=call.caller.mandate(USERS_MANAGE),  # type: ignore[attr-defined]
    )
    registered: HolderReply = await call.submit(command)
    return user_of(registered.party, particulars, None)


async def read_user(call: Call) -> User:
    """Show a user."""
    holder = await holder_in(call)
    return user_of(holder.party, holder.particulars, holder.address)


async def read_wallet(call: Call) -> WalletSummary:
    """Show what is in a user's wallet."""
    holder = await holder_in(call)
    rows = await call.desk.reads.rows(
        "resales",
        "currency_holdings",
        HeldCurrency,
        call.caller.lane,
        call.caller.owner_id,
        holder.party.id,
        holder.home.path,
        DESK_ID,
    )
    return WalletSummary(
        stable_currencies=[
            CurrencyBalance(
                currency_token=currency_token_of(row.currency, row.scale, row.supply),
                amount=units_number(row.units, row.scale),
            )
            for row in rows
        ]
    )


def user_of(party: Party, particulars: Particulars, address: str | None) -> User:
    """Return a user as it is shown."""
    return User(
        id=id_text(party.id),
        name=particulars.name,
        surname=particulars.surname,
        email=particulars.email,
        address=address or "",
        identity_number=party.external_id,
        kyc=None if party.status == UNVERIFIED else Kyc(is_verified=party.status == ACTIVE),
    )


def _text(value: str, field: str) -> str:
    if not value.strip():
        raise invalid(f"{field} is required")
    if len(value) > _TEXT_MAX or "\x00" in value:
        raise invalid(f"{field} must have at most {_TEXT_MAX} characters, and not NUL")
    return value


def _email(value: str) -> str:
    if not _EMAIL.fullmatch(_text(value, "email")):
        raise invalid("email must be an e-mail address")
    return value


USER_ROUTES = (
    write(
        "/v2/users/users",
        create_user,
        "Register a user with the caller's node",
        CreateUserRequest,
        User,
        Code.BRANCH_NOT_FOUND,
        Code.NOT_PERMITTED,
        Code.PARTY_NAME_TAKEN,
        Code.KEY_REUSED,
        Code.KEY_IN_FLIGHT,
        status=201,
    ),
    read("/v2/users/users/{user_id}", read_user, "A user", User, Code.PARTY_NOT_FOUND, Code.NOT_PERMITTED),
    read(
        "/v2/users/users/{user_id}/wallet/summary",
        read_wallet,
        "What is in a user's wallet",
        WalletSummary,
        Code.PARTY_NOT_FOUND,
        Code.NOT_PERMITTED,
    ),
)

#: What these routes say beside their errors otherwise than the others.
USER_DETAILS = {
    (USER_ROUTES[0].label, Code.NOT_PERMITTED): "Insufficient permissions to create users",
    **{(route.label, Code.PARTY_NOT_FOUND): "User not found" for route in USER_ROUTES[1:]},
}
