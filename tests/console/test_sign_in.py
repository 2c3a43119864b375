"""Signing in and out over real HTTP: what is told, what is not, and who a session belongs to."""

from otcdesk.errors import Code
from tests.support.consoles import COOKIE, Html, Person, code_of, make_operator, signed_in
from tests.support.server import World


def test_somebody_signs_in_and_out(world: World) -> None:
    made, person = make_operator(world, "trader", name="Tess"), Person(world.server)
    assert person.get("/account").headers["location"] == "/console/sign-in?next=%2Fconsole%2Faccount"
    answer = person.sign_in(made, next="/console/account")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/account")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Tess" in person.open("/account").text
    token = person.token
    person.done("/sign-out", {})
    again = Person(world.server)
    again.http.cookies.set(COOKIE, token)
    assert again.get("/account").status_code == 303


def test_a_wrong_part_is_not_told_apart(world: World) -> None:
    made = make_operator(world, "trader")
    for wrong in ({"password": "another password"}, {"code": "000000"}, {"email": "nobody@desk.example"}):
        answer = Person(world.server).sign_in(made, **wrong)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert Code.SIGN_IN_FAILED.sentence in Html(answer.text).text


def test_who_fails_to_sign_in_again_stays_signed_in_and_is_told(world: World) -> None:
    person, other = signed_in(world, "trader"), make_operator(world, "approver", name="Ada")
    before, fields = person.token, {"email": other.email, "password": other.password}
    answer = person.post("/sign-in", {**fields, "code": "x"})
    assert answer.status_code == 401
    assert Code.SIGN_IN_FAILED.sentence in Html(answer.text).text
    assert person.get("/account").status_code == 200
    assert person.post("/sign-in", {**fields, "code": code_of(other)}).status_code == 303
    assert "Ada" in person.open("/account").text
    again = Person(world.server)
    again.http.cookies.set(COOKIE, before)
    assert again.get("/account").status_code == 303


def test_a_session_cannot_be_planted(world: World) -> None:
    made, person = make_operator(world, "trader"), Person(world.server)
    fields = {"email": made.email, "password": made.password, "code": code_of(made)}
    answer = person.post("/sign-in", fields, mark=False, headers={"cookie": f"{COOKIE}=planted"})
    assert answer.status_code == 303
    assert "planted" not in answer.headers["set-cookie"]
    assert Person(world.server).get("/account", headers={"cookie": f"{COOKIE}=planted"}).status_code == 303


def test_a_form_of_somebody_else_is_not_taken(world: World) -> None:
    person, other = signed_in(world, "trader"), signed_in(world, "trader")
    assert person.post("/sign-out", {"csrf": ""}, mark=False).status_code == 403
    assert person.post("/sign-out", {"csrf": other.mark}).status_code == 403
    null = {"origin": "null"}
    evil = ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, null)
    for headers in (*evil, {**null, "sec-fetch-site": "cross-site"}):
        assert person.post("/sign-out", {}, headers=headers).status_code == 403
    assert person.get("/account").status_code == 200
    ours = {**null, "sec-fetch-site": "same-origin"}  # as browsers send a form of a page without a referrer
    assert person.post("/sign-out", {}, headers=ours).status_code == 303


def test_nobody_is_led_elsewhere(world: World) -> None:
    person = signed_in(world, "trader")
    for away in ("https://evil.example/", "//evil.example", "/console/../exchanges", "/console/\\evil", "javascript:1"):
        assert person.get("/sign-in", params={"next": away}).headers["location"] == "/console/orders"
    there = "/console/orders?product=conversion"
    assert person.get("/sign-in", params={"next": there}).headers["location"] == there
