"""Webhooks in world files: made if they are absent, left alone if not, and refused before anything else is made."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.world import WorldFile, parse_world
from otcdesk.errors import Code, Refusal
from otcdesk.webhooks.subscriptions import Change, Subscriptions
from otcdesk.webhooks.world_files import MadeWebhook, make_webhooks, missing_webhooks
from otcdesk.world_loading import SANDBOX, LoadedWorld
from tests.support.desk import A, B
from tests.support.hooked import Hooked, hooked
from tests.support.waiting import until

FILE = """
name = "hooked"
[[assets]]
code = "EUR"
scale = 2
[[tenants]]
ref = "A"
[[tenants.webhooks]]
url = "http://127.0.0.1:9/hook"
event_types = ["otc_exchange.created"]
description = "their own"
[[tenants.webhooks]]
url = "http://127.0.0.1:9/hook"
event_types = ["Transaction"]
envelope = "ramp"
[[tenants]]
ref = "B"
[[tenants.webhooks]]
url = "HTTP://127.0.0.1:9/hook"
event_types = ["otc_exchange.status_updated"]
[[webhooks]]
url = "http://127.0.0.1:9/hook"
event_types = ["webhook.disabled"]
"""


@pytest.fixture
async def desk(shared_dsn: str, shared_home: Path) -> AsyncIterator[Hooked]:
    async with hooked(shared_dsn, shared_home) as made:
        yield made


def world_of(*hooks: str) -> WorldFile:
    """Return a world file in which the desk has these webhooks, given as their URLs."""
    text = 'name = "small"\nassets = []\n'
    return parse_world(
        text + "".join(f'[[webhooks]]\nurl = "{url}"\nevent_types = ["webhook.test"]\n' for url in hooks)
    )


async def loaded(desk: Hooked, world: WorldFile) -> LoadedWorld:
    lane = await desk.program.worlds.open_lane(str(uuid4()), SANDBOX)
    return await desk.program.worlds.load(lane, world, kind=SANDBOX)


@contextmanager
def refused(said: str) -> Iterator[None]:
    """Expect the refusal of a file, with these words in its sentence."""
    with pytest.raises(Refusal) as caught:
        yield
    assert caught.value.code is Code.DECLARATION_INVALID
    assert said in caught.value.detail


async def again(desk: Hooked, before: LoadedWorld, world: WorldFile) -> list[MadeWebhook]:
    return (await desk.program.worlds.load(before.lane, world, kind=SANDBOX)).webhooks


async def test_a_file_makes_its_webhooks_and_shows_their_secrets_once(desk: Hooked) -> None:
    world = parse_world(FILE)
    told = await loaded(desk, world)
    shown = {(row.tenant, row.envelope): row for row in told.webhooks}
    assert shown.keys() == {("A", "exchanges"), ("A", "ramp"), ("B", "exchanges"), (None, "standard")}
    assert {row.url for row in told.webhooks} == {"http://127.0.0.1:9/hook"}
    assert shown["A", "ramp"].secret is None
    subscriptions, lane = desk.webhooks.subscriptions, told.lane
    (theirs,) = await subscriptions.of_owner(lane, A, "exchanges")
    assert (theirs.description, theirs.event_types) == ("their own", ["otc_exchange.created"])
    assert [row.event_types for row in await subscriptions.of_owner(lane, B)] == [["otc_exchange.status_updated"]]
    assert [row.event_types for row in await subscriptions.of_owner(lane, DESK_ID)] == [["webhook.disabled"]]
    secret = shown["A", "exchanges"].secret
    assert secret is not None
    assert [key.secret.decode() for key in await desk.keys(theirs)] == [secret]
    assert await again(desk, told, world) == []


async def test_only_what_is_absent_is_made(desk: Hooked) -> None:
    told = await loaded(desk, world_of("http://127.0.0.1:9/a", "http://127.0.0.1:9/b"))
    subscriptions = desk.webhooks.subscriptions
    first, second = await subscriptions.of_owner(told.lane, DESK_ID)
    changed = await subscriptions.change(first, Change(description="by hand", is_active=False))
    await subscriptions.delete(second)
    world = world_of("http://127.0.0.1:9/a", "http://127.0.0.1:9/b", "http://127.0.0.1:9/c")
    assert [row.url for row in await again(desk, told, world)] == ["http://127.0.0.1:9/b", "http://127.0.0.1:9/c"]
    assert (await subscriptions.of_owner(told.lane, DESK_ID))[0] == changed


BAD = {
    'url = "nothing"\nevent_types = ["webhook.test"]': "https:// address",
    'url = "https://10.1.2.3/"\nevent_types = ["webhook.test"]': "public address",
    'url = "https://nowhere.invalid/"\nevent_types = ["webhook.test"]': "cannot be found",
    'url = "http://127.0.0.1/"\nevent_types = []': "1 to 100",
    'url = "http://127.0.0.1/"\nevent_types = ["no.such"]': "'no.such'",
    'url = "http://127.0.0.1/"\nevent_types = ["Transaction"]\nenvelope = "slope"': "envelopes are",
    f'url = "http://127.0.0.1/"\nevent_types = ["webhook.test"]\ndescription = "{"x" * 501}"': "500",
}


async def test_a_bad_webhook_is_refused_before_anything_is_made(desk: Hooked) -> None:
    lane = await desk.program.worlds.open_lane(str(uuid4()), SANDBOX)
    for hook, said in BAD.items():
        world = parse_world(f'name = "bad"\nassets = []\n[[tenants]]\nref = "A"\n[[webhooks]]\n{hook}\n')
        with refused(said):
            await desk.program.worlds.load(lane, world, kind=SANDBOX)
    assert await desk.connection.fetchval("select count(*) from tenants where lane = $1", lane) == 0
    assert await desk.webhooks.subscriptions.count(lane) == 0


async def test_a_webhook_may_be_named_once(desk: Hooked) -> None:
    with refused("twice"):
        desk.program.worlds.check(world_of("http://127.0.0.1:9/a", "HTTP://127.0.0.1:9/a"))


async def test_no_more_are_made_than_an_owner_may_have(desk: Hooked) -> None:
    urls = [f"http://127.0.0.1:9/{number}" for number in range(11)]
    with refused("10 webhooks"):
        desk.program.worlds.check(world_of(*urls))
    told = await loaded(desk, world_of(*urls[:8]))
    with refused("10 webhooks"):
        await again(desk, told, world_of(*urls[5:]))
    assert await desk.webhooks.subscriptions.count(told.lane) == 8
    assert len(await again(desk, told, world_of(*urls[:10]))) == 2


def test_a_file_names_so_many_and_no_more(desk: Hooked) -> None:
    def world(each: int) -> WorldFile:
        hooks = [
            f'[[tenants.webhooks]]\nurl = "http://127.0.0.1:9/{number}"\nevent_types = ["otc_exchange.created"]\n'
            for number in range(each)
        ]
        tenants = [f'[[tenants]]\nref = "{ref}"\n' + "".join(hooks) for ref in "ABC"]
        return parse_world('name = "many"\nassets = []\n' + "".join(tenants))

    desk.program.worlds.check(world(6))
    with refused("20 webhooks"):
        desk.program.worlds.check(world(7))


class Resolving(Subscriptions):
    """Subscriptions of a network in which hosts are found when all of them are being looked for."""

    together: int
    asked: list[str]

    async def resolve(self, url: str) -> None:
        self.asked.append(url)
        await until(lambda: len(self.asked) >= self.together, "all are looked for at the same time")


async def test_hosts_are_looked_for_together_and_once(desk: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = desk.program.worlds
    network = Resolving.__new__(Resolving)
    network.__dict__.update(vars(worlds.subscriptions), together=2, asked=[])
    monkeypatch.setattr(worlds, "subscriptions", network)
    told = await loaded(desk, world_of("http://127.0.0.1:9/a", "http://127.0.0.1:9/b"))
    assert network.asked == ["http://127.0.0.1:9/a", "http://127.0.0.1:9/b"]
    assert len(told.webhooks) == 2


async def test_a_webhook_that_comes_to_nothing_at_last_takes_no_secret_with_it(desk: Hooked) -> None:
    """While a file is loaded somebody takes its URL, or something breaks that nobody has foreseen."""
    subscriptions = desk.webhooks.subscriptions
    lane = await desk.program.worlds.open_lane(str(uuid4()), SANDBOX)
    urls = [f"http://127.0.0.1:9/{name}" for name in "ab"]
    missing = await missing_webhooks(subscriptions, lane, world_of(*urls))
    await subscriptions.create(missing[0].wanted)
    result = await make_webhooks(subscriptions, missing)
    assert [row.url for row in result.made] == urls[1:]
    assert [(row.url, row.reason) for row in result.missed] == [(urls[0], Code.SUBSCRIPTION_URL_TAKEN.sentence)]
    nowhere = [msgspec.structs.replace(row, wanted=msgspec.structs.replace(row.wanted, lane=-1)) for row in missing]
    result = await make_webhooks(subscriptions, nowhere)
    assert (result.made, [row.url for row in result.missed]) == ([], urls)


async def test_secrets_are_not_written_down(desk: Hooked) -> None:
    told = await loaded(desk, parse_world(FILE + '[[operators]]\nref = "op"\n'))
    (token,) = told.operators.values()
    secrets = [token, *(row.secret for row in told.webhooks if row.secret)]
    assert len(secrets) == 4
    assert not any(secret in repr(told) for secret in secrets)


def test_a_misspelt_key_is_an_error() -> None:
    with refused("eventtypes"):
        parse_world(FILE.replace("event_types", "eventtypes", 1))
