"""Pictures that fit what is known, where the answer is known: normal distributions and dense algebra."""

import math

import pytest
import torch
from torch import Tensor

from mezzotint.ops import editing, solvers
from mezzotint.ops.paths import Path

SPREAD, TIE = 0.5, 0.8
"""Standard deviation of two numbers, and their correlation."""
COVARIANCE = SPREAD**2 * torch.tensor([[1.0, TIE], [TIE, 1.0]], dtype=torch.float64)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def velocity_of(path: Path) -> solvers.Velocity:
    """Exact, of pictures of two tied normal numbers, n 1 1 2."""

    def velocity(x: Tensor, t: float) -> Tensor:
        m = path.at(torch.tensor(t, dtype=torch.float64))
        mixed = torch.linalg.inv(m.alpha**2 * COVARIANCE + m.sigma**2 * torch.eye(2, dtype=torch.float64))
        picture, old = x @ (m.alpha * mixed @ COVARIANCE), x @ (m.sigma * mixed)
        return path.velocity(picture, old, torch.tensor(t, dtype=torch.float64))

    return velocity


@pytest.mark.parametrize("certainty", [0.3, 50.0])
def test_the_likeliest_picture_is_that_of_dense_algebra(certainty: float) -> None:
    matrix = noise(3, 6)
    expected, seen = noise(4, 1, 2, 3, seed=1), noise(4, 3, seed=2)
    found = editing.Likeliest(lambda x: x.flatten(1) @ matrix.T, expected)(expected, seen, certainty)
    inside = torch.eye(6, dtype=torch.float64) + certainty * matrix.T @ matrix
    right = expected.flatten(1) + certainty * seen @ matrix
    torch.testing.assert_close(found.flatten(1), torch.linalg.solve(inside, right.T).T, rtol=1e-6, atol=1e-8)


def test_where_nothing_is_known_nothing_changes() -> None:
    expected = noise(2, 1, 3, 3)
    found = editing.Likeliest(lambda x: 0 * x, expected)(expected, torch.zeros_like(expected), 1e4)
    torch.testing.assert_close(found, expected)


def test_it_works_where_nothing_is_recorded_for_gradients() -> None:
    mask = torch.tensor([1.0, 0.0], dtype=torch.float64)
    with torch.inference_mode():
        x = noise(3, 1, 1, 2)
        found = editing.Likeliest(lambda z: z * mask, x)(x, x * mask + mask, 1e8)
    torch.testing.assert_close(found, x + mask, rtol=0, atol=1e-6)


@pytest.mark.parametrize("path", ["straight", "circle", "exploding"])
def test_what_is_drawn_is_what_belongs_to_what_is_known(path: str) -> None:
    """One of two tied numbers is known to be 0.6; of the other the conditional distribution is known too."""
    way, count = Path(path), 2_000  # pyright: ignore[reportArgumentType]
    first = 20.0 if path == "exploding" else 1.0
    times = solvers.karras_times(40, way, 20.0) if path == "exploding" else solvers.even_times(40, first)
    mask = torch.tensor([1.0, 0.0], dtype=torch.float64)
    x = editing.restored(
        velocity_of(way),
        way,
        first * noise(count, 1, 1, 2),
        0.6 * mask.expand(count, 1, 1, 2),
        lambda z: z * mask,
        times,
        lambda i: noise(count, 1, 1, 2, seed=i + 1),
        spread=SPREAD,
        returns=10,
    )
    assert float((x[..., 0] - 0.6).abs().max()) < 0.05  # five times the doubt
    assert float(x[..., 1].mean()) == pytest.approx(TIE * 0.6, rel=0.1)
    assert float(x[..., 1].std()) == pytest.approx(SPREAD * math.sqrt(1 - TIE**2), rel=0.2)


def test_returning_helps() -> None:
    """Without it the known number comes too late for the other to follow."""
    way, count = Path("straight"), 4_000
    mask = torch.tensor([1.0, 0.0], dtype=torch.float64)
    means = [
        editing.restored(
            velocity_of(way),
            way,
            noise(count, 1, 1, 2),
            0.6 * mask.expand(count, 1, 1, 2),
            lambda z: z * mask,
            solvers.even_times(10, 1.0),
            lambda i: noise(count, 1, 1, 2, seed=i + 1),
            spread=SPREAD,
            returns=returns,
        )[..., 1].mean()
        for returns in (1, 5)
    ]
    assert abs(means[1] - TIE * 0.6) < abs(means[0] - TIE * 0.6)


def test_noises_between_two_have_their_size() -> None:
    a, b = noise(3, 1, 20, 20), noise(3, 1, 20, 20, seed=1)
    torch.testing.assert_close(editing.between(a, b, 0.0), a)
    torch.testing.assert_close(editing.between(a, b, 1.0), b)
    half = editing.between(a, b, 0.5)
    assert float(half.std()) == pytest.approx(1, rel=0.05)
    torch.testing.assert_close(editing.between(a, a, 0.3), a, rtol=1e-6, atol=1e-6)


def test_the_middle_of_a_right_angle() -> None:
    a, b = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2), torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    torch.testing.assert_close(editing.between(a, b, 0.5), torch.full((1, 1, 1, 2), math.sqrt(0.5)))
