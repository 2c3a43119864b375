"""The OpenAPI document of the ramp dialect says what the server does: requests made from it, good and bad.

Answers of 500 are in the document: of what cannot be priced or paid now. That none is a crash shows in the server's
log, which is searched for errors when the tests are over.
"""

import copy
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.definitions import OPENAPI_31

from otcdesk.api.openapi import openapi_document
from otcdesk.api.ramp.routes import RampDialect
from tests.support.ramp import CH, IBAN, RAMP, SEPA_FILE, US_ACH, RampWorld
from tests.support.server import DeskServer, check_typed_error

DOCUMENT = openapi_document(RampDialect, RAMP)
EXAMPLES = 5
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


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
def world(server: DeskServer) -> RampWorld:
    return RampWorld(server)


@pytest.fixture(scope="module")
def real(world: RampWorld) -> dict[str, list[Any]]:
    """Return real values for the fields of the document."""
    sessions = [world.session(FiatAmount="10")["FormSessionID"] for _ in range(5)]
    sold = [
        world.sold(session, FiatAmount="10", CryptoAuthorizedAmount="20", Nonce=session)["ID"]
        for session in sessions[:2]
    ]
    return {
        "TransactionID": sold,
        "ChannelID": [CH, SEPA_FILE, US_ACH],
        "CustomerID": ["cust-001", "cust-unverified"],
        "PaymentMethodID": [f"Bank/Sepa/EUR/{IBAN}"],
        "FormSessionID": sessions,
        "CryptoCurrency": ["USDC_TEST", "BTC_TEST"],
        "SourceCurrency": ["USDC_TEST", "EUR"],
        "DestinationCurrency": ["EUR", "USD", "USDC_TEST"],
        "FiatCurrency": ["EUR", "USD"],
        "FiatAmount": ["10", "12.34"],
        "Country": ["DE", "US", "FR"],
    }


def test_the_document_is_valid_and_served(server: DeskServer) -> None:
    jsonschema_rs.validator_for(OPENAPI_31).validate(DOCUMENT)
    assert server.http.get("/openapi/ramp.json").json() == DOCUMENT
    assert {"apiKey", "signature"} == DOCUMENT["components"]["securitySchemes"].keys()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("operation", operations())
def test_the_server_does_what_the_document_says(
    world: RampWorld, real: dict[str, list[Any]], operation: Any, mode: GenerationMode
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
        if case.headers:
            case.headers.pop("x-api-key", None)
        response = case.call(
            base_url=world.server.url + RAMP, headers={"X-Api-Key": world.request_keys["K0"]}, timeout=20
        )
        if response.status_code >= 400:
            check_typed_error(response.status_code, response.json())
        case.validate_response(response, checks=CHECKS)

    play()
