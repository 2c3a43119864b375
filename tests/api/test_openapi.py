"""The OpenAPI documents say what the server does: valid 3.1, complete, and borne out by requests made from them.

Schemathesis makes the requests, good and bad, from the document alone; real ids are mixed in, so that it gets past
the doors. Whatever it sends, the answer's status, content type and body must be in the document, and none is a crash.
"""

import copy
import json
import re
from collections import Counter
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.definitions import OPENAPI_31

from otcdesk.api.dialect import Dialect
from otcdesk.api.exchanges.routes import ExchangesDialect
from otcdesk.api.offers.routes import OffersDialect
from otcdesk.api.openapi import openapi_document
from otcdesk.api.operator.routes import OperatorDialect
from otcdesk.api.sandbox.routes import SandboxDialect
from otcdesk.domain.conversions import CONFIRM, DEBIT_SETTLED
from otcdesk.domain.orders import BUY
from otcdesk.webhooks.envelope import any_2xx
from tests.support.callbacks import about_webhook, balance_updated, brokerage_story, story
from tests.support.offers import SELL, OffersWorld, P, Q
from tests.support.served import NewServer
from tests.support.server import CSRF, DeskServer, World, check_error, check_listed_errors

DIALECTS: dict[str, type[Dialect]] = {
    "exchanges": ExchangesDialect,
    "offers": OffersDialect,
    "operator": OperatorDialect,
    "sandbox": SandboxDialect,
}
DOCUMENTS = {name: openapi_document(dialect, f"/{name}") for name, dialect in DIALECTS.items()}

EXAMPLES = 15


def operations_of(document: dict[str, Any]) -> list[Any]:
    """Return the operations of a document that must have no mistake in any; credentials are real ones or none."""
    unlocked = copy.deepcopy(document)
    for path in unlocked["paths"].values():
        for operation in path.values():
            del operation["security"]
    found = list(schemathesis.openapi.from_dict(unlocked).get_all_operations())
    assert all(isinstance(one, Ok) for one in found)
    return [one.ok() for one in found if isinstance(one, Ok)]


OPERATIONS = [
    pytest.param(name, operation, id=f"{name} {operation.label}")
    for name, document in DOCUMENTS.items()
    for operation in operations_of(document)
]

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

#: Paging falls back to its defaults, as the contract wants it (2.6); the document says what is meant to be sent.
LENIENT = {
    *("GET /otc-exchanges", "GET /accounts", "GET /webhooks", "GET /deliveries", "GET /orders", "GET /users"),
    *("GET /tenant-deposits", "GET /rules", "GET /rule-executions"),
    *("GET /payout-files", "GET /statement-lines"),
    *("GET /resales", "GET /resale-decisions", "GET /resale-instruments", "GET /jobs"),
    *("GET /tenants", "GET /limits", "GET /spreads", "GET /proposals"),
    *("GET /webhooks/{id}/deliveries", "GET /webhooks/{webhookId}/deliveries"),
}

#: Made-up values of these are never sent where they would be taken: names of hosts would be asked for.
ALWAYS_REAL = {"url"}

#: What an answer may call a secret that it shows.
SECRETS = {"signing_secret", "signingSecret", "access_token", "refresh_token"}

#: A world in which something has happened, and real values for the fields of a document.
Played = tuple[World, dict[str, list[Any]]]


