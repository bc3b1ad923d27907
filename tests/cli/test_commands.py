"""Every verb with what it prints and writes, and every mistake with its sentence."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mezzotint import catalog

Say = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = Path(sys.executable).with_name("mezzotint")
FIXED = ["--set", "execution.threads=1", "--set", "execution.precision=fp32", "--set", "execution.channels_last=false"]
VERBS = (
    *("train", "recipes", "check", "show", "measure", "validity", "compare", "arena", "audit", "board"),
    *("generate", "classify", "explain", "labels", "reconstruct", "interpolate", "latent", "augment", "detect"),
    *("encode", "atlas", "steer", "arithmetic", "neighbors", "outliers", "forecast"),
    *("compress", "decompress", "inspect", "edit"),
)


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a user is told."""
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("mezzotint: ")
    return lines[0]


# Training.


def test_a_run_has_all_its_parts_and_says_what_comes_next(models: Path) -> None:
    run = models / "gan"
    for name in ("recipe.json", "journal.jsonl", "score.json", "report.html", "curves.svg", "samples/progress.png"):
        assert (run / name).stat().st_size > 0, name
    assert {p.name for p in (run / "snapshot").iterdir()} == {
        "weights.safetensors",
        "recipe.json",
        "card.json",
        "README.md",
    }
    assert list((run / "events").iterdir())
    assert len(list(run.glob("samples/0*.png"))) == 2
    page = (run / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page), "the report needs nothing beside itself"


@pytest.mark.parametrize(("name", "steps"), [("cnn", 64), ("vae", 64), ("gan", 64)])
def test_a_budget_of_pictures_is_kept(models: Path, name: str, steps: int) -> None:
    events = [json.loads(line) for line in (models / name / "journal.jsonl").read_text().splitlines()]
    milestones = [e["images"] for e in events if e["event"] == "milestone"]
    assert milestones == [*([0] if name == "gan" else []), 1024, 2048]  # a game is looked at before it begins
    assert events[-1]["images"] == steps * 32


def test_a_run_goes_to_a_new_readable_folder(say: Say, home: Path, models: Path) -> None:
    words = ["train", "vae-dense", "digits", "--images", "64", "--set", "batch=32", "--set", "milestones=0"]
    done = say(*words, *FIXED)
    assert (home / "runs" / "vae-dense-digits-1" / "snapshot").is_dir()
    assert "runs/vae-dense-digits-1/report.html" in done.stdout


