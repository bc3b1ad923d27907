"""The promise of runs that survive, on the installed command: killed at any instants, the weights come out the same."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from mezzotint.digest import file_digest
from mezzotint.training import checkpoint, journal

pytestmark = pytest.mark.slow

COMMAND = str(Path(sys.executable).with_name("mezzotint"))
CLASSIC = ["cnn-classic", "digits", "--images", "30k", "--set", "batch=64"]
DCGAN = ["dcgan", "digits", "--images", "10k", "--set", "batch=64"]
FIXED = ["--set", "checkpoint_seconds=0.05", "--set", "milestones=3"]


def settings(threads: int, precision: str) -> list[str]:
    execution = {"threads": str(threads), "precision": precision, "channels_last": "false"}
    return [*FIXED, *[word for k, v in execution.items() for word in ("--set", f"execution.{k}={v}")]]


def start(*words: str, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [COMMAND, *words], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(*words: str, folder: Path, code: int = 0) -> tuple[str, str]:
    process = start(*words, folder=folder)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, (out[-1500:], err[-1500:])
    assert "Traceback" not in err
    return out, err


def weights(run: Path) -> str:
    return file_digest(run / "snapshot" / "weights.safetensors")


def seconds_of_training(run: Path) -> float:
    return next(e["seconds"] for e in reversed(journal.read(run / "journal.jsonl")) if e["event"] == "train")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, own_home: Path) -> Callable[..., Path]:
    """Where the run that such words train lies whole; the same words train once."""

    @cache
    def train(*words: str) -> Path:
        folder = tmp_path_factory.mktemp("undisturbed")
        finish("train", *words, "--out", "whole", folder=folder)
        return folder / "whole"

    return train


def wait_for_steps(process: subprocess.Popen[str], run: Path) -> None:
    """Until a first checkpoint of this sitting is there."""
    before = set(run.glob("checkpoint/*"))
    deadline = time.monotonic() + 120
    while set(run.glob("checkpoint/0*")) <= before and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize(
    ("words", "threads", "precision"),
    [
        pytest.param(CLASSIC, 1, "fp32", id="classic-fp32-one-thread"),
        pytest.param(DCGAN, 2, "bf16", id="dcgan-bf16-two-threads"),
    ],
)
def test_killed_at_random_instants_the_weights_are_the_same(
    words: list[str], threads: int, precision: str, home: Path, undisturbed: Callable[..., Path]
) -> None:
    seed = int(time.time())
    print(f"instants from seed {seed}")  # noqa: T201 - shown where the test fails
    rng = random.Random(seed)
    whole = undisturbed(*words, *settings(threads, precision))
    length = seconds_of_training(whole)
    killed = home / "killed"
    process = start("train", *words, *settings(threads, precision), "--out", "killed", folder=home)
    kills = 0
    for _ in range(4):
        wait_for_steps(process, killed)
        time.sleep(rng.uniform(0, length / 6))
        kills += process.poll() is None
        process.kill()
        process.communicate()
        process = start("train", "--resume", "killed", folder=home)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, (out, err)
    assert kills >= 2
    assert len([e for e in journal.read(killed / "journal.jsonl") if e["event"] == "resume"]) >= kills
    assert weights(killed) == weights(whole), f"seed {seed}"
    scores = [(run / "score.json").read_text() for run in (whole, killed)]
    assert scores[0] == scores[1]


def test_killed_before_its_first_checkpoint_a_run_begins_again(home: Path) -> None:
    words = ["cnn-classic", "digits", "--images", "6400", "--set", "batch=64", *settings(1, "fp32")]
    finish("train", *words, "--out", "whole", folder=home)
    process = start("train", *words, "--set", "checkpoint_seconds=999", "--out", "killed", folder=home)
    while not (home / "killed" / "plan.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert checkpoint.load_newest(home / "killed" / "checkpoint") is None
    finish("train", "--resume", "killed", folder=home)
    assert weights(home / "killed") == weights(home / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_says_how_to_go_on(
    number: signal.Signals, home: Path, undisturbed: Callable[..., Path]
) -> None:
    words = [*CLASSIC, *settings(1, "fp32")]
    whole = undisturbed(*words)
    process = start("train", *words, "--set", "checkpoint_seconds=999", "--out", "run", folder=home)
    while '"train"' not in (home / "run/journal.jsonl").read_text() if (home / "run/journal.jsonl").exists() else True:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    found = re.fullmatch(r"mezzotint: stopped after (\d+) pictures; go on with `mezzotint (.*)`\n", err)
    assert found, err
    saved = checkpoint.load_newest(home / "run" / "checkpoint")
    assert saved is not None
    assert saved[0] == int(found[1])
    assert not (home / "run" / "snapshot").exists()
    assert "not finished" in finish("show", "run", folder=home)[0]
    finish(*found[2].split(), folder=home)
    assert weights(home / "run") == weights(whole)


def test_corrupted_checkpoints_on_the_command_line(home: Path) -> None:
    words = ["vae-dense", "digits", "--images", "12800", "--set", "batch=64", *settings(1, "fp32")]
    finish("train", *words, "--out", "run", folder=home)
    whole = weights(home / "run")
    newest = max(home.glob("run/checkpoint/0*"))
    (newest / "state.safetensors").write_bytes(b"nonsense")
    out, _ = finish("train", "--resume", "run", folder=home)
    assert "is corrupted" in out
    assert "going back" in out
    assert weights(home / "run") == whole
    for path in home.glob("run/checkpoint/0*/state.json"):
        path.write_text("{")
    _, err = finish("train", "--resume", "run", folder=home, code=2)
    assert len(err.strip().splitlines()) == 1
    assert "begin the run again" in err
    assert weights(home / "run") == whole, "nothing is lost"
