"""The edge of the ramp dialect over real HTTP: keys and signatures one check after another, errors, hostile inputs."""

import json
import time
from typing import Any
from uuid import UUID

import pytest

from otcdesk.request_signatures import new_key_pair, private_key
from tests.support.ramp import CH, COMPANY, FORM, IBAN, PREP, RAMP, START, US_ACH, RampWorld, assert_error
from tests.support.served import NewServer
from tests.support.server import DeskServer, run_cli


@pytest.fixture(scope="module")
def shared(server: DeskServer) -> RampWorld:
    """Give a world that tests which change nothing share."""
    return RampWorld(server)


@pytest.fixture
def world(server: DeskServer) -> RampWorld:
    return RampWorld(server)


# -- signatures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/v1/balances",
        "/v1/transactions?PageSize=5&SortDirection=ASC",
        "/v1/prices?SourceCurrency=USDC_TEST&DestinationCurrency=EUR&SourceAmount=10.00",
        "/v1/customers?PageToken=&PageSize=5",
        "/v1/customers/cust-001",
        "/v1/payment-methods?CustomerID=cust%2D001",
    ],
)
@pytest.mark.parametrize("prefix", ["", "/ramp"])
def test_reads_are_signed_too(shared: RampWorld, path: str, prefix: str) -> None:
    answer = shared.signed("GET", path, prefix=prefix)
    if "PageToken" in path:  # signed rightly, and then refused for what it says
        assert_error(answer, 400, "InvalidMessage", "PageToken")
    else:
        assert answer.status_code == 200, answer.text
    assert_error(shared.ask("GET", path, key="K1"), 401, "Unauthorized")


def test_a_query_is_signed_as_it_is_sent(shared: RampWorld) -> None:
    path = "/v1/transactions?PageSize=5"
    assert shared.signed("GET", path, claims={"queryParams": {"PageSize": 5}}).status_code == 200
    for said in ({"PageSize": "6"}, None, {}, {"PageSize": 5, "SortDirection": "ASC"}):
        assert_error(shared.signed("GET", path, claims={"queryParams": said}), 401, "Unauthorized")
    assert_error(shared.signed("GET", "/v1/balances", claims={"queryParams": {"a": "1"}}), 401, "Unauthorized")


def test_a_body_that_nobody_reads_is_signed_too(shared: RampWorld) -> None:
    answer = shared.signed("GET", "/v1/balances", {"a": 1})
    assert answer.status_code == 200, answer.text
    answer = shared.signed("GET", "/v1/balances", {"a": 1}, claims={"bodyHash": None})
    assert_error(answer, 401, "Unauthorized")


def test_head_is_signed_as_head(shared: RampWorld) -> None:
    assert shared.signed("HEAD", "/v1/balances").status_code == 200
    assert shared.signed("HEAD", "/v1/balances", claims={"method": "GET"}).status_code == 401


def test_an_escaped_path_is_signed_as_it_is_written(world: RampWorld) -> None:
    path = "/v1/customers/a%2Fb%20%C3%A9"
    body = COMPANY
    assert world.signed("PUT", path, body).status_code == 201
    told = world.signed("GET", path)
    assert told.json()["CustomerID"] == "a/b é"
    assert_error(world.signed("GET", path, claims={"path": "/v1/customers/a/b é"}), 401, "Unauthorized")


def test_a_signature_with_a_key_that_has_no_pair_is_not_looked_at(shared: RampWorld) -> None:
    assert shared.get("/v1/balances", headers={"Api-Signature": "nonsense"}).status_code == 200


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "x" * 30_000, ""])
def test_what_is_no_signature(shared: RampWorld, token: str) -> None:
    answer = shared.get("/v1/balances", key="K1", headers={"Api-Signature": token})
    assert_error(answer, 401, "Unauthorized")


@pytest.mark.parametrize("path", [["/v1/balances"], {"path": "/v1/balances"}])
def test_a_claim_of_another_type(shared: RampWorld, path: Any) -> None:
    assert_error(shared.signed("GET", "/v1/balances", claims={"path": path}), 401, "Unauthorized")


