"""A live lane of the ramp dialect: nothing that is made up is given out there, and nothing is steered."""

import time
from typing import Any

import pytest

from tests.support.hosted import opening
from tests.support.ramp import PREP, RampWorld, assert_error
from tests.support.server import DeskServer, run_cli

_ADDRESS = {"Address": "0x" + "34" * 20}


@pytest.fixture(scope="module")
def live(server: DeskServer, tmp_path_factory: pytest.TempPathFactory) -> RampWorld:
    """Give the fixture's world in a live lane, with its operator's token; its key `live` is K1's."""
    file = tmp_path_factory.mktemp("live") / "world.toml"
    text = RampWorld.file().replace('name = "ramp"', 'name = "live"')
    for unsigned in ("K0", "K9"):
        text = text.replace(f'[[tenants.request_keys]]\nref = "{unsigned}"\n', "")
    file.write_text(text, encoding="utf-8")
    said = run_cli(server, "world", "load", str(file), "--lane", f"live-{time.time_ns()}")
    told = dict(line.split()[:2] for line in said.splitlines() if "(shown this once)" in line)
    server.secrets.update(told.values())
    world = RampWorld(server)
    world.token = told["operator:"]
    (world.request_keys["live"],) = [one for one in told.values() if one.startswith("apikey_prod_")]
    return world


def _signed(world: RampWorld, path: str, body: Any) -> Any:
    return world.signed("POST", f"/v1/{path}", body, key="live")


def _opening(kind: str) -> dict[str, Any]:
    return opening(kind, CryptoCurrency="USDC")


def _session(world: RampWorld) -> str:
    prepared = _signed(world, "transactions/sell/prepare", {**PREP, "CryptoCurrency": "USDC"})
    session: str = prepared.json()["FormSessionID"]
    return session


def test_no_places_are_made_up(live: RampWorld) -> None:
    condition = {"AmountConditions": [], "CryptoCurrency": "USDC", "Network": "Ethereum"}
    asked = {
        "checkout/payin/crypto": _opening("payin/crypto"),
        "checkout/payin/fiat": _opening("payin/fiat"),
        "checkout/buy": _opening("buy"),
        "workflows/onchain-deposit-to-payment-method": {
            "Trigger": {"Type": "SingleOnchainDepositSourceTriggerInput", "Conditions": [condition], "Nonce": "n"},
            "CustomerID": "cust-001",
            "CryptoCurrency": "USDC",
            "FiatAmount": "1",
            "FormSessionID": _session(live),
        },
        "workflows/bank-deposit-to-onchain-address": {
            "CustomerID": "cust-001",
            "FiatCurrency": "EUR",
            "CryptoCurrency": "USDC",
            "Network": "Ethereum",
            "DestinationAddress": _ADDRESS,
        },
    }
    for path, body in asked.items():
        told = assert_error(_signed(live, path, body), 401, "Forbidden")
        assert told["Extensions"]["Features"] == {"Deposit": ["GloballyDisabled"]}, path


def test_what_needs_no_place_works(live: RampWorld) -> None:
    assert _signed(live, "checkout/payout/fiat", _opening("payout/fiat")).status_code == 200


@pytest.mark.parametrize(
    "method, path, body",
    [
        ("POST", "chain-deposits", {"tenant": "user-b1", "asset": "USDC", "network": "Ethereum", "amount": "1"}),
        ("POST", "prices", {"sourceAsset": "USDC", "destinationAsset": "EUR", "rate": "9"}),
        ("POST", "clock", {"advanceSeconds": 60}),
        ("GET", "clock", None),
        ("POST", "work", None),
    ],
)
def test_nothing_is_steered(live: RampWorld, method: str, path: str, body: Any) -> None:
    assert live.operator("GET", "/operator/tenant-deposits").json()["data"] == []
    answer = live.operator(method, f"/sandbox/{path}", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "INSUFFICIENT_SCOPE")
    assert live.operator("GET", "/operator/tenant-deposits").json()["data"] == []
