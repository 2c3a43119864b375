"""Stage jobs: those that somebody asked for, and those by which the chain follows what the books have done."""

from uuid import UUID

from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.compact_ids import compact_id, declared_compact_id
from otcdesk.domain.jobs import FOLLOW, Job, job_reference
from otcdesk.domain.ledger import Account


def start_job(
    books: Books,
    moment: Moment,
    *,
    kind: str,
    market: str,
    order_id: UUID,
    party_id: UUID,
    instrument_id: UUID,
    source: Account,
    destination: Account,
    units: int,
) -> Job:
    """Stage what a caller has asked for, to be done by a worker; its id is the command's own."""
    job_id = compact_id(moment.new_id(1), moment.now)
    job = Job(
        id=job_id,
        tenant_id=moment.owner_id,
        kind=kind,
        market=market,
        order_id=order_id,
        party_id=party_id,
        instrument_id=instrument_id,
        source_account_id=source.id,
        destination_account_id=destination.id,
        asset=source.asset,
        units=units,
        reference=job_reference(job_id),
        caller=moment.caller,
        created_at=moment.now,
        updated_at=moment.now,
    )
    books.add(job)
    return job


def follow(
    books: Books,
    moment: Moment,
    *,
    tenant_id: UUID,
    market: str,
    order_id: UUID,
    order_version: int,
    instrument_id: UUID,
    moves: list[tuple[Account, Account, int]],
    kind: str = FOLLOW,
) -> None:
    """Stage jobs by which the chain does what the books did with a version of an order; moves of nothing are none."""
    for number, (source, destination, units) in enumerate(moves):
        if units == 0:
            continue
        job_id = declared_compact_id("job", str(order_id), str(order_version), str(number))
        books.add(
            Job(
                id=job_id,
                tenant_id=tenant_id,
                kind=kind,
                market=market,
                order_id=order_id,
                party_id=None,
                instrument_id=instrument_id,
                source_account_id=source.id,
                destination_account_id=destination.id,
                asset=source.asset,
                units=units,
                reference=job_reference(job_id),
                caller=moment.caller,
                created_at=moment.now,
                updated_at=moment.now,
            )
        )
