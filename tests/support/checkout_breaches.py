"""How the books of checkouts are broken, each way seen by the invariant that it breaks."""

from tests.support.breaches import DONE_KEY, Breach

#: The first order of a side in a state, and the place of the first that is waited for; $1 is the lane.
_CHECKOUT = """select id from orders where lane = $1 and product = 'checkout' and side = '{side}' and state = '{state}'
    order by id limit 1"""
_PLACE = """select place from awaited_payments where lane = $1 and arrived_units {arrived} due_units
    order by place limit 1"""

#: The place of the first checkout in fiat in a state for which something has arrived, and a change of what is its own.
_FIAT = """select a.place from awaited_payments as a join orders as o on o.lane = a.lane and o.id = a.order_id
    where a.lane = $1 and o.side = 'fiat_in' and o.state = '{state}' and a.arrived_units > 0 order by a.place limit 1"""
_OF_PLACE = """{change}
    from (select order_id as of_id, unbought_ids[1] as unbought_id, place from awaited_payments) as a
    where {of} and place = $1"""

CHECKOUT_BREACHES = [
    *(
        Breach("checkout_has_its_order", by, _CHECKOUT.format(side=side, state=state), "checkouts")
        for side, state, changes in (
            ("fiat_out", "settled", ("fiat = 'USD'", "asset = 'BTC'", "tenant_id = gen_random_uuid()")),
            ("fiat_in", "settled", ("fiat = 'USD'", "asset = 'BTC'")),
            ("asset_in", "settled", ("asset = 'BTC'",)),
        )
        for by in (
            *(f"update checkouts set {change} where order_id = $1" for change in changes),
            "delete from checkouts where order_id = $1",
            "delete from orders where id = $1",
        )
    ),
    *(
        Breach("checkout_follows_its_payout", by, _CHECKOUT.format(side="fiat_out", state=state), "orders")
        for by, state in (
            ("delete from payments where checkout_id = $1", "confirmed"),
            ("update payments set checkout_id = null where checkout_id = $1", "settled"),
            ("update payments set party_id = gen_random_uuid() where checkout_id = $1", "settled"),
            ("update payments set tenant_id = gen_random_uuid() where checkout_id = $1", "failed"),
            ("update payments set ceiling = ceiling + 1 where checkout_id = $1", "settled"),
            ("update payments set fiat_units = fiat_units + 1 where checkout_id = $1", "confirmed"),
            ("update payments set checkout_id = $1::uuid where order_id <> $1::uuid and kind = 'payout'", "open"),
            ("update orders set state = 'settled' where id = $1", "confirmed"),
            ("update orders set state = 'confirmed' where id = $1", "settled"),
            ("update orders set state = 'confirmed' where id = $1", "failed"),
            ("update orders set confirmed_at = null where id = $1", "settled"),
            ("update orders set confirmed_at = created_at where id = $1", "expired"),
        )
    ),
    *(
        Breach("awaited_payment_has_its_checkout", by, _PLACE.format(arrived=arrived), "awaited_payments")
        for by, arrived in (
            ("update awaited_payments set due_units = due_units + 1 where place = $1", ">="),
            ("update awaited_payments set order_id = gen_random_uuid() where place = $1", "<"),
            ("update awaited_payments set arrived_units = due_units - 1 where place = $1", ">="),
            ("update awaited_payments set arrived_units = due_units where place = $1", "<"),
            (
                _OF_PLACE.format(change="update orders set due_at = null", of="id = of_id"),
                "<",
            ),
        )
    ),
    *(
        Breach("awaited_payment_has_its_checkout", by, _FIAT.format(state="settled"), "awaited_payments")
        for by in (
            "update awaited_payments set unbought_ids = array[gen_random_uuid()] where place = $1",
            "update awaited_payments set brought_units = brought_units + 1 where place = $1",
        )
    ),
    Breach(
        "awaited_payment_has_its_checkout",
        _OF_PLACE.format(change="update orders set due_at = now()", of="id = of_id"),
        _FIAT.format(state="confirmed"),
        "awaited_payments",
    ),
    *(
        Breach("arrival_is_bought_once", by, _FIAT.format(state=state), "awaited_payments")
        for state, by in (
            ("settled", "update awaited_payments set arrived_units = arrived_units - 1 where place = $1"),
            ("settled", "update awaited_payments set brought_units = brought_units + 1 where place = $1"),
            ("settled", _OF_PLACE.format(change="update payments set checkout_id = null", of="checkout_id = of_id")),
            ("settled", _OF_PLACE.format(change="update payments set fiat_units = 9999", of="checkout_id = of_id")),
            ("confirmed", "update awaited_payments set arrived_units = arrived_units - 1 where place = $1"),
            ("confirmed", "update awaited_payments set unbought_ids = array[gen_random_uuid()] where place = $1"),
            ("confirmed", "update awaited_payments set unbought_ids = unbought_ids || unbought_ids where place = $1"),
            (
                "confirmed",
                _OF_PLACE.format(change="update orders set state = 'pending'", of="id = unbought_id"),
            ),
            (
                "confirmed",
                """update payments set deposit_id = (select unbought_ids[1] from awaited_payments where place = $1)
                where kind = 'purchase'""",
            ),
        )
    ),
    *(
        Breach("open_key_has_its_checkout", by, DONE_KEY.format(scope="open_checkout"), "idempotency_keys")
        for by in (
            "delete from checkouts where $1 <> ''",
            "update checkouts set tenant_id = gen_random_uuid() where $1 <> ''",
            """update idempotency_keys as k set answer = (
                select o.answer from idempotency_keys as o
                where o.scope = k.scope and o.outcome = 'done' and o.answer <> k.answer and o.lane = k.lane limit 1
            ) where owner_id || '/' || scope || '/' || idempotency_key = $1""",
        )
    ),
]
