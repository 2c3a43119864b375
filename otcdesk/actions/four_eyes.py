"""Four eyes: what one person may not do alone is proposed by one and carried out by another.

An action that a guard may concern asks `second_needed` once everything else is decided and before anything is staged.
It is told either that it may go on, or what now waits; then it books nothing and answers with that proposal. The same
question is asked again when the second person carries it out, and is answered from the proposal alone: what goes on
then is what was proposed, of the subject as the first person saw it, or nothing.

People are told apart by the names of their callers. Whoever holds two names, as a person and as the bearer of a token
do, is two for the desk: to whom names are given is decided by those who keep the people.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.guards import Guard, GuardTerms
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.noun import Noun
from otcdesk.domain.proposals import EXPIRE, OPEN, PROPOSAL, OpenProposal, Proposal
from otcdesk.errors import Code, Refusal

#: What a command moves: asset and units of it, whichever way they go.
Stake = tuple[str, int]

_encode = msgspec.json.Encoder().encode


def second_needed(
    books: Books,
    moment: Moment,
    *,
    action: Callable[..., Reply],
    command: Command,
    duty: str,
    subject_id: UUID,
    seen: Any,
    subject_version: int | None = None,
    stakes: Sequence[Stake] = (),
    always: bool = False,
    exclusive: bool = True,
    why: str = "",
) -> Proposal | None:
    """Return the proposal that now waits for a second person, or None: the action may go on.

    `command` is what will be carried out, by `action`, with every rate and amount in it that was decided; both stand in
    `second_proposal.PROPOSABLE`. `duty` is what the second person must carry. `seen` is what the first one is shown,
    anything that msgspec can write as JSON. A second person is needed from the guards' sizes of the `stakes` on, or
    `always`. `why` is what the first person says; without it, what they say with the request.

    Of an `exclusive` subject (an order, a setting) only one proposal waits at a time. It is good for `subject_version`;
    a setting has none and stays as it was `seen`. What is not exclusive (bookings) may wait any number of times.

    Refuses PROPOSAL_OPEN where another waits for the same subject as it is now and, while a second person carries out
    what was proposed, PROPOSAL_STALE if that is not what would be done now.
    """
    if moment.proposed is not None:
        holds = seen if exclusive and subject_version is None else None
        _check_as_proposed(moment, moment.proposed, action, command, subject_id, subject_version, stakes, holds)
        return None
    want_guards(books, (asset for asset, _ in stakes))
    at_stake = _past_guard(books, stakes)
    if at_stake is None and not always:
        return None
    if exclusive:
        _make_way(books, moment, subject_id, subject_version)
    asset, units = at_stake or (None, None)
    proposal = Proposal(
        id=moment.command_id,
        verb=action.__name__,
        duty=duty,
        command=text_of(command),
        subject_id=subject_id,
        subject_version=subject_version,
        asset=asset,
        units=units,
        seen=text_of(seen),
        why=why or (moment.in_person.why if moment.in_person else ""),
        proposed_by=moment.caller,
        proposed_at=moment.now,
        expires_at=moment.now + timedelta(seconds=guard_terms(books).proposal_seconds),
    )
    books.add(proposal)
    if exclusive:
        keep(books, OpenProposal(subject_id=subject_id, proposal_id=proposal.id))
    return proposal


def check_duty(moment: Moment, duty: str) -> None:
    """Refuse DUTY_MISSING to a person whose roles do not carry this; programs of the desk carry all of them."""
    asked = moment.in_person
    if asked is not None and asked.duties is not None and duty not in asked.duties:
        raise Refusal(Code.DUTY_MISSING, duty=duty)


def want_guards(books: Books, assets: Iterable[str], *others: tuple[type[Noun], Any]) -> None:
    """Name the rows that say what these assets need, and others with them, so that all are read together."""
    books.want((GuardTerms, ONLY), *((Guard, asset) for asset in assets), *others)


def guard_terms(books: Books) -> GuardTerms:
    """Return what guards the whole lane; a lane without terms has the usual ones, which guard nothing."""
    return books.find(GuardTerms, ONLY) or GuardTerms()


def text_of(value: Any) -> str:
    """Return a command, or what somebody saw, as it is kept."""
    return _encode(value).decode()


def keep(books: Books, row: Noun) -> None:
    """Stage a row whether or not there is one with its key."""
    if books.find(type(row), row.key) is None:
        books.add(row)
    else:
        books.put(row)


def _past_guard(books: Books, stakes: Sequence[Stake]) -> Stake | None:
    """Return the first stake that its asset's guard does not leave to one person."""
    for asset, units in stakes:
        guard = books.find(Guard, asset)
        if guard is not None and guard.second_from_units is not None and abs(units) >= guard.second_from_units:
            return asset, abs(units)
    return None


def _make_way(books: Books, moment: Moment, subject_id: UUID, subject_version: int | None) -> None:
    """Refuse PROPOSAL_OPEN, or record that the newest proposal for this subject can no longer be carried out."""
    newest = books.find(OpenProposal, subject_id)
    waiting = books.find(Proposal, newest.proposal_id) if newest else None
    if waiting is None or waiting.state != OPEN:
        return
    if waiting.state_at(moment.arrived_at) == OPEN and waiting.subject_version == subject_version:
        raise Refusal(Code.PROPOSAL_OPEN, proposal_id=str(waiting.id))
    books.put(
        waiting.with_(state=PROPOSAL.move(OPEN, EXPIRE), decided_by="clock", decided_at=moment.now, decided_why="")
    )


def _check_as_proposed(
    moment: Moment,
    proposal: Proposal,
    action: Callable[..., Reply],
    command: Command,
    subject_id: UUID,
    subject_version: int | None,
    stakes: Sequence[Stake],
    holds: Any,
) -> None:
    """Refuse PROPOSAL_STALE unless what is about to be done is to the letter and to the unit what was proposed."""
    if proposal.proposed_by == moment.caller:
        raise AssertionError(f"{moment.caller} carries out what they have proposed themselves")
    if (proposal.verb, proposal.subject_id) != (action.__name__, subject_id):
        raise AssertionError(f"{action.__name__} of {subject_id} is not what proposal {proposal.id} is about")
    same = (
        subject_version == proposal.subject_version
        and command == msgspec.json.decode(proposal.command, type=type(command))
        and (proposal.asset is None or (proposal.asset, proposal.units) in {(asset, abs(n)) for asset, n in stakes})
        and (holds is None or text_of(holds) == proposal.seen)
    )
    if not same:
        raise Refusal(Code.PROPOSAL_STALE, proposal_id=str(proposal.id))
