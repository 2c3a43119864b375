"""What the verbs of deposits share: the places where money arrives, and the orders of this product."""

from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.deposits import CHAIN_ASSETS, BankDetails, DepositAddress
from otcdesk.errors import Code, Refusal

#: A deposit that is only simulated has at most so many units: a thousand million of what has 18 decimals. All that
#: arrives is booked against one account of the desk's, which everybody shares (`booking.fits`); at this size nobody
#: fills it.
SIMULATED_UNITS_MAX: Final = 10**27


class GivenAddress(msgspec.Struct, frozen=True, kw_only=True):
    """An address on a chain, as whoever watches the chain gives it."""

    network: str
    address: str


class GivenBankDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A bank account, as the bank gives it; see `BankDetails`."""

    name: str
    type: str
    country: str
    fiat: str
    number: str
    bank_code: str | None
    holder: str


class Place(NamedTuple):
    """Where a deposit arrives: for whom, at which of the two, and the rule that it was made for."""

    tenant_id: UUID
    party_id: UUID | None
    rule_id: UUID | None
    fiat: str | None


def simulated(units: int) -> int:
    """Return the units of a deposit that is simulated; refuses AMOUNT_TOO_LARGE."""
    if units > SIMULATED_UNITS_MAX:
        raise Refusal(Code.AMOUNT_TOO_LARGE, "That much does not arrive in a simulation.")
    return units


def place_key(network: str | None, destination: str) -> tuple[type[DepositAddress | BankDetails], object]:
    """Return the key of the address or, without a network, of the bank details."""
    return (BankDetails, destination) if network is None else (DepositAddress, (network, destination))


def found_place(books: Books, network: str | None, destination: str) -> Place:
    """Return where it arrives; refuses DEPOSIT_PLACE_UNKNOWN."""
    row: DepositAddress | BankDetails | None
    if network is None:
        row = books.find(BankDetails, destination)
    else:
        row = books.find(DepositAddress, (network, destination))
    if row is None:
        raise Refusal(Code.DEPOSIT_PLACE_UNKNOWN)
    return Place(row.tenant_id, row.party_id, row.rule_id, row.fiat if isinstance(row, BankDetails) else None)


def open_address(
    books: Books,
    moment: Moment,
    given: GivenAddress,
    *,
    tenant_id: UUID,
    party_id: UUID | None,
    rule_id: UUID | None = None,
) -> DepositAddress:
    """Return a tenant's address, keeping it at its first use; refuses DEPOSIT_PLACE_TAKEN."""
    found = books.find(DepositAddress, (given.network, given.address))
    if found is not None:
        _same_owner(found, tenant_id, party_id, rule_id)
        return found
    opened = DepositAddress(
        network=given.network,
        address=given.address,
        tenant_id=tenant_id,
        party_id=party_id,
        rule_id=rule_id,
        created_at=moment.now,
    )
    books.add(opened)
    return opened


def open_bank_details(
    books: Books,
    moment: Moment,
    given: GivenBankDetails,
    *,
    tenant_id: UUID,
    party_id: UUID | None,
    rule_id: UUID | None = None,
) -> BankDetails:
    """Return a tenant's bank details, keeping them at their first use.

    Refuses DEPOSIT_ASSET_WRONG for what is on chains and at no bank, DEPOSIT_PLACE_TAKEN.
    """
    if given.fiat in CHAIN_ASSETS:
        raise Refusal(Code.DEPOSIT_ASSET_WRONG)
    found = books.find(BankDetails, given.name)
    if found is not None:
        _same_owner(found, tenant_id, party_id, rule_id)
        return found
    opened = BankDetails(
        name=given.name,
        tenant_id=tenant_id,
        party_id=party_id,
        rule_id=rule_id,
        type=given.type,
        country=given.country,
        fiat=given.fiat,
        number=given.number,
        bank_code=given.bank_code,
        holder=given.holder,
        created_at=moment.now,
    )
    books.add(opened)
    return opened


def _same_owner(
    found: DepositAddress | BankDetails, tenant_id: UUID, party_id: UUID | None, rule_id: UUID | None
) -> None:
    if (found.tenant_id, found.party_id, found.rule_id) != (tenant_id, party_id, rule_id):
        raise Refusal(Code.DEPOSIT_PLACE_TAKEN)
