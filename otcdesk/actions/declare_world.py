"""Bring a lane's books to what a world file declares; the same file again changes nothing.

Opening balances are ledger transactions against the desk's equity. What is booked stays booked: another opening
balance for a known account is refused with the difference, because only a booking of its own may change a balance.
Guards are declared once: whatever a file says then, those that are set stay, and so do those that people have removed.
"""

from collections.abc import Iterable
from uuid import UUID

from otcdesk.actions.booking import Move, account, fits, post
from otcdesk.actions.declare_brokerage import brokerage_keys, declare_brokerage
from otcdesk.actions.declare_limits import declare_limits, limit_keys
from otcdesk.actions.declare_payouts import declare_payouts, payout_keys
from otcdesk.actions.declare_resales import declare_resales, resale_keys
from otcdesk.actions.move_value import counter_account
from otcdesk.actions.set_guards import TERMS_SUBJECT, guard_subject
from otcdesk.actions.tally import Tally
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.conversions import ConversionTerms
from otcdesk.domain.guards import Guard, GuardTerms
from otcdesk.domain.lanes import ONLY, LaneClock
from otcdesk.domain.ledger import EQUITY, Account, LedgerTransaction, Posting, desk_account_id
from otcdesk.domain.noun import Noun
from otcdesk.domain.parties import Tenant, declared_id
from otcdesk.domain.pricing import Price, Spread
from otcdesk.domain.proposals import OpenProposal
from otcdesk.domain.world import Declaration, DeclaredAccount, DeclaredPrice
from otcdesk.errors import Code, Refusal

FIXED = "fixed"


class DeclareWorld(Command, frozen=True, kw_only=True):
    """Make the books hold what is declared."""

    declaration: Declaration


class Declared(Reply, frozen=True, kw_only=True):
    """How many rows were new and how many changed."""

    added: int
    changed: int


def declare_world(command: DeclareWorld, books: Books, moment: Moment) -> Declared:
    """Declare a world.

    Refuses DECLARATION_INVALID when an asset's scale or an account's owner, purpose, asset or network would change, and
    OPENING_BALANCE_CHANGED when an opening balance is already booked with another amount. Opening balances that are
    together more than the desk can count are no declaration either.
    """
    wanted = command.declaration
    books.want(*_keys(wanted))
    tally = Tally(books)
    if books.find(LaneClock, ONLY) is None:  # every batch looks at it, and only a row that exists is remembered
        books.add(LaneClock())
    for asset in wanted.assets:
        known = books.find(ListedAsset, asset.code)
        if known is not None and known.scale != asset.scale:
            raise Refusal(Code.DECLARATION_INVALID, f"Asset {asset.code} has scale {known.scale} already.")
        tally.keep(known, asset)
    for tenant in wanted.tenants:
        known_tenant = books.find(Tenant, tenant.id)
        tally.keep(known_tenant, tenant if known_tenant is None else known_tenant.with_(name=tenant.name))
    for spread in wanted.spreads:
        known_spread = books.find(Spread, spread.key)
        if known_spread is None or known_spread.change is None:  # what an operator has decided stays
            tally.keep(known_spread, spread)
    if wanted.terms is not None:
        tally.keep(books.find(ConversionTerms, wanted.terms.key), wanted.terms)
    for price in wanted.prices:
        known_price = books.find(Price, (price.source_asset, price.destination_asset))
        tally.keep(known_price, _priced(known_price, price, moment))
    _declare_guards(tally, wanted)
    declare_brokerage(tally, wanted, moment)
    declare_payouts(tally, wanted, moment)
    declare_resales(tally, wanted, moment)
    declare_limits(tally, wanted)
    for declared in wanted.accounts:
        known_account = books.find(Account, declared.id)
        tally.keep(known_account, _account(known_account, declared))
        _open(books, moment, declared, known=known_account is not None)
    return Declared(added=tally.added, changed=tally.changed)


