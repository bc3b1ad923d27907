"""The README does what it says: every block of commands and of Python runs, in order, in a new user's folder.

Blocks marked `text` are not run. Long budgets and large counts are cut short; nothing else is changed.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every fenced block that is to be run."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [(language, text) for language, text in found if language in ("sh", "python")]


def shortened(text: str) -> str:
    """The same with budgets of seconds and tens of pictures."""
    text = re.sub(r"--count \d{4,}", "--count 60", text)
    return re.sub(r"minutes=\d+", "minutes=0.1", re.sub(r"--minutes \d+", "--minutes 0.1", text))


@pytest.mark.slow
@pytest.mark.fashion
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_every_block_runs(page: Path, home: Path) -> None:
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": places, "OMP_NUM_THREADS": "1"}
    for language, text in blocks(page):
        command = ["sh", "-e"] if language == "sh" else [sys.executable, "-"]
        done = subprocess.run(
            command, input=shortened(text), env=environment, cwd=home, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def test_every_language_is_known() -> None:
    """A block whose language is mistyped would never run."""
    for page in PAGES:
        opened = re.findall(r"^```(\w*)$", page.read_text(), re.MULTILINE)
        assert set(opened) <= {"sh", "python", "text", ""}, page
