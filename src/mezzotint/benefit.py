"""Does it help? Recognisers trained on a few pictures, with and without drawn ones, judged on the same split."""

import html
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mezzotint import cas, enlarge, measure, page
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import Augment
from mezzotint.enlarge import Sure
from mezzotint.errors import UserError
from mezzotint.method import Method
from mezzotint.metrics.interval import Score
from mezzotint.metrics.paired import Difference, crossed, holm
from mezzotint.recipe import Budget, Recipe

Say = Callable[[str], None]
SEEN = 30_000
"""Pictures that every recogniser sees, repeats included: what is added takes the place of repeats."""
FALSE = 0.05
"""Chance that one of a comparison's classes is said to differ where none does."""
PLAIN, CLASSIC, DRAWN, BOTH = "real", "real, classic", "real + drawn", "real + drawn, classic"
OWN, OWN_BOTH = "real + drawn from them", "real + drawn from them, classic"
PAIRS = ((PLAIN, CLASSIC), (PLAIN, DRAWN), (CLASSIC, BOTH), (PLAIN, OWN), (CLASSIC, OWN_BOTH))
"""What is compared with what; the last two where the generator was trained anew on the few."""


@dataclass(frozen=True)
class Asked:
    """How the question is put."""

    shots: tuple[int, ...] = (10, 50, 200)
    """Real pictures of each class."""
    seeds: int = 5
    """Trainings of each kind; each has pictures of its own, the same for all kinds."""
    retrain: int | None = None
    """Train the generator's recipe anew on the few pictures alone, for so many pictures, as a further way."""
    certainty: float = 0.8
    """For what is drawn by those generators: how sure the recogniser of the same few pictures has to be."""

    def __post_init__(self) -> None:
        """Raise UserError for numbers that ask nothing."""
        if not self.shots or min(self.shots) < 1 or self.seeds < 1 or (self.retrain is not None and self.retrain < 1):
            raise UserError("--shots, --seeds and --retrain take numbers of at least 1")
        refuse_odd_certainty(self.certainty)


def refuse_odd_certainty(certainty: float) -> None:
    """Raise UserError for a probability that none, or every one, reaches."""
    if not 0 <= certainty < 1:
        raise UserError(f"--certainty is a probability from 0 to below 1, not {certainty:g}")


@dataclass(frozen=True)
class Comparison:
    """Recognisers trained in two ways, in pairs."""

    shots: int
    without: str
    with_it: str
    accuracy: Difference
    classes: dict[str, Difference]
    """Of the recall; the p values are raised for the number of classes (Holm 1979)."""

    def verdict(self, name: str | None = None) -> str:
        """`helped`, `hurt` or `no difference seen`: for a class, or (None) for the accuracy."""
        found = self.accuracy if name is None else self.classes[name]
        if not found.p < FALSE:
            return "no difference seen"
        return "helped" if found.score.value > 0 else "hurt"


@dataclass(frozen=True)
class Benefit:
    """What was found, with its protocol."""

    protocol: dict[str, Any]
    accuracies: dict[int, dict[str, Score]]
    """By pictures of a class and by way of training."""
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """What `benefit.json` holds."""

        def told(found: Difference, verdict: str) -> dict[str, Any]:
            return {**vars(found.score), "p": found.p, "verdict": verdict}

        compared = [
            {
                "shots": c.shots,
                "without": c.without,
                "with": c.with_it,
                "accuracy": told(c.accuracy, c.verdict()),
                "recall": {name: told(d, c.verdict(name)) for name, d in c.classes.items()},
            }
            for c in self.comparisons
        ]
        accuracies = {str(k): {way: vars(s) for way, s in row.items()} for k, row in self.accuracies.items()}
        whole = {"protocol": self.protocol, "accuracy": accuracies, "comparisons": compared, "notes": self.notes}
        return json.dumps(_finite(whole), indent=1, allow_nan=False)


