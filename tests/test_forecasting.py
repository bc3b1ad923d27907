"""Forecasts against what came, and beside those that know nothing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mezzotint import forecasting, glance, measure
from mezzotint.data.dataset import Dataset
from mezzotint.data.footage import Cut
from mezzotint.method import Method
from mezzotint.methods.forecaster import ForecasterConfig
from mezzotint.metrics.features import random_filters
from mezzotint.networks.recurrent import RecurrentConfig
from mezzotint.networks.stochastic import StochasticConfig
from mezzotint.page import _steps
from mezzotint.scorecard import from_json
from mezzotint.types import Loss, Phase


class Copying(Method):
    """Says the last frame again."""

    phases = (Phase("fit", trains=("all",)),)

    def __init__(self, spec: Any) -> None:
        super().__init__()
        self.spec, self.nothing = spec, torch.nn.Parameter(torch.zeros(1))

    @property
    def context(self) -> int:
        return 3

    def groups(self) -> dict[str, list[torch.nn.Parameter]]:
        return {"all": [self.nothing]}

    def loss(self, batch: Any, phase: str) -> Loss:
        return Loss(self.nothing.sum())

    def forecast(self, frames: torch.Tensor, horizon: int, seed: int | Sequence[int] = 0) -> torch.Tensor:
        return frames[:, -1:].expand(-1, horizon, -1, -1, -1)


def film(frames: np.ndarray, length: int = 6) -> Dataset:
    starts = np.arange(0, len(frames) - length + 1, length)
    splits = {"train": starts, "validation": starts, "test": starts}
    return Dataset("film", frames, None, (), splits, "digest", footage=Cut(frames, length, 10.0))


@pytest.fixture
def moving_bars() -> Dataset:
    frames = np.zeros((60, 16, 16, 1), np.uint8)
    for t in range(60):
        frames[t, :, t % 13 : t % 13 + 3] = 255
    return film(frames)


def test_copying_the_last_frame_is_measured_as_the_baseline_is(moving_bars: Dataset):
    card = measure.measure(Copying(moving_bars.spec), moving_bars, count=10)
    for name in ("mse_frame", "mse", "mae", "psnr", "ssim", "frechet_video", "mse_frame[+2]"):
        assert card.scores[name] == card.scores[f"copy_last_{name}"]
    assert card.protocol["context"] == 3
    assert (card.protocol["horizon"], card.protocol["clips"]) == (3, 10)
    assert from_json(card.to_json()).scores == card.scores


def test_a_known_error(moving_bars: Dataset):
    """A bar of three columns that moved one column on: two columns of 16 pixels differ by one, then four, then six."""
    card = measure.measure(Copying(moving_bars.spec), moving_bars, count=1)
    assert [card.scores[f"mse_frame[+{k}]"].value for k in (1, 2, 3)] == [32, 64, 96]
    assert card.scores["mse_frame"].value == 64
    assert card.scores["mse"].value == pytest.approx(64 / 256)
    assert card.answers["mse_frame"].tolist() == [64]


def test_a_stationary_film_is_forecast_without_error():
    still = film(np.random.default_rng(0).integers(0, 256, (1, 16, 16, 1), np.uint8).repeat(24, 0))
    card = measure.measure(Copying(still.spec), still, count=4)
    for way in ("", "copy_last_", "linear_motion_"):
        assert card.scores[f"{way}mse_frame"].value == 0
        assert card.scores[f"{way}ssim"].value == pytest.approx(1)


def test_a_limit_of_clips_and_the_quick_look_agree(moving_bars: Dataset):
    method = Copying(moving_bars.spec)
    value, clips = forecasting.glance(method, moving_bars, "test", 4)
    card = measure.measure(method, moving_bars, count=4)
    assert clips == 4
    assert value == pytest.approx(card.scores["mse_frame"].value)
    looked = glance.validation_score(method, moving_bars)
    assert (looked.name, looked.higher_is_better, looked.pictures) == ("mse_frame", False, 10)


def test_strips_show_recorded_forecast_and_error(moving_bars: Dataset):
    sheet = forecasting.film_strips(Copying(moving_bars.spec), moving_bars, "test", 2)
    rows = sheet[2:].reshape(6, 18, -1)[:, :16, 2:].reshape(6, 16, 6, 18)[..., :16].transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(rows[0], moving_bars.images[:6, ..., 0])
    assert (rows[1, :3] == 255).all()
    np.testing.assert_array_equal(rows[1, 3:], moving_bars.images[[2, 2, 2], ..., 0])
    assert [int((frame == 255).sum()) for frame in rows[2, 3:]] == [32, 64, 96]


def test_the_report_draws_the_error_step_by_step(moving_bars: Dataset):
    card = measure.measure(Copying(moving_bars.spec), moving_bars, count=4)
    drawn = _steps(card)
    assert "frames ahead" in drawn or "<svg" in drawn
    assert _steps(replace(card, scores={})) == ""


def test_few_clips_have_no_distance(moving_bars: Dataset):
    found = forecasting.measured(Copying(moving_bars.spec), moving_bars, "test", 3, random_filters(moving_bars.spec), 0)
    assert "frechet_video" not in found.scores
    assert found.scores["mse_frame"].n == 3


def test_a_horizon_of_one_frame_is_measured(moving_bars: Dataset):
    short = film(moving_bars.images, 4)
    card = measure.measure(Copying(short.spec), short, count=10)
    assert card.scores["frechet_video"] == card.scores["copy_last_frechet_video"]
    assert card.scores["mse_frame[+1]"].value == card.scores["mse_frame"].value


class Told(Copying):
    """Says a frame whose brightness is the clip's seed."""

    def forecast(self, frames: torch.Tensor, horizon: int, seed: int | Sequence[int] = 0) -> torch.Tensor:
        assert isinstance(seed, Sequence)
        said = torch.tensor(seed)[:, None, None, None, None] / 127.5 - 1
        return said.expand(-1, horizon, *frames.shape[2:])


def test_each_clip_has_noise_of_its_own():
    """Against black frames the error of a clip tells its seed, over several passes."""
    dark = film(np.zeros((80, 16, 16, 1), np.uint8), 5)
    found = forecasting.measured(Told(dark.spec), dark, "test", 12, random_filters(dark.spec), 30)
    assert (found.answers["mae"] * 255).round().tolist() == list(range(30, 42))


def test_sheets_of_futures_and_of_dreams(moving_bars: Dataset):
    network = StochasticConfig(core=RecurrentConfig(width=4, layers=1), latent=2)
    method = ForecasterConfig(network=network, context=2).build(moving_bars.spec)
    for p in method.parameters():
        torch.nn.init.normal_(p, 0, 0.5)
    sheet = forecasting.futures_sheet(method, moving_bars, "test")
    rows = sheet[2:].reshape(4, 18, -1)[:, :16, 2:].reshape(4, 16, 6, 18)[..., :16].transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(rows[0], moving_bars.images[:6, ..., 0])
    assert (rows[1:, :2] == 255).all()
    assert (rows[1, 2:] != rows[2, 2:]).any()
    assert forecasting.dreams_sheet(method, 5).shape == (3 * 18 + 2, 5 * 18 + 2, 1)
