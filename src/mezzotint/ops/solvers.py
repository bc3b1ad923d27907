"""Solvers of dx/dt = velocity(x, t) along given times, in one signature.

A solver is a pure function of (velocity, path, x, times, noise): `velocity(x, t)` takes a number t; `times` are where
it stops, the first one that of `x`; `noise(i)` is the fresh noise of step i. Only those that use the form of the path
look at it; only the ancestral one is random.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mezzotint.ops.paths import Path

Velocity = Callable[[Tensor, float], Tensor]
Noise = Callable[[int], Tensor]
SolverName = Literal["euler", "heun", "midpoint", "rk4", "dpm-solver", "ancestral"]


class Tableau(NamedTuple):
    """An explicit Runge-Kutta method (Hairer, Nørsett & Wanner 1993, section II.1)."""

    nodes: tuple[float, ...]
    rows: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]


EULER = Tableau((0.0,), ((),), (1.0,))
HEUN = Tableau((0.0, 1.0), ((), (1.0,)), (0.5, 0.5))
MIDPOINT = Tableau((0.0, 0.5), ((), (0.5,)), (0.0, 1.0))
RK4 = Tableau((0.0, 0.5, 0.5, 1.0), ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6))


def runge_kutta(tableau: Tableau, velocity: Velocity, x: Tensor, times: Sequence[float]) -> Tensor:
    """`x` moved from the first of `times` to the last, a step between each two; forward or backward."""
    for t, following in pairwise(times):
        h, slopes = following - t, list[Tensor]()
        for node, row in zip(tableau.nodes, tableau.rows, strict=True):
            slopes.append(velocity(_moved(x, h, row, slopes), t + node * h))
        x = _moved(x, h, tableau.weights, slopes)
    return x


def _moved(x: Tensor, h: float, weights: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            x = torch.add(x, slope, alpha=h * weight)
    return x


def dpm_solver(velocity: Velocity, path: Path, x: Tensor, times: Sequence[float]) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): second order for one evaluation a step.

    First order where no second is to be had: at the beginning, and where a step begins without picture or ends without
    noise. With r = sigma/alpha the half-logarithmic time of the paper is -log r.
    """
    before: tuple[Tensor, float] | None = None
    for t, following in pairwise(times):
        (alpha, sigma), (next_alpha, next_sigma) = _mixture(path, t), _mixture(path, following)
        picture, _ = path.apart(x, velocity(x, t), torch.tensor(t, dtype=x.dtype, device=x.device))
        length = math.inf if not alpha or not next_sigma else math.log(next_alpha * sigma / (alpha * next_sigma))
        aim = picture
        if before is not None and math.isfinite(length) and math.isfinite(before[1]):
            aim = torch.lerp(before[0], picture, 1 + 0.5 * length / before[1])
        keep = next_sigma / sigma
        x = keep * x + (next_alpha - keep * alpha) * aim
        before = picture, length
    return x


def ancestral(velocity: Velocity, path: Path, x: Tensor, times: Sequence[float], noise: Noise) -> Tensor:
    """Steps back along the chain that added the noise: each draws from the posterior (Ho et al. 2020, equations 6, 7).

    For any path: the posterior of x/alpha given the predicted picture, whose variance is r'²·(r² - r'²)/r².
    """
    for i, (t, following) in enumerate(pairwise(times)):
        (alpha, sigma), (next_alpha, next_sigma) = _mixture(path, t), _mixture(path, following)
        picture, old = path.apart(x, velocity(x, t), torch.tensor(t, dtype=x.dtype, device=x.device))
        share = next_sigma * alpha / (next_alpha * sigma) if sigma else 0.0  # of the next noise, how much is old noise
        x = next_alpha * picture + next_sigma * share * old
        if next_sigma:
            x = x + next_sigma * math.sqrt(max(0.0, 1 - share**2)) * noise(i)
    return x


def _mixture(path: Path, t: float) -> tuple[float, float]:
    m = path.at(torch.tensor(t, dtype=torch.float64))
    return float(m.alpha), float(m.sigma)


def solve(name: SolverName, velocity: Velocity, path: Path, x: Tensor, times: Sequence[float], noise: Noise) -> Tensor:
    """`x` moved along `times` by the solver called `name`."""
    match name:
        case "dpm-solver":
            return dpm_solver(velocity, path, x, times)
        case "ancestral":
            return ancestral(velocity, path, x, times, noise)
        case "euler" | "heun" | "midpoint" | "rk4":
            tableau = {"euler": EULER, "heun": HEUN, "midpoint": MIDPOINT, "rk4": RK4}[name]
            return runge_kutta(tableau, velocity, x, times)


def even_times(steps: int, first: float, last: float = 0.0) -> list[float]:
    """`steps` equal steps from `first` to `last`."""
    return [first + (last - first) * i / steps for i in range(steps + 1)]


def karras_times(steps: int, path: Path, most: float, least: float = 0.002, rho: float = 7.0) -> list[float]:
    """Steps whose ratios of noise to picture, to the power 1/rho, lie evenly, and a last one to no noise.

    Karras et al. 2022, equation 5.
    """
    ends = most ** (1 / rho), least ** (1 / rho)
    ratios = [(ends[0] + (ends[1] - ends[0]) * i / max(1, steps - 1)) ** rho for i in range(steps)]
    return [*path.time_of(torch.tensor(ratios, dtype=torch.float64)).tolist(), 0.0]
