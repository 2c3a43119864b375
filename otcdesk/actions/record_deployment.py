"""What the operator says of contracts: that a currency or an instrument is on its chain, where, and what it is now."""

from uuid import UUID

from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.resales import CURRENCY_STATES, DEPLOYED, INSTRUMENT_STATES, Currency, Instrument
from otcdesk.errors import Code, Refusal


class Deployment(Command, frozen=True, kw_only=True):
    """The state of something from now on; the address and the hash of its contract, None: as they were."""

    id: UUID
    state: str
    address: str | None = None
    hash: str | None = None


class RecordCurrencyDeployment(Deployment, frozen=True, kw_only=True):
    """Of a currency."""


class RecordInstrumentDeployment(Deployment, frozen=True, kw_only=True):
    """Of an instrument."""


class DeploymentReply(Reply, frozen=True, kw_only=True):
    """What it is about, after it."""

    currency: Currency | None = None
    instrument: Instrument | None = None


def record_currency_deployment(command: RecordCurrencyDeployment, books: Books, moment: Moment) -> DeploymentReply:
    """Record what has become of a currency; it can be used while it is deployed. Refuses CURRENCY_NOT_FOUND."""
    known = books.find(Currency, command.id)
    if known is None:
        raise Refusal(Code.CURRENCY_NOT_FOUND)
    if command.state not in CURRENCY_STATES:
        raise AssertionError(f"no currency is {command.state}")
    changed = known.with_(
        state=command.state,
        enabled=command.state == DEPLOYED,
        address=command.address or known.address,
        hash=command.hash or known.hash,
    )
    if changed != known:
        books.put(changed := changed.with_(updated_at=moment.now))
    return DeploymentReply(currency=changed)


def record_instrument_deployment(command: RecordInstrumentDeployment, books: Books, moment: Moment) -> DeploymentReply:
    """Record what has become of an instrument; it is on sale while it is listed. Refuses INSTRUMENT_NOT_FOUND."""
    known = books.find(Instrument, command.id)
    if known is None:
        raise Refusal(Code.INSTRUMENT_NOT_FOUND)
    if command.state not in INSTRUMENT_STATES:
        raise AssertionError(f"no instrument is {command.state}")
    changed = known.with_(
        state=command.state, address=command.address or known.address, hash=command.hash or known.hash
    )
    if changed != known:
        books.put(changed := changed.with_(updated_at=moment.now))
    return DeploymentReply(instrument=changed)
