"""The documents: complete, linked, titled once, and true where a machine can tell."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from otcdesk.app import price_feed_settings
from otcdesk.cli import cli
from otcdesk.config import Settings, variable_of
from otcdesk.docs import write_documents
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.machine import Machine
from tests.cli.commands import Demo, Said, paste

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
OPERATING = DOCS / "operating.md"

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose_of(path: Path) -> str:
    """Return a document without what stands between fences."""
    return _FENCED.sub("", path.read_text(encoding="utf-8"))


def blocks_of(path: Path, language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return [text for named, text in _FENCED.findall(path.read_text(encoding="utf-8")) if named == language]


def headings_of(path: Path) -> list[str]:
    return re.findall(r"^(#+ .*)$", prose_of(path), re.MULTILINE)


def anchor_of(heading: str) -> str:
    """Return the fragment under which code hosts show a heading."""
    words = re.sub(r"[^\w\- ]", "", heading.lstrip("# ").lower())
    return words.replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_a_document_has_one_title_and_it_comes_first(path: Path) -> None:
    headings = headings_of(path)
    assert [heading for heading in headings if heading.startswith("# ")] == headings[:1]
    assert path.read_text(encoding="utf-8").startswith(headings[0])


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    for target in _LINK.findall(prose_of(path)):
        if re.match(r"https?://", target):
            continue
        file, _, fragment = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.is_file(), f"{name_of(path)} links to {target}"
        assert found.is_relative_to(ROOT)
        if fragment:
            assert fragment in {anchor_of(heading) for heading in headings_of(found)}, f"{name_of(path)}: {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_files_that_are_named_exist(path: Path) -> None:
    """A path in backticks with a folder of ours in front is a file of ours."""
    named = set(re.findall(r"`((?:otcdesk|tests|docs|scripts)/[\w./]+\.\w+)`", prose_of(path)))
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    pending = [ROOT / "README.md"]
    while pending:
        path = pending.pop()
        if path in reached:
            continue
        reached.add(path)
        pending += [
            found
            for target in _LINK.findall(prose_of(path))
            if not target.startswith("http")
            and (found := (path.parent / target.partition("#")[0]).resolve()).suffix == ".md"
        ]
    assert {name_of(path) for path in DOCUMENTS} == {name_of(path) for path in reached}


def test_generated_documents_are_fresh() -> None:
    assert write_documents(DOCS, check=True) == []


# -- commands and settings -----------------------------------------------------------------------------------------


def commands(group: TyperGroup, before: str = "otcdesk") -> Iterator[tuple[str, TyperCommand]]:
    """Yield every command that does something, with its whole name."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{before} {name}")
        else:
            assert isinstance(command, TyperCommand)
            yield f"{before} {name}", command


def all_commands() -> dict[str, TyperCommand]:
    group = typer.main.get_command(cli)
    assert isinstance(group, TyperGroup)
    return dict(commands(group))


def test_every_command_is_in_the_changelog_and_in_some_guide() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    guides = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS if path.name != "CHANGELOG.md")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in all_commands():
        short = name.removeprefix("otcdesk ")
        assert f"`{short}`" in changes, f"{name} is not in the changelog"
        told = name in guides or re.search(rf"^{short}: .*## ", makefile, re.MULTILINE)
        assert told or short == "version", f"{name} is not in any guide"


def test_commands_in_documents_exist() -> None:
    known = all_commands()
    groups = {name.rsplit(" ", 1)[0] for name in known if name.count(" ") == 2}
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    named = set(re.findall(r"(?:^|`)(otcdesk(?: [a-z][a-z-]*)+)", text, re.MULTILINE))
    for name in named:
        words = name.split()
        command = " ".join(words[:3] if " ".join(words[:2]) in groups else words[:2])
        assert command in known, f"there is no {name}"


def test_options_in_documents_exist() -> None:
    known = {option for command in all_commands().values() for each in command.params for option in each.opts}
    known |= {
        option for command in all_commands().values() for each in command.params for option in each.secondary_opts
    }
    for block in blocks_of(OPERATING, "sh"):
        for line in block.splitlines():
            if line.startswith("otcdesk"):
                assert set(re.findall(r"(?<= )--[a-z-]+", line)) <= known, line


