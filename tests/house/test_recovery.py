"""The drill of the recovery guide, done as it stands there."""

import shutil
import sys
from pathlib import Path

from tests.cli.commands import WORLD, Demo, otcdesk, paste
from tests.house.test_documents import blocks_of

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "operating-recovery.md"


def test_the_drill_of_the_guide_ends_with_the_same_books(tmp_path: Path) -> None:
    (drill,) = [block for block in blocks_of(GUIDE, "sh") if "drill" in block]
    command = f'otcdesk() {{ PYTHONPATH="{ROOT}" "{sys.executable}" -m otcdesk "$@"; }}'
    with Demo(tmp_path / ".desk") as first, Demo(tmp_path / "drill"):
        assert otcdesk("world", "load", WORLD, env=first.env).code == 0
        said = paste([command, drill], tmp_path)
        assert said.code == 0, said
        assert "All of it is there: rows as counted, and every head of the backup in its chain." in said.lines
        assert [line for line in said.lines if line.endswith(" findings.") and not line.endswith(" 0 findings.")] == []
        shutil.copy(tmp_path / "desk.backup", tmp_path / "whole.backup")
        cut = paste([command, "truncate -s -9999 desk.backup", "otcdesk restore desk.backup --home drill"], tmp_path)
        assert cut.code == 1
        assert "is cut short" in cut.err
