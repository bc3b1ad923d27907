"""An arena as a user types it: real trainings of digits in processes of their own."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mezzotint import arena
from mezzotint.errors import UserError

SETTINGS = ("execution.threads=1", "execution.precision=fp32", "execution.channels_last=false", "milestones=1")
CONTEST = arena.Contest("digits", 0.1, SETTINGS, None, 200)


@pytest.fixture(scope="module")
def league(tmp_path_factory: pytest.TempPathFactory, own_home: Path) -> Path:
    folder = tmp_path_factory.mktemp("arena") / "league"
    arena.hold(folder, CONTEST, ["gan-mlp", "vae-dense"], 1)
    return folder


@pytest.mark.slow
def test_a_league_has_a_line_a_run_and_a_page(league: Path) -> None:
    rows = arena.read(league)
    assert [(row["recipe"], row["seed"]) for row in rows] == [("gan-mlp", 0), ("vae-dense", 0)]
    for row in rows:
        card = json.loads((league / f"{row['recipe']}-0" / "score.json").read_text())
        assert row["scores"]["frechet"] == card["scores"]["frechet"]["value"]
        assert row["protocol"]["drawn"] == 200
        assert row["images"] > 0
        assert row["draws_a_second"] > 0
        assert 3 < row["wall_seconds"] < 60
        assert row["peak_mb"] is None or row["peak_mb"] > 100
        assert row["last_over_best"] >= 1
    page = (league / "league.html").read_text()
    for word in ("gan-mlp", "vae-dense", "failed seeds", "data:image/png"):
        assert word in page, word


@pytest.mark.slow
def test_a_finished_league_trains_nothing_and_grows_by_what_is_new(league: Path, tmp_path: Path) -> None:
    shutil.copytree(league, tmp_path / "league")
    said: list[str] = []
    arena.hold(tmp_path / "league", CONTEST, ["gan-mlp", "vae-dense"], 1, said.append)
    assert said == []
    torn = (tmp_path / "league" / "league.jsonl").read_text().splitlines()
    (tmp_path / "league" / "league.jsonl").write_text(torn[0] + "\n" + torn[1][:50])
    arena.hold(tmp_path / "league", CONTEST, ["gan-mlp", "vae-dense"], 1, said.append)
    assert said == ["vae-dense, seed 0"]  # measured again from its finished run, not trained again
    rows = arena.read(tmp_path / "league")
    assert [row["recipe"] for row in rows] == ["gan-mlp", "vae-dense"]
    assert rows[1]["scores"] == json.loads(torn[1])["scores"]


def test_a_failed_training_is_a_line_too(tmp_path: Path, own_home: Path) -> None:
    contest = arena.Contest("digits", 0.1, (*SETTINGS, "execution.device=cuda:99"), None, 200)
    rows = arena.hold(tmp_path / "a", contest, ["gan-mlp"], 1)
    assert "CUDA" in rows[0]["failed"]
    titles, made = arena.table(rows)
    assert made[0][titles.index("failed seeds")] == "1 of 1"
    assert "CUDA" in (tmp_path / "a" / "league.html").read_text()
    said: list[str] = []
    assert len(arena.hold(tmp_path / "a", contest, ["gan-mlp"], 1, said.append)) == 1
    assert said == ["gan-mlp, seed 0"]  # tried again


def test_changed_data_are_noticed_before_training(tmp_path: Path, own_home: Path) -> None:
    arena.begin(tmp_path / "a", CONTEST)
    row = {"recipe": "vae", "seed": 0, "scores": {}, "protocol": {"data_digest": "another"}}
    (tmp_path / "a" / "league.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match="have changed"):
        arena.hold(tmp_path / "a", CONTEST, ["vae"], 2)


def test_a_recognisers_precision_is_not_a_generators() -> None:
    facts = {"wall_seconds": 60.0, "images": 1000, "peak_mb": 500, "draws_a_second": None, "parameters": 5, "seed": 0}
    rows = [{"recipe": "cnn", "scores": {"accuracy": 0.9, "precision": 0.8}, **facts}]
    rows.append({"recipe": "dcgan", "scores": {"frechet": 9.0, "precision": 0.7}, **facts})
    titles, made = arena.table(rows)
    column = titles.index("precision")
    assert [row[column] for row in made] == ["", "0.7000"]


def test_medians_leave_out_what_failed() -> None:
    def row(seed: int, frechet: float, **more: Any) -> dict[str, Any]:
        facts = {"wall_seconds": 60.0, "images": 1000 * seed, "peak_mb": 500, "draws_a_second": 10, "parameters": 5}
        return {"recipe": "dcgan", "seed": seed, "scores": {"frechet": frechet}, **facts, **more}

    titles, made = arena.table([row(1, 3.0), row(2, 1.0), row(3, 2.0), row(4, 99.0, failed="it broke")])
    cells = dict(zip(titles, made[0], strict=True))
    assert cells["frechet"] == "2.0000 (1.0000 to 3.0000)"
    assert cells["pictures seen"] == "2,000 (1,000 to 3,000)"
    assert cells["failed seeds"] == "1 of 4"


def test_how_far_a_run_fell_back_is_told_from_its_milestones() -> None:
    def milestones(*scores: float, name: str = "frechet_random_filters") -> list[dict[str, Any]]:
        before: dict[str, Any] = {"event": "milestone", "images": 0, "scores": {name: 0.001}}  # of untrained networks
        return [before, *({"event": "milestone", "images": 9, "scores": {name: score}} for score in scores)]

    assert arena.last_over_best(milestones(8.0, 2.0, 3.0)) == 1.5
    assert arena.last_over_best([*milestones(8.0, 2.0), {"event": "stopped", "images": 9}]) == 1.0
    assert arena.last_over_best(milestones(0.9, 0.8, name="accuracy")) is None
    assert arena.last_over_best(milestones(2.0, float("nan"))) is None
    assert arena.last_over_best(milestones()) is None
    row = {"recipe": "gan", "seed": 0, "scores": {"frechet": 9.0}, "chosen": "r3gan", "last_over_best": 1.5}
    titles, made = arena.table([row, {"recipe": "dcgan", "seed": 0, "scores": {"frechet": 9.0}}])
    assert [cells[0] for cells in made] == ["gan (r3gan)", "dcgan"]
    assert [cells[titles.index("last over best")] for cells in made] == ["1.5000", ""]


def test_another_contest_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    arena.begin(tmp_path / "a", CONTEST)
    arena.begin(tmp_path / "a", CONTEST)
    with pytest.raises(UserError, match="another minutes"):
        arena.begin(tmp_path / "a", arena.Contest("digits", 5.0, SETTINGS, None, 200))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "file").touch()
    with pytest.raises(UserError, match="not an arena"):
        arena.begin(tmp_path / "b", CONTEST)
    (tmp_path / "a" / "arena.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        arena.begin(tmp_path / "a", CONTEST)
    with pytest.raises(UserError, match="no recipe"):
        arena.hold(tmp_path / "a", CONTEST, ["dcgn"], 1)


@pytest.mark.slow
def test_a_stopped_arena_goes_on_where_it_was(tmp_path: Path, own_home: Path) -> None:
    words = ["arena", "digits", "--recipes", "vae-dense", "--minutes", "0.15", "--seeds", "1", "--count", "200"]
    command = [sys.executable, "-m", "mezzotint", *words, "--out", str(tmp_path / "a")]
    for setting in (*SETTINGS, "checkpoint_seconds=0.5"):
        command += ["--set", setting]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    checkpoints = tmp_path / "a" / "vae-dense-0" / "checkpoint"
    deadline = time.monotonic() + 60
    while not any(checkpoints.glob("*/*")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    import os

    os.killpg(first.pid, signal.SIGINT)  # Ctrl-C reaches the arena and the training alike
    assert first.wait(60) == 130
    assert not (tmp_path / "a" / "league.jsonl").exists()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (row,) = arena.read(tmp_path / "a")
    assert row["scores"]["frechet"] > 0
    events = (tmp_path / "a" / "vae-dense-0" / "journal.jsonl").read_text()
    assert '"resume"' in events
    assert "league.html" in done.stdout
