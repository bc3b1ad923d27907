"""What a method says of pictures against what is known of them: classes, boxes, and neighbors in its features."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import ordered
from mezzotint.drawing import CHUNK, device_of, using
from mezzotint.measuring import rulers
from mezzotint.method import Method
from mezzotint.metrics import detection, embedding
from mezzotint.metrics.classification import Classification
from mezzotint.metrics.interval import Score, proportion
from mezzotint.scorecard import Draft
from mezzotint.types import Calibrates, Classifies, Detects, Embeds, Labels

NEIGHBORS_AMONG = 10_000
"""Pictures of a split, at most, whose features are compared."""


def answers(method: Classifies, dataset: Dataset, split: str) -> tuple[Tensor, Labels]:
    """Logits of a split's pictures and their labels, on the CPU."""
    found: list[tuple[Tensor, Tensor]] = []
    assert isinstance(method, Method)
    with using(method):
        for images, labels in ordered(dataset, split, 500, device_of(method)):
            assert labels is not None
            found.append((method.classify(images).float().cpu(), labels.cpu()))
    logits, labels = zip(*found, strict=True)
    return torch.cat(logits), torch.cat(labels)


def features(method: Embeds, dataset: Dataset, split: str, limit: int | None = None) -> Tensor:
    """Features of a split's pictures, or of so many spread over it, on the CPU."""
    assert isinstance(method, Method)
    with using(method):
        found = [method.features(x).float().cpu() for x, _ in ordered(dataset, split, 500, device_of(method), limit)]
    return torch.cat(found)


def add_recognition(method: Classifies, dataset: Dataset, split: str, card: Draft) -> None:
    """Put into the card how well classes are told, and the mistakes that the method is surest of."""
    counts = Classification(dataset.classes)
    logits, labels = answers(method, dataset, split)
    counts.update(logits, labels)
    if isinstance(method, Calibrates) and method.temperature != 1:
        card.protocol["temperature"] = round(method.temperature, 4)
    for name, value in counts.compute().items():
        if isinstance(value, Score):
            card.scores[name] = value
        elif name == "confusion":
            card.confusion = value.tolist()
    card.mistakes = _surest_mistakes(logits, labels, dataset.classes)
    card.answers["accuracy"] = logits.argmax(1) == labels


def add_detection(method: Method, dataset: Dataset, split: str, card: Draft) -> None:
    """Put into the card how well things are found."""
    assert isinstance(method, Detects)
    found = torch.cat([method.detect(images).cpu() for images, _ in ordered(dataset, split, CHUNK, device_of(method))])
    given = torch.from_numpy(dataset.targets["boxes"][dataset.splits[split]])
    card.scores |= detection.average_precision(given, found, dataset.things)
    counts = (given[:, :, 0] >= 0) & (given[:, :, 5] == 0)
    card.protocol["boxes"] = int(counts.sum())
    card.protocol["detection"] = (
        f"COCO's average precision by faster-coco-eval, {found.shape[1]} boxes a picture at most"
    )
    if not card.scores:
        card.notes.append("no score of detection: there is not one box that counts in this split")


def add_embedding(method: Embeds, dataset: Dataset, split: str, card: Draft) -> None:
    """Put into the card what the features spread over, and what the nearest training pictures say of a class."""
    device = device_of(method)
    asked = rulers.embedded(dataset, split, NEIGHBORS_AMONG, method.features, device)
    card.scores["effective_rank"] = embedding.effective_rank(asked.features)
    if dataset.labels is None or split == "train":
        return
    known = rulers.embedded(dataset, "train", NEIGHBORS_AMONG, method.features, device)
    assert known.labels is not None
    assert asked.labels is not None
    hits = embedding.neighbor_hits(known.features, known.labels, asked.features, asked.labels)
    card.scores["neighbor_accuracy"] = proportion(int(hits.sum()), len(hits))
    card.answers["neighbor_accuracy"] = hits
    card.protocol["neighbors_among"] = f"{embedding.NEIGHBORS} of {len(known.features)} training pictures"


def _surest_mistakes(
    logits: Tensor, labels: Labels, classes: Sequence[str], count: int = 32
) -> tuple[dict[str, Any], ...]:
    top, said = logits.softmax(1).max(1)
    wrong = (said != labels).nonzero().flatten()
    surest = wrong[top[wrong].argsort(descending=True, stable=True)[:count]].tolist()
    return tuple(
        {
            "picture": i,
            "class": classes[int(labels[i])],
            "said": classes[int(said[i])],
            "probability": round(float(top[i]), 4),
        }
        for i in surest
    )
