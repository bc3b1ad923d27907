"""The README does what it says: every block of commands and of Python runs, in order, in a new user's folder.

Blocks marked `text` are not run. Long budgets and large counts are cut short, Fashion-MNIST has fewer pictures,
there are no other data, and commands have one core, since pytest's other process is busy with the other.
"""

import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mezzotint.data import sources

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every fenced block that is to be run."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [(language, text) for language, text in found if language in ("sh", "python")]


def shortened(text: str) -> str:
    """The same with budgets of seconds, thousands of pictures to train on, and tens of them to draw."""
    text = re.sub(r"--count \d{4,}", "--count 60", text)
    text = re.sub(r"--images \d+k", "--images 2k", text)
    return re.sub(r"minutes=\d+", "minutes=0.1", re.sub(r"--minutes \d+", "--minutes 0.1", text))


@pytest.fixture
def one_core() -> Iterator[None]:
    """The commands have one core: two threads of which one shares its core would wait for each other."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {sorted(cores)[worker % len(cores)]})
    yield
    os.sched_setaffinity(0, cores)


@pytest.fixture(scope="session")
def fewer(tmp_path_factory: pytest.TempPathFactory, cache_folder: Path) -> Path:
    """A place for data with the first pictures of Fashion-MNIST in files like its own."""
    whole = sources.NAMED["fashion-mnist"](cache_folder).read()
    assert whole.labels is not None
    place = tmp_path_factory.mktemp("data")
    (place / "fashion-mnist").mkdir()
    for part, split, count in (("train", "train", 4000), ("t10k", "test", 600)):
        rows = np.flatnonzero(whole.given == split)[:count]
        for kind, array in (("images-idx3", whole.images[rows, :, :, 0]), ("labels-idx1", whole.labels[rows])):
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (place / "fashion-mnist" / f"{part}-{kind}-ubyte").write_bytes(head + array.astype(np.uint8).tobytes())
    return place


@pytest.mark.slow
@pytest.mark.fashion
@pytest.mark.usefixtures("one_core")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_every_block_runs(page: Path, home: Path, fewer: Path) -> None:
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": places, "OMP_NUM_THREADS": "1", "MEZZOTINT_DATA": str(fewer)}
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
