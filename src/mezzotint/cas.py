"""Classification accuracy score: how well a recogniser that was shown only drawn pictures does on real ones."""

from dataclasses import replace

import numpy as np
import torch

from mezzotint import drawing, measure
from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import spread
from mezzotint.method import Method
from mezzotint.methods.classifier import ClassifierConfig
from mezzotint.metrics.interval import Score
from mezzotint.networks.residual import ResidualConfig
from mezzotint.recipe import Budget, Execution
from mezzotint.recipes.recognize import cnn
from mezzotint.scorecard import ScoreCard
from mezzotint.training.loop import stepper_for
from mezzotint.types import Generates

NAME = "classification_accuracy_score"
WIDTH, BATCH = 16, 128
"""Of the recogniser: of 10,000 pictures of Fashion-MNIST it learns 88 % in seven seconds of two cores."""
PASSES, LEAST = 3, 30_000
"""How often the recogniser sees each picture, and how many pictures it sees at least, however few there are."""


def added(card: ScoreCard, method: Method, dataset: Dataset, count: int, seed: int = 0) -> ScoreCard:
    """The card with the score of a generator that draws by class (Ravuri and Vinyals 2019); other methods' as it was.

    One recogniser (a narrow `cnn`) is trained on `count` drawn pictures with the classes that were asked for, another
    on as many real training pictures, which gives the floor; both are judged on the card's split.
    """
    if not isinstance(method, Generates) or getattr(method, "classes", 0) < 2 or dataset.labels is None:
        return card
    split = card.protocol["split"]
    if split == "train":
        return replace(card, notes=(*card.notes, f"no {NAME.replace('_', ' ')}: its floor was trained on this split"))
    rows = dataset.splits["train"]
    rows = rows[spread(len(rows), min(count, len(rows)))]
    labels = dataset.labels[rows]
    first = measure.FIRST_SEED + seed * count
    drawn = drawing.draw(method, range(first, first + len(rows)), torch.from_numpy(labels))
    real = replace(dataset, splits={**dataset.splits, "train": rows})
    made = _of(pictures.to_uint8(drawn), labels, dataset)
    scores = {NAME: _accuracy(made, dataset, split, seed), f"{NAME}_floor": _accuracy(real, dataset, split, seed)}
    told = f"cnn of width {WIDTH} that sees {_shown(len(rows))} times one of {len(rows)} pictures, classes as in train"
    return replace(card, protocol=card.protocol | {"cas": told}, scores=card.scores | scores)


def _shown(pictures: int) -> int:
    return max(PASSES * pictures, LEAST)


def _of(images: pictures.Pixels, labels: np.ndarray, like: Dataset) -> Dataset:
    """Drawn pictures as a data set that has nothing but training pictures."""
    none = np.array([], np.int64)
    splits = {"train": np.arange(len(images)), "validation": none, "test": none}
    return Dataset("drawn", images, labels, like.classes, splits, digest="")


def _accuracy(shown: Dataset, dataset: Dataset, split: str, seed: int) -> Score:
    """The share that a recogniser trained on `shown` gets right of a split of `dataset`."""
    total = _shown(shown.spec.count)
    usual = cnn(shown.spec, 1.0)
    narrow = ClassifierConfig(network=ResidualConfig(width=WIDTH), label_smoothing=0.1)
    recipe = replace(usual, method=narrow, batch=BATCH, seed=seed, budget=Budget(images=total))
    stepper = stepper_for(recipe, Execution(precision="fp32", channels_last=False), shown)
    while stepper.state.images < total:
        stepper.step(stepper.state.images / total)
    return measure.measure(stepper.state.average.method, dataset, split=split).scores["accuracy"]
