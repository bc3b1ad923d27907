"""How well pictures are recognized: additive counts, and the scores that follow from them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mezzotint.errors import UserError
from mezzotint.metrics.interval import TAIL, Score, around, from_draws, proportion
from mezzotint.types import Labels

Numbers = NDArray[np.float64] | NDArray[np.int64]

BINS = 15
"""Equal-width bins of the calibration error (Guo et al. 2017, section 2)."""


class Classification:
    """Counts of a classifier's hits and errors; the counts of batches and of processes add up."""

    def __init__(self, classes: Sequence[str]) -> None:
        """Start from nothing, for the classes in the order of the logits."""
        self.classes = tuple(classes)
        k = len(self.classes)
        self.confusion = torch.zeros(k, k, dtype=torch.int64)
        """Pictures by (true class, predicted class)."""
        self.certainty = torch.zeros(2, BINS, 2, dtype=torch.float64)
        """Pictures, and the sum of their top probabilities, by (bin of the top probability, wrong or right)."""
        self.surprise = torch.zeros(2, dtype=torch.float64)
        """Sums of the negative log-likelihood in nats, and of its square."""

    def update(self, logits: Float[Tensor, "n k"], labels: Labels) -> None:
        """Count one batch; labels are class indices in [0, k)."""
        logits, labels = logits.detach().cpu().double(), labels.detach().cpu()
        self._refuse(logits, labels)
        k = len(self.classes)
        log_probability = logits.log_softmax(1)
        top, predicted = log_probability.max(1)
        self.confusion += torch.bincount(labels * k + predicted, minlength=k * k).view(k, k)
        self.certainty += _certainty(top.exp(), predicted == labels)
        surprise = -log_probability.gather(1, labels[:, None])
        self.surprise += torch.stack([surprise.sum(), surprise.square().sum()])

    def _refuse(self, logits: Tensor, labels: Tensor) -> None:
        k = len(self.classes)
        if logits.shape != (len(labels), k):
            shape = "×".join(map(str, logits.shape))
            raise UserError(f"{len(labels)} pictures of {k} classes were given scores of shape {shape}: one row each.")
        if not logits.isfinite().all():
            raise UserError("The classifier's scores are not finite: its training diverged, use an earlier checkpoint.")
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < k:
            raise UserError(f"A label lies outside the {k} classes of the model: measure on data with its classes.")

    def __add__(self, other: "Classification") -> "Classification":
        """The counts of both."""
        both = Classification(self.classes)
        both.confusion = self.confusion + other.confusion
        both.certainty = self.certainty + other.certainty
        both.surprise = self.surprise + other.surprise
        return both

    def compute(self, resamples: int = 1000, seed: int = 0) -> dict[str, Score | NDArray[np.int64]]:
        """All scores by name; a class's own are named like `recall[coat]`.

        `precision`, `recall` and `f1` are means over the classes that occur in truth or prediction (macro, as
        scikit-learn); a share of nothing counts as 0. `confusion` (rows = truth) and `support` are arrays.
        """
        n = int(self.confusion.sum())
        if n == 0:
            raise UserError("There are no labeled pictures to measure on: choose a split that has some.")
        generator = np.random.default_rng(seed)
        confusion = self.confusion.numpy()
        return {
            "accuracy": proportion(int(np.trace(confusion)), n),
            **_macro(confusion, resamples, generator),
            "calibration_error": _calibration_error(self.certainty.numpy(), resamples, generator),
            "negative_log_likelihood": _mean_of_sums(float(self.surprise[0]), float(self.surprise[1]), n),
            **_per_class(confusion, self.classes),
            "support": confusion.sum(1),
            "confusion": confusion.copy(),
        }


def _certainty(top: Tensor, right: Tensor) -> Tensor:
    """Count and sum top probabilities by bin (low, high] and by wrong or right: 2 × BINS × 2."""
    cell = ((top * BINS).ceil().long() - 1).clamp(0, BINS - 1) * 2 + right
    sums = [torch.bincount(cell, weight, BINS * 2) for weight in (torch.ones_like(top), top)]
    return torch.stack(sums).view(2, BINS, 2)