def test_every_setting_is_in_the_reference_and_every_named_setting_exists() -> None:
    variables = {variable_of(field) for field in Settings.__struct_fields__}
    reference = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    assert {variable for variable in variables if f"| `{variable}` |" not in reference} == set()
    for path in DOCUMENTS:
        named = set(re.findall(r"\bDESK_[A-Z_]+[A-Z]\b", path.read_text(encoding="utf-8")))
        assert named <= variables, f"{name_of(path)} names {sorted(named - variables)}"


def test_every_make_target_in_documents_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)) <= targets, name_of(path)


# -- examples ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pasted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Said]:
    """Everything that the guides tell to paste, pasted beside a demo in one go."""
    folder = tmp_path_factory.mktemp("clone")
    dialects = [DOCS / "dialects" / name for name in ("deals.md", "exchanges.md")]
    guides = (ROOT / "README.md", *dialects, OPERATING, DOCS / "webhooks.md")
    with Demo(folder / ".desk") as demo, demo.run():
        yield paste([block for path in guides for block in blocks_of(path, "bash")], folder)


def test_what_is_to_be_pasted_works(pasted: Said) -> None:
    assert pasted.code == 0, pasted
    assert '"status":"debit_pending"' in pasted.out
    assert {"completed", "quoted", "expired", "rejected", "QUOTE_UNAVAILABLE", "1.10"} <= set(pasted.lines)
    assert '"error":{' not in pasted.out
    assert "The transaction was not carried out." in pasted.lines
    assert pasted.err.count("\n") <= 1, "only the quote is shown on standard error"


def test_what_the_readme_shows_as_answers_is_what_comes(pasted: Said) -> None:
    """Ids and times differ, fields and everything else do not."""
    lines = [line for line in [pasted.err.strip(), *pasted.lines] if line.startswith("{")]
    came = [_without_accidents(msgspec.json.decode(line)) for line in lines]
    for block in blocks_of(ROOT / "README.md", "json"):
        shown = _without_accidents(msgspec.json.decode(block))
        assert shown in came
        del came[: came.index(shown) + 1]  # the others come after it


def _without_accidents(answer: dict[str, Any]) -> Any:
    accidents = {
        *("quoteId", "orderId", "id", "trade_id", "ttlExpiresAt", "createdAt", "time", "expires_at"),
        "FormSessionID",
    }
    told = answer.get("data", answer)
    if not isinstance(told, dict):
        return told
    return {name: "" if name in accidents else value for name, value in told.items()}


def test_what_is_not_to_be_pasted_is_marked() -> None:
    """A `bash` block is run by the tests, so what starts desks or has placeholders is `sh`."""
    for path in DOCUMENTS:
        for block in blocks_of(path, "bash"):
            assert "make " not in block
            assert not re.search(r"^otcdesk ", block, re.MULTILINE)


def test_the_world_file_of_the_guide_is_a_world_file() -> None:
    world, _, *more = blocks_of(OPERATING, "toml")
    declared = declaration_of(parse_world("\n".join((world, *more))))
    assert {row.network for row in declared.accounts} == {"", "ethereum"}
    assert [row.second_from_units for row in declared.guards] == [1_000_000]
    assert [row.bounds for row in declared.limits] == [(2_000_000, 5_000_000, None)]


def test_the_price_feed_of_the_guide_is_a_price_feed(tmp_path: Path) -> None:
    _, feed, *_ = blocks_of(OPERATING, "toml")
    assert tomllib.loads(feed).keys() == {"price_feed"}
    file = tmp_path / "feed.toml"
    file.write_text(feed, encoding="utf-8")
    assert price_feed_settings(Settings(price_feed_file=str(file))).quorum_of_feeds == 2


def test_every_machine_is_drawn() -> None:
    from otcdesk.domain.products import LIFECYCLES

    drawn = (DOCS / "reference" / "lifecycles.md").read_text(encoding="utf-8")
    for machine in [machine for one in LIFECYCLES.values() for machine in one.machines.values()]:
        assert isinstance(machine, Machine)
        assert machine.diagram() in drawn


def test_decisions_are_numbered_and_listed() -> None:
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04d}" for number in range(1, len(pages) + 1)]
    for number, page in enumerate(pages, start=1):
        headings = headings_of(page)
        assert headings[0].startswith(f"# {number}. ")
        assert {"## Context", "## Decision", "## Consequences", "## Alternatives"} <= set(headings)
    listed = (DOCS / "decisions" / "0001-record-decisions.md").read_text(encoding="utf-8")
    assert {page.name for page in pages[1:] if page.name not in listed} == set()
