"""Whether one model is better than another on the very same pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped
from scipy import special
from torch import Tensor

from mezzotint.errors import UserError
from mezzotint.metrics.interval import Score, around, mean


@dataclass(frozen=True)
class Difference:
    """How much higher the second model scores, and how often chance alone would show as large a difference."""

    score: Score
    """Second minus first, a mean over pictures."""
    p: float
    """Two-sided; 1 where the two answer alike."""
    test: str


def difference(first: Shaped[Tensor, " n"], second: Shaped[Tensor, " m"]) -> Difference:
    """Compare two models by their values on the same n pictures in the same order.

    Right or wrong (bool): McNemar's test in its exact form, a sign test on the pictures of which one model alone is
    right (McNemar 1947). Other values: Student's paired t test. Raises UserError where the numbers of pictures differ.
    """
    if len(first) != len(second):
        raise UserError(f"a paired test needs the same pictures, and here are {len(first)} and {len(second)}")
    gaps = second.cpu().double() - first.cpu().double()
    score = mean(gaps)
    if not first.dtype.is_floating_point:
        better, worse = int((gaps > 0).sum()), int((gaps < 0).sum())
        return Difference(score, _sign_test(better, worse), f"McNemar, exact: {better} against {worse} pictures")
    return Difference(score, _t_test(gaps), "paired t")


def crossed(values: Shaped[Tensor, "trainings n"]) -> Difference:
    """The mean of values (differences of pairs, as a rule) of several trainings, each judged on the same n pictures.

    Other trainings and other pictures would each give another mean. The two variances of the mean, over trainings and
    over pictures, are added, which counts what is neither's alone twice (so the interval is rather wide); as many
    degrees of freedom as there are trainings, less one. A single training has an infinite interval.
    """
    table = values.cpu().double()
    trainings, n = table.shape
    value = float(table.mean())
    parts = [_variance_of_mean(table.mean(1 - axis)) for axis in (0, 1)]
    error = math.sqrt(sum(parts)) if trainings > 1 else math.inf
    score = around(value, error, n, trainings - 1, f"Student's t, {trainings} trainings × {n} pictures")
    if error == 0:
        return Difference(score, 1.0 if value == 0 else 0.0, "t over trainings and pictures")
    p = 2 * float(special.stdtr(trainings - 1, -abs(value) / error)) if trainings > 1 else math.nan
    return Difference(score, p, "t over trainings and pictures")


def _variance_of_mean(values: Tensor) -> float:
    return float(values.var()) / len(values) if len(values) > 1 else 0.0


def _sign_test(better: int, worse: int) -> float:
    """Twice the smaller tail of a fair coin."""
    return min(1.0, 2 * float(special.bdtr(min(better, worse), better + worse, 0.5))) if better + worse else 1.0


def _t_test(gaps: Tensor) -> float:
    n, spread = len(gaps), float(gaps.std()) if len(gaps) > 1 else math.nan
    if not math.isfinite(spread):
        return math.nan
    if spread == 0:
        return 1.0 if float(gaps.mean()) == 0 else 0.0
    return 2 * float(special.stdtr(n - 1, -abs(float(gaps.mean())) / (spread / math.sqrt(n))))


def holm(p: Sequence[float]) -> list[float]:
    """The p values of several tests, raised so that one false find in all of them stays as rare (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    raised = [min(1.0, (len(p) - rank) * p[i]) for rank, i in enumerate(order)]
    steps = np.maximum.accumulate(raised) if raised else []
    found = dict(zip(order.tolist(), map(float, steps), strict=True))
    return [found[i] for i in range(len(p))]