def _mean_of_sums(total: float, squares: float, n: int) -> Score:
    """The t interval of a mean of which only the sums were kept."""
    variance = max(squares - total * total / n, 0.0) / max(n - 1, 1)
    return around(total / n, (variance / n) ** 0.5, n, n - 1, "Student's t")


def _share(part: Numbers, whole: Numbers) -> NDArray[np.float64]:
    return part / np.maximum(whole, 1)


def _averages(rows: NDArray[np.int64], columns: NDArray[np.int64], counts: NDArray[np.int64], k: int) -> list[float]:
    """Macro precision, recall and F1 of a confusion matrix given by its non-zero cells."""
    support, predicted = np.bincount(rows, counts, k), np.bincount(columns, counts, k)
    hits = np.bincount(rows, counts * (rows == columns), k)
    shares = _share(hits, predicted), _share(hits, support), _share(2 * hits, support + predicted)
    occurring = len(np.union1d(rows, columns))
    return [float(share.sum()) / occurring for share in shares]


def _macro(confusion: NDArray[np.int64], resamples: int, generator: np.random.Generator) -> dict[str, Score]:
    rows, columns = np.nonzero(confusion)
    counts, k = confusion[rows, columns], len(confusion)
    n, hits = int(counts.sum()), int(np.trace(confusion))
    draws = generator.multinomial(n, counts / n, resamples) if 0 < hits < n else counts[None]
    spread = np.array([_averages(rows, columns, draw, k) for draw in draws])
    values = _averages(rows, columns, counts, k)
    scores = [from_draws(value, draw, n, (0.0, 1.0)) for value, draw in zip(values, spread.T, strict=True)]
    if hits in (0, n):
        # Resampling flawless (or hopeless) answers shows no spread at all: the exact interval of the accuracy does.
        exact = proportion(hits, n)
        scores = [Score(value, exact.low, exact.high, n, "exact binomial, as accuracy") for value in values]
    return dict(zip(("precision", "recall", "f1"), scores, strict=True))


def _calibration_error(certainty: NDArray[np.float64], resamples: int, generator: np.random.Generator) -> Score:
    """Expected calibration error; resampled by cell, at the cell's mean top probability.

    Within a bin 1/15 wide the probabilities vary so little beside right and wrong that their mean stands for them.
    """
    counts, sums = certainty.reshape(2, -1)
    n = int(counts.sum())
    confidence = _share(sums, counts)

    def gaps(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        shares = (drawn / n).reshape(-1, BINS, 2)
        return (shares * confidence.reshape(BINS, 2)).sum(2) - shares[:, :, 1]

    found, draws = gaps(counts), gaps(generator.multinomial(n, counts / n, resamples).astype(np.float64))
    score = from_draws(float(np.abs(found).sum()), np.abs(draws).sum(1), n, (0.0, 1.0))
    # The error of a calibrated model is all noise, and the bootstrap breaks down at zero: by the triangle inequality
    # |true| >= |found| - |noise|, which holds there too.
    noise = float(np.quantile(np.abs(draws - found).sum(1), 1 - TAIL))
    return replace(score, low=max(min(score.low, score.value - noise), 0.0), method=f"{score.method}, low end widened")


def _per_class(confusion: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Score]:
    scores: dict[str, Score] = {}
    columns = zip(classes, np.diagonal(confusion), confusion.sum(0), confusion.sum(1), strict=True)
    for name, hits, predicted, support in columns:
        scores[f"precision[{name}]"] = proportion(int(hits), int(predicted))
        scores[f"recall[{name}]"] = proportion(int(hits), int(support))
        scores[f"f1[{name}]"] = _f1(int(hits), int(predicted + support))
    return scores


def _f1(hits: int, mentions: int) -> Score:
    """F1 is 2j/(1 + j) of the Jaccard index j, which is a proportion: hence an exact interval."""
    jaccard = proportion(hits, mentions - hits)
    value, low, high = (2 * j / (1 + j) for j in (jaccard.value, jaccard.low, jaccard.high))
    return Score(value, low, high, jaccard.n, "exact binomial of the Jaccard index")