def test_an_existing_run_is_never_overwritten(say: Say, models: Path) -> None:
    before = (models / "cnn" / "recipe.json").read_text()
    told = sentence(say("train", "cnn-classic", "digits", "--images", 64, "--out", models / "cnn", code=2))
    assert "exists already" in told
    assert "--resume" in told
    assert (models / "cnn" / "recipe.json").read_text() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "dcgna", "digits"], "did you mean 'dcgan'?"),
        (["train", "vae", "digit"], "digits"),
        (["train", "vae", "nowhere/at/all"], "nowhere/at/all"),
        (["train", "vae", "~nobody-of-that-name/pictures"], "there is no user"),
        (["train", "vae"], "takes a recipe and data"),
        (["train", "vae", "digits", "--minutes", "1", "--images", "5"], "not both"),
        (["train", "vae", "digits", "--minutes", "-1"], "positive"),
        (["train", "vae", "digits", "--images", "many"], "500k"),
        (["train", "vae", "digits", "--set", "bacth=7"], "did you mean 'batch'?"),
        (["train", "vae", "digits", "--set", "lr=7"], "did you mean 'optimizers.autoencoder.lr'?"),
        (["train", "vae", "digits", "--set", "batch"], "key=value"),
        (["train", "vae", "digits", "--set", "batch=many"], "batch must be a whole number, not 'many'"),
        (["train", "vae", "digits", "--set", "batch=0"], "batch must be at least 1"),
        (["train", "vae", "digits", "--set", "optimizer.lr=-1"], "not negative"),
        (["train", "vae", "digits", "--set", "optimizer.lr=nan"], "finite"),
        (["train", "vae", "digits", "--set", "optimizer.name=adamm"], "did you mean 'adam'?"),
        (["train", "vae", "digits", "--set", "optimizer.betas=0.9"], "two numbers"),
        (["train", "vae", "digits", "--set", "method.likelihood=gauss"], "did you mean 'gaussian'?"),
        (["train", "vae", "digits", "--set", "method.latent=-3"], "do not fit"),
        (["train", "vae", "digits", "--set", "execution.threads=0"], "at least 1"),
        (["train", "vae", "digits", "--set", "execution.device=gpuu"], "do not fit"),
        (["train", "vae", "digits", "--set", "averaging.every=0"], "at least 1"),
        (["train", "vae", "digits", "--set", "patience=-1"], "not be negative"),
        (["train", "vae", "digits", "--set", "kind=x"], "there is no setting 'kind'"),
        (["train", "cnn", "digits", "--set", "optimizer.kind=adamw"], "there is no setting"),
        (["train", "cnn", "digits", "--set", "method.kind=vae"], "groups"),
        (["train", "cnn", "digits", "--set", "method.label_smoothing=2"], "do not fit"),
        (
            ["train", "cnn", "digits", "--set", "method.logit_adjustment=1", "--set", "data.balance=1"],
            "data.balance and method.logit_adjustment correct uneven classes more than once",
        ),
        (
            ["labels", "digits", "--set", "method.logit_adjustment=0.5", "--set", "method.class_weight=0.6"],
            "more than once, to 1.1 in all",
        ),
        (["train", "cnn", "digits", "--set", "data.augment.shift=8"], "cannot be shifted"),
        (["train", "dcgan-tutorial", "digits", "--size", "16", "--set", "batch=1"], "do not fit"),
        (["train", "cnn", "digits", "--set", "execution.device=cuda"], "no CUDA device"),
        (["train", "vae", "digits", "--minutes", "inf"], "finite"),
        (["train", "vae", "digits", "--minutes", "nan"], "finite"),
        (["train", "vae", "digits", "--images", "inf"], "500k"),
        (["train", "vae", "digits", "--seed", "-1"], "a seed is a whole number"),
        (["train", "vae", "digits", "--set", "data.size=16"], "--size"),
        (["train", "vae", "digits", "--set", "budget.images=16"], "--images"),
        (["train", "dcgan", "digits", "--set", "method.loss=hinge"], "alternating"),
        (["train", "dcgan", "digits", "--size", "16", "--set", "method.discriminator.norm=batch"], "alternating"),
        (["train", "vae", "digits", "--size", "13"], "13"),
        (["train", "--resume", "nowhere"], "not a run"),
        (["train", "vae", "digits", "--resume", "nowhere"], "nothing else"),
        (["recipes", "dcgam"], "did you mean 'dcgan'?"),
        (["show", "nowhere"], "nowhere"),
        (["measure", "nowhere"], "nowhere"),
        (["audit", "nowhere"], "nowhere"),
        (["audit", "nowhere", "--count", "5"], "at least 20"),
        (["generate", "nowhere"], "nowhere"),
        (["generate", "nowhere", "--out", "picture.jpg"], ".png"),
        (["generate", "nowhere", "--count", "0"], "at least 1"),
        (["board", "nowhere"], "nowhere"),
        (["augment", "nowhere"], "nowhere"),
        (["detect", "nowhere", "a.png"], "nowhere"),
        (["detect", "nowhere", "a/b.png", "c/b.png"], "the same name"),
        (["train", "detector", "digits"], "pictures with boxes"),
        (["augment", "nowhere", "--shots", "3"], "give --judge"),
        (["augment", "nowhere", "--certainty", "0.5"], "--recogniser"),
        (["augment", "nowhere", "--certainty", "0.5", "--judge"], "--recogniser"),
        (["augment", "nowhere", "--certainty", "1.5", "--recogniser", "nowhere"], "below 1, not 1.5"),
        (["augment", "nowhere", "--certainty", "-0.1", "--judge", "--retrain", "9"], "below 1, not -0.1"),
        (["classify", "nowhere", "a.png", "--strange", "0"], "--strange is a share"),
        (["classify", "nowhere", "a.png", "--strange", "1.5"], "--strange is a share"),
        (["classify", "nowhere", "a.png", "--strange", "nan"], "--strange is a share"),
        (["detect", "nowhere", "a.png", "--sure", "1.5"], "--sure is a certainty"),
        (["detect", "nowhere", "a.png", "--sure", "-1"], "--sure is a certainty"),
        (["compare", "nowhere"], "two or more different runs"),
        (["compare", "nowhere", "elsewhere"], "nowhere has no score.json"),
        (["arena", "digits", "--recipes", "dcgna"], "did you mean 'dcgan'?"),
        (["arena", "digits", "--recipes", ","], "at least one recipe"),
        (["arena", "nowhere/at/all", "--recipes", "vae"], "nowhere/at/all"),
        (["arena", "digits", "--recipes", "vae", "--set", "bacth=7"], "did you mean 'batch'?"),
        (["arena", "digits", "--recipes", "vae", "--features", "nowhere"], "nowhere"),
        (["arena", "digits", "--recipes", "vae", "--count", "3"], "at least 6"),
        (["arena", "digits", "--recipes", "vae", "--minutes", "0"], "positive number of minutes"),
        (["measure", "nowhere", "--seed", "-1"], "a seed is a whole number"),
        (["audit", "nowhere", "--seed", "99999999999"], "a seed is a whole number"),
    ],
    ids=lambda value: "-".join(value[:1] + value[-1:]) if isinstance(value, list) else "",
)
def test_a_mistake_gets_one_sentence(say: Say, words: list[str], told: str, home: Path) -> None:
    if words[0] == "train" and not {"--minutes", "--images", "--resume"} & set(words):
        words = [*words, "--images", "16"]  # a mistake that is not noticed must not cost ten minutes
    assert told in sentence(say(*words, code=2))
    assert not (home / "runs").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tain"], "Did you mean"),
        (["train", "vae", "digits", "--minute", "1"], "Did you mean --minutes"),
        (["generate", "x", "--count", "y"], "--count"),
    ],
)
def test_a_wrong_flag_is_named_without_a_traceback(say: Say, words: list[str], told: str) -> None:
    done = say(*words, code=2)
    assert told in done.stdout + done.stderr


