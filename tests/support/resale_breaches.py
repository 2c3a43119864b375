"""How the books of resale are broken, each way seen by the invariant that it breaks."""

from tests.support.breaches import DONE_KEY, Breach

#: The first order of a side in a state; $1 is the lane.
_ORDER = """select id from orders where lane = $1 and product = 'resale' and side = '{side}' and state = '{state}'
    order by id limit 1"""
_LISTING = _ORDER.format(side="sell", state="{state}")

#: The first listing that was bought of, and the first that its branch took.
_BOUGHT = """select r.order_id from resales as r join purchases as p on p.lane = r.lane and p.listing_id = r.order_id
    join orders as o on o.lane = p.lane and o.id = p.order_id and o.state = 'completed'
    where r.lane = $1 order by r.order_id limit 1"""
_TAKEN = """select r.order_id from resales as r join trades as t on t.lane = r.lane and t.order_id = r.order_id
    where r.lane = $1 order by r.order_id limit 1"""
_SOLD = """select r.order_id from resales as r
    join orders as o on o.lane = r.lane and o.id = r.order_id and o.state = 'completed'
    where r.lane = $1 and not exists (select from trades as t where t.order_id = o.id) order by r.order_id limit 1"""
_JOB = "select id from jobs where lane = $1 and kind = '{kind}' and state = '{state}' order by id limit 1"
_DECISION = "select order_id from resale_decisions where lane = $1 and {which} order by order_id limit 1"
_RULE = "select id from resale_rules where lane = $1 and {which} order by id limit 1"
_ESCROW = "select id from accounts where lane = $1 and purpose = 'escrow' order by id limit 1"
_BRANCH = "select id from branches where lane = $1 and last_number > 0"
_HOLDER = "select party_id from holders where lane = $1 order by party_id limit 1"

_OF_ORDER = "update holds set {change} where order_id = $1 and state = 'open'"
_OF_POSTINGS = """update postings set {change}
    where $1::uuid in (select l.order_id from ledger_transactions as l where l.id = transaction_id)"""

#: What a job of a kind moved from, and to; and the first postings of what was sold on a market.
_GIVER = """select source_account_id from jobs where lane = $1 and kind = '{kind}' and state = '{state}'
    and source_account_id <> destination_account_id order by id limit 1"""
_GETTER = _GIVER.replace("source_account_id", "destination_account_id", 1)
_SALE = "select id from ledger_transactions where lane = $1 and reason = 'resale: {market}' order by id limit 1"

