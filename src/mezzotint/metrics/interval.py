"""How far a score can be trusted: 95 % intervals, and how each was made."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

TAIL = 0.025
"""Probability left out on either side of a 95 % interval."""


@dataclass(frozen=True)
class Score:
    """A number, its 95 % interval, the pictures it rests on, and how the interval was made."""

    value: float
    low: float
    high: float
    n: int
    method: str


def proportion(successes: int, n: int) -> Score:
    """A share of n pictures with its exact interval (Clopper and Pearson 1934).

    Of no pictures the share is 0 by convention (as in scikit-learn) and the interval all of [0, 1].
    """
    low = special.betaincinv(successes, n - successes + 1, TAIL) if successes > 0 else 0.0
    high = special.betaincinv(successes + 1, n - successes, 1 - TAIL) if successes < n else 1.0
    return Score(successes / n if n else 0.0, float(low), float(high), n, "exact binomial")


def mean(values: Float[Tensor, " n"]) -> Score:
    """The mean over pictures with Student's t interval.

    A single picture has an infinite interval; an infinite value (the PSNR of equal pictures) makes all three infinite.
    """
    array = values.detach().cpu().double().numpy()
    spread = float(array.std(ddof=1)) if len(array) > 1 and np.isfinite(array).all() else math.inf
    return around(float(array.mean()), spread / math.sqrt(len(array)), len(array), len(array) - 1, "Student's t")


def around(value: float, error: float, n: int, freedom: int, method: str) -> Score:
    """The interval of an estimate with the given standard error and degrees of freedom."""
    if not math.isfinite(value):
        return Score(value, value, value, n, method)
    reach = float(special.stdtrit(freedom, 1 - TAIL)) * error if freedom > 0 else math.inf
    return Score(value, value - reach, value + reach, n, method)


def mean_of(scores: Sequence[Score]) -> Score:
    """The mean of scores of separate pictures: the squares of the intervals' reaches add up."""
    k = len(scores)
    value = sum(s.value for s in scores) / k
    below = math.hypot(*(s.value - s.low for s in scores)) / k
    above = math.hypot(*(s.high - s.value for s in scores)) / k
    return Score(value, value - below, value + above, sum(s.n for s in scores), f"mean over {k}, {scores[0].method}")


def from_draws(
    value: float, draws: NDArray[np.float64], n: int, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Score:
    """The basic bootstrap interval (Davison and Hinkley 1997, eq. 5.6), stretched to hold the value itself.

    The quantiles are reflected at the value, because resampling repeats the bias of the statistic: what the draws
    lie too high, the value lies too high already.
    """
    below, above = np.quantile(draws, [TAIL, 1 - TAIL])
    low = max(min(2 * value - float(above), value), bounds[0])
    high = min(max(2 * value - float(below), value), bounds[1])
    return Score(value, low, high, n, f"basic bootstrap, {len(draws)} draws")


def bootstrap(
    statistic: Callable[..., float], *arrays: NDArray[np.generic], resamples: int = 1000, seed: int = 0
) -> Score:
    """The basic bootstrap interval of any smooth statistic of arrays whose first axis counts the same pictures."""
    generator, n = np.random.default_rng(seed), len(arrays[0])
    chosen = (generator.integers(0, n, n) for _ in range(resamples))
    draws = np.array([statistic(*(array[rows] for array in arrays)) for rows in chosen])
    return from_draws(float(statistic(*arrays)), draws, n)
