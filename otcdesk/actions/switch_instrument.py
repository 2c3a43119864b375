"""What a branch decides about an instrument of its own: where it may be listed, and whether it may leave the desk."""

from uuid import UUID

from otcdesk.actions.resale_checks import branch_of, check_mandate, found_instrument
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.resales import Instrument, Mandate


class SwitchInstrument(Command, frozen=True, kw_only=True):
    """Say what an instrument is from now on; None leaves it as it was. What is listed already stays so."""

    instrument_id: UUID
    open_to_resale: bool | None = None
    open_to_market: bool | None = None
    is_public: bool | None = None
    mandate: Mandate


class InstrumentReply(Reply, frozen=True, kw_only=True):
    """The instrument after it."""

    instrument: Instrument


def switch_instrument(command: SwitchInstrument, books: Books, moment: Moment) -> InstrumentReply:
    """Switch an instrument; refuses INSTRUMENT_NOT_FOUND, NOT_PERMITTED (deals contract, 3.8)."""
    instrument = found_instrument(books, moment, command.instrument_id)
    check_mandate(command.mandate, branch_of(books, instrument.branch_id))
    wanted = {name: getattr(command, name) for name in ("open_to_resale", "open_to_market", "is_public")}
    switched = instrument.with_(**{name: value for name, value in wanted.items() if value is not None})
    if switched != instrument:
        switched = switched.with_(updated_at=moment.now)
        books.put(switched)
    return InstrumentReply(instrument=switched)
