"""Signed requests: what is signed, by what, and everything that is no good signature (ramp contract 2)."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, Literal

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey

from otcdesk.errors import Code, Refusal
from otcdesk.request_signatures import (
    AUDIENCE,
    Signed,
    check_algorithm,
    check_body,
    check_claims,
    checked_public_key,
    claims_of,
    is_signed_by,
    new_key_pair,
    private_key,
    public_key,
    read_token,
    signed_token,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
SECOND = int(NOW.timestamp())

#: The example of the contract, whose hash it gives.
BODY = (
    b'{"CryptoCurrency":"USDC_TEST","FiatAmount":"100.00","CryptoAuthorizedAmount":"111.429348",'
    b'"FormSessionID":"7b1c6c0e-8a54-4f0e-9d6e-0f2a4b9c1d33","Nonce":"sell-0001","ExternalID":"inv-2041"}'
)
BODY_HASH = "e50556c21ee0c3ec58282bccf41b4573b2402f17886f08b068826fd96f9a2f5b"

SELL = Signed(method="POST", path="/v1/transactions/sell", body=BODY)
LIST = Signed(method="GET", path="/v1/transactions", query=[("PageSize", "20"), ("SortDirection", "ASC")])

Curve = Literal["p384", "p256"]


def judge(token: str, pem: str, request: Signed = SELL, now: datetime = NOW) -> None:
    """Judge a token as a request's edge does; refuses UNAUTHENTICATED."""
    read, key = read_token(token), public_key(pem)
    check_algorithm(read, key)
    if not is_signed_by(read, key):
        raise Refusal(Code.UNAUTHENTICATED, "another key")
    check_claims(read, request, {request.path, "/ramp" + request.path}, now)
    check_body(read, request.body)


def refused(token: str, pem: str, request: Signed = SELL, now: datetime = NOW) -> str:
    """Return why a token is refused."""
    with pytest.raises(Refusal) as caught:
        judge(token, pem, request, now)
    assert caught.value.code is Code.UNAUTHENTICATED
    return caught.value.detail


PAIRS: Mapping[Curve, tuple[str, str]] = {"p384": new_key_pair("p384"), "p256": new_key_pair("p256")}
PRIVATE = private_key(PAIRS["p384"][0].encode())
PUBLIC = PAIRS["p384"][1]


def told(request: Signed = SELL, **changes: Any) -> str:
    """Return a token with changed claims; what is changed to None is left out."""
    claims = {**claims_of(request, NOW), **changes}
    return signed_token({name: value for name, value in claims.items() if value is not None}, PRIVATE)


