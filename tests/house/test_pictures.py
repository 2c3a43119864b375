"""The guide to the console shows every picture that is taken, and names every page."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_guide_shows_every_picture_and_names_every_page() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/screenshots.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
