"""Are generated pictures copies of training pictures? Flags, their shares, and an exact test against held-out ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from scipy import special
from torch import Tensor

from mezzotint.metrics.interval import TAIL, Score, mean, proportion
from mezzotint.metrics.neighbors import Neighbors

ALARM = 1 / 500
"""Share of held-out pictures that the threshold may flag."""
LEVEL = 5e-4
"""Probability of finding copies in one space where there are none; an audit looks into two."""
LARGE = 0.1
"""A share of copies that an audit must be able to see before it says that there is no sign of copying."""

Word = Literal["copies", "no sign of copying", "cannot tell"]


def closeness(neighbors: Neighbors) -> Float[Tensor, " q"]:
    """Distance to the nearest reference by the mean distance to the (usually 50) nearest ones, in [0, 1].

    A copy is near 0; a picture in a crowded place is not, since all its neighbors are near (Carlini et al. 2023,
    "Extracting training data from diffusion models", section 4.2). A distance of 0 gives 0.
    """
    first = neighbors.distances[:, 0]
    return torch.where(first > 0, first / neighbors.distances.mean(1), 0.0)


def threshold(calibration: Float[Tensor, " n"], alarm: float = ALARM) -> float:
    """The value at or below which one in 500 pictures like the calibrating ones lies (the lowest, where they are few).

    It flags another such picture with a probability of at most max(`alarm`, 1 / (n + 1)), whatever their distribution
    (Vovk et al. 2005), where the values differ.
    """
    rank = max(1, math.floor(alarm * (len(calibration) + 1)))
    return float(calibration.sort().values[rank - 1])


@dataclass(frozen=True)
class Finding:
    """What one space (pixels, features) says of the generated pictures."""

    flagged: Bool[Tensor, " q"]
    share: Score
    """Of the generated pictures that are nearer to a training picture than all but one in 500 held-out ones."""
    floor: Score
    """The same of held-out pictures that did not set the threshold."""
    p: float
    """Of Fisher's exact one-sided test of the two shares, a training picture counted once."""
    detectable: float
    """Smallest share of the generated pictures that would have made it significant; infinite where none would."""


def find_copies(
    generated: Float[Tensor, " q"],
    copied: Int[Tensor, " q"],
    calibration: Float[Tensor, " n"],
    comparison: Float[Tensor, " m"],
    compared: Int[Tensor, " m"],
    level: float = LEVEL,
) -> Finding:
    """Compare the closeness of generated pictures with that of held-out ones.

    `copied` and `compared` are the nearest training pictures. In the test only the first picture near each training
    picture counts, so that a generator that draws one picture a thousand times has not copied a thousand times.
    """
    limit = threshold(calibration)
    flagged, alarms = generated <= limit, comparison <= limit
    once, others = flagged[first_of_each(copied)], alarms[first_of_each(compared)]
    by_chance = int(others.sum()), len(others)
    needed = next((k for k in range(1, len(once) + 1) if fisher(k, len(once), *by_chance) < level), math.inf)
    return Finding(
        flagged,
        proportion(int(flagged.sum()), len(flagged)),
        proportion(int(alarms.sum()), len(alarms)),
        fisher(int(once.sum()), len(once), *by_chance),
        needed / max(len(once), 1),
    )


def verdict(findings: Sequence[Finding], level: float = LEVEL) -> Word:
    """One word for all spaces: a copier in any of them is one."""
    if any(f.p < level for f in findings):
        return "copies"
    return "no sign of copying" if any(f.detectable <= LARGE for f in findings) else "cannot tell"


def first_of_each(rows: Int[Tensor, " n"]) -> Int[Tensor, " m"]:
    """Where each different value stands for the first time, in order."""
    _, inverse = rows.unique(return_inverse=True)
    places = torch.full((int(inverse.max()) + 1 if len(rows) else 0,), len(rows))
    return places.scatter_reduce(0, inverse, torch.arange(len(rows)), "amin").sort().values


def fisher(hits: int, n: int, others: int, m: int) -> float:
    """Probability of at least `hits` of n, given hits + others of n + m, if both have the same share (Fisher 1935)."""
    total = hits + others

    def log_choose(a: int, b: int) -> float:
        return float(special.gammaln(a + 1) - special.gammaln(b + 1) - special.gammaln(a - b + 1))

    whole = log_choose(n + m, total)
    tail = [log_choose(n, k) + log_choose(m, total - k) - whole for k in range(hits, min(n, total) + 1)]
    return min(1.0, math.fsum(map(math.exp, tail)))


def share_nearer(to_training: Float[Tensor, " q"], to_held_out: Float[Tensor, " q"], rows: Int[Tensor, " q"]) -> Score:
    """Share of pictures nearer to training than to held-out pictures, of equal numbers: one half without copying.

    `rows` names the nearer of the two: pictures with the same neighbor tell the same thing twice, so the interval is
    that of a mean over neighbors (the linearized ratio of Cochran 1977, section 2.11).
    """
    nearer = torch.where(to_training == to_held_out, 0.5, (to_training < to_held_out).double())
    _, inverse, counts = rows.unique(return_inverse=True, return_counts=True)
    value = float(nearer.mean())
    sums = torch.zeros(len(counts), dtype=torch.float64).scatter_add_(0, inverse, nearer - value)
    if value in (0, 1):  # a spread of nothing would be an interval of nothing
        exact = proportion(round(value) * len(counts), len(counts))
        return Score(value, exact.low, exact.high, len(rows), "exact binomial over neighbors")
    score = mean(sums / counts.double().mean())
    low, high = max(0.0, value + score.low), min(1.0, value + score.high)
    return Score(value, low, high, len(rows), "Student's t over neighbors")


def median(values: Float[Tensor, " n"]) -> Score:
    """The median with its exact interval from order statistics (Thompson 1936); unbounded for fewer than 6."""
    ordered, n = values.double().sort().values, len(values)
    rank = _lower_rank(n)
    low, high = (float(ordered[rank]), float(ordered[n - 1 - rank])) if rank >= 0 else (-math.inf, math.inf)
    return Score(float(ordered.quantile(0.5)), low, high, n, "exact, order statistics")


def _lower_rank(n: int) -> int:
    """The largest place r for which at most r of n pictures lie below the median with probability 2.5 % or less."""
    below = [r for r in range(n // 2) if special.bdtr(r, n, 0.5) <= TAIL]
    return len(below) - 1
