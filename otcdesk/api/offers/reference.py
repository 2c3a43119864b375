"""What partners need around offers: users, terms, levels, listings, holdings, and notices of bank transfers."""

from otcdesk.api.dialect import Call
from otcdesk.api.http import Answer
from otcdesk.api.offers import reference_shapes as shapes
from otcdesk.api.offers.queries import Query
from otcdesk.api.offers.reads import check_verified, party_of, tax_rate, user
from otcdesk.api.offers.shapes import path_id, user_of
from otcdesk.api.offers.trade_shapes import whole
from otcdesk.api.offers.trades import finished_trade
from otcdesk.domain.brokerage import AccountLevel, Agreement
from otcdesk.domain.ledger import Account


async def create_user(call: Call) -> shapes.UserAnswer:
    """Make a user under the partner's own id for it."""
    made = await call.submit(shapes.register_command(call.body))
    return shapes.UserAnswer(id=str(made.party.id))


async def accept_terms(call: Call) -> list[shapes.TermAnswer]:
    """Keep that a user has accepted terms; answers all that it has accepted."""
    reply = await call.submit(shapes.accept_terms_command(call.path_text("id"), call.body))
    rows = shapes.accepted(await _agreements(call), reply.party, None)
    return [shapes.term_answer(row) for row in rows]


async def list_terms(call: Call) -> Answer:
    """List the terms that count now."""
    return await _terms(call, shapes.wanted_terms(Query(call.request)))


async def list_terms_v2(call: Call) -> Answer:
    """List the terms that count now for a country and a kind of account."""
    return await _terms(call, shapes.wanted_terms_v2(Query(call.request)))


async def _terms(call: Call, wanted: shapes.Wanted) -> Answer:
    now = await call.desk.business_time(call.caller.lane)
    rows = shapes.in_force(await _agreements(call), now, wanted)
    return whole([shapes.term_answer(row) for row in rows], call.request)


async def list_accepted_terms(call: Call) -> Answer:
    """List the terms that a user has accepted."""
    return await _accepted_terms(call, shapes.accepted_journeys(Query(call.request), shapes.JOURNEYS))


async def list_accepted_terms_v2(call: Call) -> Answer:
    """List the terms that a user has accepted."""
    return await _accepted_terms(call, shapes.accepted_journeys(Query(call.request), shapes.JOURNEYS_V2))


async def _accepted_terms(call: Call, journeys: frozenset[str] | None) -> Answer:
    party = await party_of(call, path_id(call.path_text("id"), "user_id"))
    rows = shapes.accepted(await _agreements(call), party, journeys)
    return whole([shapes.term_answer(row) for row in rows], call.request)


async def _agreements(call: Call) -> list[Agreement]:
    return await call.desk.reads.rows("brokerage", "agreements", Agreement, call.caller.lane)


async def list_levels(call: Call) -> Answer:
    """List the account levels."""
    rows = await call.desk.reads.rows("brokerage", "levels", AccountLevel, call.caller.lane)
    return whole([shapes.level_answer(row) for row in rows], call.request)


async def list_assets(call: Call) -> Answer:
    """List the assets."""
    listings = await call.services.listings.fresh(call.caller.lane)
    return whole([shapes.asset_answer(row) for row in listings.assets], call.request)


async def list_fiats(call: Call) -> Answer:
    """List the fiats."""
    listings = await call.services.listings.fresh(call.caller.lane)
    return whole([shapes.fiat_answer(row) for row in listings.fiats], call.request)


async def portfolio(call: Call) -> Answer:
    """List what a user has."""
    party = await user(call)
    accounts = await call.desk.reads.rows("brokerage", "holdings", Account, call.caller.lane, party.id)
    listings = await call.services.listings.fresh(call.caller.lane)
    return whole(shapes.holdings_answer(accounts, listings), call.request)


async def tax_status(call: Call) -> list[shapes.TaxStatusAnswer]:
    """Tell whether tax is withheld of a user's gains."""
    party = await party_of(call, user_of(call.request))
    check_verified(party)
    return shapes.tax_status_answer(party, await tax_rate(call, party))


async def fiat_stock(call: Call) -> shapes.NoticeAnswer:
    """Keep that a trade was settled by a bank transfer; nothing is booked for it."""
    trade = await finished_trade(call, shapes.settled_trade(call.body))
    return shapes.notice_answer(await call.submit(shapes.settlement_command(call.body, trade)))


async def announce_deposit(call: Call) -> shapes.NoticeAnswer:
    """Keep that a top-up is on its way; it is booked when it arrives."""
    return shapes.notice_answer(await call.submit(shapes.top_up_command(call.body)))