@pytest.mark.parametrize("name", DIALECTS)
def test_the_document_is_served_and_valid(server: DeskServer, name: str) -> None:
    answer = server.http.get(f"/openapi/{name}.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document == DOCUMENTS[name]
    jsonschema_rs.validator_for(OPENAPI_31).validate(document)
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


@pytest.mark.parametrize("name", DIALECTS)
def test_every_reference_leads_somewhere_and_every_operation_has_its_own_name(name: str) -> None:
    document = DOCUMENTS[name]
    references = set(re.findall(r"#/components/schemas/([A-Za-z0-9_]+)", str(document)))
    assert references <= document["components"]["schemas"].keys()
    named = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(named) == len(set(named)) == len(DIALECTS[name].routes)


HOOKED = {name: dialect.callbacks for name, dialect in DIALECTS.items() if dialect.callbacks is not None}


def test_the_documents_of_dialects_with_callbacks_tell_of_webhooks() -> None:
    assert {name: envelope.name for name, envelope in HOOKED.items()} == {
        "exchanges": "exchanges",
        "offers": "offers",
        "operator": "standard",
    }
    assert all(("webhooks" in document) == (name in HOOKED) for name, document in DOCUMENTS.items())


@pytest.mark.parametrize("name", HOOKED)
def test_every_message_has_a_webhook_that_tells_its_headers_body_and_answers(name: str) -> None:
    envelope, webhooks = HOOKED[name], DOCUMENTS[name]["webhooks"]
    assert webhooks.keys() == envelope.messages.keys()
    for event_type, path in webhooks.items():
        assert path.keys() == {"post"}
        operation = path["post"]
        assert operation["summary"] == envelope.messages[event_type].meaning
        assert {(one["name"], one["required"]) for one in operation["parameters"]} == {
            (header.name, header.always) for header in envelope.sent_headers
        }
        assert all(one["in"] == "header" and one["description"] for one in operation["parameters"])
        received = {"2XX"} if envelope.received == any_2xx() else {str(status) for status in envelope.received}
        assert operation["responses"].keys() == {*received, "410", "default"}


@pytest.mark.parametrize("name", HOOKED)
def test_the_schemas_of_webhooks_take_what_is_sent_and_nothing_else(name: str) -> None:
    envelope, document = HOOKED[name], DOCUMENTS[name]
    occurrences = [*story(BUY, CONFIRM, DEBIT_SETTLED), *brokerage_story(), balance_updated(), about_webhook()]
    told = [one for occurrence in occurrences if (one := envelope.told(occurrence)) is not None]
    bodies = {one.event_type: json.loads(one.body) for one in told}
    assert len(bodies) == {"exchanges": 4, "offers": 2, "operator": 6}[name]
    for event_type, body in bodies.items():
        content = document["webhooks"][event_type]["post"]["requestBody"]["content"]
        schema = {**content["application/json"]["schema"], "components": document["components"]}
        validator = jsonschema_rs.Draft202012Validator(schema)
        validator.validate(body)
        within = "params" if name == "offers" else "data"
        assert not validator.is_valid({**body, within: {}})


def test_a_list_of_statuses_is_told_one_by_one() -> None:
    for webhook in DOCUMENTS["offers"]["webhooks"].values():
        assert list(webhook["post"]["responses"]) == ["200", "201", "202", "204", "410", "default"]


@pytest.fixture(scope="module")
def played(server: DeskServer) -> Played:
    """Give a world in which something has happened, and real values for the document's fields."""
    world = World(server, frozen=True)
    orders = [world.buy("1.00"), world.sell("1"), world.confirmed_buy("1.00"), world.confirmed_sell("1")]
    world.advance(milliseconds=1)
    orders += [world.confirmed_sell("2"), world.buy("10000.01")]
    accounts = [world.ids[name] for name in ("FA1", "FA2", "FA3", "FB1")]
    wallets = [world.ids[name] for name in ("WA1", "WA2", "WAT", "WB1")]
    hooks, hook_deliveries = _hooked(world)
    return world, {
        "id": [*orders, *wallets, *hooks, *hook_deliveries],
        "webhookId": hooks,
        "deliveryId": hook_deliveries,
        "url": [f"http://127.0.0.1:9/{number}" for number in range(20)],
        "eventTypes": [["otc_exchange.created"], ["conversion.completed", "webhook.test"], ["Transaction"]],
        "envelope": ["standard", "exchanges", "ramp"],
        "tenantId": [world.told["tenants"]["A"]],
        "since": ["2020-01-01T00:00:00Z"],
        "quoteId": orders,
        "accountId": accounts + wallets,
        "sourceFrAccountId": accounts,
        "destinationFrAccountId": accounts,
        "sourceUtilaWalletId": wallets,
        "destinationUtilaWalletId": wallets,
        "sourceAmountEur": ["1", "2.50", "99999"],
        "sourceAmountUsdc": ["1", "0.000001", "99999"],
        "amount": ["1", "-1", "0.01"],
        "rate": ["1", "1.5", "0.000001", "1000000000000"],
        "sourceAsset": ["EUR", "USDC", "GBP"],
        "destinationAsset": ["EUR", "USDC", "GBP"],
        "template": ["contract", "demo"],
    }


@pytest.fixture(scope="module")
def traded(server: DeskServer) -> Played:
    """Give the same for the offers dialect."""
    world = OffersWorld(server)
    trades = [world.traded("U", f"ext-{number}")["id"] for number in range(3)]
    trades.append(world.traded("U", **SELL)["id"])
    offers = [world.offer("V")["id"], world.offer("W", amount="10.00", how={"partner": Q})["id"]]
    users = [world.users[name] for name in ("U", "V", "no-terms", "W", "inactive", "unverified")]
    terms = [row["id"] for row in world.rows("/v1/terms")]
    pairs = [world.pair()["refresh_token"] for _ in range(3)]
    return world, {
        "id": [*trades, *offers, *users],
        "user_id": users,
        "user_pid": users,
        "cursor": trades,
        "offer_id": trades,
        "internal_trade_id": trades,
        "transaction_id": trades,
        "external_transaction_id": [f"ext-{number}" for number in range(50)],
        "fiat_id": [1, 2, world.pid("fiats", 1)],
        "asset_id": [1, 2, 3, 4, world.pid("assets", 1)],
        "amount": ["1.00", "25.50", "0.001"],
        "asset_symbol": ["BTC", "ETH"],
        "currency": ["EUR", "CHF"],
        "start": ["2020-01-01T00:00:00Z"],
        "end": ["2020-01-02T00:00:00Z"],
        "date_start": ["2020-01-01"],
        "date_end": ["2020-01-31"],
        "timestamp": ["2020-01-01T00:00:00+00:00"],
        "country": ["IT", "DE"],
        "user_journey[]": [["onboarding"]],
        "terms": [terms[:1], terms],
        "account_level_id": [row["id"] for row in world.rows("/v1/account-levels")],
        "client_id": [world.clients[P]["clientId"]],
        "client_secret": [world.clients[P]["clientSecret"]],
        "refresh_token": pairs,
    }


def _credential(world: World, name: str) -> dict[str, str]:
    """Return what admits a request to a dialect."""
    if name == "exchanges":
        return {"x-api-key": world.keys["KA"]}
    return {"Authorization": f"Bearer {world.bearer() if isinstance(world, OffersWorld) else world.token}"}


def _hooked(world: World) -> tuple[list[str], list[str]]:
    """Make a webhook in either dialect and send a test to each; returns the ids of both and of the deliveries."""
    url, types = "http://127.0.0.1:9/played", ["otc_exchange.created"]
    customers = world.call("POST", "/exchanges/webhooks", json={"url": url, "eventTypes": types}).json()["data"]
    operators = world.operator("POST", "/operator/webhooks", {"url": url, "eventTypes": ["webhook.test"]}).json()[
        "data"
    ]
    world.server.secrets |= {customers["signing_secret"], operators["signingSecret"]}
    hooks = [customers["id"], operators["id"]]
    sent = [world.operator("POST", f"/operator/webhooks/{hook}/test").json()["data"]["deliveryId"] for hook in hooks]
    return hooks, sent


def _made_real(case: Case[Any], real: dict[str, list[Any]], data: st.DataObject) -> None:
    """Put real values in the place of most made-up ones."""
    for values in (case.path_parameters, case.query, case.body):
        if isinstance(values, dict):
            for field in values.keys() & real.keys():
                if field in ALWAYS_REAL or data.draw(st.integers(0, 3)):
                    values[field] = data.draw(st.sampled_from(real[field]))


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("name, operation", OPERATIONS)
def test_the_server_does_what_the_document_says(
    server: DeskServer, played: Played, traded: Played, name: str, operation: Any, mode: GenerationMode
) -> None:
    world, real = traded if name == "offers" else played
    raw = operation.definition.raw
    bound = [one for one in raw.get("parameters", ()) if one["in"] != "path" or one["schema"] != {"type": "string"}]
    if (
        mode is GenerationMode.NEGATIVE
        and not bound
        and "application/json" not in raw.get("requestBody", {}).get("content", ())
    ):
        return  # there is nothing to get wrong, or nothing that Schemathesis can
    credential = _credential(world, name)
    rejects = mode is GenerationMode.NEGATIVE and operation.label not in LENIENT

    statuses: Counter[int] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def play(case: Case[Any], data: st.DataObject) -> None:
        if mode is GenerationMode.POSITIVE:
            _made_real(case, real, data)
            if "X-CSRF-Token" in (case.headers or {}):
                case.headers["X-CSRF-Token"] = CSRF
            if "bp-user-id" in (case.headers or {}):
                case.headers["bp-user-id"] = data.draw(st.sampled_from(real["user_id"]))
        for header in ("x-api-key", "authorization"):
            if case.headers:
                case.headers.pop(header, None)  # the made-up credentials would only ever meet 401
        response = case.call(base_url=f"{server.url}/{name}", headers=credential, timeout=20)
        statuses[response.status_code] += 1
        if response.status_code == 201 and operation.label == "POST /worlds":
            told = response.json()["data"]
            server.secrets.update(told["apiKeys"].values(), (one["token"] for one in told["operators"]))
            server.secrets.update(one["clientSecret"] for one in told["clients"].values())
        if response.status_code < 300 and response.content:
            whole = response.json()
            told = whole if name == "offers" and "access_token" in whole else whole.get("data")
            if isinstance(told, dict):
                server.secrets.update(str(told[field]) for field in SECRETS & told.keys())
        if response.status_code >= 400:
            checked = check_listed_errors if name == "offers" else check_error
            checked(response.status_code, response.json())
        rejected_unread = response.status_code == 413  # Schemathesis does not know it as a rejection
        case.validate_response(
            response, checks=[*CHECKS, negative_data_rejection] if rejects and not rejected_unread else CHECKS
        )

    play()
    print(operation.label, mode.value, sorted(statuses.items()))


# -- the document of offers --------------------------------------------------------------------------------------------

OFFERS = DOCUMENTS["offers"]


def _schema(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    return jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})


