"""`otcdesk hooks`: captured requests checked, and a listener on a real desk, which leaves nothing behind."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner, Result

from otcdesk import cli_hooks
from otcdesk.api.operator.errors import REPLIES
from otcdesk.api.wire import error_body
from otcdesk.app import ENVELOPES
from otcdesk.cli import cli
from otcdesk.domain.conversions import CONFIRM
from otcdesk.domain.orders import BUY
from otcdesk.errors import Code
from otcdesk.webhooks.envelope import KeyKind, SigningKey
from otcdesk.webhooks.listening import Arrived, DeskRefused, Listener, OperatorCalls, Wanted, open_port
from otcdesk.webhooks.messages import Glance
from tests.cli.commands import ROOT, assert_one_sentence, environ, otcdesk
from tests.support.callbacks import about_webhook, checking, fresh, sending, story
from tests.support.receiver import Received, Receiver
from tests.support.server import DeskServer, World, free_port, wait_until

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
SIGNED = NOW.isoformat()


def invoke(*arguments: object, given: bytes = b"", env: Mapping[str, str] | None = None) -> Result:
    """Run a command in this process: there are many cases, and a process costs more than what is tested."""
    return CliRunner().invoke(
        cli,
        ["hooks", *map(str, arguments)],
        input=given,
        env={"NO_COLOR": "1", "OTCDESK_HOOK_SECRET": "", **(env or {})},
    )


# -- verify ------------------------------------------------------------------------------------------------------------


class Capture:
    """A signed message of an envelope in a file, and its key in another."""

    def __init__(self, folder: Path, name: str, kind: KeyKind | None = None) -> None:
        self.envelope = ENVELOPES.named(name)
        self.key = fresh(kind or self.envelope.key_kinds[0])
        self.file = folder / "request.http"
        self.key_file = folder / "key"
        self.key_file.write_bytes(checking(self.key).content + b"\n")
        (order,) = story(BUY, CONFIRM)
        told = self.envelope.told(order) or self.envelope.told(about_webhook())
        assert told is not None
        self.body = told.body
        self.write()

    def write(self, *, end: bytes = b"\r\n", body: bytes | None = None, key: SigningKey | None = None) -> None:
        sent = sending(self.body, key or self.key, at=NOW)
        headers = {"Host": "hooks.example.com:8443", **self.envelope.headers(sent)}
        lines = [
            b"POST /desk/in?for=acme&n=1 HTTP/1.1",
            *(f"{name}: {text}".encode() for name, text in headers.items()),
        ]
        self.file.write_bytes(end.join([*lines, b"", self.body if body is None else body]))

    @property
    def option(self) -> str:
        return "--secret-file" if self.key.kind is KeyKind.HMAC_SHA256 else "--public-key"

    def verify(self, *more: object, now: str = SIGNED) -> Result:
        return invoke("verify", self.file, self.option, self.key_file, "--now", now, *more)


EVERY_KIND = [(name, kind) for name in ENVELOPES.names for kind in ENVELOPES.named(name).key_kinds]


@pytest.mark.parametrize("name,kind", EVERY_KIND)
def test_a_captured_request_is_checked(tmp_path: Path, name: str, kind: KeyKind) -> None:
    capture = Capture(tmp_path, name, kind)
    for end in (b"\r\n", b"\n"):
        capture.write(end=end)
        done = capture.verify()
        assert done.exit_code == 0, done.output
        assert done.output.splitlines()[:2] == [
            f"A POST to https://hooks.example.com:8443/desk/in?for=acme&n=1 with a body of {len(capture.body)} bytes.",
            f"The envelope is {name}, by its headers.",
        ]
        assert done.output.splitlines()[2].startswith("It tells of ")
        assert done.output.splitlines()[3].startswith("Verified: ")


@pytest.mark.parametrize("name,kind", EVERY_KIND)
def test_what_was_altered_or_signed_by_another_is_not_verified(tmp_path: Path, name: str, kind: KeyKind) -> None:
    capture = Capture(tmp_path, name, kind)
    capture.write(body=capture.body + b" ")
    altered = capture.verify()
    capture.write(key=fresh(kind))
    forged = capture.verify()
    for done in (altered, forged):
        assert done.exit_code == 1, done.output
        assert done.output.splitlines()[-1].startswith("NOT verified: ")


def test_nothing_that_somebody_posts_steers_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = "\x1b[2J\udcff"
    capture = Capture(tmp_path, "standard")
    raw = capture.file.read_bytes().replace(b"webhook-id: ", b"webhook-id: \x1b[2J\xff")
    capture.file.write_bytes(raw)
    done = capture.verify()
    assert (done.exit_code, "\x1b" in done.output) == (1, False), done.output
    seen = Glance(event_type="a", event_id="b", subject_id=None, status=None)
    arrived = Arrived(at=NOW, glance=seen, verified=False, proof=bad, duplicate=False, body=b"\xff")
    cli_hooks._tell_line(arrived)
    cli_hooks._tell_json(arrived)
    with pytest.raises(typer.Exit):
        cli_hooks._fail(bad)
    printed = capsys.readouterr()
    assert printed.out.count("?[2J?") == 2
    assert printed.err == "otcdesk: ?[2J?\n"


def test_its_age_counts_unless_it_is_said_not_to(tmp_path: Path) -> None:
    for name in ("exchanges", "offers", "standard"):
        capture = Capture(tmp_path, name)
        late = (NOW + timedelta(days=400)).isoformat()
        assert "too old" in capture.verify(now=late).output
        assert capture.verify(now=late).exit_code == 1
        assert capture.verify("--any-age", now=late).exit_code == 0
        assert invoke("verify", capture.file, capture.option, capture.key_file).exit_code == 1  # by the clock, long ago
        capture.write(body=b"other")
        assert capture.verify("--any-age", now=late).exit_code == 1


def test_it_says_what_the_message_tells(tmp_path: Path) -> None:
    told = Capture(tmp_path, "exchanges").verify().output.splitlines()[2]
    assert told.startswith("It tells of otc_exchange.created, event evt_")
    assert told.endswith(", debit_pending.")


def test_the_secret_may_come_from_the_environment_and_the_request_from_standard_input(tmp_path: Path) -> None:
    capture = Capture(tmp_path, "standard")
    secret = {"OTCDESK_HOOK_SECRET": capture.key.secret.decode()}
    done = invoke("verify", "-", "--now", SIGNED, given=capture.file.read_bytes(), env=secret)
    assert done.exit_code == 0, done.output
    assert capture.key.secret.decode() not in done.output


def test_the_desks_page_of_keys_serves_as_a_key(tmp_path: Path) -> None:
    capture = Capture(tmp_path, "offers")
    key = checking(capture.key)
    others = checking(fresh(KeyKind.ECDSA_P256))
    page = [
        {"id": each.id, "envelope": "offers", "environment": "live", "kind": each.kind.value, "pem": text}
        for each in (others, key)
        for text in [each.content.decode()]
    ]
    capture.key_file.write_text(json.dumps({"keys": page}), encoding="utf-8")
    assert capture.verify().exit_code == 0
    capture.key_file.write_text(json.dumps({"keys": page[:1]}), encoding="utf-8")
    assert capture.verify().exit_code == 1
    page[1]["environment"] = "sandbox"
    capture.key_file.write_text(json.dumps({"keys": page}), encoding="utf-8")
    assert capture.verify().exit_code == 1
    assert capture.verify("--sandbox").exit_code == 0


def test_behind_a_proxy_the_address_may_be_told(tmp_path: Path) -> None:
    capture = Capture(tmp_path, "offers")
    there = capture.file.read_bytes()
    capture.file.write_bytes(there.replace(b"hooks.example.com:8443", b"inside"))
    assert capture.verify().exit_code == 1
    assert capture.verify("--url", "https://hooks.example.com:8443/desk/in?for=acme&n=1").exit_code == 0


def test_what_cannot_be_checked_is_said_in_a_sentence(tmp_path: Path) -> None:
    capture = Capture(tmp_path, "exchanges")
    bare = invoke("verify", capture.file)
    assert (bare.exit_code, bare.stderr) == (
        1,
        "otcdesk: There is no key to check with: --secret-file, OTCDESK_HOOK_SECRET or --public-key.\n",
    )
    assert invoke("verify", capture.file, "--public-key", capture.key_file).stderr == (
        "otcdesk: The key is not a public key: PEM, or whpk_ and base64.\n"
    )
    capture.key_file.write_bytes(checking(fresh(KeyKind.ECDSA_P384)).content)
    wrong_kind = invoke("verify", capture.file, "--public-key", capture.key_file)
    assert wrong_kind.exit_code == 1
    assert "NOT verified: It is checked with the webhook's secret" in wrong_kind.stdout
    capture.file.write_bytes(b"POST / HTTP/1.1\r\n\r\n{}")
    assert "--envelope says which" in capture.verify().stderr
    assert (
        "NOT verified: The header X-Webhook-Timestamp is missing." in capture.verify("--envelope", "exchanges").stdout
    )
    capture.file.write_bytes(b"nothing")
    assert capture.verify().stderr == "otcdesk: There is no empty line between the headers and the body.\n"


@pytest.mark.parametrize(
    "more,told",
    [(("--envelope", "soap"), "there is no envelope 'soap'"), (("--now", "yesterday"), "'yesterday' is not a time")],
)
def test_a_wrong_option_is_told(tmp_path: Path, more: tuple[str, str], told: str) -> None:
    done = Capture(tmp_path, "exchanges").verify(*more)
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.replace("│", " ").split())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert_one_sentence(otcdesk("hooks", "verify", str(tmp_path / "none"), env=environ(tmp_path)))


# -- listen ------------------------------------------------------------------------------------------------------------


class Listening:
    """A listener as a person runs it, with its output in files."""

    def __init__(self, folder: Path, server: DeskServer, token: str, *more: str, to: int | None = None) -> None:
        folder.mkdir(exist_ok=True)
        token_file = folder / "token"
        token_file.write_text(f"{token}\n", encoding="ascii")
        self._out, self._err = folder / "out", folder / "err"
        self.arguments = ["hooks", "listen", "--url", server.url, "--token-file", str(token_file), *more]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "otcdesk", *self.arguments],
                cwd=ROOT,
                env={**environ(folder), "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=out if to is None else to,
                stderr=err,
            )

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def ready(self) -> str:
        """Wait until it has registered; returns the id of its webhook."""
        wait_until(lambda: "as webhook" in self.out + self.err or self.process.poll() is not None, "it is registered")
        assert self.process.poll() is None, self.err
        return (self.out + self.err).split("as webhook ")[1].split(".")[0]

    def rows(self) -> list[Any]:
        """Return what it told with `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=20)


@contextmanager
def run(folder: Path, world: World, *more: str, to: int | None = None) -> Iterator[Listening]:
    """Run a listener; `to`: the file descriptor that gets its output."""
    listener = Listening(folder, world.server, world.token, *more, to=to)
    try:
        yield listener
    finally:
        listener.stop(signal.SIGKILL)


def webhooks(world: World) -> list[Any]:
    found: list[Any] = world.operator("GET", "/operator/webhooks").json()["data"]
    return found


def test_what_happens_is_printed_and_the_webhook_goes_with_the_listener(world: World, tmp_path: Path) -> None:
    with run(tmp_path / "a", world) as listener:
        webhook_id = listener.ready()
        assert [row["id"] for row in webhooks(world)] == [webhook_id]
        order_id = world.confirmed_buy()
        wait_until(lambda: "conversion.debit_settled" in listener.out, "the debit has settled")
        assert listener.stop() == 0, listener.err
        lines = listener.out.splitlines()
    assert lines[0].endswith(f"hears of {world.server.url} as webhook {webhook_id}. Ctrl-C takes it away.")
    assert lines[-1] == "The webhook is gone."
    confirmed = next(line for line in lines if "conversion.confirmed" in line)
    assert f"  {order_id}  debit_pending  verified" in confirmed
    assert "\x1b" not in listener.out
    assert listener.err == ""
    assert webhooks(world) == []


def test_for_a_tenant_in_its_own_words_as_json(world: World, tmp_path: Path) -> None:
    how = ("--json", "--envelope", "exchanges", "--tenant", world.told["tenants"]["A"], "--path", "/in/x")
    with run(tmp_path / "a", world, *how) as listener:
        webhook_id = listener.ready()
        order_id = world.confirmed_buy()
        wait_until(
            lambda: (order_id, "pending_approval") in [(row["subjectId"], row["status"]) for row in listener.rows()],
            "the order waits for approval",
        )
        _resend(world, webhook_id, "otc_exchange.created")
        wait_until(lambda: listener.rows()[-1]["duplicate"], "a message came again")
        assert listener.stop(signal.SIGTERM) == 0
        rows = listener.rows()
    assert all(row["verified"] for row in rows), rows
    assert {row["eventType"] for row in rows} == {
        *("otc_exchange.created", "otc_exchange.status_updated", "fiat_account.balance_updated"),
    }
    first, again = (row for row in rows if row["eventType"] == "otc_exchange.created")
    assert (first["duplicate"], again["duplicate"]) == (False, True)
    assert json.loads(again["body"])["id"] == again["eventId"] == first["eventId"]
    assert webhooks(world) == []


def test_a_terminal_that_is_closed_ends_it_and_its_webhook(world: World, tmp_path: Path) -> None:
    with run(tmp_path / "a", world) as listener:
        listener.ready()
        assert listener.stop(signal.SIGHUP) == 0, listener.err
    assert listener.out.splitlines()[-1] == "The webhook is gone."
    assert listener.err == ""
    assert webhooks(world) == []


@pytest.mark.parametrize("how", [(), ("--json",)])
def test_who_reads_it_no_longer_ends_it_and_its_webhook(world: World, tmp_path: Path, how: tuple[str, ...]) -> None:
    """As in `otcdesk hooks listen | head -1`: the next message finds nobody who reads."""
    reading, writing = os.pipe()
    with run(tmp_path / "a", world, *how, to=writing) as listener:
        os.close(writing)
        wait_until(lambda: len(webhooks(world)) == 1, "it is registered")
        if not how:
            assert b"as webhook" in os.read(reading, 1_000)
        os.close(reading)
        assert _send_test(world, webhooks(world)[0]["id"]) == 200
        assert listener.process.wait(timeout=20) == 0, listener.err
    assert "BrokenPipe" not in listener.err
    assert "Traceback" not in listener.err
    assert webhooks(world) == []


@pytest.mark.parametrize("name", ENVELOPES.names)
async def test_what_a_desk_sends_is_verified_in_every_envelope(world: World, name: str) -> None:
    """A real desk's signature, made for a real address, with the key that it gave or publishes."""
    envelope, arrived = ENVELOPES.named(name), list[Arrived]()
    opened = open_port(0)
    url = f"http://127.0.0.1:{opened.getsockname()[1]}/in?for=desk"
    listener = Listener(envelope, "/in", answer=204, tell=arrived.append)
    async with OperatorCalls.opened(world.server.url, world.token) as calls, listener.listening(opened):
        webhook_id, keys = await calls.register(Wanted(envelope=envelope), url)
        listener.check_with(keys)
        assert await asyncio.to_thread(_send_test, world, webhook_id) == 204
    assert [(one.verified, one.glance.event_type) for one in arrived] == [(True, envelope.test_type)], arrived
    (webhook,) = webhooks(world)
    assert set(webhook["eventTypes"]) == envelope.event_types


def _send_test(world: World, webhook_id: str) -> Any:
    """Let the desk send a test message; returns what the listener answered."""
    return world.operator("POST", f"/operator/webhooks/{webhook_id}/test").json()["data"]["responseStatus"]


def _resend(world: World, webhook_id: str, event_type: str) -> None:
    """Let the desk send a message again once it has recorded the first attempt."""
    query = f"/operator/webhooks/{webhook_id}/deliveries?eventType={event_type}"
    wait_until(lambda: world.operator("GET", query).json()["data"][0]["status"] == "success", "it has arrived")
    delivery_id = world.operator("GET", query).json()["data"][0]["id"]
    assert world.operator("POST", f"/operator/deliveries/{delivery_id}/resend").json()["data"]["success"]


async def test_a_webhook_that_a_killed_listener_left_is_replaced_and_no_other(world: World) -> None:
    wanted, url = Wanted(envelope=ENVELOPES.named("standard")), "http://127.0.0.1:9/"
    async with OperatorCalls.opened(world.server.url, world.token) as calls:
        other, _ = await calls.register(wanted, "http://127.0.0.1:9/other")
        left, _ = await calls.register(wanted, url)
        again, _ = await calls.register(wanted, url)
        assert {row["id"] for row in webhooks(world)} == {other, again}
        await calls.remove(left)  # gone already, and no matter
        await calls.remove(again)
        assert world.operator("PATCH", f"/operator/webhooks/{other}", {"description": "mine"}).status_code == 200
        with pytest.raises(DeskRefused, match="There is a webhook for this URL already"):
            await calls.register(wanted, "http://127.0.0.1:9/other")
    assert [row["id"] for row in webhooks(world)] == [other]


# -- listen: what goes wrong -------------------------------------------------------------------------------------------


def refused(folder: Path, *more: object, url: str, token: str = "token") -> str:
    """Return the one sentence with which a listener ends."""
    token_file = folder / "token"
    token_file.write_text(token, encoding="utf-8")
    done = invoke("listen", "--url", url, "--token-file", token_file, *more, env={"DESK_HOME": str(folder)})
    assert done.exit_code == 1, (done.output, done.exception)
    assert done.stdout == ""
    assert done.stderr.startswith("otcdesk: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("otcdesk: ").strip()


def test_a_desk_that_does_not_run_is_told(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert refused(tmp_path, url=url) == f"No desk answers at {url}."


def test_a_port_that_is_taken_is_told(tmp_path: Path, server: DeskServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(tmp_path, "--port", port, url=server.url)
    assert said == f"127.0.0.1:{port} cannot be listened on: Address already in use; --port names another."


def test_a_token_that_is_none_or_a_customers_is_told(tmp_path: Path, world: World) -> None:
    for token in ("nonsense", world.keys["KA"]):
        said = refused(tmp_path, url=world.server.url, token=token)
        assert said.startswith(f"The desk at {world.server.url} does not take the token: ")
    for token in ("", "two words", "ümlaut"):
        assert refused(tmp_path, url=world.server.url, token=token).endswith("holds no token.")


def test_a_tenant_or_event_type_that_does_not_exist_is_told(tmp_path: Path, world: World) -> None:
    ask = {"url": world.server.url, "token": world.token}
    stranger = "00000000-0000-4000-8000-000000000000"
    assert refused(tmp_path, "--tenant", stranger, **ask) == "The desk refuses: There is no such tenant."
    assert refused(tmp_path, "--events", "no.such", **ask) == "The desk refuses: There is no event type 'no.such'."
    assert webhooks(world) == []


@pytest.mark.parametrize("code", [Code.SUBSCRIPTION_URL_INVALID, Code.SUBSCRIPTION_URL_FORBIDDEN])
def test_a_desk_that_posts_to_public_addresses_only_is_told(tmp_path: Path, code: Code) -> None:
    """As its operator dialect says it; whether http or the address is named first is the desk's business."""
    reply = REPLIES[code]
    body = msgspec.json.encode(error_body(reply.word, code.sentence))

    def answer(request: Received) -> tuple[int, dict[str, str], bytes]:
        return (200, {}, b'{"data":[]}') if request.method == "GET" else (reply.status, {}, body)

    with Receiver(answer) as desk:
        said = refused(tmp_path, "--events", "conversion.confirmed", url=desk.url(""))
    assert said == "The desk does not post to this machine; DESK_WEBHOOKS_LOCAL=true lets it, for sandboxes."


def test_without_a_demo_it_is_said_what_to_do(tmp_path: Path) -> None:
    def said(*more: str) -> Result:
        return invoke("listen", *more, env={"DESK_HOME": str(tmp_path)})

    missing = said()
    assert missing.exit_code == 1
    assert "demo.json is missing: start `otcdesk demo`" in missing.stderr
    (tmp_path / "demo.json").write_text('{"operator":{}}', encoding="utf-8")
    assert "demo.json is damaged" in said().stderr
    half = said("--url", "http://127.0.0.1:1")
    assert half.exit_code == 2
    assert "go together" in half.stderr


def test_the_demo_is_found_by_itself(tmp_path: Path, world: World) -> None:
    told = {"base_url": world.server.url, "operator": {"base_url": f"{world.server.url}/operator", "token": "wrong"}}
    (tmp_path / "demo.json").write_text(json.dumps(told), encoding="utf-8")
    done = invoke("listen", env={"DESK_HOME": str(tmp_path)})
    assert f"The desk at {world.server.url} does not take the token" in done.stderr


@pytest.mark.parametrize("path", ["nothing", "/a b", "/#x", "/é"])
def test_a_path_that_no_url_has_is_told(tmp_path: Path, path: str) -> None:
    (tmp_path / "token").write_text("t", encoding="ascii")
    done = invoke("listen", "--url", "http://127.0.0.1:1", "--token-file", tmp_path / "token", "--path", path)
    assert done.exit_code == 2
    assert "not a path" in " ".join(done.stderr.replace("│", " ").split())