def test_the_installed_command_tells_a_mistake_too(shell: Say) -> None:
    assert "did you mean 'dcgan'?" in sentence(shell("train", "dcgna", "digits", code=2))


def test_the_installed_command_trains_and_draws(shell: Say, home: Path) -> None:
    words = ["train", "vae-dense", "digits", "--images", "64", "--set", "batch=32", "--out", "run"]
    assert "run/report.html" in shell(*words, *FIXED).stdout
    assert "2 pictures in two.png" in shell("generate", "run", "--count", 2, "--out", "two.png").stdout
    assert (home / "two.png").is_file()


def test_foreign_models_are_refused(say: Say, models: Path, home: Path) -> None:
    shutil.copytree(models / "vae" / "snapshot", home / "m")
    (home / "m" / "weights.safetensors").write_bytes(b"nonsense")
    assert "damaged" in sentence(say("generate", "m", code=2))
    card = json.loads((home / "m" / "card.json").read_text())
    (home / "m" / "card.json").write_text(json.dumps({**card, "format": 99}))
    assert "update mezzotint" in sentence(say("generate", "m", code=2))


# Drawing.


def test_generate_draws_a_grid(say: Say, home: Path, models: Path) -> None:
    say("generate", models / "gan", "--count", 5, "--seed", 7, "--out", "deep/grid.png")
    with Image.open(home / "deep" / "grid.png") as grid:
        assert max(grid.size) >= 480
        assert grid.mode == "L"


def test_generate_draws_arrays_with_labels_where_it_is_told_classes(say: Say, home: Path, models: Path) -> None:
    say("generate", models / "gan", "--count", 5, "--classes", "3", "1", "--out", "a.npz")
    with np.load(home / "a.npz", allow_pickle=False) as arrays:
        assert arrays["images"].shape == (5, 8, 8, 1)
        assert arrays["images"].dtype == np.uint8
        assert arrays["labels"].tolist() == [3, 1, 3, 1, 3]


