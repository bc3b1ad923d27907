"""Solvers on problems with exact answers."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mezzotint.ops import solvers
from mezzotint.ops.paths import Path

MEAN, SPREAD = 0.3, 0.6
"""Of the pictures: a normal distribution, whose flow is known in closed form."""
RUNGE_KUTTA = {"euler": 1, "heun": 2, "midpoint": 2, "rk4": 4}


def no_noise(step: int) -> Tensor:
    raise AssertionError("this solver is not random")


def normal_velocity(path: Path) -> Callable[[Tensor, float], Tensor]:
    """The exact velocity: pictures from N(MEAN, SPREAD²), each number for itself."""

    def velocity(x: Tensor, t: float) -> Tensor:
        m = path.at(torch.tensor(t, dtype=x.dtype))
        centered = (x - m.alpha * MEAN) / (m.alpha**2 * SPREAD**2 + m.sigma**2)
        return path.velocity(MEAN + m.alpha * SPREAD**2 * centered, m.sigma * centered, torch.tensor(t, dtype=x.dtype))

    return velocity


def carried(path: Path, x: Tensor, first: float, last: float) -> Tensor:
    """The exact answer: the number of standard deviations from the mean never changes."""
    a, b = (path.at(torch.tensor(t, dtype=x.dtype)) for t in (first, last))
    sizes = [(m.alpha**2 * SPREAD**2 + m.sigma**2).sqrt() for m in (a, b)]
    return b.alpha * MEAN + (x - a.alpha * MEAN) / sizes[0] * sizes[1]


def error(name: solvers.SolverName, path: Path, steps: int, first: float, last: float) -> float:
    x = torch.tensor([-1.3, 0.2, 2.0], dtype=torch.float64)
    found = solvers.solve(name, normal_velocity(path), path, x, solvers.even_times(steps, first, last), no_noise)
    return float((found - carried(path, x, first, last)).abs().max())


@pytest.mark.parametrize(("name", "order"), RUNGE_KUTTA.items())
def test_runge_kutta_has_its_order(name: solvers.SolverName, order: int) -> None:
    """dx/dt = cos(t)·x has x(0)·exp(sin t)."""

    def after(steps: int) -> float:
        found = solvers.solve(
            name,
            lambda x, t: math.cos(t) * x,
            Path("straight"),
            torch.ones(1, dtype=torch.float64),
            solvers.even_times(steps, 0.0, 2.0),
            no_noise,
        )
        return abs(float(found) - math.exp(math.sin(2.0)))

    assert after(32) / after(64) == pytest.approx(2**order, rel=0.15)


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_runge_kutta_is_exact_on_what_it_must_be(name: solvers.SolverName) -> None:
    """A method of order p integrates polynomials of degree p - 1; Simpson's rule, which rk4 is, those of degree 3."""
    degree = {1: 0, 2: 1, 4: 3}[RUNGE_KUTTA[name]]
    start, times = torch.zeros(1, dtype=torch.float64), [0.0, 0.3, 1.0]
    slope = lambda x, t: torch.full_like(x, (degree + 1) * t**degree)  # noqa: E731
    assert float(solvers.solve(name, slope, Path("straight"), start, times, no_noise)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("path", ["straight", "circle", "exploding"])
@pytest.mark.parametrize(("name", "order"), [*RUNGE_KUTTA.items(), ("dpm-solver", 2)])
def test_the_flow_to_normal_pictures_is_found_with_its_order(name: solvers.SolverName, order: int, path: str) -> None:
    way = Path(path)  # pyright: ignore[reportArgumentType]
    coarse, fine = (error(name, way, steps, 0.9, 0.2) for steps in (40, 80))
    assert coarse < 0.02
    assert coarse / fine > 0.8 * 2**order  # midpoint gains an order here, since this flow is linear in x


@pytest.mark.parametrize("name", [*RUNGE_KUTTA, "dpm-solver"])
@pytest.mark.parametrize("path", ["straight", "circle"])
def test_all_the_way_from_noise_to_pictures(name: solvers.SolverName, path: str) -> None:
    """At the ends there is no picture, or no noise: nothing may be divided by it."""
    coarse, fine = (error(name, Path(path), steps, 1.0, 0.0) for steps in (50, 200))  # pyright: ignore[reportArgumentType]
    assert fine < 0.5 * coarse < 0.05


def test_one_step_from_noise_is_the_mean_picture() -> None:
    """Where there is only noise, all that is known is the mean; euler goes there straight, whatever the noise."""
    x = torch.tensor([-1.0, 3.0], dtype=torch.float64)
    for name in ("euler", "dpm-solver", "ancestral"):
        found = solvers.solve(name, normal_velocity(Path("straight")), Path("straight"), x, [1.0, 0.0], no_noise)
        torch.testing.assert_close(found, torch.full_like(x, MEAN), rtol=0, atol=1e-12)


@pytest.mark.parametrize("path", ["straight", "circle", "exploding"])
def test_ancestral_steps_draw_from_the_distribution_of_pictures(path: str) -> None:
    way, first = Path(path), 20.0 if path == "exploding" else 1.0  # pyright: ignore[reportArgumentType]
    generator = torch.Generator().manual_seed(1)
    noise = lambda step: torch.randn(20_000, generator=generator, dtype=torch.float64)  # noqa: E731
    times = solvers.karras_times(400, way, 20.0) if path == "exploding" else solvers.even_times(200, first)
    found = solvers.solve("ancestral", normal_velocity(way), way, first * noise(0), times, noise)
    # Means of 20,000 have a standard error of 0.004, and a step has an error of its own.
    assert float(found.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(found.std()) == pytest.approx(SPREAD, rel=0.03)


def test_ancestral_steps_are_ddpms_posterior() -> None:
    """Ho et al. 2020, equations 6 and 7, written with their alphas and betas, for steps along the circle."""
    way = Path("circle")
    kept = {0.7: float(way.at(torch.tensor(0.7)).alpha) ** 2, 0.5: float(way.at(torch.tensor(0.5)).alpha) ** 2}
    beta = 1 - kept[0.7] / kept[0.5]
    x, z = torch.tensor([0.4, -1.1], dtype=torch.float64), torch.tensor([0.6, 2.0], dtype=torch.float64)
    velocity = normal_velocity(way)
    picture, _ = way.apart(x, velocity(x, 0.7), torch.tensor(0.7, dtype=torch.float64))
    mean = math.sqrt(kept[0.5]) * beta / (1 - kept[0.7]) * picture
    mean = mean + math.sqrt(1 - beta) * (1 - kept[0.5]) / (1 - kept[0.7]) * x
    variance = (1 - kept[0.5]) / (1 - kept[0.7]) * beta
    found = solvers.ancestral(velocity, way, x, [0.7, 0.5], lambda step: z)
    torch.testing.assert_close(found, mean + math.sqrt(variance) * z, rtol=1e-5, atol=1e-6)


def test_karras_times_are_their_equation() -> None:
    times = solvers.karras_times(18, Path("exploding"), 80.0)
    expected = [(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)]
    assert times == pytest.approx([*expected, 0.0])
    assert solvers.karras_times(1, Path("exploding"), 80.0) == pytest.approx([80.0, 0.0])