def _body(path: str) -> Any:
    return _schema(OFFERS, OFFERS["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"])


@pytest.mark.parametrize(
    "path, required",
    [
        ("/v1/oauth/token", ["grant_type", "client_id"]),
        ("/v1/oauth/revoke", ["client_id", "client_secret", "refresh_token"]),
    ],
)
def test_the_fields_that_a_request_for_tokens_needs_are_required(path: str, required: list[str]) -> None:
    validator, good = _body(path), {**dict.fromkeys(required, "x")}
    if "grant_type" in good:
        good["grant_type"] = "refresh_token"
    assert validator.is_valid(good)
    for field in required:
        assert not validator.is_valid({name: value for name, value in good.items() if name != field})
        assert not validator.is_valid({**good, field: None})
        assert not validator.is_valid({**good, field: ""})


def test_v1_names_assets_by_integer_and_v2_by_uuid() -> None:
    kinds = {"v1": {"type": "integer"}, "v2": {"type": "string", "format": "uuid"}}
    for version, kind in kinds.items():
        parameters = OFFERS["paths"][f"/{version}/trades"]["get"]["parameters"]
        (asset,) = [one["schema"] for one in parameters if one["name"] == "asset_id"]
        assert kind.items() <= asset.items()
    schemas = OFFERS["components"]["schemas"]
    for name, version in (
        ("OfferRequest", "v1"),
        ("OfferRequestV2", "v2"),
        ("OfferAnswer", "v1"),
        ("OfferAnswerV2", "v2"),
    ):
        for field in ("asset_id", "fiat_id"):
            assert kinds[version].items() <= schemas[name]["properties"][field].items(), (name, field)


