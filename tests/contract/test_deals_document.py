"""The OpenAPI document of the deals dialect says what the server does: requests made from it, good and bad."""

import copy
import json
from typing import Any

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
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.definitions import OPENAPI_31

from otcdesk.api.deals.routes import DealsDialect
from otcdesk.api.openapi import openapi_document
from tests.support.deals import DEALS, N2, U1, U2, U3, C, DealsWorld, N, T
from tests.support.server import DeskServer, check_plain_error

DOCUMENT = openapi_document(DealsDialect, DEALS)
EXAMPLES = 5
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def operations() -> list[Any]:
    """Return the operations of the document; credentials are real ones."""
    unlocked = copy.deepcopy(DOCUMENT)
    for path in unlocked["paths"].values():
        for operation in path.values():
            del operation["security"]
    found = list(schemathesis.openapi.from_dict(unlocked).get_all_operations())
    assert all(isinstance(one, Ok) for one in found)
    return [pytest.param(one.ok(), id=one.ok().label) for one in found if isinstance(one, Ok)]


@pytest.fixture(scope="module")
def world(server: DeskServer) -> DealsWorld:
    return DealsWorld(server)


@pytest.fixture(scope="module")
def real(world: DealsWorld) -> dict[str, list[Any]]:
    """Return real values for the fields of the document."""
    sold = [world.sold(quantity=1) for _ in range(2)]
    deals = [world.finished(one)["data"]["deal_id"] for one in sold]
    return {
        "user_id": [U1, U2, U3],
        "token_id": [T],
        "tokenID": [T],
        "currencyTokenID": [C],
        "currency_token_id": [C],
        "node_id": [N, N2],
        "nodeID": [N, N2],
        "transactionID": sold,
        "deal_id": deals,
        "price_id": [C],
        "quantity": [1, 2],
        "price_amount": [1, 2.5],
        "page": [1],
        "per_page": [1, 10],
        **{name: [value] for name, value in world.keys_of().items()},
    }


def test_the_document_is_valid_and_served(server: DeskServer) -> None:
    jsonschema_rs.validator_for(OPENAPI_31).validate(DOCUMENT)
    assert server.http.get("/openapi/deals.json").json() == json.loads(json.dumps(DOCUMENT))
    assert DOCUMENT["components"]["securitySchemes"].keys() == {"bearer"}


def test_what_starts_something_may_have_a_key() -> None:
    posts = {path: methods["post"] for path, methods in DOCUMENT["paths"].items() if "post" in methods}
    started = {path: post for path, post in posts.items() if "TransactionStarted" in str(post["responses"].get("200"))}
    assert len(started) >= 6
    for path, post in started.items():
        (key,) = [one for one in post["parameters"] if one["name"] == "Idempotency-Key"]
        assert (key["in"], key["required"], key["schema"]["pattern"]) == ("header", False, "^[!-~]{1,255}$"), path


def test_forms_are_told_as_objects_with_their_files() -> None:
    forms = {
        f"{method} {path}": operation["requestBody"]["content"]["multipart/form-data"]["schema"]
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
        if "multipart/form-data" in operation.get("requestBody", {}).get("content", {})
    }
    file = {"type": "string", "format": "binary"}
    issue = forms.pop("post /v2/admin/token/nodes/{node_id}")
    assert len(issue["required"]) == 9
    assert issue["properties"]["images"] == {"type": "array", "items": file, "maxItems": 20}
    make = forms.pop("post /v2/admin/currency-tokens/nodes/{node_id}")
    assert (make["required"], make["properties"]["logo"]) == (["name", "symbol"], file)
    ((_, change),) = forms.items()
    assert (change["required"], sorted(change["properties"])) == ([], ["description", "fiat_currency", "name"])


def test_names_and_bounds_are_those_of_the_wire() -> None:
    components = DOCUMENT["components"]["schemas"]
    assert [name for name in components if "." in name] == []
    assert [name for name, one in components.items() if "\n  " in one.get("description", "")] == []
    bounds = components["RuleChange"]["properties"]
    assert bounds["below_percent"]["type"] == ["number", "null"]
    assert bounds["max_offer_quantity"]["type"] == ["integer", "null"]
    assert components["SellRequest"]["properties"]["price_id"]["pattern"] == "^[0-9a-fA-F]{24}$"
    fee = components["FeesRequest"]["properties"]["secondary_market"]["additionalProperties"]
    assert [one["type"] for one in fee["anyOf"]] == ["number", "object"]
    accept = DOCUMENT["paths"]["/v2/admin/otcs/nodes/{node_id}/tokens/{token_id}/deals/{deal_id}/accept"]["post"]
    assert {one["name"]: one["schema"]["type"] for one in accept["parameters"]}["deal_id"] == "integer"
    listing = DOCUMENT["paths"]["/v2/users/users/{user_id}/transactions"]["get"]["parameters"]
    page = {one["name"]: one["schema"] for one in listing if one["in"] == "query"}["per_page"]
    assert (page["minimum"], page["maximum"]) == (1, 100)


def test_a_first_pair_of_tokens_may_be_asked_for_with_headers() -> None:
    authenticate = DOCUMENT["paths"]["/v2/auth/authenticate"]["post"]
    assert authenticate["requestBody"]["required"] is False
    assert {one["name"]: one["required"] for one in authenticate["parameters"]} == {
        "Api-Key": False,
        "Api-Secret": False,
    }
    assert DOCUMENT["paths"]["/v2/auth/refresh"]["post"]["requestBody"]["required"] is True


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("operation", operations())
def test_the_server_does_what_the_document_says(
    world: DealsWorld, real: dict[str, list[Any]], operation: Any, mode: GenerationMode
) -> None:
    raw = operation.definition.raw
    bound = [one for one in raw["parameters"] if one["in"] != "path" or one["schema"] != {"type": "string"}]
    if mode is GenerationMode.NEGATIVE and not bound and "requestBody" not in raw:
        return  # there is nothing to get wrong

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def play(case: Case[Any], data: st.DataObject) -> None:
        for values in (case.path_parameters, case.query, case.body):
            if isinstance(values, dict):
                for field in values.keys() & real.keys():
                    if data.draw(st.integers(0, 3)):
                        values[field] = data.draw(st.sampled_from(real[field]))
        headers = {"Authorization": f"Bearer {world.bearer()}"}
        response = case.call(base_url=world.server.url + DEALS, headers=headers, timeout=20)
        if response.status_code >= 400:
            check_plain_error(response.status_code, response.json())
        case.validate_response(response, checks=CHECKS)

    play()
