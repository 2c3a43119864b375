"""The demo on an embedded server: what it leaves, what it prints, how it ends, and how it comes back."""

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import Demo, Running, get, otcdesk, paste, until_gone
from tests.support.server import free_port, wait_until

STOP_SECONDS_MAX = 10


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """A home whose name is awkward."""
    with Demo(tmp_path / "a home with spaces, quotes ' and ümlauts") as made:
        yield made


def story_in(out: str) -> list[str]:
    """Return the commands that a demo told to paste."""
    begin = ("LARGE=", "QUOTE=", "ACCESS=", "OFFER=", "SESSION=", "SOLD=", "TRANSACTION=", "curl ", "sleep ")
    return [part for part in out.split("\n\n") if part.startswith(begin)]


def test_the_story_works_when_pasted_and_outlives_the_demo(demo: Demo, tmp_path: Path) -> None:
    with demo.run() as first:
        told = demo.told
        said = first.stop(signal.SIGINT)
    assert said.code == 0, said
    assert said.out.endswith("otcdesk stopped; the data is kept.\n")
    assert said.err == ""
    assert f"otcdesk is open at {demo.url}." in said.out
    assert str(demo.home / "demo.json") in said.out
    until_gone(demo)

    codes = re.findall(r"^  code +(.* operators code \S+ .*)$", said.out, re.MULTILINE)
    given = paste(codes, tmp_path)
    assert re.fullmatch(r"([0-9]{6}\n){2}", given.out), given
    people = {one["name"]: one for one in told["console"]["users"]}
    first, second = people["Ada"], people["Ben"]
    assert f"Sign in at {demo.url}/console as {first['email']}\n  password  {first['password']}\n" in said.out
    assert f"sign in there as {second['email']}\n  password  {second['password']}\n" in said.out

    blocks = story_in(said.out)
    assert len(blocks) == 13
    with demo.run() as again:
        assert demo.told == told
        pasted = paste([*blocks, 'echo "ORDER $QUOTE"'], tmp_path)
        assert pasted.code == 0, pasted
        assert '"status":"debit_pending"' in pasted.out
        assert '"status":"completed"' in pasted.out
        assert '"spread":"1.96078000"' in pasted.out
        assert '"Status":"Settled"' in pasted.out
        assert '"amount":6.72' in pasted.out
        found = re.search("ORDER (.*)", pasted.out)
        assert found is not None
        order_id = found[1]
        assert demo.order(order_id)["rate"] == "1.0838"
        assert again.stop(signal.SIGTERM).code == 0
    until_gone(demo)

    with demo.run():
        assert demo.told == told
        assert demo.order(order_id)["status"] == "completed"
        assert otcdesk("verify", env=demo.env).code == 0  # a second command uses the same server and leaves it
        assert get(f"{demo.url}/readyz")[0] == 200


def test_what_the_demo_leaves(demo: Demo) -> None:
    with demo.run():
        file = demo.home / "demo.json"
        assert file.stat().st_mode & 0o777 == 0o600
        assert {path.stat().st_mode & 0o777 for path in (demo.home / "secrets").iterdir()} == {0o600}
        assert (demo.home / "secrets").stat().st_mode & 0o777 == 0o700
        told = demo.told
        assert told.keys() == {"base_url", "console", "operator", "exchanges", "offers", "ramp", "deals"}
        assert told["operator"].keys() == {"base_url", "token"}
        assert told["exchanges"].keys() == {"base_url", "api_key", "account_id", "wallet_id"}
        assert told["offers"].keys() == {"base_url", "client_id", "client_secret", "user_id"}
        assert told["ramp"].keys() == {"base_url", "api_key", "user_id", "channel_id", "customer_id"}
        assert told["base_url"] == demo.url
        assert told["console"]["base_url"] == f"{demo.url}/console"
        assert {one["email"].partition("@")[0]: one["roles"] for one in told["console"]["users"]} == {
            "tess": ["trader"],
            "ada": ["trader", "approver"],
            "ben": ["approver", "finance"],
            "cora": ["compliance"],
            "root": ["admin"],
        }
        file.unlink()
    with demo.run():
        made_new = demo.told
        assert made_new["exchanges"]["api_key"] != told["exchanges"]["api_key"]
        assert made_new["offers"]["client_secret"] != told["offers"]["client_secret"]
        for before, after in zip(told["console"]["users"], made_new["console"]["users"], strict=True):
            assert before["email"] == after["email"]
            assert before["password"] != after["password"]
            assert before["totp_secret"] != after["totp_secret"]
        balances = f"{told['ramp']['base_url']}/balances"
        assert get(balances, {"x-api-key": made_new["ramp"]["api_key"]})[0] == 200
        assert get(balances, {"x-api-key": told["ramp"]["api_key"]})[0] == 401
        url = f"{demo.url}/exchanges/otc-exchanges"
        assert get(url, {"x-api-key": made_new["exchanges"]["api_key"]})[0] == 200
        assert get(url, {"x-api-key": told["exchanges"]["api_key"]})[0] == 401
        assert get(f"{demo.url}/operator/accounts", {"Authorization": f"Bearer {told['operator']['token']}"})[0] == 401