@pytest.mark.parametrize("name", DIALECTS)
def test_statuses_about_bodies_are_of_routes_that_read_one(name: str) -> None:
    for path in DOCUMENTS[name]["paths"].values():
        for operation in path.values():
            assert ("413" in operation["responses"]) == ("requestBody" in operation), operation["operationId"]
            assert "415" not in operation["responses"] or "requestBody" in operation


@pytest.mark.parametrize("name", DIALECTS)
def test_every_error_has_a_body(name: str) -> None:
    for path in DOCUMENTS[name]["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                assert status < "400" or "content" in response, (operation["operationId"], status)


def test_what_is_ours_is_marked() -> None:
    ours = {
        path for path, item in OFFERS["paths"].items() for one in item.values() if one["summary"].endswith("(ours)")
    }
    assert ours == {
        *("/v2/trades/{id}", "/v1/trades/{id}/tax-details", "/v2/users/{id}/terms", "/v1/account-levels"),
        *("/v1/assets", "/v1/fiats", "/v1/portfolio"),
    }


def test_the_amount_of_a_notice_is_not_said_to_have_two_decimals() -> None:
    assert OFFERS["components"]["schemas"]["NoticeAnswer"]["properties"]["amount"]["description"] == "As it was told."


def test_on_a_host_of_its_own_a_dialect_names_it_and_shows_its_document_there(new_server: NewServer) -> None:
    server = new_server(DESK_OFFERS_HOST="offers.example")
    there = {"host": "offers.example"}
    document = server.http.get("/openapi/offers.json").json()
    (named,) = document["servers"]
    assert re.fullmatch(r"http://offers\.example:\d+", named["url"])
    assert server.http.get("/openapi/offers.json", headers=there).json() == document
    for path in ("/openapi/operator.json", "/healthz", "/operator/accounts"):
        answer = httpx.get(server.url + path, headers=there)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "not.found")
    assert httpx.get(f"{server.url}/v1/assets", headers=there).status_code == 401
