"""How many kinds of pictures a generator draws, where a recogniser can tell them (Metz et al. 2017, section 3.3.1)."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from mezzotint.metrics.interval import Score, around

RESAMPLES = 200


def modes(parts: Int[Tensor, "n k"], classes: int) -> Int[Tensor, " n"]:
    """One number for each combination of `k` classes, below classes**k."""
    return sum((parts[:, i] * classes**i for i in range(parts.shape[1])), parts.new_zeros(len(parts)))


def modes_found(drawn: Int[Tensor, " n"], count: int, seed: int = 0) -> Score:
    """How many of `count` modes occur among the drawn pictures."""
    return _resampled(drawn, count, lambda shares: float((shares > 0).sum()), seed)


def mode_divergence(drawn: Int[Tensor, " n"], count: int, seed: int = 0) -> Score:
    """KL(drawn ‖ even) in nats over `count` modes that are equally frequent in the data.

    That of n pictures is about (count - 1)/(2n) above the one of endlessly many: compare it with that of real ones.
    """
    return _resampled(drawn, count, _from_even, seed)


def _from_even(shares: NDArray[np.float64]) -> float:
    there = shares[shares > 0]
    return float((there * np.log(there * len(shares))).sum())


def _resampled(drawn: Tensor, count: int, value: Callable[[NDArray[np.float64]], float], seed: int) -> Score:
    n = len(drawn)
    shares = np.bincount(drawn.cpu().numpy(), minlength=count) / n
    draws = np.random.default_rng(seed).multinomial(n, shares, RESAMPLES) / n
    error = float(np.std([value(row) for row in draws], ddof=1))
    return around(value(shares), error, n, n - 1, f"bootstrap's deviation, {RESAMPLES} resamples")