def receivers(demo: Demo) -> list[tuple[str, str]]:
    """Return the webhooks of the customer: their ids and where they go."""
    told = demo.told["exchanges"]
    status, answer = get(f"{told['base_url']}/webhooks", {"x-api-key": told["api_key"]})
    assert status == 200, answer
    return [(one["id"], one["url"]) for one in answer["data"]]


def test_callbacks_of_the_customer_follow_the_demo_to_other_ports(demo: Demo) -> None:
    with demo.run():
        ((webhook_id, url),) = receivers(demo)
        assert url == f"{demo.url}/sandbox/received/acme"
    with demo.run():
        assert receivers(demo) == [(webhook_id, url)]
    demo.port = free_port()
    demo.url = f"http://127.0.0.1:{demo.port}"
    with demo.run():
        assert receivers(demo) == [(webhook_id, f"{demo.url}/sandbox/received/acme")]
    demo.env["DESK_WEBHOOKS_LOCAL"] = "false"
    demo.port = free_port()
    before, demo.url = demo.url, f"http://127.0.0.1:{demo.port}"
    with demo.run():
        assert receivers(demo) == [(webhook_id, f"{before}/sandbox/received/acme")]


@pytest.mark.parametrize("server_too", [False, True])
def test_a_killed_demo_comes_back_with_everything(demo: Demo, tmp_path: Path, *, server_too: bool) -> None:
    with demo.run() as killed:
        told = demo.told
        headers = (
            f"-H 'x-api-key: {told['exchanges']['api_key']}' -H 'X-CSRF-Token: {'0' * 64}' "
            "-H 'Content-Type: application/json'"
        )
        body = (
            f'{{"sourceFrAccountId":"{told["exchanges"]["account_id"]}",'
            f'"destinationUtilaWalletId":"{told["exchanges"]["wallet_id"]}","sourceAmountEur":"7.00"}}'
        )
        quoted = paste([f"curl -s {told['exchanges']['base_url']}/otc-exchanges/quote {headers} -d '{body}'"], tmp_path)
        found = re.search('"quoteId":"([^"]*)"', quoted.out)
        assert found is not None, quoted
        servers = demo.servers()
        assert len(servers) == 1
        if server_too:
            os.kill(servers[0], signal.SIGKILL)
        killed.stop(signal.SIGKILL)
    with demo.run() as back:
        assert demo.told == told
        assert demo.order(found[1])["sourceAmount"] == "7.00"
        assert back.stop(signal.SIGINT).code == 0
    until_gone(demo)


@pytest.mark.parametrize("seconds", [0.3, 0.7, 1.1])
def test_ctrl_c_in_the_middle_of_a_start_leaves_nothing_running(demo: Demo, seconds: float) -> None:
    begun = time.monotonic()
    starting = Running("demo", "--port", str(demo.port), env=demo.env, ready=lambda: time.monotonic() - begun > seconds)
    with starting:
        starting.stop(signal.SIGINT)
    until_gone(demo)


def test_stopping_is_quick_even_with_a_connection_open(demo: Demo) -> None:
    with demo.run() as running, socket.create_connection(("127.0.0.1", demo.port)):
        begun = time.monotonic()
        assert running.stop(signal.SIGINT).code == 0
        assert time.monotonic() - begun < STOP_SECONDS_MAX
    wait_until(lambda: not demo.servers(), "no process is left")
