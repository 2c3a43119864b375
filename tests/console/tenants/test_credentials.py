"""Keys of tenants over real HTTP: made and shown this once, good for what they are for, dead once revoked."""

import re

import pytest

from otcdesk.request_signatures import new_key_pair
from tests.support.consoles import Html, Person, acts_of, signed_in
from tests.support.server import World, wait_until

READ = "scope:otc-exchanges:read"


def path_of(world: World, ref: str = "acme") -> str:
    return f"/tenants/{world.told['tenants'][ref]}/credentials"


def shown(person: Person, path: str, fields: dict[str, str]) -> list[str]:
    """Make a key and return what is shown of it, this once."""
    answer = person.post(path, fields)
    assert answer.status_code == 200, Html(answer.text).text
    assert answer.headers["cache-control"] == "no-store"
    secrets: list[str] = re.findall(r'<code class="hash">([^<]+)</code>', answer.text)
    person.server.secrets |= set(secrets)
    assert not any(
        secret in person.open(path).html for secret in secrets if secret.startswith(("sk_", "cs_", "apikey"))
    )
    return secrets


def status_of(world: World, key: str) -> int:
    """Return how the desk answers who reads by an API key."""
    return world.server.http.get("/exchanges/otc-exchanges", headers={"x-api-key": key}).status_code


def revoke(person: Person, path: str, name: str) -> None:
    page = person.open(path).html
    found = re.search(rf'<option value="([^"]+)"[^>]*>{re.escape(name)} ', page)
    assert found
    person.done(f"{path}/revoke", {"credential": found.group(1), "why": "not used any more"})
    assert person.post(f"{path}/revoke", {"credential": found.group(1), "why": "again"}).status_code == 400


def test_an_api_key_is_good_until_it_is_revoked(world: World, root: Person) -> None:
    path = path_of(world)
    fields = {"kind": "api_key", "name": "reports", READ: "yes", "addresses": "", "days": "30", "why": "a new system"}
    (key,) = shown(root, path, fields)
    assert status_of(world, key) == 200
    page = root.open(path).text
    assert "reports api key" in page
    assert "in use until" in page
    assert root.post(path, fields).status_code == 400
    revoke(root, path, "reports")
    wait_until(lambda: status_of(world, key) == 401, "the revoked key is not believed any more")
    made, revoked = [one for one in acts_of(world) if "credential" in one.content and "reports" in one.content][::-1]
    assert (made.why, revoked.why) == ("a new system", "not used any more")
    assert key not in made.content


def test_an_api_key_is_good_from_its_addresses_alone(world: World, root: Person) -> None:
    fields = {
        "kind": "api_key",
        "name": "elsewhere",
        READ: "yes",
        "addresses": "192.0.2.0/24\r\n2001:db8::1",
        "why": "x",
    }
    (key,) = shown(root, path_of(world), fields)
    assert status_of(world, key) in {401, 403}
    assert "192.0.2.0/24, 2001:db8::1" in root.open(path_of(world)).text


def test_a_request_key_has_the_public_key_that_was_given(world: World, root: Person) -> None:
    _, pem = new_key_pair("p384")
    path, fields = path_of(world, "paylane"), {"kind": "request_key", "name": "payouts", "why": "x"}
    (key,) = shown(root, path, {**fields, "public_key": pem.replace("\n", "\r\n")})
    assert key.startswith("apikey_sandbox_")
    assert "payouts request key signed" in root.open(path).text
    assert root.post(path, {**fields, "name": "other", "public_key": "no key"}).status_code == 400
    shown(root, path, {**fields, "name": "unsigned", "public_key": ""})


def test_a_client_gets_tokens(world: World, root: Person) -> None:
    fields = {"kind": "client", "name": "second", "supervisor": "", "why": "x"}
    client_id, secret = shown(root, path_of(world, "northbank"), fields)
    body = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    assert world.server.http.post("/offers/v1/oauth/token", json=body).status_code == 200
    revoke(root, path_of(world, "northbank"), "second")
    assert world.server.http.post("/offers/v1/oauth/token", json=body).status_code in {400, 401}


def test_what_a_key_is_called_is_no_markup(world: World, root: Person) -> None:
    path, name = path_of(world, "northbank"), "<script>alert(1)</script>'\"&{{7*7}}"
    shown(root, path, {"kind": "client", "name": name, "supervisor": "", "why": name})
    page = root.open(path)
    assert name in page.text
    assert "<script>alert" not in page.html


def test_a_client_for_deals_calls_as_a_supervisor_of_its_tenant(world: World, root: Person) -> None:
    path = path_of(world, "harbour")
    supervisor = next(part for part in re.findall(r'<option value="([^"]+)" *>for deals', root.open(path).html))
    fields = {"kind": "client", "name": "deals", "supervisor": supervisor, "why": "x"}
    api_key, secret = shown(root, path, fields)
    keys = {"api_key": api_key, "secret_key": secret}
    assert world.server.http.post("/deals/v2/auth/authenticate", json=keys).status_code == 200
    for other in (path_of(world), path):
        wrong = supervisor if other != path else "00000000-0000-7000-8000-000000000001"
        assert root.post(other, {**fields, "name": "x", "supervisor": wrong}).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "operator"},
        {"kind": ""},
        {"name": ""},
        {"name": "x" * 101},
        {"name": "a\nb"},
        {"scope:everything": "yes"},
        {READ: "-"},
        {"addresses": "here"},
        {"addresses": "10.0.0.1 " * 300},
        {"days": "0"},
        {"days": "many"},
        {"why": ""},
        {"kind": "client", "supervisor": "x"},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_what_is_no_key_is_told(world: World, root: Person, changes: dict[str, str]) -> None:
    path = path_of(world, "harbour")
    before = root.open(path).text.count("in use")
    fields = {"kind": "api_key", "name": "wrong", READ: "yes", "addresses": "", "days": "", "why": "x", **changes}
    answer = root.post(path, {name: text for name, text in fields.items() if text != "-"})
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert root.open(path).text.count("in use") == before


def test_a_key_of_another_tenant_is_not_revoked(world: World, root: Person) -> None:
    found = re.search(r'<option value="([0-9a-f-]{36})"[^>]*>acme ', root.open(path_of(world)).html)
    assert found
    answer = root.post(f"{path_of(world, 'paylane')}/revoke", {"credential": found.group(1), "why": "x"})
    assert answer.status_code == 400
    assert status_of(world, world.keys["acme"]) == 200


@pytest.mark.parametrize("role", ["trader", "approver", "finance", "compliance"])
def test_who_may_not_makes_and_revokes_nothing(world: World, role: str) -> None:
    person, path = signed_in(world, role), path_of(world)
    assert f"/console{path}" not in person.open(path).actions
    fields = {"kind": "api_key", "name": "mine", READ: "yes", "why": "x"}
    for where in (path, f"{path}/revoke"):
        assert person.post(where, fields).status_code == 403