def test_a_conditional_model_labels_what_it_draws_unasked(say: Say, home: Path, models: Path) -> None:
    say("generate", models / "gan", "--count", 5, "--out", "a.npz")
    with np.load(home / "a.npz", allow_pickle=False) as arrays:
        assert arrays["labels"].shape == (5,)


def test_generate_fills_a_folder_and_a_seed_is_one_picture(say: Say, home: Path, models: Path) -> None:
    say("generate", models / "vae", "--count", 3, "--seed", 6, "--out", "many")
    say("generate", models / "vae", "--count", 1, "--seed", 7, "--out", "one")
    assert sorted(p.name for p in (home / "many").iterdir()) == [f"seed-00000{i}.png" for i in (6, 7, 8)]
    assert (home / "many" / "seed-000007.png").read_bytes() == (home / "one" / "seed-000007.png").read_bytes()
    assert "not empty" in sentence(say("generate", models / "vae", "--out", "many", code=2))


def test_what_a_model_cannot_do_is_said(say: Say, models: Path, digit_files: Any) -> None:
    for words, told in [
        (["generate", "cnn"], "cannot generate; it can classify"),
        (["classify", "vae", "one.png"], "cannot classify"),
        (["reconstruct", "gan", "one.png"], "cannot reconstruct"),
        (["generate", "vae", "--classes", "3"], "not trained by class"),
        (["generate", "gan", "--steps", "3"], "draws in one pass"),
        (["generate", "gan", "--classes", "thirty"], "there is no class 'thirty'"),
    ]:
        assert told in sentence(say(words[0], models / words[1], *words[2:], code=2))


# Using.


def test_augment_writes_a_labelled_folder(say: Say, models: Path, home: Path) -> None:
    words = ["augment", models / "gan", "--classes", "3", "7", "--per-class", "5", "--out", "more"]
    done = say(*words, "--recogniser", models / "cnn", "--certainty", "0.05", "--seed", "4")
    assert re.search(r"^3: \d of \d+ drawn", done.stdout)
    manifest = json.loads((home / "more" / "manifest.json").read_text())
    assert {told["class"] for told in manifest["pictures"]} <= {"3", "7"}
    assert all(told["certainty"] >= 0.05 for told in manifest["pictures"])
    assert len(list((home / "more").glob("*/seed-*.png"))) == len(manifest["pictures"])
    assert "is not empty" in sentence(say(*words, code=2))
    few = [*words[:-1], "other", "--judge", "--shots", "9999"]
    assert "ask for no more with --shots" in sentence(say(*few, code=2))
    assert not (home / "other").exists()