def encoded(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def by_hand(head: Any, claims: Any, key: ec.EllipticCurvePrivateKey = PRIVATE) -> str:
    """Return a token of any parts, signed rightly all the same."""
    said = f"{encoded(head)}.{encoded(claims)}"
    is_p384 = key.curve.name == "secp384r1"
    first, second = decode_dss_signature(key.sign(said.encode(), ec.ECDSA(SHA384() if is_p384 else SHA256())))
    size = 48 if is_p384 else 32
    return f"{said}.{encoded(first.to_bytes(size, 'big') + second.to_bytes(size, 'big'))}"


HEAD = {"alg": "ES384", "typ": "JWT"}
CLAIMS = claims_of(SELL, NOW)


def test_hashes_of_the_contract() -> None:
    assert len(BODY) == 189
    assert claims_of(SELL, NOW)["bodyHash"] == sha256(BODY).hexdigest() == BODY_HASH
    assert claims_of(SELL, NOW) == {
        "aud": "https://api.noah.com",
        "iat": SECOND,
        "exp": SECOND + 300,
        "method": "POST",
        "path": "/v1/transactions/sell",
        "bodyHash": BODY_HASH,
    }


@pytest.mark.parametrize("curve", ["p384", "p256"])
@pytest.mark.parametrize("request_", [SELL, LIST], ids=["sell", "list"])
def test_a_right_token(curve: Curve, request_: Signed) -> None:
    private, public = PAIRS[curve]
    judge(signed_token(claims_of(request_, NOW), private_key(private.encode())), public, request_)


@pytest.mark.parametrize("curve, algorithm", [("p384", "ES384"), ("p256", "ES256")])
def test_tokens_of_another_library_are_understood_and_ours_by_it(curve: Curve, algorithm: str) -> None:
    private, public = PAIRS[curve]
    theirs = jwt.encode({"alg": algorithm}, claims_of(SELL, NOW), ECKey.import_key(private), algorithms=[algorithm])
    judge(theirs, public)
    ours = signed_token(claims_of(SELL, NOW), private_key(private.encode()))
    assert jwt.decode(ours, ECKey.import_key(public), algorithms=[algorithm]).claims == claims_of(SELL, NOW)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS384", "RS256", "ES256", "ES512", "ES256K", "es384", ""])
def test_any_algorithm_but_that_of_the_curve(algorithm: str) -> None:
    assert "ES384" in refused(by_hand({"alg": algorithm}, CLAIMS), PUBLIC)


@pytest.mark.parametrize("head", [{}, {"alg": None}, {"alg": ["ES384"]}, {"alg": "ES384", "crit": ["b64"]}, [], "x", 1])
def test_headers_that_are_not_understood(head: Any) -> None:
    refused(by_hand(head, CLAIMS), PUBLIC)


def test_a_token_by_another_key() -> None:
    assert "another key" in refused(told(), new_key_pair()[1])


def test_a_signature_in_der() -> None:
    head, claims, signature = told().split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    der = encode_dss_signature(int.from_bytes(raw[:48], "big"), int.from_bytes(raw[48:], "big"))
    assert "another key" in refused(f"{head}.{claims}.{encoded(der)}", PUBLIC)


@pytest.mark.parametrize("size", [0, 1, 95, 97, 96])
def test_signatures_of_nothing(size: int) -> None:
    head, claims, _ = told().split(".")
    refused(f"{head}.{claims}.{encoded(bytes(size))}", PUBLIC)


def test_one_bit_elsewhere() -> None:
    token = told()
    for place in range(0, len(token), 7):
        other = "A" if token[place] != "A" else "B"
        if token[place] != ".":
            refused(token[:place] + other + token[place + 1 :], PUBLIC)


@pytest.mark.parametrize(
    "token", ["", "a.b", "a.b.c.d", "..", "é.é.é", "a b.c.d", "%.%.%", "eyJ9.eyJ9.AA==", "x" * 20_000]
)
def test_what_is_no_token(token: str) -> None:
    refused(token, PUBLIC)


def test_padding_and_stray_characters_are_another_spelling() -> None:
    head, claims, signature = told().split(".")
    for spelled in (f"{head}=.{claims}.{signature}", f"{head}.{claims}\n.{signature}", f"{head}.{claims}.{signature}="):
        refused(spelled, PUBLIC)


@pytest.mark.parametrize(
    "claims",
    [
        b'{"aud":"a","aud":"b"}',
        b"[]",
        b"null",
        b'{"iat": NaN}',
        b'{"iat": Infinity}',
        b'{"iat": 1e999999999999999999999}',
        b"[" * 10_000,
        b'{"iat": ' + b"9" * 10_000 + b"}",
        b"\xff",
        b"",
    ],
)
def test_claims_that_are_no_json_object(claims: bytes) -> None:
    refused(by_hand(HEAD, claims), PUBLIC)


def test_a_name_twice_is_refused_even_when_both_say_the_same() -> None:
    twice = json.dumps(CLAIMS)[:-1] + f', "aud": "{AUDIENCE}"' + "}"
    refused(by_hand(HEAD, twice.encode()), PUBLIC)


@pytest.mark.parametrize("aud", [None, "", "https://api.noah.com/", "HTTPS://API.NOAH.COM", [AUDIENCE], 1, True])
def test_another_audience(aud: Any) -> None:
    assert "aud" in refused(told(aud=aud), PUBLIC)


@pytest.mark.parametrize("field", ["iat", "exp"])
@pytest.mark.parametrize("value", [None, True, str(SECOND), [SECOND], {}, -1, 10**12])
def test_times_that_are_no_numbers(field: str, value: Any) -> None:
    assert "iat and exp" in refused(told(**{field: value}), PUBLIC)


def test_times_may_have_fractions() -> None:
    claims = json.dumps(CLAIMS).replace(f'"iat": {SECOND}', f'"iat": {SECOND}.25')
    judge(by_hand(HEAD, claims.encode()), PUBLIC)


@pytest.mark.parametrize(
    "issued, ends, good",
    [
        (0, 900, True),
        (0, 901, False),
        (60, 300, True),
        (62, 300, False),
        (-500, 1, True),
        (-500, 0, False),
        (-901, 0, False),
        (-900, 1, False),
        (10, 10, True),
        (10, 9, False),
    ],
)
def test_the_time_of_a_token(issued: int, ends: int, *, good: bool) -> None:
    token = told(iat=SECOND + issued, exp=SECOND + ends)
    if good:
        judge(token, PUBLIC)
    else:
        refused(token, PUBLIC)


@pytest.mark.parametrize("begins", [-900, 0, 60])
def test_a_token_that_has_begun(begins: int) -> None:
    judge(told(nbf=SECOND + begins), PUBLIC)


@pytest.mark.parametrize("begins", [True, str(SECOND), [SECOND], SECOND + 62, 10**12])
def test_a_token_that_has_not_begun(begins: Any) -> None:
    assert "not good yet" in refused(told(nbf=begins), PUBLIC)


def test_a_token_dies() -> None:
    judge(told(), PUBLIC, now=NOW + timedelta(seconds=299))
    assert "expired" in refused(told(), PUBLIC, now=NOW + timedelta(seconds=300))


@pytest.mark.parametrize("method", [None, "GET", "", "PUT", 1, ["POST"]])
def test_another_method(method: Any) -> None:
    assert "method" in refused(told(method=method), PUBLIC)


def test_the_method_may_be_small() -> None:
    judge(told(method="post"), PUBLIC)


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "/transactions/sell",
        "/v1/transactions/sell/",
        "/v1/transactions/sell?a=1",
        "https://api.noah.com/v1/transactions/sell",
        "/V1/transactions/sell",
        "/v1/transactions/%73ell",
        1,
        ["/v1/transactions/sell"],
        {"path": "/v1/transactions/sell"},
    ],
)
def test_another_path(path: Any) -> None:
    assert "path" in refused(told(path=path), PUBLIC)


