"""Two codecs' rate-distortion curves as one number: bits saved at equal quality (Bjøntegaard 2001, VCEG-M33)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Curve = Sequence[tuple[float, float]]
"""Points of (rate, quality): bits a pixel above zero, and decibels or the like, of which more is better."""
FEWEST = 4
"""Points of a curve: a cubic takes four."""


def bd_rate(
    anchor: Curve,
    curve: Curve,
    fit: Literal["cubic", "piecewise"] = "piecewise",
    within: tuple[float, float] | None = None,
) -> float:
    """Percent of the anchor's bits that a curve takes more (or less, below zero) at equal quality, in the mean.

    The mean of the logarithms' difference over the qualities that both reach, or over `within` as far as both do.
    `cubic` is one polynomial through (or nearest to) all points, as in the text; `piecewise` are cubics from point to
    point that rise where the points do (Fritsch & Butland 1984), as codecs are compared since. Not a number where the
    curves share no quality. Raises ValueError for fewer than four points, or rates that are not above zero.
    """
    ours, theirs = _sorted(curve), _sorted(anchor)
    low, high = max(ours[1][0], theirs[1][0]), min(ours[1][-1], theirs[1][-1])
    if within is not None:
        low, high = max(low, within[0]), min(high, within[1])
    if not low < high:
        return float("nan")
    difference = (_integral(ours, low, high, fit) - _integral(theirs, low, high, fit)) / (high - low)
    return float(100 * np.expm1(difference))


def rate_at(curve: Curve, quality: float) -> float:
    """The rate at which a curve reaches a quality, by piecewise cubics; not a number where it does not."""
    log_rate, qualities = _sorted(curve)
    if not qualities[0] <= quality <= qualities[-1]:
        return float("nan")
    return float(np.exp(PchipInterpolator(qualities, log_rate)(quality)))


Points = tuple[NDArray[np.float64], NDArray[np.float64]]


def _sorted(curve: Curve) -> Points:
    """Logarithms of rates, and qualities, rising; of points of one quality the cheapest."""
    cheapest: dict[float, float] = {}
    for rate, quality in curve:
        if not rate > 0:
            raise ValueError(f"a rate of {rate} has no logarithm")
        cheapest[quality] = min(rate, cheapest.get(quality, rate))
    if len(cheapest) < FEWEST:
        raise ValueError(f"a curve of {len(cheapest)} points is none: it takes {FEWEST}")
    qualities = np.array(sorted(cheapest))
    return np.log([cheapest[q] for q in qualities.tolist()]), qualities


def _integral(points: Points, low: float, high: float, fit: str) -> float:
    log_rate, qualities = points
    if fit == "piecewise":
        return float(PchipInterpolator(qualities, log_rate).integrate(low, high))
    whole = np.polynomial.Polynomial.fit(qualities, log_rate, 3).integ()
    return float(whole(high) - whole(low))
