"""A buy, told from the quote to the settled books: a business turns euros into tokens over the exchanges dialect."""

from uuid import uuid4

from tests.support.served import NewWorld, assert_books_sound
from tests.support.server import treasury


def test_a_business_buys_tokens(new_world: NewWorld) -> None:
    world = new_world(clock="2031-07-01T09:14:30.250Z", frozen=True)

    # The business looks at what it has.
    (account,) = world.get("/accounts").json()["data"]
    (wallet,) = world.get("/wallets").json()["data"]
    assert (account["balance"], wallet["network"]) == ("10000.00", "ethereum")

    # It asks twice, lets the first quote run out, and confirms the second, a little late for the network: twice.
    asked = {
        "sourceFrAccountId": account["id"],
        "destinationUtilaWalletId": wallet["id"],
        "sourceAmountEur": "2500.00",
    }
    forgotten = world.quoted(world.post("/quote", asked))
    world.advance(seconds=60)
    order_id = world.quoted(world.post("/quote", asked))
    key = str(uuid4())
    first, again = (world.confirm(order_id, idempotency=key) for _ in range(2))
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json() == {"data": {"orderId": order_id, "status": "debit_pending"}}
    assert world.get("/accounts").json()["data"][0]["balance"] == "7500.00"

    # The operator finds it in the queue, and the chain is down at first.
    (waiting,) = world.operator("GET", "/operator/otc-exchanges?status=pending_approval").json()["data"]
    assert waiting["id"] == order_id
    world.fault("chain", "unavailable")
    assert world.approve(order_id, "1.0838").status_code == 502
    world.fault("chain", "up")
    assert world.approve(order_id, "1.0838").json()["data"]["status"] == "completed"

    # The business reads what became of it.
    order = world.order(order_id)
    assert (order["status"], order["rate"], order["destinationAmount"]) == ("completed", "1.0838", "2709.50")
    assert world.get(f"/wallets/{wallet['id']}/balance").json()["data"]["usdcBalance"] == "7709.500000"
    assert [row["status"] for row in world.get("").json()["data"]] == ["completed", "expired"]
    assert world.status(forgotten) == "expired"

    # The books say the same, to the last unit.
    assert world.balances() == ("7500.00", "1002500.00", "7709.500000", "997290.500000")
    assert world.held() == {}
    trade = world.detail(order_id)["trade"]
    assert (trade["sourceAmount"], trade["destinationAmount"]) == ("2500.00", "2709.500000")
    assert (trade["quotedRate"], trade["executedRate"], trade["marketRateAtApproval"]) == ("1.0842", "1.0838", "1.0842")
    assert_books_sound(world)


def test_a_buy_that_is_refunded_to_the_cent(new_world: NewWorld) -> None:
    world = new_world(frozen=True)
    start = world.balances()
    order_id = world.confirmed_buy("3333.33")
    assert world.accounts()[treasury("EUR")]["balance"] == "1003333.33"
    assert world.reject(order_id).status_code == 200
    assert world.balances() == start
    assert world.detail(order_id)["trade"] is None
    assert_books_sound(world)