def _finite(value: Any) -> Any:
    """The same with null for numbers that are infinite or none, which JSON does not have (of a single training)."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def judge(dataset: Dataset, sure: Sure, generator: Recipe, asked: Asked, facts: dict[str, Any], say: Say) -> Benefit:
    """Train recognisers on a few real pictures in each way, and compare what they get right of the held-out split.

    `dataset` has the generator's classes and shape; `sure` are the drawn pictures, `generator` the recipe that drew
    them, `facts` what else the protocol tells (`seen_by_generator`: the hash of its data). Raises UserError where a
    class has too few pictures, and where no drawn picture was kept.
    """
    if len(sure.images) == 0:
        raise UserError("none of the drawn pictures was kept, so there is nothing to judge: give a lower --certainty")
    split = "test" if len(dataset.splits["test"]) else "validation"
    labels = _labels_of(dataset, split)
    accuracies: dict[int, dict[str, Score]] = {}
    comparisons: list[Comparison] = []
    for shots in asked.shots:
        right: dict[str, list[Tensor]] = {}
        for seed in range(asked.seeds):
            few = few_of(dataset, shots, seed)
            for way, recogniser in _ways(few, sure, generator, asked, seed):
                card = measure.measure(recogniser, dataset, split=split)
                right.setdefault(way, []).append(card.answers["accuracy"].float())
                say(f"{shots} a class, seed {seed}, {way}: accuracy {card.scores['accuracy'].value:.4f}")
        tables = {way: torch.stack(rows) for way, rows in right.items()}
        accuracies[shots] = {way: crossed(table).score for way, table in tables.items()}
        pairs = [(a, b) for a, b in PAIRS if {a, b} <= set(tables)]
        comparisons += [_compared(shots, a, b, tables, labels, dataset.classes) for a, b in pairs]
    return Benefit(
        _protocol(dataset, split, sure, asked, facts), accuracies, tuple(comparisons), _notes(dataset, facts)
    )


def few_of(dataset: Dataset, shots: int, seed: int) -> Dataset:
    """The data set with `shots` training pictures of each class; more shots of one seed hold the fewer ones."""
    rows = dataset.splits["train"]
    labels = _labels_of(dataset, "train")
    chosen: list[np.ndarray] = []
    for i, name in enumerate(dataset.classes):
        own = rows[labels == i]
        if len(own) < shots:
            raise UserError(f"there are {len(own)} training pictures of {name!r}: ask for no more with --shots")
        chosen.append(np.random.default_rng([seed, i]).permutation(own)[:shots])
    return replace(dataset, splits={**dataset.splits, "train": np.sort(np.concatenate(chosen))})


def _labels_of(dataset: Dataset, split: str) -> np.ndarray:
    if dataset.labels is None or len(dataset.classes) < 2:
        raise UserError(f"{dataset.name} has no classes: --judge needs a labelled data set")
    return dataset.labels[dataset.splits[split]]


def _ways(few: Dataset, sure: Sure, generator: Recipe, asked: Asked, seed: int) -> Iterator[tuple[str, Method]]:
    """Recognisers by their way of training, one after the other."""
    classic = classic_augment(few)
    plain = cas.recogniser(few, seed, SEEN, Augment())
    yield PLAIN, plain
    yield CLASSIC, cas.recogniser(few, seed, SEEN, classic)
    more = enlarged(few, sure)
    yield DRAWN, cas.recogniser(more, seed, SEEN, Augment())
    yield BOTH, cas.recogniser(more, seed, SEEN, classic)
    if asked.retrain is not None:
        drawing = cas.trained(replace(generator, seed=seed, budget=Budget(images=asked.retrain)), few, asked.retrain)
        more = enlarged(few, drawn_like(sure, drawing, plain, asked.certainty, seed))
        yield OWN, cas.recogniser(more, seed, SEEN, Augment())
        yield OWN_BOTH, cas.recogniser(more, seed, SEEN, classic)


def drawn_like(sure: Sure, generator: Method, recogniser: Method, certainty: float, seed: int) -> Sure:
    """What another generator draws of the same classes, as many of each as `sure` has of the most frequent one."""
    most = int(np.bincount(sure.labels).max())
    return enlarge.draw_sure(generator, list(sure.tried), most, recogniser, certainty, seed)


def classic_augment(dataset: Dataset) -> Augment:
    """Mirrored (but not where classes are single characters: glyphs), shifted by a fourteenth of the side."""
    mirrored = any(len(name) > 1 for name in dataset.classes)
    return Augment(flip=mirrored, shift=max(1, min(dataset.images.shape[1:3]) // 14))


def enlarged(few: Dataset, sure: Sure) -> Dataset:
    """Real and drawn pictures, all classes seen equally often; half of what is seen of a class is real.

    Rows are repeated to that end, in `splits["train"]`.
    """
    real, labels = few.splits["train"], _labels_of(few, "train")
    each = max(max(sure.kept(i), int((labels == i).sum())) for i in range(len(few.classes)))
    rows: list[np.ndarray] = []
    for i in range(len(few.classes)):
        drawn = len(real) + np.flatnonzero(sure.labels == i)
        mine = np.flatnonzero(labels == i)
        rows += [np.resize(mine, each), np.resize(drawn if len(drawn) else mine, each)]
    images = np.concatenate([few.images[real], sure.images])
    splits = {**few.splits, "train": np.sort(np.concatenate(rows))}
    return replace(few, images=images, labels=np.concatenate([labels, sure.labels]), splits=splits, targets={})


def _compared(
    shots: int, without: str, with_it: str, tables: dict[str, Tensor], labels: np.ndarray, classes: Sequence[str]
) -> Comparison:
    gaps = tables[with_it] - tables[without]
    found = {name: crossed(gaps[:, torch.from_numpy(labels == i)]) for i, name in enumerate(classes) if i in labels}
    raised = holm([d.p for d in found.values()])
    by_class = {name: replace(d, p=p) for (name, d), p in zip(found.items(), raised, strict=True)}
    return Comparison(shots, without, with_it, crossed(gaps), by_class)


def _protocol(dataset: Dataset, split: str, sure: Sure, asked: Asked, facts: dict[str, Any]) -> dict[str, Any]:
    classic = classic_augment(dataset)
    return {
        "data": dataset.name,
        "data_digest": dataset.digest,
        "split": split,
        "pictures": len(dataset.splits[split]),
        "drawn": len(sure.images),
        "seeds": asked.seeds,
        "recogniser": f"cnn of width {cas.WIDTH} that sees {SEEN} pictures, repeats included",
        "mixture": "half of what is seen of a class is real where any of it was drawn",
        "classic": f"{'mirrored and ' if classic.flip else ''}shifted by up to {classic.shift} pixels",
        **({} if asked.retrain is None else {"drawn_from_them": f"the same recipe after {asked.retrain} pictures"}),
        **facts,
    }


def _notes(dataset: Dataset, facts: dict[str, Any]) -> tuple[str, ...]:
    if facts.get("seen_by_generator") == dataset.digest:
        seen = len(dataset.splits["train"])
        return (
            f"the generator was trained on {seen} pictures of these data: what its pictures add is knowledge of "
            f"those, which the few do not hold; '{OWN}' (--retrain) draws by what the few hold alone",
        )
    return ("the generator was trained on other data; whether held-out pictures were among them is not known",)


# For people.

GAINS = ("pictures a class", "without", "with", "accuracy gained", "95 % interval", "p", "verdict")


def gains(found: Benefit) -> list[tuple[str, ...]]:
    """Rows of GAINS, one a comparison."""
    return [
        (str(c.shots), c.without, c.with_it, *_spoken(c.accuracy), page.number(c.accuracy.p), c.verdict())
        for c in found.comparisons
    ]


def _spoken(found: Difference) -> tuple[str, str]:
    score = found.score
    return f"{100 * score.value:+.2f} %", f"{100 * score.low:+.2f} to {100 * score.high:+.2f}"


def by_class(found: Benefit) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The head and a row for each class: the recall gained in each comparison, its interval, what can be said of it."""
    head = ("class", *(f"{c.shots} a class: {c.with_it} against {c.without}" for c in found.comparisons))
    names = list(found.comparisons[0].classes)

    def told(compared: Comparison, name: str) -> str:
        gained, between = _spoken(compared.classes[name])
        return f"{gained} ({between}) {compared.verdict(name)}"

    return head, [(name, *(told(c, name) for c in found.comparisons)) for name in names]


def report(found: Benefit) -> str:
    """One page: accuracies, comparisons, classes, protocol."""
    ways = list(dict.fromkeys(way for row in found.accuracies.values() for way in row))
    reached = [
        (
            way,
            *(f"{row[way].value:.4f} ({row[way].low:.4f} to {row[way].high:.4f})" for row in found.accuracies.values()),
        )
        for way in ways
    ]
    told = [f"{key.replace('_', ' ')}: {page.spoken(value)}" for key, value in found.protocol.items()]
    return page.document(
        f"Does it help? {html.escape(str(found.protocol['data']))}",
        f"<h2>Accuracy by real pictures a class</h2>"
        f"{page.html_table(('trained on', *(f'{k} a class' for k in found.accuracies)), reached)}"
        f"<h2>Compared in pairs</h2>{page.html_table(GAINS, gains(found))}"
        f"<h2>Recall by class</h2>{page.html_table(*by_class(found))}"
        f"<h2>How it was judged</h2>{page.html_list([*told, *found.notes])}",
    )
