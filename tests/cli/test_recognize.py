"""classify, explain, labels and `train --from`, as a user types them."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mezzotint import snapshot
from mezzotint.catalog import kinds
from mezzotint.data.dataset import Dataset
from mezzotint.types import DataSpec

FIXED = ["--set", "execution.threads=1", "--set", "execution.precision=fp32", "--set", "execution.channels_last=false"]


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture
def pile(home: Path, digits: Dataset) -> Path:
    """A folder of test digits, of one in a sub-folder of the same name, of noise, and of a file that is no picture."""
    place = home / "pile"
    (place / "more").mkdir(parents=True)
    for i in digits.splits["test"][:12]:
        Image.fromarray(digits.images[i, ..., 0]).save(place / f"{digits.labels[i]}-{i:04d}.png")
    first = sorted(place.glob("*.png"))[0]
    (place / "more" / first.name).write_bytes(first.read_bytes())
    (place / "broken.png").write_bytes(b"no picture")
    return place


def test_a_snapshot_is_calibrated(models: Path) -> None:
    card = json.loads((models / "cnn" / "snapshot" / "card.json").read_text())
    known = card["calibration"]
    assert known["pictures"] > 100
    assert known["split"] == "validation"
    stored = snapshot.load(models / "cnn", kinds())
    assert stored.method.temperature == known["temperature"] != 1
    assert stored.known is not None
    assert stored.known.shape[0] > 1000
    assert "calibration" not in json.loads((models / "vae" / "snapshot" / "card.json").read_text())
    score = json.loads((models / "cnn" / "score.json").read_text())
    assert score["protocol"]["temperature"] == round(known["temperature"], 4)


def test_a_folder_is_classified_into_lines_for_pipes(say, models: Path, pile: Path) -> None:
    done = say("classify", models / "cnn", pile, "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == 13
    assert "broken.png" in done.stderr
    for line in told:
        assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert 0 <= line["strangeness"] <= 1
        assert line["class"] == max(line["probabilities"], key=line["probabilities"].get)
    right = [line["class"] == Path(line["picture"]).name[0] for line in told]
    assert sum(right) >= 7


def test_what_is_not_certain_is_not_said(say, models: Path, pile: Path) -> None:
    lines = say("classify", models / "cnn", pile, "--json", "--precision", 0.6).stdout.splitlines()
    told = [json.loads(line) for line in lines]
    known = [line["probability"] for line in told if line["class"]]
    unknown = [line["probability"] for line in told if not line["class"]]
    assert known
    assert max(unknown, default=0) < min(known)
    assert "don't know" in say("classify", models / "cnn", pile, "--strange", 1e-9).stdout
    told = say("classify", models / "cnn", pile, "--precision", 0.99999, code=2).stderr
    assert "no threshold promises" in told
    assert "between 0 and 1" in say("classify", models / "cnn", pile, "--precision", 99, code=2).stderr


def test_what_is_no_digit_is_strange(say, models: Path, pile: Path, home: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(home / f"noise-{i}.png")
    noise = say("classify", models / "cnn", *sorted(home.glob("noise-*.png")), "--json").stdout.splitlines()
    digit = say("classify", models / "cnn", pile, "--json").stdout.splitlines()
    medians = [np.median([json.loads(line)["strangeness"] for line in lines]) for lines in (noise, digit)]
    assert medians[0] > max(0.9, medians[1] + 0.2)


def test_pictures_are_sorted_into_folders_by_class(say, models: Path, pile: Path, home: Path) -> None:
    done = say("classify", models / "cnn", pile, "--out", "sorted", "--strange", 0.999)
    copies = [p for p in (home / "sorted").rglob("*") if p.is_file()]
    assert len(copies) == 13  # the picture that two folders hold is there twice, under two names
    assert {p.parent.name for p in copies} <= {*"0123456789", "unknown"}
    assert str(Path("sorted")) in done.stdout
    assert len(list(pile.rglob("*.png"))) == 14
    assert "not empty" in say("classify", models / "cnn", pile, "--out", "sorted", code=2).stderr
    assert ".csv or a folder" in say("classify", models / "cnn", pile, "--out", "sorted.txt", code=2).stderr


def test_a_table_has_a_line_for_each_picture(say, models: Path, pile: Path, home: Path) -> None:
    say("classify", models / "cnn", pile, "--out", "told/table.csv")
    rows = table(home / "told" / "table.csv")
    assert len(rows) == 13
    assert {"picture", "class", "probability", "strangeness", "7"} <= set(rows[0])
    assert float(rows[0][rows[0]["class"]]) == float(rows[0]["probability"])


@pytest.mark.parametrize("how", ["grad-cam", "occlusion"])
def test_explain_draws_pictures_above_what_is_looked_at(say, models: Path, pile: Path, home: Path, how: str) -> None:
    done = say("explain", models / "cnn", pile, "--how", how, "--of", "3", "--out", "why.png")
    sheet = np.asarray(Image.open(home / "why.png"))
    assert sheet.ndim == 3
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 50
    assert (sheet[..., 0] != sheet[..., 2]).any()  # heat is in color
    assert done.stdout.count(" 3 ") == 13
    assert "did you mean" in say("explain", models / "cnn", pile, "--of", "33", code=2).stderr
    assert "cannot" in say("explain", models / "vae", pile, code=2).stderr


def test_explain_says_that_it_takes_no_more_than_a_sheet(say, models: Path, pile: Path, home: Path) -> None:
    first = sorted(pile.glob("*-*.png"))[0]
    done = say("explain", models / "cnn", *[first] * 66, "--out", "why.png")
    assert "only the first 64 of 66 pictures" in done.stderr
    assert "64 pictures in why.png" in done.stdout


def test_a_run_begins_with_another(say, models: Path, home: Path) -> None:
    words = ["--images", "256", "--set", "batch=32", "--set", "milestones=0", *FIXED]
    say("train", "cnn-classic", "digits", "--from", models / "cnn", *words, "--out", "on")
    accuracy = json.loads((home / "on" / "score.json").read_text())["scores"]["accuracy"]["value"]
    before = json.loads((models / "cnn" / "score.json").read_text())["scores"]["accuracy"]["value"]
    assert accuracy > before - 0.1
    assert (home / "on" / "start.safetensors").is_file()
    told = say("train", "vae-dense", "digits", "--from", models / "cnn", *words, code=2).stderr
    assert "no network in common" in told


def test_train_recognize_chooses_and_says_why(say, home: Path) -> None:
    words = ["--images", "256", "--set", "batch=64", "--set", "milestones=0", *FIXED]
    done = say("train", "recognize", "digits", *words, "--out", "run")
    assert "chosen: 1,4" in done.stdout
    assert "256 to be seen" in done.stdout
    assert "chosen: cnn" in done.stdout
    assert json.loads((home / "run" / "recipe.json").read_text())["name"] == "cnn"
    assert len(json.loads((home / "run" / "run.json").read_text())["why"]) >= 2
    assert "network and recipe" in say("recipes").stdout or "recognize" in say("recipes").stdout


@pytest.mark.slow
def test_planted_label_noise_is_found(say, home: Path, digits: Dataset) -> None:
    """Of 5 % flipped labels at least 80 % are among the first 10 % listed."""
    rng = np.random.default_rng(0)
    n = len(digits.labels)
    flipped = rng.random(n) < 0.05
    labels = np.where(flipped, (digits.labels + rng.integers(1, 10, n)) % 10, digits.labels)
    np.savez(home / "noisy.npz", images=np.asarray(digits.images), labels=labels)
    words = ["--recipe", "cnn-classic", "--images", "9600", "--folds", "3", "--set", "batch=32", *FIXED]
    done = say("labels", home / "noisy.npz", *words, "--out", "judged")
    assert "labels look wrong" in done.stdout
    rows = table(home / "judged" / "labels.csv")
    assert len(rows) == n
    first = [int(row["picture"].lstrip("#")) for row in rows[: n // 10]]
    assert flipped[first].sum() >= 0.8 * flipped.sum()
    wrong = [int(row["picture"].lstrip("#")) for row in rows if row["wrong"] == "yes"]
    assert flipped[wrong].mean() > 0.5
    page = (home / "judged" / "labels.html").read_text()
    assert page.count("<figure>") == 64
    again = say("labels", home / "noisy.npz", *words, "--out", "judged")
    assert again.stdout.splitlines()[-2:] == done.stdout.splitlines()[-2:]


def test_labels_refuses_what_it_cannot_judge(say, home: Path) -> None:
    np.savez(home / "plain.npz", images=np.zeros((20, 8, 8, 1), np.uint8))
    assert "no labels" in say("labels", home / "plain.npz", code=2).stderr
    assert "--folds" in say("labels", "digits", "--folds", "1", code=2).stderr


def untrained(place: Path, make_recipe: Any, spec: DataSpec) -> torch.nn.Module:
    """A model in a folder that says the first class of anything."""
    recipe = make_recipe("cnn", "method.network.width=8")
    method = recipe.method.build(spec)
    with torch.no_grad():
        method.network.head.weight.zero_()
        method.network.head.bias.copy_(-torch.arange(len(spec.classes)))
    snapshot.save(place, method, recipe, {}, "")
    return method


@pytest.mark.parametrize(
    ("classes", "folder"), [(("unknown", "x"), "0-unknown"), (("a/b", "a-b"), "0-a-b"), (("a/b", "x"), "a-b")]
)
def test_classes_whose_folders_would_be_one_have_two(
    say, pile: Path, home: Path, make_recipe, classes: tuple[str, ...], folder: str
) -> None:
    untrained(home / "model", make_recipe, DataSpec(1, 8, 8, classes, 100))
    say("classify", "model", pile, "--out", "sorted")
    assert [p.name for p in (home / "sorted").iterdir()] == [folder]


def test_a_model_of_pictures_that_are_not_square_takes_no_files(say, pile: Path, home: Path, make_recipe) -> None:
    untrained(home / "model", make_recipe, DataSpec(1, 8, 12, ("a", "b"), 100))
    for verb in ("classify", "explain"):
        told = say(verb, "model", pile, code=2).stderr
        assert "for pictures of 12×8" in told
        assert told.count("\n") == 1