RESALE_BREACHES = [
    *(
        Breach("listing_has_its_order", by, _LISTING.format(state=state), "resales")
        for by, state in (
            ("delete from resales where order_id = $1", "active"),
            ("delete from orders where id = $1", "active"),
            ("update resales set number = null where order_id = $1", "active"),
            ("update resales set number = 99 where order_id = $1", "pending"),
            ("update resales set number = 99 where order_id = $1", "failed"),
            ("update resales set quantity = quantity + 1 where order_id = $1", "active"),
            ("update resales set price_units = price_units + 1 where order_id = $1", "completed"),
            ("update resales set tenant_id = gen_random_uuid() where order_id = $1", "cancelled"),
            ("update resales set party_id = gen_random_uuid() where order_id = $1", "cancelled"),
            ("update resales set branch_id = gen_random_uuid() where order_id = $1", "expired"),
            ("update resales set currency_id = gen_random_uuid() where order_id = $1", "expired"),
        )
    ),
    *(
        Breach("purchase_has_its_order", by, _ORDER.format(side=side, state=state), "purchases")
        for by, side, state in (
            ("delete from purchases where order_id = $1", "buy", "completed"),
            ("delete from purchases where order_id = $1", "bid", "declined"),
            ("delete from orders where id = $1", "buy", "pending"),
            ("update purchases set quantity = quantity + 1 where order_id = $1", "buy", "completed"),
            ("update purchases set price_units = price_units + 1 where order_id = $1", "bid", "active"),
            ("update purchases set tenant_id = gen_random_uuid() where order_id = $1", "buy", "failed"),
            ("update purchases set branch_id = gen_random_uuid() where order_id = $1", "buy", "failed"),
            ("update purchases set fee_units = quantity * price_units + 1 where order_id = $1", "buy", "completed"),
            ("update purchases set market = 'secondary' where order_id = $1", "bid", "completed"),
            ("update purchases set listing_id = gen_random_uuid() where order_id = $1", "bid", "pending"),
        )
    ),
    *(
        Breach("listing_holds_what_is_available", by, _LISTING.format(state=state), "resales")
        for by, state in (
            ("update resales set available = available - 1 where order_id = $1", "active"),
            ("update resales set available = 0 where order_id = $1", "withdrawing"),
            ("update resales set available = 1 where order_id = $1", "cancelled"),
            ("update orders set pay_hold_id = null where id = $1", "active"),
            ("update orders set state = 'cancelled' where id = $1", "withdrawing"),
            (_OF_ORDER.format(change="units = units - 1"), "active"),
            (_OF_ORDER.format(change="state = 'released'"), "pending"),
            (_OF_ORDER.format(change="account_id = gen_random_uuid()"), "active"),
        )
    ),
    *(
        Breach("listing_adds_up", by, chosen, "resales")
        for by, chosen in (
            ("update resales set available = available - 1 where order_id = $1", _LISTING.format(state="active")),
            ("update resales set promised = promised + 1 where order_id = $1", _LISTING.format(state="cancelled")),
            ("update resales set sold = sold - 1 where order_id = $1", _BOUGHT),
            ("update resales set sold = sold - 1 where order_id = $1", _TAKEN),
            ("update resales set quantity = quantity + 1 where order_id = $1", _SOLD),
            ("delete from trades where order_id = $1", _TAKEN),
            ("update trades set source_units = source_units + 1 where order_id = $1", _TAKEN),
            ("delete from purchases where listing_id = $1", _BOUGHT),
        )
    ),
    *(
        Breach("purchase_holds_both_sides", by, _ORDER.format(side=side, state=state), "orders")
        for by, side, state in (
            ("update orders set pay_hold_id = null where id = $1", "buy", "pending"),
            ("update orders set collect_hold_id = null where id = $1", "bid", "pending"),
            ("update orders set pay_hold_id = null where id = $1", "bid", "active"),
            ("update orders set collect_hold_id = pay_hold_id where id = $1", "bid", "active"),
            ("update orders set state = 'completed' where id = $1", "buy", "pending"),
            ("update orders set state = 'active' where id = $1", "bid", "declined"),
            (_OF_ORDER.format(change="units = units + 1"), "buy", "pending"),
            (_OF_ORDER.format(change="state = 'captured'"), "bid", "pending"),
            (_OF_ORDER.format(change="account_id = gen_random_uuid()"), "bid", "active"),
            (
                "update resales set party_id = gen_random_uuid() where promised > 0 and order_id <> $1",
                "bid",
                "pending",
            ),
            ("update purchases set branch_id = gen_random_uuid() where order_id = $1", "buy", "pending"),
        )
    ),
    *(
        Breach("resale_trade_fits", by, chosen, "orders")
        for by, chosen in (
            *(
                (by, _ORDER.format(side=side, state="completed"))
                for side in ("buy", "bid")
                for by in (
                    "delete from trades where order_id = $1",
                    "update trades set source_units = source_units + 1 where order_id = $1",
                    "update trades set destination_units = destination_units - 1 where order_id = $1",
                    "update trades set executed_rate = executed_rate + 1 where order_id = $1",
                    "update orders set state = 'failed' where id = $1",
                )
            ),
            ("update orders set state = 'completed' where id = $1", _ORDER.format(side="buy", state="failed")),
            ("update trades set source_units = source_units + 1 where order_id = $1", _TAKEN),
            ("update trades set destination_units = destination_units + 1 where order_id = $1", _TAKEN),
            ("update trades set tenant_id = gen_random_uuid() where order_id = $1", _TAKEN),
            ("update trades set executed_rate = executed_rate + 1 where order_id = $1", _TAKEN),
            ("update orders set source_units = source_units - 1 where id = $1", _TAKEN),
            ("update orders set state = 'failed' where id = $1", _TAKEN),
            ("update resales set taken_fee_units = 1 where order_id = $1", _BOUGHT),
            (
                """insert into trades select (json_populate_record(t, json_build_object('order_id', $1::text))).*
                from trades as t where true order by t.order_id limit 1""",
                _ORDER.format(side="burn", state="completed"),
            ),
        )
    ),
    *(
        Breach("resale_is_booked_once", by, chosen, "orders")
        for by, chosen in (
            *(
                (by, _ORDER.format(side="buy", state="completed"))
                for by in (
                    "delete from trades where order_id = $1",
                    "delete from ledger_transactions where order_id = $1",
                    "update purchases set fee_units = fee_units + 1 where order_id = $1",
                    "update purchases set desk_fee_units = desk_fee_units + 1 where order_id = $1",
                    """insert into ledger_transactions select (json_populate_record(l,
                    json_build_object('id', gen_random_uuid()))).* from ledger_transactions as l
                    where l.order_id = $1""",
                    _OF_POSTINGS.format(change="units = units + 1"),
                )
            ),
            ("update trades set source_units = source_units + 1 where order_id = $1", _TAKEN),
            ("update trades set destination_units = destination_units + 1 where order_id = $1", _TAKEN),
            ("update resales set taken_fee_units = taken_fee_units + 1 where order_id = $1", _TAKEN),
            ("update resales set taken_desk_fee_units = taken_desk_fee_units - 1 where order_id = $1", _TAKEN),
        )
    ),
    *(
        Breach(
            "resale_goes_to_its_sides",
            f"""update postings set {side}_account_id = (
                select a.id from accounts as a
                where a.lane = postings.lane and a.purpose = 'holding' and a.owner_id not in (
                    select o.owner_id from accounts as o
                    where o.lane = a.lane and o.id in (postings.source_account_id, postings.destination_account_id)
                ) order by a.id limit 1
            ) where transaction_id = $1 and number = {number}""",
            _SALE.format(market=market),
            "postings",
            f"{{chosen}}/{number}",
        )
        for market in ("otc", "secondary", "primary")
        for side in ("source", "destination")
        for number in (1, 2, 3)
    ),
    *(
        Breach("chain_follows_the_books", by, chosen, "accounts")
        for by, chosen in (
            *(
                (by, _GIVER.format(kind=kind, state=state))
                for kind, state in (
                    ("follow", "started"),
                    ("send", "started"),
                    ("list", "completed"),
                    ("purchase", "completed"),
                    ("withdraw", "completed"),
                )
                for by in (
                    "delete from jobs where source_account_id = $1",
                    f"update jobs set units = units + 1 where source_account_id = $1 and kind = '{kind}'",
                    f"""update jobs set source_account_id = destination_account_id,
                    destination_account_id = source_account_id
                    where source_account_id = $1 and kind = '{kind}'""",
                    f"""insert into jobs select (json_populate_record(j, json_build_object('id', gen_random_uuid()))).*
                    from jobs as j where j.source_account_id = $1 and j.kind = '{kind}' and j.replaces is null""",
                )
            ),
            ("delete from jobs where destination_account_id = $1", _GETTER.format(kind="follow", state="failed")),
            (
                "update jobs set units = units + 1 where source_account_id = $1 and kind = 'burn'",
                _GIVER.format(kind="burn", state="completed"),
            ),
            ("update entries set units = units + 1 where account_id = $1", _GIVER.format(kind="send", state="started")),
            (
                "update resales set promised = promised - 1 where promised > 0 and $1 <> ''",
                _ESCROW,
            ),
        )
    ),
    *(
        Breach("burnt_once", by, _ORDER.format(side="burn", state=state), "orders")
        for by, state in (
            ("delete from ledger_transactions where order_id = $1", "completed"),
            ("update orders set state = 'completed' where id = $1", "failed"),
            ("update orders set pay_hold_id = null where id = $1", "pending"),
            (_OF_ORDER.format(change="units = units - 1"), "pending"),
            (_OF_POSTINGS.format(change="units = units + 1"), "completed"),
        )
    ),
    Breach("instrument_is_somewhere", "update accounts set balance = 1 where id = $1", _ESCROW, "accounts"),
    *(
        Breach("branch_numbers_its_listings", by, _BRANCH, "branches")
        for by in (
            "update branches set last_number = last_number + 1 where id = $1",
            "update branches set last_number = last_number - 1 where id = $1",
            "delete from resales where branch_id = $1 and number = 2",
            "update resales set number = 1000 where branch_id = $1 and number = 2",
        )
    ),
    *(
        Breach("job_fits_its_order", by, _JOB.format(kind=kind, state=state), "jobs")
        for by, kind, state in (
            ("update jobs set order_id = gen_random_uuid() where id = $1", "follow", "started"),
            ("update jobs set tenant_id = gen_random_uuid() where id = $1", "follow", "started"),
            ("update jobs set asset = 'BTC' where id = $1", "follow", "started"),
            ("update jobs set source_account_id = gen_random_uuid() where id = $1", "follow", "started"),
            ("update jobs set destination_account_id = gen_random_uuid() where id = $1", "list", "completed"),
            ("update jobs set state = 'completed', waits_for = null where id = $1", "list", "started"),
            ("update jobs set state = 'failed', error = 'e', waits_for = null where id = $1", "list", "completed"),
            ("update jobs set state = 'in_progress', waits_for = 'chain_job' where id = $1", "list", "completed"),
            ("update jobs set kind = 'purchase' where id = $1", "list", "completed"),
            ("update jobs set state = 'completed', waits_for = null where id = $1", "withdraw", "in_progress"),
            ("update jobs set state = 'in_progress', waits_for = 'chain_job' where id = $1", "withdraw", "completed"),
            ("update jobs set kind = 'list' where id = $1", "purchase", "completed"),
            ("update jobs set kind = 'withdraw' where id = $1", "purchase", "completed"),
            ("update jobs set state = 'failed', error = 'e' where id = $1", "purchase", "completed"),
            ("update jobs set state = 'completed', error = null where id = $1", "purchase", "failed"),
            ("update jobs set state = 'completed', waits_for = null where id = $1", "purchase", "started"),
            ("update jobs set state = 'completed', waits_for = null where id = $1", "burn", "started"),
            ("update jobs set kind = 'burn' where id = $1", "purchase", "completed"),
            ("update jobs set tries = 2, replaces = gen_random_uuid() where id = $1", "follow", "started"),
            ("update jobs set tries = 2, replaces = gen_random_uuid() where id = $1", "list", "completed"),
            ("update jobs set tries = 2 where id = $1", "follow", "started"),
        )
    ),
    *(
        Breach(
            "job_fits_its_order", by, "select id from jobs where lane = $1 and tries = 2 order by id limit 1", "jobs"
        )
        for by in (
            "update jobs set units = units + 1 where id = $1",
            "update jobs set tries = 3 where id = $1",
            "update jobs set kind = 'send' where id = $1",
            "update jobs set state = 'in_progress', error = null, waits_for = 'chain_job' where tries = 1 and $1 <> ''",
        )
    ),
    *(
        Breach("resale_waits_for_one_job", by, _ORDER.format(side=side, state=state), "orders")
        for side, state in (
            *(("sell", state) for state in ("pending", "withdrawing")),
            *((side, "pending") for side in ("buy", "bid", "burn")),
        )
        for by in (
            "delete from jobs where order_id = $1",
            "update jobs set state = 'completed', waits_for = null where order_id = $1",
            "update jobs set kind = 'follow' where order_id = $1",
            """insert into jobs select (json_populate_record(j, json_build_object('id', gen_random_uuid()))).*
            from jobs as j
            where j.order_id = $1""",
        )
    ),
    *(
        Breach("branch_rules_are_the_active_ones", by, _RULE.format(which=which), "resale_rules")
        for by, which in (
            ("update resale_rules set active = false where id = $1", "active"),
            ("update resale_rules set ended_at = now() where id = $1", "active"),
            ("update resale_rules set active = true where id = $1", "not active and ended_at is null"),
            ("delete from resale_rules where id = $1", "active"),
            ("update resale_rules set branch_id = gen_random_uuid() where id = $1", "active"),
            ("update branch_rules set rule_ids = rule_ids || rule_ids where $1 = any(rule_ids)", "active"),
            ("update branch_rules set rule_ids = array[]::uuid[] where $1 = any(rule_ids)", "active"),
        )
    ),
    *(
        Breach(
            "consumed_rule_decides_no_more", by, _RULE.format(which="consume_on_match and not active"), "resale_rules"
        )
        for by in (
            """update resale_decisions set rule_id = $1, action = 'accept', decided_at = now() + interval '100 years'
            where true""",
            "update resale_rules set updated_at = created_at - interval '1 second' where id = $1",
        )
    ),
    *(
        Breach("decision_is_its_branchs", by, _DECISION.format(which=which), "resale_decisions")
        for by, which in (
            ("delete from resales where order_id = $1", "true"),
            ("delete from orders where id = $1", "true"),
            ("update resales set market = 'secondary' where order_id = $1", "true"),
            ("update resales set number = null where order_id = $1", "true"),
            ("update resale_decisions set rule_id = gen_random_uuid() where order_id = $1", "rule_id is not null"),
            ("update resale_decisions set tenant_id = gen_random_uuid() where order_id = $1", "true"),
            ("delete from trades where order_id = $1", "action = 'accept'"),
            ("update orders set state = 'active' where id = $1", "action = 'reject'"),
        )
    ),
    *(
        Breach("holder_is_a_party", by, _HOLDER, "holders")
        for by in (
            "delete from parties where id = $1",
            "update holders set tenant_id = gen_random_uuid() where party_id = $1",
            "update holders set branch_id = gen_random_uuid() where party_id = $1",
        )
    ),
    *(
        Breach("resale_key_has_its_job", by, DONE_KEY.format(scope="resale"), "idempotency_keys")
        for by in (
            "delete from jobs where $1 <> ''",
            "update jobs set tenant_id = gen_random_uuid() where $1 <> ''",
            """update idempotency_keys as k set answer = (
                select o.answer from idempotency_keys as o
                where o.scope = k.scope and o.outcome = 'done' and o.answer <> k.answer and o.lane = k.lane limit 1
            ) where owner_id || '/' || scope || '/' || idempotency_key = $1""",
        )
    ),
]
