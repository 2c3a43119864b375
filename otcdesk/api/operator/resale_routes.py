"""What the operator sees and does of resale: listings and why rules took them, the chain's jobs, contracts, fees.

Ids may be sent as UUIDs or as the 24 digits that the tenant's clients know.
"""

from typing import Any
from uuid import UUID

from otcdesk.actions.retry_job import JobRetried, RetryJob
from otcdesk.api.dialect import Call, Route
from otcdesk.api.http import Answer
from otcdesk.api.operator import resale_shapes as shapes
from otcdesk.api.operator.answers import WAITS, answer_to
from otcdesk.api.wire import PageQuery, canonical_uuid, page_of, paged, uuid_of
from otcdesk.credentials import OPERATOR_SCOPE
from otcdesk.domain.compact_ids import parse_compact_id
from otcdesk.domain.jobs import ASKED_FOR, FOLLOW, JOB, SEND
from otcdesk.domain.lanes import LaneClock
from otcdesk.domain.resales import LISTING, OTC, RESALES, SECONDARY, Currency, ResaleTerms
from otcdesk.errors import Code, Refusal

_KINDS = (*ASKED_FOR, FOLLOW, SEND)
#: No order has more jobs by far.
_JOBS_MAX = 1_000


async def list_resales(call: Call) -> Answer:
    """List what is listed, newest first."""
    query, page = call.request.query, page_of(call.request.query)
    market = _one_of(query.get("market"), (OTC, SECONDARY), "market")
    status = _one_of(query.get("status"), sorted(LISTING.states), "status")
    found = await _resales(call, market, None if status is None else [status], None, page)
    return Answer(200, paged([shapes.resale_answer(*each) for each in _now(call, found)], page, found.total))


async def read_resale(call: Call) -> shapes.ResaleDetail:
    """Show what is listed, why rules took it or did not, and its jobs."""
    order_id = _path_id(call, Code.ORDER_NOT_FOUND)
    found = await _resales(call, None, None, order_id, PageQuery())
    if not found.rows:
        raise Refusal(Code.ORDER_NOT_FOUND)
    ((stored, order),) = _now(call, found)
    jobs = await _jobs(call, None, None, order_id, None, PageQuery(limit=_JOBS_MAX))
    return shapes.resale_detail(stored, order, jobs.rows)


async def _resales(
    call: Call, market: str | None, states: list[str] | None, order_id: UUID | None, page: PageQuery
) -> shapes.StoredResales:
    lane = call.caller.lane
    now = await call.desk.business_time(lane)
    wanted = (market, states, now, order_id, page.limit, page.offset)
    found = await call.desk.reads.row("resales", "listings_of_lane", shapes.StoredResales, lane, *wanted)
    assert found is not None, "the statement always has a row"
    return found


def _now(call: Call, found: shapes.StoredResales) -> list[tuple[shapes.StoredResale, Any]]:
    now = (found.clock or LaneClock()).business_time(call.desk.clock.now())
    return [(row, RESALES.by_the_clock(row.order, now)) for row in found.rows]


async def list_decisions(call: Call) -> Answer:
    """List what rules said of listings, newest first."""
    page = page_of(call.request.query)
    found = await call.desk.reads.row(
        "resales", "decisions_of_lane", shapes.StoredDecisions, call.caller.lane, page.limit, page.offset
    )
    assert found is not None, "the statement always has a row"
    return Answer(200, paged([shapes.decision_answer(row) for row in found.rows], page, found.total))


async def list_jobs(call: Call) -> Answer:
    """List jobs, newest first."""
    query, page = call.request.query, page_of(call.request.query)
    kind = _one_of(query.get("kind"), _KINDS, "kind")
    state = _one_of(query.get("state"), sorted(JOB.states), "state")
    order_id = uuid_of(query["orderId"]) if query.get("orderId") else None
    retryable = _one_of(query.get("retryable"), ("true", "false"), "retryable") == "true"
    found = await _jobs(call, kind, state, order_id, None, page, retryable=retryable)
    return Answer(200, paged([shapes.job_answer(row) for row in found.rows], page, found.total))


async def read_job(call: Call) -> shapes.JobAnswer:
    """Show a job."""
    return await _job(call, _path_id(call, Code.JOB_NOT_FOUND))


async def _job(call: Call, job_id: UUID) -> shapes.JobAnswer:
    found = await _jobs(call, None, None, None, job_id, PageQuery())
    if not found.rows:
        raise Refusal(Code.JOB_NOT_FOUND)
    return shapes.job_answer(found.rows[0])


async def _jobs(
    call: Call,
    kind: str | None,
    state: str | None,
    order_id: UUID | None,
    job_id: UUID | None,
    page: PageQuery,
    *,
    retryable: bool = False,
) -> shapes.StoredJobs:
    wanted = (kind, state, order_id, job_id, page.limit, page.offset, retryable)
    found = await call.desk.reads.row("resales", "jobs_of_lane", shapes.StoredJobs, call.caller.lane, *wanted)
    assert found is not None, "the statement always has a row"
    return found


async def retry_job(call: Call) -> shapes.JobAnswer:
    """Have the chain asked for a job at once, or for one in place of a failed one that follows the books."""
    retried: JobRetried = await call.submit(RetryJob(job_id=_path_id(call, Code.JOB_NOT_FOUND)))
    await call.services.jobs.ask_again(call.caller.lane, retried.job.reference)
    return await _job(call, retried.job.id)


async def fail_job(call: Call) -> shapes.JobAnswer:
    """Decide that a job is not carried out, if the chain provably has not and will not do it."""
    job_id = _path_id(call, Code.JOB_NOT_FOUND)
    await call.services.jobs.fail(call.caller.lane, job_id, caller=call.caller.name, reason=call.body.reason)
    return await _job(call, job_id)


