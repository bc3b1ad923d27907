"""The installed command, as a user types it; three small models are trained once for all tests here."""

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

COMMAND = Path(sys.executable).with_name("mezzotint")
Say = Callable[..., subprocess.CompletedProcess[str]]
FIXED = ["--set", "execution.threads=1", "--set", "execution.precision=fp32", "--set", "execution.channels_last=false"]


def run_here(*words: object, folder: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The command within this process: the imports of torch are paid once."""
    from mezzotint import cli

    out, err, found = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setenv("COLUMNS", "120")
        patch.setattr(sys, "argv", ["mezzotint", *map(str, words)])
        patch.setattr(cli, "BEGAN", time.monotonic())
        try:
            cli.main()
        except SystemExit as end:
            assert isinstance(end.code, int)
            found = end.code
    torch.set_num_threads(1)
    assert found == code, (words, found, out.getvalue()[-2000:], err.getvalue()[-2000:])
    return subprocess.CompletedProcess(list(map(str, words)), found, out.getvalue(), err.getvalue())


def run_command(*words: object, folder: Path, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120", **variables}
    done = subprocess.run(
        [str(COMMAND), *map(str, words)], cwd=folder, env=environment, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == code, (words, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="session")
def run_in() -> Say:
    """The same as a fixture, for runs that several tests share."""
    return run_here


@pytest.fixture
def say(home: Path) -> Say:
    """A command in an empty folder and the exit code that is expected of it."""
    return lambda *words, code=0: run_here(*words, folder=home, code=code)


@pytest.fixture
def shell(home: Path) -> Say:
    """The same by the installed command in a process of its own."""
    return lambda *words, code=0, **variables: run_command(*words, folder=home, code=code, **variables)


@pytest.fixture(autouse=True)
def few_pictures_teach(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recognisers behind the classification accuracy score; tests/test_cas.py tells how well they learn."""
    from mezzotint import cas

    monkeypatch.setattr(cas, "LEAST", 6_000)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, own_home: Path) -> Path:
    """A folder with the runs `cnn`, `vae` and `gan` (this one by class), a second of training each."""
    place = tmp_path_factory.mktemp("models")
    common = ["--images", "2048", "--set", "batch=32", "--set", "milestones=2", *FIXED]
    run_here("train", "cnn-classic", "digits", *common, "--out", "cnn", folder=place)
    run_here("train", "vae-dense", "digits", *common, "--out", "vae", folder=place)
    conditional = ["--set", "method.conditional=true"]
    run_here("train", "gan-mlp", "digits", *common, *conditional, "--out", "gan", folder=place)
    return place


@pytest.fixture
def digit_files(home: Path) -> tuple[Path, Path]:
    """Two pictures a user might have: a grey one of 8×8 and a larger one in color."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(home / "one.png")
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(home / "two.png")
    return home / "one.png", home / "two.png"
