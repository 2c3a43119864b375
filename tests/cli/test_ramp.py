"""`otcdesk ramp`: requests signed and sent, and one sentence for whatever is wrong with them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from otcdesk.cli import cli
from otcdesk.cli_ramp import KEY_FILE_VARIABLE, KEY_VARIABLE
from otcdesk.request_signatures import check_algorithm, is_signed_by, new_key_pair, public_key, read_token
from tests.cli.commands import assert_one_sentence, environ, otcdesk
from tests.support.ramp import PREP, RAMP, RampWorld
from tests.support.server import ROOT, DeskServer, free_port

K1 = ROOT / "tests" / "support" / "ramp_k1.pem"


@pytest.fixture(scope="module")
def world(server: DeskServer) -> RampWorld:
    return RampWorld(server)


def invoke(*arguments: object, **env: str) -> Result:
    """Run a command in this process."""
    clean = {KEY_VARIABLE: "", KEY_FILE_VARIABLE: "", "NO_COLOR": "1", "COLUMNS": "200", **env}
    return CliRunner().invoke(cli, ["ramp", *map(str, arguments)], env=clean)


def curl(world: RampWorld, *arguments: object, key: str = "K0", **env: str) -> Result:
    """Send a request to a world's server."""
    return invoke(
        "curl", *arguments, "--url", world.server.url + RAMP, **{KEY_VARIABLE: world.request_keys[key], **env}
    )


def test_a_request_is_sent(world: RampWorld) -> None:
    said = curl(world, "GET", "/v1/balances")
    assert said.exit_code == 0, said.output
    first, _, body = said.stdout.partition("\n")
    assert first == "200 OK"
    assert json.loads(body)["Items"][0]["CryptoCurrency"] == "USDC_TEST"


def test_a_request_is_signed(world: RampWorld, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text(json.dumps(PREP), encoding="utf-8")
    for data in (json.dumps(PREP), f"@{file}"):
        said = curl(world, "post", "/v1/transactions/sell/prepare", "--data", data, "--key-file", K1, key="K1")
        assert said.exit_code == 0, said.output
        assert "FormSessionID" in said.stdout
    said = curl(world, "GET", "/v1/transactions?PageSize=5", key="K1", **{KEY_FILE_VARIABLE: str(K1)})
    assert said.exit_code == 0, said.output


def test_a_refusal_is_shown_and_ends_with_1(world: RampWorld) -> None:
    said = curl(world, "GET", "/v1/balances", key="K1")
    assert said.exit_code == 1
    assert said.stdout.startswith("401 Unauthorized\n")
    assert "Api-Signature" in json.loads(said.stdout.partition("\n")[2])["Detail"]


def test_a_signature_is_printed() -> None:
    said = invoke("sign", "GET", "/v1/balances", "--key-file", K1)
    assert said.exit_code == 0
    token = read_token(said.stdout.strip())
    assert token.claims["path"] == "/v1/balances"
    assert token.claims["method"] == "GET"
    private, public = new_key_pair()
    assert not is_signed_by(token, public_key(public))
    assert private


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["curl", "GTE", "/v1/balances"], "is none of"),
        (["curl", "GET", "balances"], "begins with /v1/"),
        (["curl", "GET", "/balances"], "begins with /v1/"),
        (["curl", "POST", "/v1/transactions/sell", "--data", "{"], "not JSON"),
        (["curl", "GET", "/v1/balances", "--url", f"http://127.0.0.1:{free_port()}"], "does not answer"),
        (["curl", "GET", "/v1/balances", "--url", "nonsense"], "does not answer"),
    ],
)
def test_what_is_typed_wrong(arguments: list[str], words: str) -> None:
    said = invoke(*arguments, **{KEY_VARIABLE: "apikey_sandbox_x"})
    assert said.exit_code == 2
    assert words in " ".join(said.output.split())
    assert "Traceback" not in said.output


def test_nobody_asks(tmp_path: Path) -> None:
    said = invoke("curl", "GET", "/v1/balances", "--home", tmp_path)
    assert said.exit_code == 2
    assert "say who asks" in said.output
    said = invoke("sign", "GET", "/v1/balances")
    assert said.exit_code == 2
    assert "say whose signature" in said.output


@pytest.mark.parametrize("content", ["", "nonsense", new_key_pair()[1]])
def test_a_file_that_is_no_private_key(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key.pem"
    file.write_text(content, encoding="utf-8")
    said = otcdesk("ramp", "sign", "GET", "/v1/balances", "--key-file", file, env=environ(tmp_path))
    assert_one_sentence(said)
    assert "private key" in said.err


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"
    said = otcdesk("ramp", "sign", "GET", "/v1/balances", "--key-file", missing, env=environ(tmp_path))
    assert_one_sentence(said)
    assert "none.pem" in said.err


def test_the_demo_says_who_and_where(world: RampWorld, tmp_path: Path) -> None:
    told = {"ramp": {"base_url": f"{world.server.url}{RAMP}/v1", "api_key": world.request_keys["K0"]}}
    (tmp_path / "demo.json").write_text(json.dumps(told), encoding="utf-8")
    said = invoke("curl", "GET", "/v1/balances", "--home", tmp_path)
    assert said.exit_code == 0, said.output


def test_a_key_with_two_public_halves_is_none(world: RampWorld, tmp_path: Path) -> None:
    tenant = world.told["tenants"]["user-b1"]
    file = tmp_path / "key.pem"
    file.write_text(new_key_pair()[1], encoding="utf-8")
    create = ["keys", "create-request", "two", "--tenant", tenant, "--lane", world.id, "--public-key", file]
    env = {**world.server.environ, "DESK_LOG_LEVEL": "error", "COLUMNS": "200"}
    said = otcdesk(*create, "--make-key-pair", tmp_path / "new.pem", env=env)
    assert said.code == 2
    assert "not both" in said.words
    assert not (tmp_path / "new.pem").exists()
    made = otcdesk(*create, env=env)
    world.server.secrets.add(made.out.strip())
    assert made.code == 0, made
    file.write_text("nonsense", encoding="utf-8")
    assert_one_sentence(otcdesk(*create, env=env))


def test_a_pair_never_replaces_a_file(world: RampWorld, tmp_path: Path) -> None:
    tenant, file = world.told["tenants"]["user-b1"], tmp_path / "mine.pem"
    file.write_text("kept", encoding="utf-8")
    env = {**world.server.environ, "DESK_LOG_LEVEL": "error", "COLUMNS": "200"}
    said = otcdesk(
        *("keys", "create-request", "pair", "--tenant", tenant, "--lane", world.id, "--make-key-pair", file), env=env
    )
    assert_one_sentence(said)
    assert file.read_text(encoding="utf-8") == "kept"


def test_the_algorithm_is_the_curves() -> None:
    said = invoke("sign", "GET", "/v1/balances", "--key-file", K1)
    token = read_token(said.stdout.strip())
    assert token.algorithm == "ES384"
    check_algorithm(token, public_key(new_key_pair("p384")[1]))