def test_a_token_may_be_used_again_for_the_same_request_only(world: RampWorld) -> None:
    session = world.session()["FormSessionID"]
    body = world.sell_body(session)
    first = world.signed("POST", "/v1/transactions/sell", body)
    sent = first.request
    again = world.server.http.send(sent)
    assert again.json() == first.json()
    moved = world.server.http.build_request(
        "POST", sent.url, headers=sent.headers, content=sent.content.replace(b"111.429348", b"111.429349")
    )
    moved.headers["content-length"] = str(len(sent.content))
    assert_error(world.server.http.send(moved), 401, "Unauthorized")


# -- keys ------------------------------------------------------------------------------------------------------------


def _lane(world: RampWorld) -> list[str]:
    return ["--lane", world.id]


def _soon(world: RampWorld, secret: str, status: int) -> None:
    """Wait until a key is answered so: what is believed of it lasts half a second."""
    deadline = time.monotonic() + 5
    while world.get("/v1/balances", key=secret).status_code != status:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_key_is_made_rotated_and_revoked(world: RampWorld) -> None:
    tenant = world.told["tenants"]["user-b1"]
    made = run_cli(world.server, "keys", "create-request", "mine", "--tenant", tenant, *_lane(world)).strip()
    world.server.secrets.add(made)
    assert made.startswith("apikey_sandbox_")
    assert world.get("/v1/balances", key=made).status_code == 200
    shown = next(
        line.split()[1]
        for line in run_cli(world.server, "keys", "list", *_lane(world)).splitlines()
        if "request_key  mine" in line
    )
    assert made.startswith(shown.removesuffix("..."))
    rotate = ["keys", "rotate-request", shown, "--overlap-minutes"]
    second = run_cli(world.server, *rotate, "5", *_lane(world)).strip()
    world.server.secrets.add(second)
    assert world.get("/v1/balances", key=second).status_code == 200
    _soon(world, made, 200)  # both are good during the overlap
    run_cli(world.server, "keys", "revoke", second[:23], *_lane(world))
    _soon(world, second, 401)
    assert world.get("/v1/balances", key=made).status_code == 200


def test_a_rotation_without_an_overlap_ends_the_old_key(world: RampWorld) -> None:
    old = world.request_keys["K9"]
    made = run_cli(world.server, "keys", "rotate-request", old[:23], "--overlap-minutes", "0", *_lane(world)).strip()
    world.server.secrets.add(made)
    _soon(world, old, 401)
    assert world.balance(key=made) == ("1000.000000", "1000.000000")


def test_a_key_with_a_pair_is_rotated_to_another_pair(world: RampWorld, tmp_path: Any) -> None:
    file, old = tmp_path / "new.pem", world.request_keys["K1"]
    made = run_cli(
        world.server, "keys", "rotate-request", old[:23], "--make-key-pair", str(file), "--curve", "p256", *_lane(world)
    ).strip()
    world.server.secrets.add(made)
    world.request_keys["new"] = made
    assert file.stat().st_mode & 0o777 == 0o600
    private = private_key(file.read_bytes())
    assert private.curve.name == "secp256r1"
    assert world.signed("GET", "/v1/balances", key="new", by=private).status_code == 200
    assert_error(world.signed("GET", "/v1/balances", key="new"), 401, "Unauthorized")
    assert world.signed("GET", "/v1/balances").status_code == 200


