"""`train` on clips and `forecast`, as a user types them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mezzotint.data.film import open_film, save_film

Say = Callable[..., Any]
FIXED = ("--set", "execution.threads=1", "--set", "execution.precision=fp32")
SMALL = ("--frames", "6", "--images", "128", "--set", "batch=16", "--set", "milestones=1", *FIXED)


@pytest.fixture(scope="module")
def forecasters(tmp_path_factory: pytest.TempPathFactory, own_home: Path, run_in: Say) -> Path:
    """A folder with the runs `lstm` and `vae`, hardly trained."""
    place = tmp_path_factory.mktemp("forecasters")
    narrow = ["--set", "method.network.width=8", "--set", "method.network.patch=4"]
    run_in("train", "convlstm", "moving-digits", *SMALL, *narrow, "--out", "lstm", folder=place)
    narrow = ["--set", "method.network.core.width=8", "--set", "method.network.core.patch=4"]
    run_in("train", "convlstm-vae", "moving-digits", *SMALL, *narrow, "--out", "vae", folder=place)
    return place


@pytest.fixture
def clip(home: Path) -> Path:
    """Twelve frames of 20×24 pixels, 12.5 a second."""
    frames = [np.roll(np.full((20, 24, 1), 200, np.uint8) * (np.arange(24) < 5)[:, None], t, 1) for t in range(12)]
    save_film(home / "clip.gif", iter(frames), 12.5)
    return home / "clip.gif"


def test_a_run_on_clips_has_strips_scores_and_a_report(forecasters: Path):
    card = json.loads((forecasters / "lstm" / "score.json").read_text())
    assert {"mse_frame", "copy_last_mse_frame", "linear_motion_ssim", "frechet_video"} <= set(card["scores"])
    assert (card["protocol"]["context"], card["protocol"]["horizon"]) == (3, 3)
    with Image.open(forecasters / "lstm" / "samples" / "forecasts.png") as sheet:
        assert sheet.width < sheet.height * 1.2  # six frames across, nine rows
    report = (forecasters / "lstm" / "report.html").read_text()
    assert "Step by step" in report
    assert "recorded" in report


def test_measuring_again(say: Say, forecasters: Path):
    told = say("measure", forecasters / "lstm", "--count", 20).stdout
    assert "mse frame" in told


def test_the_future_of_a_clip(say: Say, forecasters: Path, clip: Path, home: Path):
    told = say("forecast", forecasters / "lstm", clip, "--frames", 5).stdout
    assert "3 frames recorded, then 5 forecast, 12.5 a second" in told
    assert open_film(home / "future.gif").rate == pytest.approx(12.5)
    assert len(list(open_film(home / "future.gif").frames())) == 8


def test_truth_forecast_and_error_side_by_side(say: Say, forecasters: Path, clip: Path, home: Path):
    told = say("forecast", forecasters / "lstm", clip, "--frames", 9, "--start", 6, "--out", "seen.webp").stdout
    assert "over the 6 that are known" in told
    frames = list(open_film(home / "seen.webp").frames())
    assert len(frames) == 12
    assert frames[0].shape[1] > 3 * frames[0].shape[0]


def test_several_futures_and_a_dream(say: Say, forecasters: Path, clip: Path, home: Path):
    say("forecast", forecasters / "vae", clip, "--frames", 4, "--futures", 3, "--out", "three.gif")
    assert next(open_film(home / "three.gif").frames()).shape[1] > 3 * 192
    assert "out of noise" in say("forecast", forecasters / "vae", "--frames", 4, "--out", "dream.gif").stdout


def test_the_report_of_a_stochastic_forecaster_shows_futures_and_dreams(forecasters: Path):
    for name in ("futures", "dreams"):
        assert (forecasters / "vae" / "samples" / f"{name}.png").is_file()
        assert not (forecasters / "lstm" / "samples" / f"{name}.png").exists()
    report = (forecasters / "vae" / "report.html").read_text()
    assert "out of noise alone" in report


def test_the_rate_that_is_written_is_told(say: Say, forecasters: Path, home: Path):
    np.savez(home / "fast.npz", frames=np.eye(8, dtype=np.uint8)[None].repeat(5, 0) * 200, rate=80)
    assert "50 a second" in say("forecast", forecasters / "lstm", "fast.npz", "--frames", 2).stdout
    assert "80 a second" in say("forecast", forecasters / "lstm", "fast.npz", "--frames", 2, "--out", "a.webp").stdout


def test_a_film_in_mp4(say: Say, forecasters: Path, clip: Path, home: Path):
    pytest.importorskip("av")
    say("forecast", forecasters / "lstm", clip, "--frames", 5, "--out", "future.mp4")
    say("forecast", forecasters / "lstm", "future.mp4", "--frames", 5, "--out", "again.webm")
    assert open_film(home / "again.webm").rate == pytest.approx(12.5)


def test_mistakes_get_a_sentence(say: Say, forecasters: Path, clip: Path, home: Path):
    (home / "no.gif").write_text("text")
    for words, told in [
        (["lstm", "nowhere.gif"], "no clip nowhere.gif"),
        (["lstm", "no.gif"], "no.gif cannot be read"),
        (["lstm"], "cannot begin from noise"),
        (["lstm", clip, "--start", 2], "at least 3"),
        (["lstm", clip, "--start", 40], "too short"),
        (["lstm", clip, "--out", "future.png"], ".gif"),
        (["lstm", clip, "--frames", 0], "at least 1"),
        (["lstm", clip, "--futures", 4], "one future"),
        (["vae", clip, "--seed", 2**70], "a seed is a whole number"),
        (["vae", "--seed", -1], "a seed is a whole number"),
    ]:
        assert told in say("forecast", forecasters / words[0], *words[1:], code=2).stderr


def test_data_of_the_other_kind_are_refused(say: Say, home: Path):
    for words, told in [
        (["convlstm", "digits"], "moving-digits"),
        (["vae", "digits", "--frames", "6"], "still pictures"),
        (["convlstm", "moving-digits", "--frames", "1"], "from 2 to 1000"),
    ]:
        assert told in say("train", *words, "--images", 16, code=2).stderr
    assert not (home / "runs").exists()
