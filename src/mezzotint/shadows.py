"""Shadow runs: the same recipe on random halves of the data, to learn what a model shows of what it was trained on."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from mezzotint import api, catalog, page, snapshot
from mezzotint.audit import Shadow, shadow_digest
from mezzotint.data.dataset import Dataset
from mezzotint.errors import UserError
from mezzotint.metrics.membership import FEWEST_SHADOWS
from mezzotint.recipe import Budget, Recipe
from mezzotint.training import run as runs
from mezzotint.training.loop import Training
from mezzotint.training.run import Run


def train_shadows(run: Run, dataset: Dataset, number: int, seed: int, show: api.Show | None = None) -> list[Shadow]:
    """As many models in the run's folder `shadows/`, each trained for the run's epochs on half of all pictures.

    Two and two share out the pictures, training and held-out ones alike, so that each picture is in half of the models.
    What is there already is used or gone on with. Raises UserError for an odd number or fewer than four.
    """
    if number < FEWEST_SHADOWS or number % 2:
        raise UserError(f"--shadows takes an even number, {FEWEST_SHADOWS} or more, not {number}")
    stored = snapshot.load(run.snapshot, catalog.kinds())
    start = load_file(run.start) if stored.recipe.start else None
    found: list[Shadow] = []
    for i, rows in enumerate(halves(dataset, number, seed)):
        half = half_of(dataset, rows)
        share = len(rows) / len(dataset.splits["train"])
        budget = Budget(images=max(stored.recipe.batch, round(stored.card["images_seen"] * share)))
        recipe = replace(stored.recipe, budget=budget, seed=stored.recipe.seed + i + 1, milestones=0, patience=0)
        folder = run.folder / "shadows" / f"{seed}-{i}"
        train_to_end(folder, recipe, half, show, start)
        found.append(Shadow(snapshot.load(folder, catalog.kinds()).method, rows))
    return found


def halves(dataset: Dataset, number: int, seed: int) -> list[np.ndarray]:
    """Sorted rows of random halves of all pictures; each second one is the rest of the one before."""
    everything = np.sort(np.concatenate(list(dataset.splits.values())))
    found: list[np.ndarray] = []
    for i in range(number // 2):
        mixed = np.random.default_rng([seed, i]).permutation(everything)
        found += [np.sort(mixed[: len(mixed) // 2]), np.sort(mixed[len(mixed) // 2 :])]
    return found


def half_of(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """The data set with these rows to train on, and the others held out."""
    everything = np.sort(np.concatenate(list(dataset.splits.values())))
    rest = np.setdiff1d(everything, rows)
    splits = {"train": rows, "validation": rest, "test": rest}
    return replace(dataset, splits=splits, digest=shadow_digest(dataset, rows))


def train_to_end(
    folder: Path,
    recipe: Recipe,
    half: Dataset,
    show: api.Show | None = None,
    start: runs.Tensors | None = None,
    anew: str | None = None,
) -> None:
    """Train on a part of the data to the end, from where it was left; the model is all that it leaves, unmeasured.

    Raises UserError where there is one of other data or of another recipe, which says what to do (`anew`).
    """
    shadow = runs.find(folder) if folder.exists() else runs.begin(folder, recipe, half.spec, half.digest, start=start)
    there = shadow.recipe(catalog.kinds())
    same = replace(there, execution=recipe.execution, start=recipe.start) == recipe  # these two are filled in later
    if shadow.facts()["digest"] != half.digest or not same:
        anew = anew or f"remove {folder.parent} and audit anew"
        raise UserError(f"{folder} was begun on other data or with other settings; {anew}")
    if (shadow.snapshot / "card.json").is_file():
        return
    training = Training(shadow, shadow.recipe(catalog.kinds()), half, time.monotonic())
    with runs.locked(shadow), api.stopped_by_signals() as stop:
        for report in training.steps(stop):
            if show is not None:
                show(report)
        if not training.finished:
            raise KeyboardInterrupt  # the same command goes on from here
        recipe = training.recipe
        snapshot.save(
            shadow.snapshot, training.trained(), recipe, api.facts_of(training), page.model_card(recipe, None, {})
        )