def test_a_live_lane_has_no_key_without_a_pair(server: DeskServer, tmp_path: Any) -> None:
    file = tmp_path / "world.toml"
    text = RampWorld.file()
    cut = text.replace('[[tenants.request_keys]]\nref = "K0"\n', "").replace(
        '[[tenants.request_keys]]\nref = "K9"\n', ""
    )
    file.write_text(cut.replace('name = "ramp"', 'name = "live"'), encoding="utf-8")
    lane = f"live-{time.time_ns()}"
    said = run_cli(server, "world", "load", str(file), "--lane", lane)
    secrets = [line.split()[1] for line in said.splitlines() if "(shown this once)" in line]
    server.secrets.update(secrets)
    (secret,) = [one for one in secrets if one.startswith("apikey_prod_")]
    world = RampWorld(server)
    world.request_keys["live"] = secret
    assert_error(world.get("/v1/balances", key="live"), 401, "Unauthorized")
    told = world.signed("GET", "/v1/balances", key="live")
    assert [row["CryptoCurrency"] for row in told.json()["Items"]] == ["USDC"]
    prepared = world.signed("POST", "/v1/transactions/sell/prepare", {**PREP, "CryptoCurrency": "USDC"}, key="live")
    assert prepared.status_code == 200, prepared.text
    answer = world.signed("POST", "/v1/transactions/sell/prepare", PREP, key="live")
    assert_error(answer, 400, "InvalidMessage", "CryptoCurrency")


def test_keys_of_other_dialects_are_none_here(world: RampWorld) -> None:
    for secret in (world.token, *world.keys.values()):
        assert_error(world.get("/v1/balances", key=secret), 401, "Unauthorized")
    answer = world.server.http.get("/operator/accounts", headers={"x-api-key": world.request_keys["K0"]})
    assert answer.status_code == 401


def test_a_closed_world_has_no_keys(server: DeskServer) -> None:
    world = RampWorld(server)
    assert world.get("/v1/balances").status_code == 200
    assert world.operator("DELETE", f"/sandbox/worlds/{world.id}").status_code in {200, 204}
    _soon(world, "K0", 401)


# -- settings --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict(new_server: NewServer) -> RampWorld:
    """Give a world on a server with the observed statuses, TLS, no browsers and a limit of requests."""
    server = new_server(
        DESK_RAMP_STATUSES="observed",
        DESK_RAMP_TLS_REQUIRED="true",
        DESK_TRUSTED_PROXIES="127.0.0.1",
        DESK_RAMP_BROWSERS_REFUSED="true",
        DESK_RAMP_REQUESTS_PER_SECOND="1000",
    )
    return RampWorld(server)


def _strictly(world: RampWorld, path: str, **headers: str) -> Any:
    sent = {"X-Api-Key": world.request_keys["K0"], "X-Forwarded-Proto": "https", **headers}
    return world.server.http.get(f"{RAMP}{path}", headers=sent)


def test_observed_statuses(strict: RampWorld) -> None:
    unknown = "/v1/transactions/00000000-0000-4000-8000-000000000000"
    answer = _strictly(strict, unknown)
    assert (answer.status_code, answer.json()["Type"]) == (404, "ResourceNotFound")
    body = {**PREP, "CustomerID": "cust-unverified"}
    headers = {"X-Api-Key": strict.request_keys["K0"], "X-Forwarded-Proto": "https"}
    answer = strict.server.http.post(f"{RAMP}/v1/transactions/sell/prepare", json=body, headers=headers)
    assert (answer.status_code, answer.json()["Type"]) == (403, "Forbidden")
    answer = _strictly(strict, "/v1/balances", **{"X-Api-Key": "none"})
    assert (answer.status_code, answer.json()["Type"]) == (401, "Unauthorized")


def test_tls_and_browsers(strict: RampWorld) -> None:
    assert _strictly(strict, "/v1/balances").status_code == 200
    assert _strictly(strict, "/v1/balances", **{"X-Forwarded-Proto": "http"}).status_code == 401
    assert _strictly(strict, "/v1/balances", Origin="https://example.com").status_code == 401


def test_only_a_trusted_proxy_can_say_that_a_request_came_over_tls(new_server: NewServer) -> None:
    world = RampWorld(new_server(DESK_RAMP_TLS_REQUIRED="true", DESK_TRUSTED_PROXIES="10.0.0.1"))
    assert_error(_strictly(world, "/v1/balances"), 401, "Unauthorized")


def test_neither_is_asked_for_unless_told(shared: RampWorld) -> None:
    assert shared.get("/v1/balances", headers={"Origin": "https://example.com"}).status_code == 200


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/none", "/v2/balances", "/", "", "/v1/transactions/sell/prepare/more", "/v1//"])
def test_paths_that_are_not_there(shared: RampWorld, path: str) -> None:
    body = assert_error(shared.get(path), 404, "ResourceNotFound")
    assert "Action" not in body


