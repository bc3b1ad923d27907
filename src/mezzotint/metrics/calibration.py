"""How far a recognizer's probabilities can be believed: a temperature, when to say "don't know", what is strange."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy import optimize, special
from torch import Tensor

from mezzotint.metrics.interval import TAIL
from mezzotint.types import Labels

RANGE = (0.05, 20.0)
"""Temperatures that are looked at."""
THRESHOLDS, QUANTILES = 32, 200
"""Of the tables that are kept: probabilities to answer from, and steps of the energies."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What validation pictures told about a recognizer."""

    temperature: float
    pictures: int
    split: str
    tops: tuple[float, ...] = ()
    """Probabilities of the likeliest class, ascending, spread over the pictures (calibrated)."""
    kept: tuple[int, ...] = ()
    """Pictures whose likeliest class has at least that probability."""
    right: tuple[int, ...] = ()
    """Those of them that are named rightly."""
    energies: tuple[float, ...] = ()
    """Quantiles of `energy`, from the least to the greatest."""

    def threshold(self, precision: float) -> float | None:
        """The least probability from which on answers are right with at least this precision, or None.

        Each threshold is judged by the exact one-sided bound of the precision of what it keeps, at an error of 2.5 %
        shared among all of them (Bonferroni), so that with 97.5 % confidence what is promised holds for pictures like
        those of validation (the guarantee of Geifman & El-Yaniv 2017, theorem 3.2, without their bisection).
        """
        return next((top for top, bound in zip(self.tops, self._bounds(), strict=True) if bound >= precision), None)

    def best_precision(self) -> float:
        """What can be promised at most."""
        return max(self._bounds(), default=0.0)

    def _bounds(self) -> list[float]:
        tail = TAIL / max(1, len(self.tops))
        return [_least_share(right, kept, tail) for right, kept in zip(self.right, self.kept, strict=True)]

    def strangeness(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
        """The share of validation pictures that are less strange than each picture, in [0, 1], by `energy`."""
        places = np.interp(energy(logits).cpu().numpy(), self.energies, np.linspace(1, 0, len(self.energies)))
        return torch.from_numpy(places)


def fit(logits: Float[Tensor, "n k"], labels: Labels, split: str = "validation") -> Calibration:
    """The calibration by held-out pictures; `logits` are those of the temperature 1."""
    logits, labels = logits.detach().cpu().double(), labels.cpu()
    t = temperature(logits, labels)
    top, said = (logits / t).softmax(1).max(1)
    order = top.argsort()
    top, right = top[order], (said == labels)[order].long()
    at = np.unique(np.linspace(0, len(top) - 1, min(THRESHOLDS, len(top))).round().astype(int))
    at = np.unique(np.searchsorted(top.numpy(), top.numpy()[at], side="left"))  # ties are kept together
    good = right.flip(0).cumsum(0).flip(0)
    energies = np.quantile(energy(logits / t).numpy(), np.linspace(0, 1, QUANTILES + 1))
    return Calibration(
        temperature=t,
        pictures=len(labels),
        split=split,
        tops=tuple(float(top[i]) for i in at),
        kept=tuple(len(top) - int(i) for i in at),
        right=tuple(int(good[i]) for i in at),
        energies=tuple(map(float, energies)),
    )


def temperature(logits: Float[Tensor, "n k"], labels: Labels) -> float:
    """What logits are divided by for the greatest likelihood of held-out labels (Guo et al. 2017, section 4.2).

    The targets are those of Platt 1999: as if one more picture had been of a class drawn evenly. So the temperature
    stays finite where all answers are right.
    """
    z, rest = logits.detach().cpu().double(), 1 / (len(labels) + 1)

    def loss(log_t: float) -> float:
        log_p = (z * math.exp(-log_t)).log_softmax(1)
        own = log_p.gather(1, labels.cpu()[:, None]).mean()
        return -float((1 - rest) * own + rest * log_p.mean())

    found: Any = optimize.minimize_scalar(loss, bounds=tuple(map(math.log, RANGE)), method="bounded")
    return math.exp(float(found.x))


def energy(logits: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """Logsumexp of the logits: high for what looks like the training pictures (Liu et al. 2020, eq. 4, negated)."""
    return logits.double().logsumexp(1)


def _least_share(successes: int, n: int, tail: float) -> float:
    """The lower end of the exact interval of a share (Clopper & Pearson 1934), with `tail` below it."""
    return float(special.betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
