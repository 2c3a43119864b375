"""How the books of payouts through a bank are broken, for the tests of their invariants."""

from tests.support.breaches import DONE_KEY, Breach

#: The first payout in a file whose order is in a state; $1 is the lane.
_FILED = """select p.order_id from filed_payouts as p join orders as o on o.lane = p.lane and o.id = p.order_id
    where p.lane = $1 and o.state = '{state}' order by p.order_id limit 1"""
_RETURNED = """select p.order_id from filed_payouts as p join orders as o on o.lane = p.lane and o.id = p.order_id
    where p.lane = $1 and o.state = 'settled' and p.returned_by is not null limit 1"""
_FILE = "select id from payout_files where lane = $1 order by id limit 1"
_LINE = "select id from statement_lines where lane = $1 and {which} order by id limit 1"
_WHOLE = _LINE.format(which="file_id is not null")
_DEBIT = _LINE.format(which="state = 'matched' and order_id is not null and direction = 'debit'")
_CREDIT = _LINE.format(which="state = 'matched' and order_id is not null and direction = 'credit'")

BANK_BREACHES = [
    *(
        Breach("filed_payout_is_in_its_file", by, _FILED.format(state="filed"), "filed_payouts")
        for by in (
            "delete from filed_payouts where order_id = $1",
            "update filed_payouts set number = number + 100 where order_id = $1",
            "update filed_payouts set file_id = gen_random_uuid() where order_id = $1",
            """update payout_files set order_ids = array_replace(order_ids, $1, gen_random_uuid())
            where $1 = any(order_ids)""",
        )
    ),
    Breach("payout_file_adds_up", "update payout_files set total_units = 1 where id = $1", _FILE, "payout_files"),
    Breach("payout_file_adds_up", "update filed_payouts set units = 1 where file_id = $1", _FILE, "payout_files"),
    Breach("payout_file_adds_up", "delete from filed_payouts where file_id = $1", _FILE, "payout_files"),
    *(
        Breach("filed_payout_pays_its_order", by, _FILED.format(state="filed"), "filed_payouts")
        for by in (
            "delete from filed_payouts where order_id = $1",
            "delete from orders where id = $1",
            "update orders set state = 'pending' where id = $1",
            "update filed_payouts set units = units + 1 where order_id = $1",
            "update filed_payouts set file_id = gen_random_uuid() where order_id = $1",
            "update payments set fiat = 'USD' where order_id = $1",
        )
    ),
    *(
        Breach("filed_payout_ended_as_its_bank_said", by, chosen, "filed_payouts")
        for by, chosen in (
            (
                "update filed_payouts set debited_by = gen_random_uuid() where order_id = $1",
                _FILED.format(state="filed"),
            ),
            (
                "update filed_payouts set returned_by = gen_random_uuid() where order_id = $1",
                _FILED.format(state="filed"),
            ),
            ("update orders set state = 'failed' where id = $1", _FILED.format(state="settled")),
            ("update payments set returns_id = null where returns_id = $1", _RETURNED),
            (
                "update filed_payouts set debited_by = gen_random_uuid(), returned_by = null where order_id = $1",
                _FILED.format(state="failed"),
            ),
        )
    ),
    *(
        Breach("statement_line_did_what_it_says", by, chosen, "statement_lines")
        for by, chosen in (
            ("update filed_payouts set debited_by = null where debited_by = $1", _DEBIT),
            ("update filed_payouts set debited_by = null where debited_by = $1", _WHOLE),
            ("update filed_payouts set returned_by = null where returned_by = $1", _CREDIT),
            ("delete from statement_lines where id = $1", _DEBIT),
            ("delete from statement_lines where id = $1", _WHOLE),
            ("update statement_lines set direction = 'credit' where id = $1", _DEBIT),
            ("update statement_lines set direction = 'debit' where id = $1", _CREDIT),
            ("update statement_lines set order_id = gen_random_uuid() where id = $1", _CREDIT),
            ("update statement_lines set file_id = gen_random_uuid() where id = $1", _WHOLE),
        )
    ),
    *(
        Breach("file_key_has_its_file", by, DONE_KEY.format(scope="file_payouts"), "idempotency_keys")
        for by in (
            "delete from payout_files where $1 <> ''",
            """update idempotency_keys set answer = 'nothing'
            where owner_id || '/' || scope || '/' || idempotency_key = $1""",
            """update idempotency_keys as k set answer = (
                select o.answer from idempotency_keys as o
                where o.scope = k.scope and o.outcome = 'done' and o.answer <> k.answer and o.lane = k.lane limit 1
            ) where owner_id || '/' || scope || '/' || idempotency_key = $1""",
        )
    ),
]
