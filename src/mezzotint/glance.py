"""A quick look at a method while it learns: one validation score, at milestones."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mezzotint import forecasting
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import ordered, rows_of
from mezzotint.drawing import CHUNK, FIRST_SEED, device_of, draw, using
from mezzotint.method import Method
from mezzotint.metrics import detection, distribution, embedding, rate
from mezzotint.metrics.distribution import FEWEST
from mezzotint.metrics.features import random_filters
from mezzotint.types import Classifies, Denoises, Detects, Embeds, Forecasts, HasLikelihood

PICTURES, CLIPS = 1000, 50
"""Pictures, or clips, that a milestone's validation score looks at."""
ENOUGH = 50
"""Validation pictures that drawn ones are compared with by themselves; fewer would tell little."""
DRAWN = 500
"""Pictures that a quick look draws at least."""


@dataclass(frozen=True)
class Glance:
    """A quick validation score."""

    name: str
    value: float
    higher_is_better: bool
    pictures: int
    seen: "Seen | None" = None
    """Of a method that was judged by its drawn pictures."""

    @property
    def badness(self) -> float:
        """Lower is better and zero is perfect; nan where the score has no perfect value."""
        if not self.higher_is_better:
            return self.value
        return 1 - self.value if self.name == "accuracy" else math.nan

    @property
    def error(self) -> float:
        """Standard error of the value; 0 where it is not known."""
        if self.name != "accuracy":
            return 0.0
        return math.sqrt(max(self.value * (1 - self.value), 1 / self.pictures) / self.pictures)


@dataclass(frozen=True)
class Seen:
    """What a quick look saw: features of real and of drawn pictures."""

    real: Tensor
    drawn: Tensor
    labels: tuple[Tensor, Tensor] | None
    """Classes of either, for a method that draws by class."""


def validation_score(method: Method, dataset: Dataset, known: Seen | None = None) -> Glance:
    """A quick look at up to 1,000 validation pictures: accuracy, evidence bound, error or Fréchet distance.

    Where there are hardly any it looks at training pictures; of a single one there is no distance (not a number).
    `known` is what an earlier look saw, whose real pictures need not be looked at again.
    """
    split = "validation" if len(dataset.splits["validation"]) >= FEWEST else "train"
    if isinstance(method, Forecasts):
        error, clips = forecasting.glance(method, dataset, split, CLIPS)
        return Glance("mse_frame", error, False, clips)
    batches = list(ordered(dataset, split, CHUNK, device_of(method), PICTURES))
    looked_at = sum(len(x) for x, _ in batches)
    with using(method):
        if isinstance(method, Detects):
            found = torch.cat([method.detect(x).cpu() for x, _ in batches])
            given = torch.from_numpy(dataset.targets["boxes"][rows_of(dataset, split, PICTURES)])
            score = detection.glance(given, found, method.spec.things)
            return Glance(detection.AP_50, score, True, looked_at)
        if isinstance(method, Classifies):
            right = [(method.classify(x).argmax(1) == y).float() for x, y in batches]
            return Glance("accuracy", float(torch.cat(right).mean()), True, looked_at)
        if isinstance(method, HasLikelihood):
            bound = [method.elbo(x, y, seed) for seed, (x, y) in enumerate(batches)]
            bits = rate.bits_per_dimension(torch.cat(bound), dataset.spec.dimensions)
            return Glance("bits_per_dimension", bits.value, False, looked_at)
        if isinstance(method, Denoises):
            errors = torch.cat([method.denoising_error(x, y, seed) for seed, (x, y) in enumerate(batches[:5])])
            return Glance("denoising_error", float(errors.mean()), False, len(errors))
        if isinstance(method, Embeds):
            rank = embedding.effective_rank(torch.cat([method.features(x) for x, _ in batches]).cpu(), resamples=1)
            return Glance("effective_rank", rank.value, True, looked_at)
    return _at_drawn(method, dataset, known)


def _at_drawn(method: Method, dataset: Dataset, known: Seen | None) -> Glance:
    split = "validation" if len(dataset.splits["validation"]) >= ENOUGH else "train"
    extractor = random_filters(dataset.spec)
    if known is None:
        batches = list(ordered(dataset, split, CHUNK, limit=PICTURES))
        real = torch.cat([extractor(x) for x, _ in batches])
        kinds = torch.cat([y for _, y in batches if y is not None]) if method.classes else None
    else:
        real, kinds = known.real, known.labels and known.labels[0]
    count = max(DRAWN, len(real))
    if len(real) < 2:
        return Glance("frechet_random_filters", math.nan, False, count)
    seeds = range(FIRST_SEED, FIRST_SEED + count)
    fake = torch.cat([extractor(part) for part in draw(method, seeds).split(CHUNK)])
    if not bool(torch.isfinite(fake).all()):
        return Glance("frechet_random_filters", math.nan, False, count)
    distance = distribution.frechet(distribution.Moments.of(real), distribution.Moments.of(fake))
    labels = None if kinds is None else (kinds, torch.tensor([s % method.classes for s in seeds]))
    return Glance("frechet_random_filters", distance, False, count, Seen(real, fake, labels))
