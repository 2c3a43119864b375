"""Make a currency of a branch, and change what it is called. It can be used once it is deployed on a chain."""

from typing import Final
from uuid import UUID

from msgspec.structs import replace

from otcdesk.actions.resale_checks import branch_of, check_mandate, found_branch
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.compact_ids import compact_id
from otcdesk.domain.resales import ANYBODY, DRAFT, Currency, Mandate
from otcdesk.errors import Code, Refusal

#: Every currency that is made here has so many decimals (deals contract, 3.14).
DECIMALS: Final = 6


class MakeCurrency(Command, frozen=True, kw_only=True):
    """A currency of a branch; `asset` is what the books count it as."""

    branch_id: UUID
    asset: str
    name: str
    symbol: str
    description: str
    fiat: str | None
    logo: str | None
    mandate: Mandate

    @property
    def compared(self) -> "MakeCurrency":
        """Return what its key stands for: who asks for it is not part of it."""
        return replace(self, mandate=ANYBODY)


class ChangeCurrency(Command, frozen=True, kw_only=True):
    """Say what a currency is called, and for which fiat it stands; None leaves it as it was."""

    currency_id: UUID
    name: str | None
    description: str | None
    fiat: str | None
    mandate: Mandate


class CurrencyReply(Reply, frozen=True, kw_only=True):
    """The currency after it."""

    currency: Currency


def make_currency(command: MakeCurrency, books: Books, moment: Moment) -> CurrencyReply:
    """Make a currency; refuses BRANCH_NOT_FOUND, NOT_PERMITTED, ASSET_TAKEN (deals contract, 3.14)."""
    books.want((ListedAsset, command.asset))
    branch = found_branch(books, moment, command.branch_id)
    check_mandate(command.mandate, branch)
    if books.find(ListedAsset, command.asset) is not None:
        raise Refusal(Code.ASSET_TAKEN)
    currency = Currency(
        id=compact_id(moment.new_id(0), moment.now),
        tenant_id=branch.tenant_id,
        branch_id=branch.id,
        asset=command.asset,
        name=command.name,
        symbol=command.symbol,
        description=command.description,
        fiat=command.fiat,
        state=DRAFT,
        logo=command.logo,
        created_at=moment.now,
        updated_at=moment.now,
    )
    books.add(ListedAsset(code=command.asset, scale=DECIMALS))
    books.add(currency)
    return CurrencyReply(currency=currency)


def change_currency(command: ChangeCurrency, books: Books, moment: Moment) -> CurrencyReply:
    """Change a currency, deployed or not; refuses CURRENCY_NOT_FOUND, NOT_PERMITTED (deals contract, 3.14)."""
    currency = any_currency(books, moment, command.currency_id)
    check_mandate(command.mandate, branch_of(books, currency.branch_id))
    wanted = {name: getattr(command, name) for name in ("name", "description", "fiat")}
    changed = currency.with_(**{name: value for name, value in wanted.items() if value is not None})
    if changed != currency:
        changed = changed.with_(updated_at=moment.now)
        books.put(changed)
    return CurrencyReply(currency=changed)


def any_currency(books: Books, moment: Moment, currency_id: UUID) -> Currency:
    """Return a currency of the tenant in whatever state; refuses CURRENCY_NOT_FOUND."""
    currency = books.find(Currency, currency_id)
    if currency is None or currency.tenant_id != moment.owner_id:
        raise Refusal(Code.CURRENCY_NOT_FOUND)
    return currency
