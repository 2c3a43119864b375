"""How the books of deposits, rules and chain payouts are broken, each way seen by the invariant that it breaks."""

from tests.support.breaches import Breach

#: The first deposit, of a side and in a state; $1 is the lane.
_DEPOSIT = """select id from orders where lane = $1 and product = 'deposit' and side = '{side}' and state = '{state}'
    order by id limit 1"""
_SENDING = (
    "select id from orders where lane = $1 and product = 'chain_payout' and state = '{state}' order by id limit 1"
)
_RULE = "select id from rules where lane = $1 and state = '{state}' and fired > 0 order by id limit 1"
_LIVE = "select id from rules where lane = $1 and state = 'live' order by id limit 1"
_EXECUTION = """select id || '/' || number from rule_executions where lane = $1 and order_id is not null
    order by id, number limit 1"""
_PURCHASE = "select order_id from payments where lane = $1 and kind = 'purchase' order by order_id limit 1"

DEPOSIT_BREACHES = [
    *(
        Breach("deposit_has_its_order", by, _DEPOSIT.format(side=side, state=state), "deposits")
        for side, state in (("asset", "settled"), ("fiat", "refunded"))
        for by in (
            "delete from deposits where order_id = $1",
            "delete from orders where id = $1",
            "update deposits set tenant_id = gen_random_uuid() where order_id = $1",
            "update orders set side = case side when 'fiat' then 'asset' else 'fiat' end where id = $1",
            "update orders set destination_units = destination_units + 1 where id = $1",
            "update orders set destination_asset = 'BTC' where id = $1",
        )
    ),
    *(
        Breach("settled_deposit_is_booked_once", by, chosen, "orders")
        for by, chosen in (
            ("delete from ledger_transactions where order_id = $1", _DEPOSIT.format(side="fiat", state="settled")),
            ("update orders set state = 'pending' where id = $1", _DEPOSIT.format(side="asset", state="settled")),
            ("update orders set state = 'settled' where id = $1", _DEPOSIT.format(side="fiat", state="failed")),
            ("update orders set state = 'settled' where id = $1", _SENDING.format(state="failed")),
            ("delete from ledger_transactions where order_id = $1", _SENDING.format(state="settled")),
        )
    ),
    *(
        Breach("deposit_came_to_its_place", by, _DEPOSIT.format(side=side, state="settled"), "deposits")
        for side in ("asset", "fiat")
        for by in (
            "update deposits set party_id = gen_random_uuid() where order_id = $1",
            "update deposits set rule_id = gen_random_uuid() where order_id = $1",
            "update deposits set address = 'elsewhere', method = null, network = 'N' where order_id = $1",
        )
    ),
    *(
        Breach("rule_fires_once_for_a_deposit", by, _RULE.format(state=state), "rules")
        for state, by in (
            ("live", "update rules set fired = fired + 1 where id = $1"),
            ("live", "update rule_executions set deposit_id = gen_random_uuid() where rule_id = $1"),
            ("done", "delete from rule_executions where rule_id = $1"),
            ("live", "update rule_executions set order_id = null, code = 'NO' where rule_id = $1"),
            ("done", "update rule_executions set tenant_id = gen_random_uuid() where rule_id = $1"),
            (
                "live",
                """update rule_executions as x set deposit_id = (
                    select min(y.deposit_id::text)::uuid from rule_executions as y
                    where y.lane = x.lane and y.rule_id = x.rule_id
                ) where rule_id = $1""",
            ),
        )
    ),
    *(
        Breach("live_rules_are_listed", by, _LIVE, "rules")
        for by in (
            "update live_rules set rule_ids = array_remove(rule_ids, $1::uuid) where $1 <> ''",
            "update live_rules set tenant_id = gen_random_uuid() where $1 <> ''",
            "update rules set state = 'expired' where id = $1",
        )
    ),
    *(
        Breach("rule_execution_has_its_order", by, _EXECUTION, "rule_executions")
        for by in (
            "update payments set rule_id = gen_random_uuid() where rule_execution_id::text = split_part($1, '/', 1)",
            """update payments set tenant_id = gen_random_uuid()
            where rule_execution_id::text = split_part($1, '/', 1)""",
            """update rule_executions set order_id = gen_random_uuid()
            where id || '/' || number = $1""",
        )
    ),
    Breach(
        "rule_execution_has_its_order",
        "delete from rule_executions where id::text = $1",
        """select id from rule_executions where lane = $1 and order_id is not null order by id, number limit 1""",
        "rule_executions",
    ),
    *(
        Breach("purchase_is_paid_by_its_deposit", by, _PURCHASE, "payments")
        for by in (
            "update payments set deposit_id = null where order_id = $1",
            "update payments set fiat_units = fiat_units - 1 where order_id = $1",
            "update payments set fiat = 'USD' where order_id = $1",
            "update payments set tenant_id = gen_random_uuid() where order_id = $1",
        )
    ),
    Breach(
        "deposit_is_spent_once",
        """update payments set deposit_id = (select q.deposit_id from payments as q where q.order_id = $1 limit 1)
        where kind = 'purchase'""",
        _PURCHASE,
        "payments",
    ),
    *(
        Breach("chain_payout_has_its_order", by, _SENDING.format(state=state), "chain_payouts")
        for state, by in (
            ("pending", "update orders set waits_for = null where id = $1"),
            ("pending", "update orders set rail_reference = null where id = $1"),
            ("pending", "update holds set state = 'released' where order_id = $1"),
            ("pending", "update holds set units = units + 1 where order_id = $1"),
            ("pending", "delete from chain_payouts where order_id = $1"),
            ("settled", "delete from orders where id = $1"),
            ("settled", "update orders set waits_for = 'chain_payout' where id = $1"),
            ("failed", "update chain_payouts set tenant_id = gen_random_uuid() where order_id = $1"),
            ("failed", "update orders set rail_reference = 'r' where id = $1"),
        )
    ),
]