def _keys(wanted: Declaration) -> Iterable[tuple[type[Noun], object]]:
    yield LaneClock, ONLY
    yield from ((ListedAsset, asset.code) for asset in wanted.assets)
    yield from ((Tenant, tenant.id) for tenant in wanted.tenants)
    yield from ((Spread, spread.key) for spread in wanted.spreads)
    yield from ((Price, (price.source_asset, price.destination_asset)) for price in wanted.prices)
    if wanted.terms is not None:
        yield ConversionTerms, wanted.terms.key
    for guard in _guards(wanted):
        yield type(guard), guard.key
        yield OpenProposal, _subject(guard)
    yield from brokerage_keys(wanted)
    yield from payout_keys(wanted)
    yield from resale_keys(wanted)
    yield from limit_keys(wanted)
    for declared in wanted.accounts:
        yield Account, declared.id
        yield LedgerTransaction, opening_id(declared.id)
        yield Posting, (opening_id(declared.id), 1)
        yield Account, desk_account_id(EQUITY, declared.asset)


def _guards(wanted: Declaration) -> list[Guard | GuardTerms]:
    """Return the guards of a file: of what it says nothing of, those that guard nothing."""
    said = {guard.asset: guard for guard in wanted.guards}
    return [
        wanted.guard_terms or GuardTerms(),
        *(said.get(asset.code, Guard(asset=asset.code)) for asset in wanted.assets),
    ]


def _declare_guards(tally: Tally, wanted: Declaration) -> None:
    """Set the guards that nobody has set yet; from then on two people change them.

    Those that guard nothing are kept as well: every approval looks at its guards, and only a row that exists is
    remembered.
    """
    for guard in _guards(wanted):
        known, nothing = tally.books.find(type(guard), guard.key), _nothing(guard)
        if known is None and guard == nothing:
            tally.books.add(guard)
        elif known is None or (known == nothing and tally.books.find(OpenProposal, _subject(guard)) is None):
            tally.keep(known, guard)


def _nothing(guard: Guard | GuardTerms) -> Guard | GuardTerms:
    return Guard(asset=guard.asset) if isinstance(guard, Guard) else GuardTerms()


def _subject(guard: Guard | GuardTerms) -> UUID:
    return guard_subject(guard.asset) if isinstance(guard, Guard) else TERMS_SUBJECT


def opening_id(account_id: UUID) -> UUID:
    """Return the id of the ledger transaction by which an account was opened with something on it."""
    return declared_id("opening", str(account_id))


def _priced(known: Price | None, wanted: DeclaredPrice, moment: Moment) -> Price:
    price = known or Price(source_asset=wanted.source_asset, destination_asset=wanted.destination_asset)
    if wanted.rate is None or (price.feed_source == FIXED and price.feed_rate == wanted.rate):
        return price
    return price.with_(feed_rate=wanted.rate, feed_source=FIXED, feed_at=moment.now, stale_after_ms=None)


def _account(known: Account | None, declared: DeclaredAccount) -> Account:
    if known is None:
        return Account(
            id=declared.id,
            owner_id=declared.owner_id,
            purpose=declared.purpose,
            asset=declared.asset,
            label=declared.label,
            status=declared.status,
            network=declared.network,
            address=declared.address,
        )
    fixed = (known.owner_id, known.purpose, known.asset)
    if fixed != (declared.owner_id, declared.purpose, declared.asset):
        raise Refusal(Code.DECLARATION_INVALID, f"Account {declared.id} is declared already, and otherwise.")
    if known.network not in {"", declared.network}:  # open orders settle with the desk's account on the old one
        raise Refusal(Code.DECLARATION_INVALID, f"Account {declared.id} is on {known.network} and stays there.")
    return known.with_(label=declared.label, status=declared.status, network=declared.network, address=declared.address)


def _open(books: Books, moment: Moment, declared: DeclaredAccount, *, known: bool) -> None:
    posting = books.find(Posting, (opening_id(declared.id), 1))
    booked = posting.units if posting is not None else 0
    if known and booked != declared.opening_units:
        raise Refusal(
            Code.OPENING_BALANCE_CHANGED,
            f"Account {declared.id} ({declared.label or declared.purpose}) opened with {booked} units of "
            f"{declared.asset}; the file says {declared.opening_units}, {declared.opening_units - booked:+d}.",
        )
    if known or declared.opening_units == 0:
        return
    if not fits(books, desk_account_id(EQUITY, declared.asset), -declared.opening_units):
        raise Refusal(
            Code.DECLARATION_INVALID, f"The opening balances in {declared.asset} are more than the desk can count."
        )
    equity = counter_account(books, EQUITY, declared.asset)
    post(
        books,
        moment,
        [Move(equity, account(books, declared.id), declared.opening_units)],
        transaction_id=opening_id(declared.id),
        reason="opening balance",
    )
