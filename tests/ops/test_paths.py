import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.ops import paths
from mezzotint.ops.paths import Path

PATHS = [Path("straight"), Path("circle"), Path("exploding")]
PREDICTIONS = ["velocity", "noise", "picture", "preconditioned"]
every_path = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.name)


def a_pair(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, 3, 1, 4, 4, generator=generator, dtype=torch.float64))


def last(path: Path) -> float:
    return 80.0 if path.name == "exploding" else 1.0


@every_path
@pytest.mark.parametrize("predicts", PREDICTIONS)
@given(share=st.floats(0.03, 0.97), spread=st.floats(0.1, 2))
@settings(deadline=None, max_examples=25)
def test_there_and_back(path: Path, predicts: paths.Prediction, share: float, spread: float) -> None:
    picture, noise = a_pair()
    t = torch.full((3, 1, 1, 1), share * last(path), dtype=torch.float64)
    said = paths.target(path, predicts, picture, noise, t, spread)
    back = paths.completed(path, predicts, said, path.mixed(picture, noise, t), t, spread)
    torch.testing.assert_close(back, (picture, noise), rtol=1e-9, atol=1e-9)


@every_path
def test_velocity_and_place_give_picture_and_noise_even_at_the_ends(path: Path) -> None:
    picture, noise = a_pair()
    for end in (0.0, last(path)):
        t = torch.full((3, 1, 1, 1), end, dtype=torch.float64)
        back = path.apart(path.mixed(picture, noise, t), path.velocity(picture, noise, t), t)
        torch.testing.assert_close(back, (picture, noise), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("predicts", ["velocity", "preconditioned"])
def test_what_is_said_of_pure_pictures_is_completed(predicts: paths.Prediction) -> None:
    """At t = 0 a difference over sigma would be 0/0."""
    picture, noise = a_pair()
    t = torch.zeros(3, 1, 1, 1, dtype=torch.float64)
    said = paths.target(PATHS[0], predicts, picture, noise, t, 0.5)
    torch.testing.assert_close(paths.completed(PATHS[0], predicts, said, picture, t, 0.5), (picture, noise))


@every_path
def test_the_ends_are_picture_and_noise(path: Path) -> None:
    start = path.at(torch.zeros((), dtype=torch.float64))
    assert (float(start.alpha), float(start.sigma)) == (1, 0)
    if path.name != "exploding":
        end = path.at(torch.ones((), dtype=torch.float64))
        assert (float(end.alpha), float(end.sigma)) == (0, 1)


@every_path
def test_slopes_are_derivatives(path: Path) -> None:
    t, h = torch.linspace(0.1, 0.9, 7, dtype=torch.float64), 1e-5
    before, here, after = (path.at(t + shift) for shift in (-h, 0.0, h))
    torch.testing.assert_close((after.alpha - before.alpha) / (2 * h), here.alpha_slope, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close((after.sigma - before.sigma) / (2 * h), here.sigma_slope, rtol=1e-8, atol=1e-8)


@every_path
def test_time_of_is_the_inverse_of_the_ratio(path: Path) -> None:
    ratio = torch.tensor([0.0, 1e-4, 0.3, 1.0, 7.0, 100.0], dtype=torch.float64)
    torch.testing.assert_close(path.at(path.time_of(ratio)).ratio, ratio, rtol=1e-9, atol=1e-12)


def test_endless_noise_is_the_end_of_a_path() -> None:
    endless = torch.tensor(math.inf)
    assert [float(path.time_of(endless)) for path in PATHS[:2]] == [1, 1]


def test_preconditioning_is_the_table_of_karras() -> None:
    """Karras et al. 2022, table 1: D = c_skip x + c_out F, and the weighted loss asks F for (y - c_skip x)/c_out."""
    s, sigma = 0.5, torch.tensor([0.01, 0.3, 5.0], dtype=torch.float64)[:, None, None, None]
    picture, noise = a_pair()
    c_skip, c_out = s**2 / (sigma**2 + s**2), sigma * s / (sigma**2 + s**2).sqrt()
    x = picture + sigma * noise
    said = paths.target(Path("exploding"), "preconditioned", picture, noise, sigma, s)
    torch.testing.assert_close(said, (picture - c_skip * x) / c_out)
    torch.testing.assert_close(paths.picture_error(Path("exploding"), "preconditioned", sigma, s), c_out)


@every_path
@pytest.mark.parametrize("predicts", PREDICTIONS)
def test_an_error_of_what_is_said_is_so_much_of_the_picture(path: Path, predicts: paths.Prediction) -> None:
    picture, noise = a_pair()
    t = torch.full((3, 1, 1, 1), 0.4, dtype=torch.float64)
    x, said = path.mixed(picture, noise, t), paths.target(path, predicts, picture, noise, t, 0.5)
    wrong, _ = paths.completed(path, predicts, said + 1e-3, x, t, 0.5)
    error = 1e-3 * paths.picture_error(path, predicts, t, 0.5)
    torch.testing.assert_close((wrong - picture).abs(), error.expand_as(picture), rtol=1e-6, atol=1e-12)
