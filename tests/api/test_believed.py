"""How long an answer is believed, and how many at once."""

import time
from collections.abc import Iterable

import pytest

from otcdesk.api.believed import Believed

HALF_A_SECOND = 500


class Elsewhere:
    """What is true outside of this process, by a time that a test steers; counts who asks."""

    def __init__(self, now_ns: int = 7) -> None:
        self.now_ns = now_ns
        self.answers: dict[str, str] = {}
        self.asked: list[str] = []
        self.takes_ms = 0
        self.away = False

    async def look_up(self, key: str) -> str | None:
        self.asked.append(key)
        answer = self.answers.get(key)
        self.pass_ms(self.takes_ms)
        if self.away:
            raise OSError("the database is away")
        return answer

    def pass_ms(self, milliseconds: int) -> None:
        self.now_ns += milliseconds * 1_000_000


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    elsewhere = Elsewhere()
    monkeypatch.setattr(time, "monotonic_ns", lambda: elsewhere.now_ns)
    return elsewhere


async def find_all(believed: Believed[str, str | None], keys: Iterable[str]) -> None:
    for key in keys:
        await believed.find(key)


@pytest.mark.parametrize("before, after", [("good", None), (None, "good"), ("good", "better")])
async def test_an_answer_right_or_wrong_is_believed_until_its_time_is_up(
    elsewhere: Elsewhere, before: str | None, after: str | None
) -> None:
    believed = Believed(elsewhere.look_up, HALF_A_SECOND)
    elsewhere.answers = {"key": before} if before else {}
    assert await believed.find("key") == before
    elsewhere.answers = {"key": after} if after else {}
    elsewhere.now_ns += HALF_A_SECOND * 1_000_000 - 1
    assert await believed.find("key") == before
    assert elsewhere.asked == ["key"]
    elsewhere.now_ns += 1
    assert await believed.find("key") == after
    assert elsewhere.asked == ["key"] * 2


async def test_its_time_begins_when_it_is_asked_for(elsewhere: Elsewhere) -> None:
    """What ends while it is looked up is believed no longer than anything else."""
    believed = Believed(elsewhere.look_up, HALF_A_SECOND)
    elsewhere.takes_ms = 300
    await believed.find("key")
    elsewhere.pass_ms(199)
    await believed.find("key")
    assert len(elsewhere.asked) == 1
    elsewhere.pass_ms(1)
    await believed.find("key")
    assert len(elsewhere.asked) == 2


async def test_each_key_has_an_answer_and_a_time_of_its_own(elsewhere: Elsewhere) -> None:
    believed = Believed(elsewhere.look_up, HALF_A_SECOND)
    elsewhere.answers = {"one": "1", "other": "2"}
    assert await believed.find("one") == "1"
    elsewhere.pass_ms(400)
    assert await believed.find("other") == "2"
    elsewhere.pass_ms(100)
    await find_all(believed, ["other", "one"])
    assert elsewhere.asked == ["one", "other", "one"]


async def test_the_oldest_answers_are_forgotten_first(elsewhere: Elsewhere) -> None:
    believed = Believed(elsewhere.look_up, HALF_A_SECOND, most=3)
    await find_all(believed, "abc")
    elsewhere.pass_ms(HALF_A_SECOND)
    await find_all(believed, "ad")  # a is looked up again, so b is the oldest now
    elsewhere.asked.clear()
    await find_all(believed, "da")
    assert not elsewhere.asked
    assert len(believed._answers) == 3
    assert "b" not in believed._answers


async def test_however_many_ask_no_more_are_kept(elsewhere: Elsewhere) -> None:
    believed = Believed(elsewhere.look_up, HALF_A_SECOND)
    await find_all(believed, map(str, range(10_050)))
    assert len(believed._answers) == 10_000


async def test_a_look_up_that_fails_is_no_answer(elsewhere: Elsewhere) -> None:
    believed = Believed(elsewhere.look_up, HALF_A_SECOND)
    elsewhere.answers = {"key": "good"}
    await believed.find("key")
    elsewhere.pass_ms(HALF_A_SECOND)
    elsewhere.away = True
    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            await believed.find("key")
    elsewhere.away = False
    assert await believed.find("key") == "good"
    assert len(elsewhere.asked) == 4


async def test_nothing_is_believed_for_no_time(elsewhere: Elsewhere) -> None:
    believed = Believed(elsewhere.look_up, 0)
    await find_all(believed, ["key"] * 3)
    assert len(elsewhere.asked) == 3
