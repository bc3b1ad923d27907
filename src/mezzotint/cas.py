"""Classification accuracy score: how well a recogniser that was shown only drawn pictures does on real ones."""

from dataclasses import replace

import numpy as np

from mezzotint import measure
from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import Augment, spread
from mezzotint.drawing import Drawn
from mezzotint.method import Method
from mezzotint.methods.classifier import ClassifierConfig
from mezzotint.metrics.interval import Score
from mezzotint.networks.residual import ResidualConfig
from mezzotint.recipe import Budget, Execution, Recipe
from mezzotint.recipes.recognize import cnn
from mezzotint.scorecard import ScoreCard
from mezzotint.training.step import stepper_for

NAME = "classification_accuracy_score"
WIDTH, BATCH = 16, 128
"""Of the recogniser: small, since it is trained twice each time that a generator is measured."""
PASSES, LEAST = 3, 30_000
"""How often the recogniser sees each picture, and how many pictures it sees at least, however few there are."""


def added(card: ScoreCard, shown: Drawn, dataset: Dataset, seed: int = 0) -> ScoreCard:
    """The card with the score of pictures that were drawn by class (Ravuri and Vinyals 2019); of others as it was.

    One recogniser (a narrow `cnn`) is trained on the drawn pictures with the classes that were asked for, another on as
    many real training pictures, which gives the floor; both are judged on the card's split.
    """
    if shown.labels is None or len(dataset.classes) < 2:
        return card
    split = card.protocol["split"]
    if split == "train":
        return replace(card, notes=(*card.notes, f"no {NAME.replace('_', ' ')}: its floor was trained on this split"))
    rows = dataset.splits["train"]
    rows = rows[spread(len(rows), min(len(shown.images), len(rows)))]
    kept = spread(len(shown.images), len(rows))
    made = _of(shown.images[kept], shown.labels.numpy()[kept], dataset)
    real = replace(dataset, splits={**dataset.splits, "train": rows})
    scores = {NAME: _accuracy(made, dataset, split, seed), f"{NAME}_floor": _accuracy(real, dataset, split, seed)}
    told = f"cnn of width {WIDTH} that sees {_passed(len(rows))} times one of {len(rows)} pictures"
    return replace(card, protocol=card.protocol | {"cas": told}, scores=card.scores | scores)


def _passed(pictures: int) -> int:
    return max(PASSES * pictures, LEAST)


def _of(images: pictures.Pixels, labels: np.ndarray, like: Dataset) -> Dataset:
    """Drawn pictures as a data set that has nothing but training pictures."""
    none = np.array([], np.int64)
    splits = {"train": np.arange(len(images)), "validation": none, "test": none}
    return Dataset("drawn", images, labels, like.classes, splits, digest="")


def _accuracy(data: Dataset, dataset: Dataset, split: str, seed: int) -> Score:
    """The share that a recogniser trained on `data` gets right of a split of `dataset`."""
    return measure.measure(recogniser(data, seed, _passed(data.spec.count)), dataset, split=split).scores["accuracy"]


def recogniser(data: Dataset, seed: int, total: int, augment: Augment | None = None) -> Method:
    """A narrow `cnn` that has seen `total` training pictures of `data` (repeats included).

    They are changed as `augment` says, or else as that recipe does.
    """
    usual = cnn(data.spec, 1.0)
    narrow = ClassifierConfig(network=ResidualConfig(width=WIDTH), label_smoothing=0.1)
    recipe = replace(usual, method=narrow, batch=BATCH, seed=seed, budget=Budget(images=total))
    if augment is not None:
        recipe = replace(recipe, data=replace(recipe.data, augment=augment))
    return trained(recipe, data, total)


def trained(recipe: Recipe, data: Dataset, total: int) -> Method:
    """The averaged method of a recipe after `total` pictures, without a run on disk, in float32."""
    stepper = stepper_for(recipe, Execution(precision="fp32", channels_last=False), data)
    while stepper.state.images < total:
        stepper.step(stepper.state.images / total)
    return stepper.state.average.method
