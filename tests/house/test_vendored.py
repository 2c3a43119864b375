"""What pages are made of: others' scripts as they were released, ours without anything that a strict policy refuses."""

import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import pytest
from jinja2 import meta

from otcdesk.console.formats import FILTERS

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "otcdesk" / "console" / "static"
FOLDERS = (ROOT / "otcdesk" / "console" / "templates", ROOT / "otcdesk" / "api" / "ramp" / "templates")
SOURCES = (ROOT / "otcdesk" / "console", ROOT / "otcdesk" / "api" / "ramp")

_ROW = re.compile(r"\| `(?P<file>[\w.-]+)` \|.*\| `(?P<digest>[0-9a-f]{64})` \|")
_HOST = re.compile(r"""(?:https?:)?//[\w{]""")

#: What stands in a comment of a script, and an address that is looked at and not asked.
_COMMENT = re.compile(r"^\s*//.*$|(?<=[\s;])// .*$", re.MULTILINE)

TEMPLATES = sorted(path for folder in FOLDERS for path in folder.rglob("*.html"))

#: How a form carries the mark of its session.
_MARK = re.compile(r"""\{\{ *mark\(session\) *\}\}|name="csrf" value="\{\{ session\.csrf_token \}\}\"""")

#: The only form that is open to who has no session, so that there is no session whose mark it could have.
_WITHOUT_MARK = {"/console/sign-in"}


def named(path: Path) -> str:
    return path.relative_to(ROOT / "otcdesk").as_posix()


def vendored() -> dict[str, str]:
    """Return the digests that are written down, by file."""
    text = (STATIC / "VENDORED.md").read_text(encoding="utf-8")
    return {found["file"]: found["digest"] for found in _ROW.finditer(text)}


def ours() -> list[Path]:
    return sorted(path for path in STATIC.iterdir() if path.name not in {*vendored(), "VENDORED.md"})


def test_what_is_of_others_is_as_they_released_it() -> None:
    digests = vendored()
    assert {"htmx.js", "htmx-sse.js", "uplot.js", "uplot.css"} == digests.keys()
    assert {name: hashlib.sha256((STATIC / name).read_bytes()).hexdigest() for name in digests} == digests


def test_nothing_lies_about_that_nobody_wrote_down() -> None:
    """What is small is ours; what is not is somebody's library, and has a row."""
    assert {path.name for path in ours()} == {"console.css", "console.js", "icon.svg"}
    assert all(path.stat().st_size < 40_000 for path in ours())


@pytest.mark.parametrize("path", [*TEMPLATES, *ours()], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_other_host_is_named(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert _HOST.findall(_COMMENT.sub("", text)) == []


class Strict(HTMLParser):
    """Finds what a policy without anything inline would refuse, and forms without the mark of their session."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in {"style", "iframe", "object", "embed", "base"}:
            self.faults.append(f"<{tag}>")
        if tag == "script":
            self._in_script = True
            if not found.get("src"):
                self.faults.append("a script without an address")
        for name, value in attrs:
            if name.startswith(("on", "hx-on")) or name in {"style", "srcdoc", "hx-vars", "hx-vals"}:
                self.faults.append(f"{tag} {name}")
            if (value or "").strip().lower().startswith(("javascript:", "data:", "js:")):
                self.faults.append(f"{tag} {name}={value}")
            if value is None and name in {"href", "src", "action"}:
                self.faults.append(f"{tag} {name} without a value")

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.faults.append("a script that stands in the page")


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_nothing_is_inline(path: Path) -> None:
    """The expressions of the template are taken out first: what they put in is escaped, so it adds no tag."""
    text = re.sub(r"\{%.*?%\}|\{#.*?#\}", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    page = Strict()
    page.feed(re.sub(r"\{\{.*?\}\}", "x", text, flags=re.DOTALL))
    assert page.faults == []


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_everything_that_is_put_in_is_escaped_and_stands_in_quotes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe\b|autoescape|\bMarkup\b|\|\s*xmlattr|\|\s*tojson", text)
    # `selected{% if … %}` is no value; a value begins after an equals sign, and must begin with a quote.
    assert not re.search(r"""<[^<>]*\s[\w-]+=\{\{""", text)


@pytest.mark.parametrize("path", [path for path in TEMPLATES if "console" in path.parts], ids=named)
def test_every_form_that_is_posted_has_the_mark_of_its_session(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    marked = [
        name
        for name, body in re.findall(r"\{% macro (\w+)\(.*?%\}(.*?)\{% endmacro %\}", text, re.DOTALL)
        if _MARK.search(body)
    ]
    for form in re.findall(r"<form\b[^>]*method=\"post\".*?</form>", text, re.DOTALL | re.IGNORECASE):
        action = re.search(r'action="([^"]*)"', form)
        if action and action[1] in _WITHOUT_MARK:
            continue
        assert _MARK.search(form) or any(f"{{{{ {name}(" in form for name in marked), form


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_every_template_can_be_read(path: Path) -> None:
    """Whatever pages are tested: most are compiled only once somebody opens them."""
    environment = jinja2.Environment(autoescape=True)
    environment.filters.update(FILTERS)
    environment.compile(path.read_text(encoding="utf-8"), path.name)


def test_every_template_is_used() -> None:
    """By a page of a section, or by another template that is used."""
    used = set()
    code = "\n".join(path.read_text(encoding="utf-8") for folder in SOURCES for path in folder.rglob("*.py"))
    found = {path.relative_to(folder).as_posix(): path for folder in FOLDERS for path in folder.rglob("*.html")}
    pending = [name for name in found if f'"{name}"' in code]
    while pending:
        name = pending.pop()
        if name in used:
            continue
        used.add(name)
        tree = jinja2.Environment(autoescape=True).parse(found[name].read_text(encoding="utf-8"))
        pending += [str(one) for one in meta.find_referenced_templates(tree)]
    assert found.keys() - used == set()


def test_every_asset_is_used() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in TEMPLATES)
    named_there = set(re.findall(r"asset_url\('([^']+)'\)", text))
    assert named_there == {path.name for path in STATIC.iterdir()} - {"VENDORED.md"}
