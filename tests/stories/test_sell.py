"""A sell, told from the quote to the settled books: a business turns tokens into euros over the exchanges dialect."""

from tests.support.served import NewWorld, assert_books_sound
from tests.support.server import START, assert_refused


def test_a_business_sells_tokens(new_world: NewWorld) -> None:
    world = new_world(clock="2031-07-01T09:14:30.250Z", frozen=True)

    # The business asks and confirms; nothing moves yet.
    quote = world.post("/quote", world.sell_body("1800")).json()["data"]
    assert (quote["rate"], quote["destinationAmount"]) == ("0.921", "1657.80")
    order_id = quote["quoteId"]
    assert world.confirm(order_id, "sell").json()["data"] == {"orderId": order_id, "status": "pending_approval"}
    assert world.balances() == START
    assert_refused(world.post(f"/{order_id}/cancel"), 409, "NOT_CANCELLABLE")

    # The market moves; the operator asks again, and the business agrees to the new rate.
    world.price("USDC", "EUR", "0.9195")
    assert world.requote(order_id, ttlSeconds=30).json()["data"]["rate"] == "0.9195"
    world.advance(seconds=29)
    assert world.confirm(order_id, "sell").status_code == 201

    # The operator approves at the live price; the tokens are collected and the euros paid.
    approved = world.approve(order_id, None)
    assert (approved.status_code, approved.json()["data"]["status"]) == (200, "completed")
    order = world.order(order_id)
    assert (order["rate"], order["sourceAmount"], order["destinationAmount"]) == ("0.9195", "1800.000000", "1655.10")

    # The books say the same, to the last unit.
    assert world.balances() == ("11655.10", "998344.90", "3200.000000", "1001800.000000")
    assert world.held() == {}
    assert [entry["reason"] for entry in world.detail(order_id)["entries"][::2]] == [
        "conversion collection",
        "conversion payout",
    ]
    assert_books_sound(world)


def test_a_sell_whose_euros_cannot_be_paid_gives_the_tokens_back(new_world: NewWorld) -> None:
    world = new_world(frozen=True)
    order_id = world.confirmed_sell("1800")
    world.fault("fiat", "refuse")
    assert world.approve(order_id, "0.9195").json()["data"]["status"] == "failed"
    assert world.balances() == START
    assert world.held() == {}
    world.fault("fiat", "up")
    assert world.approve(world.confirmed_sell("1800"), "0.9195").json()["data"]["status"] == "completed"
    assert world.balances() == ("11655.10", "998344.90", "3200.000000", "1001800.000000")
    assert_books_sound(world)