async def list_currencies(call: Call) -> list[shapes.CurrencyAnswer]:
    """List the currencies of all branches."""
    rows = await call.desk.reads.rows("resales", "currencies_of_lane", Currency, call.caller.lane)
    return [shapes.currency_answer(row) for row in rows]


async def record_currency(call: Call) -> shapes.CurrencyAnswer:
    """Record what has become of a currency on its chain."""
    command = shapes.currency_command(_path_id(call, Code.CURRENCY_NOT_FOUND), call.body)
    return shapes.currency_answer((await call.submit(command)).currency)


async def list_instruments(call: Call) -> Answer:
    """List the instruments of all branches, newest first."""
    page = page_of(call.request.query)
    wanted = (None, page.limit, page.offset)
    found = await call.desk.reads.row(
        "resales", "instruments_of_lane", shapes.StoredInstruments, call.caller.lane, *wanted
    )
    assert found is not None, "the statement always has a row"
    return Answer(200, paged([shapes.instrument_answer(row) for row in found.rows], page, found.total))


async def record_instrument(call: Call) -> shapes.InstrumentAnswer:
    """Record what has become of an instrument on its chain."""
    command = shapes.instrument_command(_path_id(call, Code.INSTRUMENT_NOT_FOUND), call.body)
    return shapes.instrument_answer((await call.submit(command)).instrument)


async def read_resale_fees(call: Call) -> shapes.DeskFeesAnswer:
    """Show what the desk takes of sales."""
    terms = await call.desk.reads.row("resales", "terms", ResaleTerms, call.caller.lane)
    return shapes.fees_answer(terms or ResaleTerms())


async def set_resale_fees(call: Call) -> Answer:
    """Set what the desk takes of sales."""
    return await answer_to(call, await call.submit(shapes.fees_command(call.body)))


def _path_id(call: Call, unknown: Code) -> UUID:
    """Return the id in the path in either spelling; refuses with `unknown` for what is none."""
    text = call.path_text("id")
    try:
        return parse_compact_id(text) or canonical_uuid(text)
    except ValueError:
        raise Refusal(unknown) from None


def _one_of(text: str | None, words: Any, what: str) -> str | None:
    if text and text not in words:
        raise Refusal(Code.REQUEST_INVALID, f"There is no {what} {text[:40]!r}.")
    return text or None


def _route(method: str, path: str, handler: Any, summary: str, answer: Any, *refuses: Code, **more: Any) -> Route:
    return Route(
        method=method,
        path=path,
        handler=handler,
        summary=summary,
        scope=OPERATOR_SCOPE,
        answer=answer,
        refuses=refuses,
        **more,
    )


ROUTES = (
    _route(
        "GET",
        "/resales",
        list_resales,
        "List what is listed for resale, newest first",
        list[shapes.ResaleAnswer],
        query=shapes.ResalesQuery,
    ),
    _route(
        "GET",
        "/resales/{id}",
        read_resale,
        "Show a listing, why rules took it or did not, and its jobs",
        shapes.ResaleDetail,
        Code.ORDER_NOT_FOUND,
    ),
    _route(
        "GET",
        "/resale-decisions",
        list_decisions,
        "List what rules said of listings, newest first",
        list[shapes.DecisionAnswer],
        query=PageQuery,
    ),
    _route("GET", "/jobs", list_jobs, "List jobs, newest first", list[shapes.JobAnswer], query=shapes.JobsQuery),
    _route("GET", "/jobs/{id}", read_job, "Show a job", shapes.JobAnswer, Code.JOB_NOT_FOUND),
    _route(
        "POST",
        "/jobs/{id}/retry",
        retry_job,
        "Have the chain asked for a job at once, or anew if it only follows the books and has failed",
        shapes.JobAnswer,
        Code.JOB_NOT_FOUND,
        Code.INVALID_STATE,
    ),
    _route(
        "POST",
        "/jobs/{id}/fail",
        fail_job,
        "Fail a job that the chain provably has not done and will not do",
        shapes.JobAnswer,
        Code.JOB_NOT_FOUND,
        Code.INVALID_STATE,
        Code.JOB_UNDER_WAY,
        Code.RAIL_UNAVAILABLE,
        body=shapes.FailRequest,
    ),
    _route(
        "GET",
        "/resale-currencies",
        list_currencies,
        "List the currencies of all branches",
        list[shapes.CurrencyAnswer],
    ),
    _route(
        "PUT",
        "/resale-currencies/{id}",
        record_currency,
        "Record what has become of a currency on its chain",
        shapes.CurrencyAnswer,
        Code.CURRENCY_NOT_FOUND,
        body=shapes.CurrencyDeploymentRequest,
    ),
    _route(
        "GET",
        "/resale-instruments",
        list_instruments,
        "List the instruments of all branches, newest first",
        list[shapes.InstrumentAnswer],
        query=PageQuery,
    ),
    _route(
        "PUT",
        "/resale-instruments/{id}",
        record_instrument,
        "Record what has become of an instrument on its chain",
        shapes.InstrumentAnswer,
        Code.INSTRUMENT_NOT_FOUND,
        body=shapes.InstrumentDeploymentRequest,
    ),
    _route("GET", "/resale-fees", read_resale_fees, "Show what the desk takes of sales", shapes.DeskFeesAnswer),
    _route(
        "PUT",
        "/resale-fees",
        set_resale_fees,
        "Set what the desk takes of sales",
        shapes.DeskFeesAnswer,
        Code.FEE_EXCESSIVE,
        Code.PROPOSAL_OPEN,
        body=shapes.DeskFeesRequest,
        also=WAITS,
    ),
)
