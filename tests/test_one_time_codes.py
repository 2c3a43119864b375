"""One-time codes as RFC 6238 has them, and which step a code is of."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from otcdesk.one_time_codes import code_at, made_secret, parsed_secret, printed_secret, provisioning_uri, steps_of

#: RFC 6238, appendix B, of whose eight digits an authenticator shows six.
SECRET = b"12345678901234567890"
CODES = {
    59: "287082",
    1_111_111_109: "081804",
    1_111_111_111: "050471",
    1_234_567_890: "005924",
    2_000_000_000: "279037",
    20_000_000_000: "353130",
}


@pytest.mark.parametrize("seconds, code", CODES.items())
def test_codes_are_those_of_the_rfc(seconds: int, code: str) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    assert code_at(SECRET, moment) == code
    assert steps_of(SECRET, code, moment) == [seconds // 30]


def test_a_code_is_told_one_step_either_way() -> None:
    moment = datetime.fromtimestamp(1_234_567_890, UTC)
    step = 1_234_567_890 // 30
    found = [
        steps_of(SECRET, code_at(SECRET, moment + timedelta(seconds=30 * aside)), moment) for aside in range(-2, 3)
    ]
    assert found == [[], [step - 1], [step], [step + 1], []]


@pytest.mark.parametrize("code", ["005 924", " 005924 ", "005924"])
def test_spaces_do_not_count(code: str) -> None:
    assert steps_of(SECRET, code, datetime.fromtimestamp(1_234_567_890, UTC))


@pytest.mark.parametrize(
    "code", ["", "5924", "0059240", "00592x", "\u0660\u0660\u0665\u0669\u0662\u0664", "-05924", "\udcff"]
)
def test_what_is_no_code(code: str) -> None:
    assert steps_of(SECRET, code, datetime.fromtimestamp(1_234_567_890, UTC)) == []


def test_secrets_are_printed_and_read() -> None:
    secret = made_secret()
    assert secret != made_secret()
    assert len(secret) == 20
    assert parsed_secret(printed_secret(secret)) == secret
    uri = urlsplit(provisioning_uri(secret, email="tess@desk.example", issuer="otcdesk main"))
    assert (uri.scheme, uri.netloc, unquote(uri.path)) == ("otpauth", "totp", "/otcdesk main:tess@desk.example")
    asked = parse_qs(uri.query)
    assert asked["secret"] == [printed_secret(secret)]
    assert (asked["digits"], asked["period"], asked["algorithm"]) == (["6"], ["30"], ["SHA1"])
