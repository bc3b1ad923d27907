"""Randomness that is a function of its keys: nothing here has hidden state."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def keyed_uniform(seed: int, positions: np.ndarray, count: int) -> np.ndarray:
    """`count` numbers in [0, 1) for each position, n × count float64, from (seed, position, column) alone.

    The hash is the finalizer of splitmix64 (Steele, Lea & Flood 2014), applied once per key.
    """
    with np.errstate(over="ignore"):
        rows = _mix(_mix(np.asarray([seed % 2**64], np.uint64)) ^ positions.astype(np.uint64))
        keys = rows[:, None] + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64)[None]
        return (_mix(keys) >> np.uint64(11)) * 2.0**-53


def _mix(x: np.ndarray) -> np.ndarray:
    x = x + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def normal_from_seeds(seeds: Sequence[int], *shape: int) -> Tensor:
    """Standard normal noise, one row of `shape` per seed: a seed gives the same row in any company."""
    rows = [torch.randn(*shape, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
    return torch.stack(rows) if rows else torch.zeros(0, *shape)


def truncated(noise: Tensor, bound: float) -> Tensor:
    """Standard normal `noise` brought into [-bound, bound] by its quantiles: the truncated normal distribution.

    A function of each number alone, so that it changes no seed's company (others draw again what falls outside).
    """
    outside = torch.special.ndtr(torch.tensor(-bound, dtype=torch.float64))
    quantile = outside + torch.special.ndtr(noise.double()) * (1 - 2 * outside)
    return torch.special.ndtri(quantile).clamp(-bound, bound).to(noise.dtype)
