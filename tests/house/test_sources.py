"""The shape of the sources: described, of a readable size, and no code of the catalogue without a use."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from otcdesk.errors import Code

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "otcdesk"
LINES_MAX = 600


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def undescribed(tree: ast.Module) -> Iterator[str]:
    """Yield the public modules, classes and functions of a module that have no docstring."""
    if not ast.get_docstring(tree):
        yield "the module"
    pending: list[ast.Module | ast.ClassDef] = [tree]
    while pending:
        for node in pending.pop().body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                yield node.name
            if isinstance(node, ast.ClassDef):
                pending.append(node)


def test_everything_public_is_described() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in sources()
        for name in undescribed(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert not found


def test_no_file_is_longer_than_can_be_read() -> None:
    files = [*sources(), *PACKAGE.rglob("*.sql")]
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in files
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LINES_MAX
    }
    assert not found


def test_every_code_is_raised_by_somebody() -> None:
    """The tables in which dialects translate codes do not count."""
    tables = {PACKAGE / "errors.py", *(PACKAGE / "api").glob("*/errors.py")}
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources() if path not in tables)
    used = set(re.findall(r"\bCode\.([A-Z][A-Z_]+)\b", text))
    assert used >= {code.name for code in Code}


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    found = [path.relative_to(ROOT).as_posix() for path in sources() if marks.search(path.read_text(encoding="utf-8"))]
    assert not found
