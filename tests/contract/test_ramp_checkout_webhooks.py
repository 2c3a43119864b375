"""What is told of checkouts by callbacks (ramp contract 6, 3.9), and what the operator sees of them."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.contract.test_ramp_webhooks import listen
from tests.support.hosted import Hosted, opening
from tests.support.ramp import RampWorld
from tests.support.receiver import Receiver
from tests.support.server import DeskServer


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


@pytest.fixture
def world(server: DeskServer) -> RampWorld:
    return RampWorld(server)


class Opened:
    """A checkout whose business listens."""

    def __init__(self, world: RampWorld, receiver: Receiver, kind: str = "payout/fiat") -> None:
        listen(world, receiver.url(), "ramp", "CheckoutSession", tenant="user-b1")
        self.world, self.receiver, self.kind, self.body = world, receiver, kind, opening(kind)
        self.hosted = Hosted(world, world.post(f"/v1/checkout/{kind}", self.body).json())

    def now(self) -> Any:
        """Return what is answered to the same request again."""
        return self.world.post(f"/v1/checkout/{self.kind}", self.body).json()["CheckoutSession"]

    def told(self, count: int) -> list[Any]:
        """Return the first messages, checked for what holds of all."""
        self.receiver.wait_for(count)
        messages = [msgspec.json.decode(one.body) for one in self.receiver.requests]
        assert len(messages) == count
        assert {one["EventType"] for one in messages} == {"CheckoutSession"}
        assert {one["UserID"] for one in messages} == {"user-b1"}
        versions = [one["EventVersion"] for one in messages]
        assert versions == sorted(set(versions))
        return [one["Data"] for one in messages]


@pytest.mark.parametrize("outcome, status", [("settled", "Settled"), ("failed", "Failed")])
def test_it_is_told_when_it_is_opened_and_when_it_ends(
    world: RampWorld, receiver: Receiver, outcome: str, status: str
) -> None:
    checkout = Opened(world, receiver)
    assert checkout.told(1) == [checkout.hosted.session]
    checkout.hosted.confirm()
    (paid,) = world.transactions()
    world.finish(paid["ID"], outcome)
    first, last = checkout.told(2)
    assert first == checkout.hosted.session  # what is told of a moment stays what it was then
    assert last == checkout.now()
    assert last["Status"] == status
    assert "token" not in str(receiver.requests[0].body)


def test_turned_down_it_is_told(world: RampWorld, receiver: Receiver) -> None:
    checkout = Opened(world, receiver, "payin/fiat")
    hosted = checkout.hosted
    hosted.send({**hosted.page().hidden, "action": "cancel"})
    assert [data["Status"] for data in checkout.told(2)] == ["Pending", "Failed"]


def test_what_was_paid_in_is_told(world: RampWorld, receiver: Receiver) -> None:
    checkout = Opened(world, receiver, "payin/crypto")
    address = next(word for word in checkout.hosted.page().text.split() if word.startswith("0x"))
    world.steer("chain-deposits", address=address, asset="USDC", network="Ethereum", amount="25.5")
    assert checkout.told(2)[1] == checkout.now()
    assert checkout.now()["Status"] == "Settled"


def test_the_operator_hears_and_sees_it_too(world: RampWorld, receiver: Receiver) -> None:
    listen(world, receiver.url(), "standard", "checkout.opened", "checkout.confirmed")
    hosted = Hosted(world, world.post("/v1/checkout/payout/fiat", opening()).json())
    hosted.confirm()
    receiver.wait_for(2)
    kinds = [msgspec.json.decode(one.body)["type"] for one in receiver.requests]
    assert kinds == ["checkout.opened", "checkout.confirmed"]
    page = world.operator("GET", "/operator/orders?limit=50")
    assert page.status_code == 200, page.text
    assert hosted.id in {row["id"] for row in page.json()["data"]}
    one = world.operator("GET", f"/operator/orders/{hosted.id}")
    assert one.status_code == 200, one.text