def test_the_path_may_have_the_prefix() -> None:
    judge(told(path="/ramp/v1/transactions/sell"), PUBLIC)


@pytest.mark.parametrize("said", [{"PageSize": 20, "SortDirection": "ASC"}, {"SortDirection": "ASC", "PageSize": "20"}])
def test_values_of_a_query_as_numbers(said: Any) -> None:
    judge(told(LIST, queryParams=said), PUBLIC, LIST)


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        {"PageSize": 20},
        {"PageSize": 21, "SortDirection": "ASC"},
        {"PageSize": 20, "SortDirection": "ASC", "more": ""},
        {"PageSize": [20], "SortDirection": "ASC"},
        {"PageSize": None, "SortDirection": "ASC"},
        "PageSize=20&SortDirection=ASC",
        [["PageSize", "20"], ["SortDirection", "ASC"]],
    ],
)
def test_another_query(said: Any) -> None:
    assert "queryParams" in refused(told(LIST, queryParams=said), PUBLIC, LIST)


def test_what_a_query_says_of_truth_and_fractions() -> None:
    request = Signed(method="GET", path="/v1/x", query=[("a", "true"), ("b", "1.50")])
    claims = json.dumps({**claims_of(request, NOW), "queryParams": {"a": True}})[:-2] + ', "b": 1.50}}'
    judge(by_hand(HEAD, claims.encode()), PUBLIC, request)


def test_a_query_that_was_added_to_an_unsigned_one() -> None:
    assert "queryParams" in refused(told(), PUBLIC, Signed(method="POST", path=SELL.path, query=[("a", "")], body=BODY))


def test_a_query_that_names_a_field_twice_cannot_be_signed() -> None:
    request = Signed(method="GET", path="/v1/x", query=[("a", "1"), ("a", "2")])
    assert "twice" in refused(told(request, queryParams={"a": "2"}), PUBLIC, request)


@pytest.mark.parametrize("said", [None, "", BODY_HASH.upper(), BODY_HASH[:-1], sha256(b"").hexdigest(), 1, [BODY_HASH]])
def test_another_body(said: Any) -> None:
    assert "bodyHash" in refused(told(bodyHash=said), PUBLIC)


def test_a_body_that_was_added() -> None:
    request = Signed(method="POST", path="/v1/x")
    token = told(request)
    judge(token, PUBLIC, request)
    assert "bodyHash" in refused(token, PUBLIC, Signed(method="POST", path="/v1/x", body=b"{}"))


def test_no_body_may_have_the_hash_of_none() -> None:
    request = Signed(method="GET", path="/v1/x")
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    judge(told(request, bodyHash=nothing), PUBLIC, request)
    assert "bodyHash" in refused(told(request, bodyHash=BODY_HASH), PUBLIC, request)


def pem_of(key: Any) -> str:
    text: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "nonsense",
        PUBLIC[:-40],
        PUBLIC * 20,
        PAIRS["p384"][0],
        pem_of(rsa.generate_private_key(public_exponent=65_537, key_size=2_048).public_key()),
        pem_of(ed25519.Ed25519PrivateKey.generate().public_key()),
        pem_of(ec.generate_private_key(ec.SECP521R1()).public_key()),
        pem_of(ec.generate_private_key(ec.SECP256K1()).public_key()),
        "é",
    ],
)
def test_what_is_no_public_key(pem: str) -> None:
    with pytest.raises(Refusal) as caught:
        checked_public_key(pem)
    assert caught.value.code is Code.REQUEST_INVALID


@pytest.mark.parametrize("curve", ["p384", "p256"])
def test_public_keys_are_kept_in_one_spelling(curve: Curve) -> None:
    _, public = PAIRS[curve]
    assert checked_public_key("\n" + public.replace("\n", "\r\n") + "\n") == public


def test_what_is_no_private_key() -> None:
    sealed = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).replace(b"PRIVATE", b"SECRET")
    for pem in (b"", PUBLIC.encode(), sealed):
        with pytest.raises(Refusal):
            private_key(pem)


def test_long_numbers_cost_nothing() -> None:
    assert Decimal(10) ** 400 > 0
    claims = json.dumps(CLAIMS).replace(f'"iat": {SECOND}', '"iat": 1e400')
    assert "iat and exp" in refused(by_hand(HEAD, claims.encode()), PUBLIC)
