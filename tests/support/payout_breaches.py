"""How the books of payouts are broken, each way seen by the invariant that it breaks."""

from tests.support.breaches import DONE_KEY, Breach
from tests.support.desk import TREASURY_EUR

#: The first order of a side in a state; $1 is the lane.
_PAID_OUT = """select o.id from orders as o join payments as p on p.lane = o.lane and p.order_id = o.id
        and p.kind in ('payout', 'return', 'adjustment')
    where o.lane = $1 and o.side = '{side}' and o.state = '{state}' order by o.id limit 1"""


PAYOUT_BREACHES = [
    *(
        Breach("payment_has_its_order", by, _PAID_OUT.format(side=side, state=state), "payments")
        for side, state, changes in (
            ("sell", "settled", ("fiat = 'USD'", "fiat_units = fiat_units + 1", "rate = rate + 1")),
            ("sell", "pending", ("asset = 'BTC'", "tenant_id = gen_random_uuid()")),
            ("buy", "settled", ("fiat = 'USD'", "fiat_units = fiat_units + 1", "asset = 'BTC'", "rate = rate + 1")),
            ("credit", "settled", ("asset = 'BTC'", "tenant_id = gen_random_uuid()")),
            ("debit", "settled", ("asset = 'BTC'",)),
        )
        for by in (
            *(f"update payments set {change} where order_id = $1" for change in changes),
            "delete from payments where order_id = $1",
            "delete from orders where id = $1",
            "update orders set product = 'conversion' where id = $1",
        )
    ),
    *(
        Breach("payout_costs_what_it_says", by, _PAID_OUT.format(side=side, state=state), "orders")
        for by, side, state in (
            ("update orders set source_units = source_units - 1 where id = $1", "sell", "settled"),
            ("update orders set source_units = source_units + 1 where id = $1", "sell", "pending"),
            ("update payments set fee_units = fee_units + 1 where order_id = $1", "sell", "failed"),
            ("update payments set surcharge_units = surcharge_units + 1 where order_id = $1", "sell", "held"),
            ("update payments set ceiling = 0 where order_id = $1", "sell", "settled"),
            ("update payments set ceiling = ceiling / 1000 where order_id = $1", "sell", "cancelling"),
            ("update orders set destination_units = destination_units + 1 where id = $1", "buy", "settled"),
        )
    ),
    *(
        Breach("payout_reserves_what_it_takes", by, _PAID_OUT.format(side="sell", state=state), "orders")
        for state in ("pending", "held", "cancelling")
        for by in (
            "update holds set state = 'released' where order_id = $1",
            "update holds set units = units + 1 where order_id = $1",
            f"update holds set units = units + 1 where order_id = $1 and account_id = '{TREASURY_EUR}'",
            f"update holds set units = units + 1 where order_id = $1 and account_id <> '{TREASURY_EUR}'",
            "update holds set account_id = gen_random_uuid() where order_id = $1",
            "update holds set order_id = gen_random_uuid() where order_id = $1",
            "update orders set pay_hold_id = null where id = $1",
            "update orders set collect_hold_id = null where id = $1",
            "update orders set pay_hold_id = collect_hold_id, collect_hold_id = pay_hold_id where id = $1",
            "update orders set rail_reference = null where id = $1",
            "update orders set state = 'settled' where id = $1",
        )
    ),
    *(
        Breach("payout_reserves_what_it_takes", by, _PAID_OUT.format(side=side, state=state), "orders")
        for by, side, state in (
            ("update orders set waits_for = null where id = $1", "sell", "pending"),
            ("update orders set waits_for = null where id = $1", "sell", "cancelling"),
            ("update orders set waits_for = 'payout' where id = $1", "sell", "held"),
            ("update orders set waits_for = 'payout' where id = $1", "sell", "settled"),
            ("update orders set rail_reference = 'again' where id = $1", "sell", "settled"),
            ("update orders set rail_reference = 'again' where id = $1", "sell", "failed"),
            ("update orders set pay_hold_id = gen_random_uuid() where id = $1", "sell", "failed"),
            ("update orders set collect_hold_id = gen_random_uuid() where id = $1", "buy", "settled"),
            ("update orders set waits_for = 'payout' where id = $1", "debit", "settled"),
            ("update orders set state = 'pending', waits_for = 'payout' where id = $1", "sell", "settled"),
        )
    ),
    *(
        Breach(
            "prepared_payout_is_sold_once",
            by,
            "select id from prepared_payouts where lane = $1 and order_id is not null order by id limit 1",
            "prepared_payouts",
        )
        for by in (
            "update prepared_payouts set order_id = gen_random_uuid() where id = $1",
            "update prepared_payouts set tenant_id = gen_random_uuid() where id = $1",
            "update payments set prepared_id = null where prepared_id = $1",
            """update prepared_payouts as q set order_id = (
                select r.order_id from prepared_payouts as r where r.lane = q.lane and r.id <> q.id
                    and r.order_id is not null order by r.id limit 1
            ) where id = $1""",
            "delete from payments where prepared_id = $1",
        )
    ),
    *(
        Breach(f"{name}_key_has_its_{effect}", by, DONE_KEY.format(scope=scope), "idempotency_keys")
        for name, effect, scope in (("sell", "payout", "sell_payout"), ("adjustment", "order", "adjust_payout"))
        for by in (
            """update idempotency_keys as k set answer = (
                select o.answer from idempotency_keys as o
                where o.scope = k.scope and o.outcome = 'done' and o.answer <> k.answer and o.lane = k.lane limit 1
            ) where owner_id || '/' || scope || '/' || idempotency_key = $1""",
            """update idempotency_keys set answer = 'nothing'
            where owner_id || '/' || scope || '/' || idempotency_key = $1""",
        )
    ),
    Breach(
        "sell_key_has_its_payout",
        "update orders set tenant_id = gen_random_uuid() where $1 <> ''",
        DONE_KEY.format(scope="sell_payout"),
        "idempotency_keys",
    ),
    Breach(
        "sell_key_has_its_payout",
        "update orders set product = 'conversion' where $1 <> ''",
        DONE_KEY.format(scope="sell_payout"),
        "idempotency_keys",
    ),
    Breach(
        "adjustment_key_has_its_order",
        "update payments set kind = 'return' where $1 <> ''",
        DONE_KEY.format(scope="adjust_payout"),
        "idempotency_keys",
    ),
    *(
        Breach("settled_payout_is_booked_once", by, _PAID_OUT.format(side=side, state=state), "orders")
        for by, side, state in (
            ("delete from ledger_transactions where order_id = $1", "sell", "settled"),
            ("delete from ledger_transactions where order_id = $1", "buy", "settled"),
            ("delete from ledger_transactions where order_id = $1", "credit", "settled"),
            ("update ledger_transactions set order_id = null where order_id = $1", "debit", "settled"),
            ("update orders set state = 'failed' where id = $1", "sell", "settled"),
            ("update orders set state = 'settled' where id = $1", "sell", "pending"),
            (
                """insert into ledger_transactions select lane, seq, gen_random_uuid(), reason, order_id, reference,
                caller, booked_at from ledger_transactions where order_id = $1""",
                "sell",
                "settled",
            ),
        )
    ),
    *(
        Breach("return_is_of_a_settled_payout", by, _PAID_OUT.format(side=side, state="settled"), "payments")
        for by, side in (
            ("update payments set returns_id = gen_random_uuid() where order_id = $1", "buy"),
            ("update payments set returns_id = null where order_id = $1", "buy"),
            ("update payments set returns_id = order_id where order_id = $1", "buy"),
            ("update payments set fiat_units = 1000000 where order_id = $1", "buy"),
            ("update payments set asset = 'BTC' where order_id = $1", "buy"),
            ("update payments set tenant_id = gen_random_uuid() where order_id = $1", "buy"),
            ("update payments set adjusts_id = null where order_id = $1", "credit"),
            ("update payments set adjusts_id = order_id where order_id = $1", "debit"),
            ("update payments set asset = 'BTC' where order_id = $1", "credit"),
        )
    ),
    *(
        Breach("completed_order_has_its_trade", by, _PAID_OUT.format(side=side, state="settled"), "orders")
        for by, side in (
            ("delete from trades where order_id = $1", "sell"),
            ("delete from trades where order_id = $1", "buy"),
        )
    ),
    Breach(
        "trade_agrees_with_its_order",
        "update orders set state = 'pending' where id = $1",
        _PAID_OUT.format(side="sell", state="settled"),
        "trades",
    ),
    *(
        Breach(
            "closed_order_has_no_open_hold",
            "update holds set state = 'open' where order_id = $1",
            _PAID_OUT.format(side="sell", state=state),
            "orders",
        )
        for state in ("settled", "failed")
    ),
]