def test_methods_that_a_path_does_not_take(shared: RampWorld) -> None:
    answer = shared.ask("DELETE", "/v1/transactions")
    assert_error(answer, 405, "InvalidMessage")
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        "1",
        b"\xff\xfe",
        '{"Nonce": "a", "Nonce": "b"}',
        "[" * 60_000,
        '{"a":' * 10_000,
        '{"FiatAmount": NaN}',
    ],
)
def test_bodies_that_are_no_json_object(shared: RampWorld, body: Any) -> None:
    for path in ("/v1/transactions/sell", "/v1/transactions/sell/prepare"):
        assert_error(shared.post(path, body), 400, "InvalidMessage")


def test_a_body_that_is_too_large_or_of_another_kind(shared: RampWorld) -> None:
    assert_error(shared.post("/v1/transactions/sell", "x" * 70_000), 400, "InvalidMessage")
    headers = {"Content-Type": "text/plain"}
    assert_error(shared.post("/v1/transactions/sell", "{}", headers=headers), 400, "InvalidMessage")


def test_an_instance_is_in_the_log_with_the_request(shared: RampWorld) -> None:
    answer = shared.prepare(FiatAmount="1")
    instance = assert_error(answer, 400, "InvalidMessage")["Instance"]
    assert UUID(instance).version == 4
    found = [json.loads(line) for line in shared.server.log().splitlines() if instance in line]
    assert found[0]["request_id"] == answer.headers["x-request-id"]


def test_what_the_desk_cannot_do_now_is_unexpected(world: RampWorld) -> None:
    form = {"BankDetails": FORM["BankDetails"], "AccountHolder": "Ada"}
    form["BankDetails"] = {"AccountType": "Checking", "AccountNumber": "123456", "BankCode": "021000021"}
    answer = world.prepare(ChannelID=US_ACH, CryptoCurrency="BTC_TEST", Form=form)  # which nobody prices
    body = assert_error(answer, 500, "Unexpected")
    assert body["Action"] == "PrepareSellTransaction"


def test_maintenance(world: RampWorld) -> None:
    closed = world.operator("PUT", "/operator/maintenance/ramp", {"reason": "a test"})
    assert closed.status_code == 200, closed.text
    deadline = time.monotonic() + 5
    while world.get("/v1/balances").status_code == 200:
        assert time.monotonic() < deadline
    body = assert_error(world.get("/v1/balances"), 401, "Forbidden")
    assert body["Extensions"]["Features"] == {"Api": ["Maintenance"]}


# -- hostile forms and fields ----------------------------------------------------------------------------------------


