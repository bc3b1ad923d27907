"""Which labels look wrong: each picture judged by a recogniser that did not learn from it (confident learning)."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mezzotint import api, catalog, page, snapshot
from mezzotint.audit import shadow_digest
from mezzotint.data import dataset as data
from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.errors import UserError
from mezzotint.files import write_whole
from mezzotint.measuring import recognition
from mezzotint.metrics.confident import Doubts, doubts
from mezzotint.recipe import Budget, Recipe, with_setting
from mezzotint.shadows import train_to_end
from mezzotint.types import Classifies

SHOWN = 64
"""Pictures on the page."""


@dataclass(frozen=True)
class Report:
    """What was found."""

    pictures: int
    wrong: int
    """Labels that are confidently of another class."""
    confusions: tuple[tuple[str, str, int], ...]
    """Given class, class that it looks like, and how many; most first."""


def judge(
    source: str,
    out: Path,
    *,
    recipe: str = "cnn",
    minutes: float | None = None,
    images: int | None = None,
    folds: int = 4,
    size: int | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
    show: api.Show | None = None,
) -> Report:
    """Write `labels.csv` (all pictures, the most doubtful first) and `labels.html` into `out`.

    One model of `recipe` a fold is trained in `out`, each for its part of `minutes` (default 10), or on so many
    `images`. Raises UserError for what a user can mend.
    """
    if folds < 2:
        raise UserError(f"--folds takes 2 or more, not {folds}")
    asked = api.Asked(minutes, images, settings=tuple(settings), size=size, seed=seed)
    budget = asked.budget()
    dataset, origins = data.load_with_origins(source, size, None, "center", None, None)
    if dataset.labels is None or len(dataset.classes) < 2:
        raise UserError("there are no labels to judge: put the pictures into one folder per class")
    each = budget if budget.minutes is None else Budget(minutes=budget.minutes / folds)
    made = catalog.recipe(recipe, dataset.spec, each.minutes or 10.0)
    made = replace(made, budget=each, seed=seed, milestones=0, patience=0)
    for setting in settings:
        made = with_setting(made, setting, catalog.kinds())
    api.refuse_corrected_twice(made)
    rows, probabilities = held_out(out, made, dataset, origins.content, folds, seed, show)
    given = torch.from_numpy(dataset.labels[rows])
    found = doubts(probabilities, given)
    paths = [origins.paths[row] for row in rows]
    write_whole(out / "labels.csv", _table(found, given, paths, dataset.classes))
    write_whole(out / "labels.html", _page(found, given, paths, dataset, rows))
    return _report(found, given, dataset.classes)


def held_out(
    out: Path,
    recipe: Recipe,
    dataset: Dataset,
    content: np.ndarray,
    folds: int,
    seed: int,
    show: api.Show | None = None,
) -> tuple[np.ndarray, Tensor]:
    """Rows of all pictures, and probabilities of each by the model that did not learn from it, nor from an equal one.

    `content` tells for each row of the data set which pictures are equal.
    """
    if not isinstance(recipe.method.build(dataset.spec), Classifies):
        raise UserError(f"{recipe.name} does not recognise: name a recipe like cnn")
    everything = np.sort(np.concatenate(list(dataset.splits.values())))
    fold = folds_of(content[everything], folds, seed)
    parts: list[tuple[np.ndarray, Tensor]] = []
    for i in range(folds):
        judged = everything[fold == i]
        rest = np.setdiff1d(everything, judged)
        splits = {"train": rest, "validation": judged, "test": judged}
        part = replace(dataset, splits=splits, digest=shadow_digest(dataset, rest))
        folder = out / f"fold-{i}"
        train_to_end(folder, recipe, part, show, anew="name another folder with --out")
        method = snapshot.load(folder, catalog.kinds()).method
        assert isinstance(method, Classifies)
        parts.append((judged, recognition.answers(method, part, "test")[0].softmax(1)))
    rows = np.concatenate([judged for judged, _ in parts])
    order = np.argsort(rows)
    return rows[order], torch.cat([p for _, p in parts])[torch.from_numpy(order)]


def folds_of(content: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each picture, from 0 on, by chance; equal pictures are in one. Raises UserError for too few."""
    different, which = np.unique(content, return_inverse=True)
    if len(different) < 2 * folds:
        raise UserError(
            f"{len(different)} different pictures are too few for {folds} folds: give --folds 2, or add pictures"
        )
    return (np.random.default_rng(seed).permutation(len(different)) % folds)[which]


def _report(found: Doubts, given: Tensor, classes: tuple[str, ...]) -> Report:
    counts: dict[tuple[str, str], int] = {}
    for i in found.wrong.nonzero().flatten().tolist():
        pair = classes[int(given[i])], classes[int(found.likely[i])]
        counts[pair] = counts.get(pair, 0) + 1
    most = sorted(counts.items(), key=lambda item: -item[1])
    return Report(len(given), int(found.wrong.sum()), tuple((a, b, n) for (a, b), n in most))


def _table(found: Doubts, given: Tensor, paths: list[str], classes: tuple[str, ...]) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["picture", "given", "looks_like", "margin", "wrong"])
    for i in found.order.tolist():
        wrong = "yes" if found.wrong[i] else "no"
        margin = f"{float(found.margin[i]):.4f}"
        rows.writerow([paths[i], classes[int(given[i])], classes[int(found.likely[i])], margin, wrong])
    return out.getvalue().encode("utf-8", "backslashreplace").decode()


def _page(found: Doubts, given: Tensor, paths: list[str], dataset: Dataset, rows: np.ndarray) -> str:
    """The pictures whose labels look most wrong, each with what it is called and what it looks like."""
    shown: dict[str, pictures.Pixels] = {}
    for i in found.order[:SHOWN].tolist():
        names = dataset.classes[int(given[i])], dataset.classes[int(found.likely[i])]
        caption = f"{paths[i]}: given {names[0]}, looks like {names[1]} ({float(found.margin[i]):+.2f})"
        shown[caption] = pictures.enlarged(np.asarray(dataset.images[rows[i]]), 96)
    told = f"{int(found.wrong.sum())} of {len(given)} labels look wrong; the most doubtful first."
    return page.document(f"Labels of {dataset.name}", f"<p>{told}</p>{page.figures(shown)}")
