"""The verbs that work with a model's codes, as a user types them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Say = Callable[..., subprocess.CompletedProcess[str]]
FIXED = ["--set", "execution.threads=1", "--set", "execution.precision=fp32", "--set", "execution.channels_last=false"]


def test_encode_files_and_data(say: Say, models: Path, home: Path, digit_files: tuple[Path, Path]) -> None:
    assert "2 codes of 32 numbers" in say("encode", models / "vae", "one.png", "two.png").stdout
    with np.load(home / "codes.npz", allow_pickle=False) as arrays:
        assert arrays["codes"].shape == (2, 32)
        assert arrays["names"].tolist() == ["one.png", "two.png"]
        few = arrays["codes"]
    say("encode", models / "vae", "digits", "--out", "all.npz")
    with np.load(home / "all.npz", allow_pickle=False) as arrays:
        assert arrays["codes"].shape == (1797, 32)
        assert arrays["classes"][arrays["labels"][0]] == "0"
    say("encode", models / "vae", "one.png", "--out", "one.npz")
    with np.load(home / "one.npz", allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["codes"][0], few[0], rtol=1e-4, atol=1e-5)


def test_atlas_steer_arithmetic_and_neighbors(say: Say, models: Path, home: Path, digit_files: object) -> None:
    assert "200 pictures" in say("atlas", models / "vae", "--count", 200, "--split", "train").stdout
    with Image.open(home / "atlas.png") as atlas:
        assert atlas.size == (960, 960)
    say("steer", models / "vae", "one.png", "two.png", "--towards", "3", "--steps", 5, "--out", "moved.npz")
    with np.load(home / "moved.npz") as moved:
        assert moved["images"].shape == (10, 8, 8, 1)
        assert not np.array_equal(moved["images"][0], moved["images"][4])
    say("arithmetic", models / "vae", "--plus", "one.png", "two.png", "--minus", "one.png", "--out", "left.npz")
    say("reconstruct", models / "vae", "two.png", "--out", "again.npz")
    with np.load(home / "left.npz") as left, np.load(home / "again.npz") as again:
        assert np.abs(left["images"].astype(int) - again["images"].astype(int)).max() <= 1
    told = say("neighbors", models / "vae", "one.png", "two.png", "--count", 3).stdout.splitlines()
    assert len(told) == 3
    distances = [float(word) for word in told[0].split()[1:]]
    assert distances == sorted(distances)
    assert len(distances) == 3


def test_outliers_are_ranked_with_the_warning(say: Say, home: Path) -> None:
    words = ["--images", "640", "--set", "batch=32", "--set", "milestones=0", "--set", "method.likelihood=logistic"]
    say("train", "vae-dense", "digits", *words, *FIXED, "--out", "run")
    rng = np.random.default_rng(0)
    (home / "pictures").mkdir()
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(home / "pictures" / f"{i}.png")
    told = say("outliers", "run", "pictures", "--count", 2).stdout.splitlines()
    assert len(told) == 3
    scores = [float(line.split("corrected ")[1].split()[0]) for line in told[:2]]
    assert scores[0] >= scores[1]
    assert "Nalisnick" in told[2]
    assert (home / "outliers.png").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["encode", "cnn", "one.png"], "cannot reconstruct"),
        (["encode", "vae", "one.png", "--out", "codes.csv"], "takes an .npz"),
        (["encode", "vae", "nowhere/at/all"], "nowhere/at/all"),
        (["atlas", "gan"], "no latent codes"),
        (["atlas", "vae", "--split", "tset"], "no pictures in the split"),
        (["atlas", "vae", "--out", "a.jpg"], "takes a .png"),
        (["atlas", "vae", "--count", "1"], "at least 2"),
        (["steer", "vae", "one.png", "--towards", "ten"], "no class 'ten'"),
        (["steer", "vae", "one.png", "--towards", "1", "--steps", "1"], "at least 2"),
        (["arithmetic", "vae", "--minus", "one.png"], "--plus"),
        (["neighbors", "vae", "one.png", "--count", "0"], "at least 1"),
        (["neighbors", "vae", "one.png", "--out", "a.npz"], "takes a .png"),
        (["outliers", "vae", "digits"], "256 levels"),
        (["outliers", "gan", "digits"], "256 levels"),
        (["outliers", "vae", "digits", "--count", "0"], "at least 1"),
    ],
)
def test_mistakes(say: Say, models: Path, digit_files: object, words: list[str], told: str) -> None:
    done = say(words[0], models / words[1], *words[2:], code=2)
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert told in done.stderr