def _nested(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = {"a": found}
    return found


@pytest.mark.parametrize(
    "form",
    [
        [],
        "x",
        1,
        {},
        _nested(17),
        _nested(900),
        {"BankDetails": {"AccountType": "Checking", "AccountNumber": "D" * 15_000}},
        {"BankDetails": {**FORM["BankDetails"], "more": "x" * 17_000}},
        {"BankDetails": {"AccountType": "Checking", "AccountNumber": "DE00370400440532013000"}},
        {"BankDetails": {"AccountType": "Nothing", "AccountNumber": IBAN}},
        {"BankDetails": {"AccountNumber": IBAN}},
        {"BankDetails": {"AccountType": "Checking", "AccountNumber": None}},
        {"BankDetails": {"AccountType": "Checking", "AccountNumber": [IBAN]}},
    ],
)
def test_forms_that_cannot_be_paid(shared: RampWorld, form: Any) -> None:
    body = assert_error(shared.prepare(Form=form), 400, "InvalidMessage")
    assert all(field.startswith("Form") for field in body["Extensions"]["Request"]), body


@pytest.mark.parametrize(
    "written", ["de89 3704 0044 0532 0130 00", " DE89370400440532013000", "DE89\t370400440532013000"]
)
def test_the_same_account_however_it_is_typed(shared: RampWorld, written: str) -> None:
    form = {"BankDetails": {"AccountType": "Checking", "AccountNumber": written}}
    shared.session(Form=form)
    rows = shared.get("/v1/payment-methods?CustomerID=cust-001").json()["Items"]
    assert [row["ID"] for row in rows] == [f"Bank/Sepa/EUR/{IBAN}"]


@pytest.mark.parametrize("field", ["ChannelID", "CryptoCurrency", "FiatAmount"])
def test_what_prepare_needs(shared: RampWorld, field: str) -> None:
    assert_error(shared.prepare(**{field: None}), 400, "InvalidMessage", field)


@pytest.mark.parametrize(
    "field, value, kind",
    [
        ("ChannelID", "nonsense", "InvalidMessage"),
        ("ChannelID", CH[:-1] + "9", "ResourceNotFound"),
        ("CustomerID", "", "InvalidMessage"),
        ("CustomerID", "c" * 37, "InvalidMessage"),
        ("CustomerID", 5, "InvalidMessage"),
        ("CustomerID", "nobody", "ResourceNotFound"),
        ("PaymentMethodID", "Bank/Sepa/EUR/NL91ABNA0417164300", "ResourceNotFound"),
        ("PaymentMethodID", "p" * 151, "InvalidMessage"),
        ("DelayedSell", "true", "InvalidMessage"),
        ("FiatAmount", "1" * 39, "InvalidMessage"),
    ],
)
def test_what_prepare_refuses(shared: RampWorld, field: str, value: Any, kind: str) -> None:
    assert_error(shared.prepare(**{field: value}), 400, kind, field)


def test_unknown_fields_are_ignored(world: RampWorld) -> None:
    assert world.prepare(Unknown=[1, {"a": None}]).status_code == 200
    assert world.sell(FiatCurrency="USD", ChannelID=CH).status_code == 202


def test_nothing_refused_moves_anything(shared: RampWorld) -> None:
    assert shared.balance() == START
    assert shared.transactions() == []


def test_two_businesses_may_use_the_same_nonce(world: RampWorld) -> None:
    mine = world.sold(Nonce="same")
    theirs = world.post(
        "/v1/transactions/sell",
        world.sell_body(
            world.prepare(how={"key": "K9"}).json()["FormSessionID"], Nonce="same", CryptoAuthorizedAmount="120"
        ),
        key="K9",
    )
    assert theirs.status_code == 202, theirs.text
    assert theirs.json()["Transaction"]["ID"] != mine["ID"]


def test_a_surcharge_is_shown_in_fees_and_breakdown(world: RampWorld) -> None:
    told = world.prepare(how={"key": "K9"}).json()
    assert told["TotalFee"] == "2.00"
    assert told["CryptoAmountEstimate"] == "110.869566"
    sold = world.post(
        "/v1/transactions/sell", world.sell_body(told["FormSessionID"], CryptoAuthorizedAmount="120"), key="K9"
    ).json()["Transaction"]
    assert sold["FiatPayment"]["FeeAmount"] == "2.00"
    assert sold["Breakdown"] == [
        {"Type": "ChannelFee", "Amount": "1.630434"},
        {"Type": "BusinessFee", "Amount": "0.543478"},
        {"Type": "Remaining", "Amount": "108.695654"},
    ]


def test_keys_of_one_business_share_its_nonces(world: RampWorld) -> None:
    body = world.sell_body()
    first = world.post("/v1/transactions/sell", body)
    assert world.signed("POST", "/v1/transactions/sell", body).json() == first.json()


def test_another_key_pair_is_not_the_keys(shared: RampWorld) -> None:
    other = private_key(new_key_pair()[0].encode())
    assert_error(shared.signed("GET", "/v1/balances", by=other), 401, "Unauthorized")
    p256 = private_key(new_key_pair("p256")[0].encode())
    assert_error(shared.signed("GET", "/v1/balances", by=p256), 401, "Unauthorized")


def test_the_document_is_served(shared: RampWorld) -> None:
    told = shared.server.http.get("/openapi/ramp.json").json()
    assert told["servers"] == [{"url": RAMP}]
    assert "/v1/transactions/sell" in told["paths"]
