"""How far a recognizer's probabilities can be believed: a temperature, when to say "don't know", what is strange."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy import optimize, special
from torch import Tensor

from mezzotint.metrics.interval import TAIL
from mezzotint.types import Labels

RANGE = (0.05, 20.0)
"""Temperatures that are looked at."""
QUANTILES = 200
"""Steps of the tables that are kept."""


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

        Each threshold is judged by the exact one-sided bound of the precision of what it keeps, with the error of
        2.5 % shared among the thresholds that a bisection may look at (Geifman & El-Yaniv 2017, algorithm 1): with
        97.5 % confidence what is promised holds for pictures like those of validation.
        """
        if not self.tops:
            return None
        tail = TAIL / max(1, math.ceil(math.log2(max(2, len(self.tops)))))
        low, high, found = 0, len(self.tops) - 1, None
        while low <= high:
            middle = (low + high) // 2
            if _least_share(self.right[middle], self.kept[middle], tail) >= precision:
                found, high = middle, middle - 1
            else:
                low = middle + 1
        return None if found is None else self.tops[found]

    def best_precision(self) -> float:
        """About what can be promised at most: the best bound of all thresholds."""
        tail = TAIL / max(1, math.ceil(math.log2(max(2, len(self.tops)))))
        return max((_least_share(r, k, tail) for r, k in zip(self.right, self.kept, strict=True)), default=0.0)

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
    at = np.unique(np.linspace(0, len(top) - 1, min(QUANTILES, len(top))).round().astype(int))
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

    bounds = tuple(map(math.log, RANGE))
    return math.exp(float(optimize.minimize_scalar(loss, bounds=bounds, method="bounded").x))


def energy(logits: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """Logsumexp of the logits: high for what looks like the training pictures (Liu et al. 2020, eq. 4, negated)."""
    return logits.double().logsumexp(1)


def _least_share(successes: int, n: int, tail: float) -> float:
    """The lower end of the exact interval of a share (Clopper & Pearson 1934), with `tail` below it."""
    return float(special.betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