def test_augment_judges_what_it_drew(say: Say, models: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mezzotint import benefit, cas

    monkeypatch.setattr(benefit, "SEEN", 64)
    monkeypatch.setattr(cas, "BATCH", 32)
    words = ["augment", models / "gan", "--per-class", "3", "--out", "more", "--judge", "--shots", "2", "3"]
    done = say(*words, "--seeds", "2", "--retrain", "32")
    assert "3 a class, seed 1, real + drawn from them, classic: accuracy" in done.stdout
    assert "no difference seen" in done.stdout or "helped" in done.stdout or "hurt" in done.stdout
    assert "the generator was trained on" in done.stdout
    found = json.loads((home / "more" / "benefit.json").read_text())
    assert set(found["accuracy"]) == {"2", "3"}
    assert len(found["comparisons"]) == 2 * 5
    assert found["protocol"]["seen_by_generator"] == found["protocol"]["data_digest"]
    page = (home / "more" / "benefit.html").read_text()
    assert "Recall by class" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_augment_judges_a_generator_of_the_users_own_folder(
    say: Say, home: Path, digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mezzotint import benefit, cas

    monkeypatch.setattr(benefit, "SEEN", 64)
    monkeypatch.setattr(cas, "BATCH", 32)
    for i in np.flatnonzero(digits.labels < 2)[:80]:
        place = home / "mine" / ("no", "yes")[digits.labels[i]]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.images[i, ..., 0]).save(place / f"{i}.png")
    small = ["--images", "64", "--set", "batch=32", "--set", "milestones=0", "--set", "method.conditional=true"]
    say("train", "gan-mlp", home / "mine", *small, *FIXED, "--out", "gan")
    words = ["augment", "--per-class", "3", "--judge", "--shots", "2", "--seeds", "2"]
    say(*words, "gan", "--out", "more")
    found = json.loads((home / "more" / "benefit.json").read_text())
    assert found["protocol"]["seen_by_generator"] == found["protocol"]["data_digest"]
    assert "give --data" in sentence(say(*words, "gan/snapshot", "--out", "other", code=2))
    say(*words, "gan/snapshot", "--data", home / "mine", "--out", "other")
    next((home / "mine" / "yes").iterdir()).unlink()
    assert "are not those that gan was trained on" in sentence(say(*words, "gan", "--out", "third", code=2))
    assert not (home / "third").exists()


def test_classify_prints_a_table_or_json(say: Say, models: Path, digit_files: tuple[Path, Path]) -> None:
    table = say("classify", models / "cnn", "one.png", "two.png").stdout
    assert len(table.splitlines()) == 2
    assert re.match(r"one\.png  \d \d+\.\d%", table)
    lines = [json.loads(line) for line in say("classify", models / "cnn", "one.png", "--json").stdout.splitlines()]
    assert lines[0]["picture"] == "one.png"
    assert sum(lines[0]["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert lines[0]["class"] == max(lines[0]["probabilities"], key=lines[0]["probabilities"].get)


def test_classify_names_what_is_not_a_picture(say: Say, models: Path, home: Path) -> None:
    (home / "no.png").write_text("text")
    assert "no.png" in sentence(say("classify", models / "cnn", "no.png", code=2))
    assert "gone.png" in sentence(say("classify", models / "cnn", "gone.png", code=2))


def test_reconstruct_and_interpolate(say: Say, models: Path, home: Path, digit_files: tuple[Path, Path]) -> None:
    say("reconstruct", models / "vae", "one.png", "two.png", "--out", "pairs.png")
    say("reconstruct", models / "vae", "one.png", "two.png", "--out", "pairs.npz")
    say("interpolate", models / "vae", "one.png", "two.png", "--steps", 5, "--out", "walk.npz")
    with Image.open(home / "pairs.png") as pairs:
        assert pairs.width == pairs.height
    with np.load(home / "walk.npz") as walk, np.load(home / "pairs.npz") as pairs:
        assert walk["images"].shape == (5, 8, 8, 1)
        # The walk's ends are the reconstructions of its ends, up to the rounding of a byte.
        ends = walk["images"][[0, -1]].astype(int)
        assert np.abs(ends - pairs["images"].astype(int)).max() <= 1


# Measuring and looking.


def test_between_two_seeds_and_two_classes(say: Say, models: Path, home: Path) -> None:
    say("generate", models / "gan", "--between", 3, 9, "--classes", 1, 8, "--count", 5, "--out", "between.npz")
    walk = np.load("between.npz")["images"]
    assert len(walk) == 5
    for seed, name, end in ((3, "1", walk[0]), (9, "8", walk[-1])):
        say("generate", models / "gan", "--seed", seed, "--count", 1, "--classes", name, "--out", f"{seed}.npz")
        assert np.array_equal(np.load(f"{seed}.npz")["images"][0], end)
    told = sentence(say("generate", models / "gan", "--between", 1, 2, "--steps", 5, code=2))
    assert "in one pass" in told
    assert "vae-dense model cannot go between seeds" in sentence(
        say("generate", models / "vae", "--between", 1, 2, code=2)
    )


def test_truncation_of_a_trained_gan(say: Say, models: Path, home: Path) -> None:
    for name, words in (
        ("all", ()),
        ("few", ("--truncation", 0.1)),
        ("way", ("--truncation", 0.1, "--between", 0, 5)),
    ):
        say("generate", models / "gan", "--count", 6, "--classes", 3, *words, "--out", f"{name}.npz")
    wide, narrow, way = (np.load(f"{name}.npz")["images"].astype(float) for name in ("all", "few", "way"))
    assert narrow.std(0).mean() < 0.5 * wide.std(0).mean()
    assert np.array_equal(way[[0, -1]], narrow[[0, -1]])
    walk = ("latent", models / "gan", "--factors", 1, "--count", 1, "--steps", 3, "--classes", 3)
    say(*walk, "--truncation", 0.1, "--out", "walk.npz")
    assert np.array_equal(np.load("walk.npz")["images"][1], narrow[0])
    for model, words, told in (
        ("vae", ("generate", "--truncation", 0.5), "knows no truncation"),
        ("gan", ("generate", "--truncation", 0), "above 0"),
        ("gan", ("latent", "a.png", "--truncation", 0.5), "leave it out"),
        ("gan", ("generate", "--pairs"), "cannot draw pairs"),
        ("gan", ("generate", "--pairs", "--between", 1, 2), "not both"),
    ):
        assert told in sentence(say(words[0], models / model, *words[1:], code=2))


def test_pairs_lie_side_by_side(say: Say, home: Path) -> None:
    few = ("--images", 64, "--set", "batch=32", "--set", "milestones=0", "--set", "method.generator.width=8", *FIXED)
    say("train", "cogan", "digits", *few, "--out", "cogan")
    say("generate", "cogan", "--count", 3, "--out", "alone.npz")
    say("generate", "cogan", "--count", 3, "--pairs", "--out", "pairs.npz")
    alone, pairs = np.load("alone.npz"), np.load("pairs.npz")
    assert np.array_equal(pairs["images"][::2], alone["images"])
    assert not np.array_equal(pairs["images"][1::2], alone["images"])
    assert pairs["labels"].tolist() == [0, 0, 1, 1, 2, 2]
    assert "3 pairs in drawn" in say("generate", "cogan", "--count", 3, "--pairs", "--out", "drawn").stdout
    assert (home / "drawn" / "seed-000002-partner.png").is_file()


def test_factors_and_projections(say: Say, models: Path, home: Path) -> None:
    say("latent", models / "gan", "--factors", 2, "--count", 3, "--steps", 5, "--out", "walks.npz")
    walks = np.load("walks.npz")["images"].reshape(3, 2, 5, 8, 8, 1)
    assert np.array_equal(walks[:, 0, 2], walks[:, 1, 2]), "every walk passes its seed's own picture"
    say("generate", models / "gan", "--count", 3, "--out", "drawn")
    drawn = sorted(Path("drawn").glob("*.png"))
    told = say("latent", models / "gan", *drawn, "--steps", 60, "--out", "found.npz").stdout
    assert "3 projections in found.npz" in told
    found = np.load("found.npz")
    assert found["latents"].shape == (3, 128)
    asked = np.stack([np.asarray(Image.open(p)) for p in drawn]).astype(float)
    assert np.abs(found["images"][..., 0] - asked).mean() < 12  # of 255 levels
    say("latent", models / "gan", *drawn, "--classes", 7, "--steps", 2, "--out", "found.png")
    assert Path("found.png").is_file()
    assert "at least 1" in sentence(say("latent", models / "gan", "--factors", 0, code=2))


def test_measure_in_the_features_of_a_recogniser(say: Say, models: Path, home: Path) -> None:
    shutil.copytree(models / "gan", home / "gan")
    done = say("measure", "gan", "--features", models / "cnn", "--count", 200)
    assert "frechet" in done.stdout
    card = json.loads((home / "gan" / "score.json").read_text())
    assert "cnn-classic" in card["protocol"]["extractor"]["name"]
    for name in ("frechet", "kid", "precision", "recall", "density", "coverage"):
        score = card["scores"][name]
        assert score["low"] <= score["value"] <= score["high"]
        assert f"{name}_floor" in card["scores"]
    assert "cnn-classic" in (home / "gan" / "report.html").read_text()


def test_resuming_a_finished_run_keeps_a_more_careful_card(say: Say, models: Path, home: Path) -> None:
    shutil.copytree(models / "gan", home / "gan")
    say("measure", "gan", "--features", models / "cnn", "--count", 60)
    card = (home / "gan/score.json").read_text()
    assert "cnn-classic" in card
    say("train", "--resume", "gan")
    assert (home / "gan/score.json").read_text() == card
    assert (home / "gan/report.html").is_file()


def test_a_model_folder_does_not_name_the_place_of_the_pictures(say: Say, home: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(home / "mine.npz", images=rng.integers(0, 256, (40, 8, 8, 1), np.uint8), labels=np.arange(40) % 4)
    say("train", "cnn-classic", "mine.npz", "--images", 64, "--set", "batch=16", *FIXED, "--out", "run")
    assert json.loads((home / "run/recipe.json").read_text())["data"]["source"] == str(home / "mine.npz")
    assert str(home) not in "".join(p.read_text() for p in (home / "run/snapshot").glob("*.[jm]*"))
    say("measure", "run")  # the run itself knows where they are


def test_measure_in_the_features_of_a_weight_file(say: Say, models: Path, home: Path) -> None:
    from safetensors.torch import save_file

    from mezzotint.networks.dinov2 import Dinov2Config

    save_file(dict(Dinov2Config(width=64, depth=1, grid=16).build().state_dict()), home / "vit.safetensors")
    shutil.copytree(models / "gan", home / "gan")
    say("measure", "gan", "--features", "vit.safetensors", "--count", 20)
    card = json.loads((home / "gan" / "score.json").read_text())
    assert card["protocol"]["extractor"]["name"] == "dinov2, other weights"
    assert "224×224" in card["protocol"]["extractor"]["resize"]
    say("measure", "gan", "--features", "random-filters", "--count", 20)
    assert "random-filters" in (home / "gan" / "report.html").read_text()
    (home / "w.pth").write_bytes(b"nonsense")
    assert "w.pth is none of the published" in sentence(say("measure", "gan", "--features", "w.pth", code=2))
    assert "nowhere is neither" in sentence(say("measure", "gan", "--features", "nowhere", code=2))


def test_measure_pictures_that_came_from_elsewhere(say: Say, models: Path, home: Path) -> None:
    """Training pictures given as drawn ones stand exactly as far from the test split as the floor does."""
    from mezzotint.data import dataset as data
    from mezzotint.data.loader import spread

    digits = data.load("digits")
    rows = digits.splits["train"]
    for row in rows[spread(len(rows), 150)]:
        folder = home / "drawn" / digits.classes[digits.labels[row]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.images[row, :, :, 0]).save(folder / f"{row}.png")
    done = say("measure", "drawn", "--data", "digits", "--features", models / "cnn")
    card = json.loads((home / "drawn" / "score.json").read_text())
    assert "cnn-classic" in card["protocol"]["extractor"]["name"]
    assert card["protocol"]["classes_drawn"] == "as in test"
    for name in ("frechet", "kid", "precision", "recall", "classification_accuracy_score"):
        assert name.replace("_", " ") in done.stdout
        at_least = 0.15 if name.startswith("classification") else 1e-6
        assert card["scores"][name]["value"] == pytest.approx(card["scores"][f"{name}_floor"]["value"], abs=at_least)
    assert "nowhere is neither a run" in sentence(say("measure", "nowhere", "--data", "digits", code=2))


def test_validity_tells_what_an_extractor_sees(say: Say, models: Path, home: Path) -> None:
    told = say("validity", models / "cnn", "digits", "--count", 60, "--out", "deep/cnn").stdout
    for word in ("blur", "noise", "shift", "dropped modes (share of the classes)", "grows", "cnn-classic", "are few"):
        assert word in told
    card = json.loads((home / "deep" / "cnn" / "validity.json").read_text())
    assert (card["extractor"], card["n"]) == ("cnn-classic", 60)
    assert "</svg>" in (home / "deep" / "cnn" / "validity.svg").read_text()
    assert "8×8×1" in sentence(say("validity", models / "cnn", "digits", "--size", 16, code=2))
    assert "at least 20" in sentence(say("validity", "random-filters", "digits", "--count", 5, code=2))


def test_an_audit_after_measuring_other_pictures(say: Say, models: Path, home: Path) -> None:
    """The sheet of mistakes is of the pictures that the scores are of; an audit looks at those of the training."""
    shutil.copytree(models / "cnn", home / "cnn")
    rng = np.random.default_rng(0)
    labels = np.arange(3000) % 10
    names = np.array([str(i) for i in range(10)])
    np.savez("other.npz", images=rng.integers(0, 256, (3000, 8, 8), np.uint8), labels=labels, classes=names)
    say("measure", "cnn", "--data", "other.npz", "--split", "train")
    assert "verdict: draws nothing" in say("audit", "cnn", "--count", 40).stdout


def test_audit_in_the_features_of_a_recogniser(say: Say, models: Path, home: Path) -> None:
    shutil.copytree(models / "gan", home / "gan")
    done = say("audit", "gan", "--features", models / "cnn", "--count", 60)
    assert re.search(r"^verdict: (no sign of copying|cannot tell)$", done.stdout, re.MULTILINE)
    card = json.loads((home / "gan" / "audit.json").read_text())
    assert "cnn-classic" in card["protocol"]["extractor"]["name"]
    for name in ("near_copies", "nearer_to_training", "distance_ratio", "duplicates"):
        for space in ("pixels", "features"):
            score = card["scores"][f"{name}_{space}"]
            assert score["low"] <= score["value"] <= score["high"]
    with Image.open(home / "gan" / "samples" / "copies.png") as sheet:
        assert sheet.width > sheet.height
    assert "Is it copying?" in (home / "gan" / "report.html").read_text()
    assert "Is it copying?" in (home / "gan" / "snapshot" / "README.md").read_text()


def test_the_score_card_of_a_recogniser(models: Path) -> None:
    card = json.loads((models / "cnn" / "score.json").read_text())
    assert {"accuracy", "f1", "recall[3]"} <= set(card["scores"])
    assert sum(map(sum, card["confusion"])) == card["protocol"]["pictures"]


def test_show_says_what_a_run_is(say: Say, models: Path) -> None:
    told = say("show", models / "vae").stdout
    for word in ("vae-dense", "digits", "8×8×1", "reconstruct", "elbo", "bits per dimension"):
        assert word in told


def test_recipes_and_their_settings(say: Say) -> None:
    table = say("recipes").stdout
    for name in ("cnn", "cnn-classic", "dcgan", "gan-mlp", "vae", "vae-dense"):
        assert re.search(rf"^{name}\b", table, re.MULTILINE)
    assert "optimizers.autoencoder.lr=0.001" in say("recipes", "vae").stdout
    for name, paper in (("gan-mlp", "Goodfellow et al. 2014"), ("lsgan", "Mao et al. 2017")):
        about = say("recipes", name).stdout
        for word in (paper, f"mezzotint train {name} DATA", catalog.measured(name) or "not yet", "batch=32"):
            assert word in about


def test_check_tells_of_the_data(say: Say) -> None:
    pytest.importorskip("mezzotint.data.check")
    assert "1,797" in say("check", "digits").stdout.replace("1797", "1,797")


def test_looking_for_help_imports_nothing_heavy(home: Path) -> None:
    program = (
        "import sys\nfrom mezzotint import cli\nsys.argv[1:] = {words}\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "assert not {{'torch', 'numpy', 'scipy', 'matplotlib', 'PIL'}} & set(sys.modules), sorted(sys.modules)\n"
    )
    for words in (["--help"], ["train", "--help"], ["recipes"], ["--version"]):
        subprocess.run([sys.executable, "-c", program.format(words=words)], check=True, capture_output=True, text=True)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help(say: Say, verb: str) -> None:
    assert "Usage" in say(verb, "--help").stdout


@pytest.mark.slow
def test_board_listens_on_this_machine_alone(models: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    board = subprocess.Popen([COMMAND, "board", models, "--port", str(port)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/runs", timeout=5) as answer:
                    runs = json.loads(answer.read())
                if runs:
                    break
            except OSError:
                pass
            assert time.monotonic() < deadline, "TensorBoard did not come up"
            time.sleep(0.3)
        assert any("gan" in name for name in runs)
        with Path("/proc/net/tcp").open() as table:
            listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
        assert f"0100007F:{port:04X}" in listening
        assert f"00000000:{port:04X}" not in listening
    finally:
        board.terminate()
        board.wait(20)
