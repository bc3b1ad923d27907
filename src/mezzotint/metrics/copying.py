"""Are generated pictures copies of training pictures? Flags, their shares, and an exact test against held-out ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from scipy import special
from torch import Tensor

from mezzotint.metrics.interval import TAIL, Score, mean, proportion
from mezzotint.metrics.neighbors import Neighbors

ALARM = 1 / 500
"""Share of held-out pictures that the threshold may flag."""
CLOSEST = 30
"""Of generated and held-out pictures together, so many (but at most a tenth) would hold the copies."""
LEVEL = 1e-3
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

    share: Score
    """Of the generated pictures that are nearer to a training picture than all but one in 500 held-out ones."""
    floor: Score
    """The same of held-out pictures that did not set the threshold."""
    p: float
    """Of both tests together (twice the smaller one; Bonferroni)."""
    detectable: float
    """Smallest share of copies that would have been significant; infinite where none would."""


def find_copies(
    generated: Neighbors,
    held_out: Neighbors,
    calibration: Neighbors,
    comparison: Neighbors,
    sizes: tuple[int, int],
    level: float = LEVEL,
) -> Finding:
    """Two exact tests for near-copies of training pictures.

    `generated`, `calibration` and `comparison` are the training neighbors of generated and of held-out pictures;
    `held_out` are the held-out neighbors of the generated ones; `sizes` are the numbers of training and held-out
    pictures. The test of ranks asks whether generated pictures are too many among the 30 closest of all those
    pictures together; it sees few copies among many training pictures. The test of sides asks whether near-copies of
    real pictures are near-copies of training pictures more often than the numbers of both let expect; it needs few
    held-out pictures, and a generator that draws but some kinds of pictures does not deceive it. Several pictures near
    the same real picture count once in both. The threshold of the shares comes from the calibrating pictures.
    """
    limit = threshold(closeness(calibration))
    drawn, real = (closeness(n)[first_of_each(n.rows[:, 0])] for n in (generated, _both(calibration, comparison)))
    count = min(CLOSEST, (len(drawn) + len(real)) // 10)
    hits = among_closest(drawn, real, count)
    by_rank = fisher(hits, len(drawn), count - hits, len(real))
    by_side = sides(*copied_on_either_side(generated, held_out, limit), sizes)
    shares = (int((closeness(n) <= limit).sum()) for n in (generated, comparison))
    return Finding(
        *(proportion(hits, len(n.rows)) for hits, n in zip(shares, (generated, comparison), strict=True)),
        p=min(1.0, 2 * min(by_rank, by_side)),
        detectable=_detectable(len(drawn), len(real), count, sizes, level / 2) / max(1, len(drawn)),
    )


def _both(a: Neighbors, b: Neighbors) -> Neighbors:
    return Neighbors(torch.cat([a.distances, b.distances]), torch.cat([a.rows, b.rows]))


def among_closest(generated: Float[Tensor, " n"], real: Float[Tensor, " m"], count: int) -> int:
    """How many of the `count` closest pictures are generated; of equally close ones the real come first."""
    order = torch.cat([real, generated]).argsort(stable=True)[:count]
    return int((order >= len(real)).sum())


def _detectable(n: int, m: int, count: int, sizes: tuple[int, int], level: float) -> float:
    """Copies of different pictures that are significant when all else is as by chance; infinite where none are."""
    for copies in range(1, n + 1):
        hits = min(count, copies + round(max(0, count - copies) * n / (n + m)))
        if min(fisher(hits, n, count - hits, m), sides(copies, 0, sizes)) < level:
            return copies
    return math.inf


def copied_on_either_side(training: Neighbors, held_out: Neighbors, limit: float) -> tuple[int, int]:
    """How many training and how many held-out pictures have a generated picture as near as a copy.

    Nearness is to the nearest of all real pictures, by the scale of the training pictures around.
    """
    to_training, to_held_out = training.distances[:, 0], held_out.distances[:, 0]
    nearer = to_training < to_held_out
    copies = torch.minimum(to_training, to_held_out) <= limit * training.distances.mean(1)
    return len(training.rows[copies & nearer, 0].unique()), len(held_out.rows[copies & ~nearer, 0].unique())


def sides(training: int, held_out: int, sizes: tuple[int, int]) -> float:
    """Probability of at least so many of the copied pictures being training pictures, if it were by their numbers."""
    share = sizes[0] / sum(sizes)
    return float(special.bdtrc(training - 1, training + held_out, share)) if training else 1.0


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
