"""Tells before training what is in a data set, and whether it is enough."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mezzotint.data import cache
from mezzotint.data.dataset import SPLITS, Dataset, Origins, Skipped, load_with_origins
from mezzotint.data.decode import CUT, TRANSPARENT, Pixels

COARSE, FINE = 8, 32
"""Sides of the thumbnails that are compared: the first finds candidates, the second decides."""
COARSE_LIKENESS, FINE_LIKENESS = 0.995, 0.99
"""Correlations from which on two pictures count as nearly the same: another file format, size or brightness keeps them
above, two of Fashion-MNIST's 70,000 pictures rarely get there."""
BRIGHTNESS = 40
"""Pictures whose mean levels differ by more are not nearly the same (a black and a white square correlate)."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601), those that a grey copy was made with."""
ROWS = 1024
SHOWN = 5
"""Findings of a kind that the plain lines name; `to_dict` has them all."""
SEVERAL = 1.5
"""Ratio of the largest to the smallest class from which on classes count as unbalanced."""


@dataclass(frozen=True, kw_only=True)
class Sides:
    """How the sides of the original pictures are spread, in pixels."""

    least: tuple[int, int]
    """Smallest width and smallest height."""
    median: tuple[int, int]
    most: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Pictures that show the same."""

    exact: bool
    """Equal in every pixel, or else only nearly."""
    paths: tuple[str, ...]
    splits: tuple[str, ...]
    """Split of each of them: more than one of `train`, `validation`, `test` is a leak."""
    classes: tuple[str, ...]
    """Class of each of them, empty without classes: more than one is a contradiction."""

    @property
    def leaks(self) -> bool:
        """The same picture is learned from and tested on."""
        return len(set(self.splits)) > 1

    @property
    def contradicts(self) -> bool:
        """The same picture is under two classes."""
        return len(set(self.classes)) > 1


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the pictures are enough for a kind of model, and why."""

    kind: str
    enough: str
    """`yes`, `barely` or `no`."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that `check` found."""

    name: str
    pictures: int
    shape: tuple[int, int, int]
    """Height, width and channels at training."""
    others: int
    """Files that are no pictures by their names."""
    splits: Mapping[str, int]
    classes: Mapping[str, int]
    """Pictures of each class, all splits together; empty without classes."""
    sides: Sides
    modes: Mapping[str, int]
    changes: Mapping[str, int]
    """Pictures that are cropped, enlarged, converted and so on."""
    unreadable: tuple[Skipped, ...]
    groups: tuple[Group, ...]
    """Duplicates and near duplicates."""
    verdicts: tuple[Verdict, ...]
    things: Mapping[str, int] = field(default_factory=dict[str, int])
    """Boxes of each thing that count, all splits together; empty without boxes."""
    remarks: tuple[str, ...] = ()
    """What is odd about the annotations."""

    def to_dict(self) -> dict[str, Any]:
        """All findings as plain JSON types' tuples, numbers, strings and dictionaries."""
        marks = [{"leaks": g.leaks, "contradicts": g.contradicts} for g in self.groups]
        found = asdict(self)
        return {**found, "groups": [{**g, **m} for g, m in zip(found["groups"], marks, strict=True)]}

    def lines(self) -> list[str]:
        """The findings for people."""
        height, width, channels = self.shape
        splits = ", ".join(f"{n:,} {name}" for name, n in self.splits.items())
        told = [
            f"{self.name}: {self.pictures:,} pictures ({splits})",
            f"trained on at {width}×{height}, {'grey' if channels == 1 else 'RGB'}",
            _sides_line(self.sides),
            f"kinds: {_counted(self.modes)}",
            *([f"other files, left alone: {self.others:,}"] if self.others else []),
            *_class_lines(self.classes),
            *([f"boxes: {_counted(self.things)}"] if self.things else []),
            *_listed("odd annotations", list(self.remarks)),
            *([f"changed before training: {_counted(self.changes)}"] if self.changes else []),
            *_listed("unreadable files, skipped", [f"{s.path}: {s.reason}" for s in self.unreadable]),
        ]
        return [
            *told,
            *_group_lines(self.groups),
            *(f"enough for a {v.kind}: {v.enough} ({v.reason})" for v in self.verdicts),
        ]


def check(
    source: str | Path,
    *,
    size: int | None = None,
    channels: int | None = None,
    crop: str = "center",
    cache_folder: Path | None = None,
    progress: cache.Progress | None = None,
) -> Report:
    """Look through a data set as training would read it; the arguments are those of `dataset.load`.

    Raises UserError where training would: nothing there, or nothing readable.
    """
    dataset, origins = load_with_origins(source, size, channels, crop, cache_folder, progress)
    classes = dict.fromkeys(dataset.classes, 0)
    if dataset.labels is not None and dataset.classes:
        counts = np.bincount(dataset.labels[dataset.labels >= 0], minlength=len(dataset.classes))
        classes = dict(zip(dataset.classes, map(int, counts), strict=True))
    groups = _groups(dataset, origins)
    return Report(
        name=dataset.name,
        pictures=len(dataset.images),
        shape=(dataset.images.shape[1], dataset.images.shape[2], dataset.images.shape[3]),
        others=origins.others,
        splits={name: len(dataset.splits[name]) for name in SPLITS},
        classes=classes,
        sides=_sides(origins),
        modes=dict(Counter(map(str, origins.modes)).most_common()),
        changes=_changes(dataset, origins, crop),
        unreadable=dataset.skipped,
        groups=groups,
        verdicts=_verdicts(dataset, origins),
        things=_things(dataset),
        remarks=dataset.remarks,
    )


def _things(dataset: Dataset) -> dict[str, int]:
    if not dataset.things:
        return {}
    boxes = dataset.targets["boxes"].reshape(-1, 6)
    kinds = boxes[(boxes[:, 0] >= 0) & (boxes[:, 5] == 0), 0].astype(np.int64)
    counts = np.bincount(kinds, minlength=len(dataset.things))
    return dict(zip(dataset.things, map(int, counts), strict=True))


def _sides(origins: Origins) -> Sides:
    def both(of: Any) -> tuple[int, int]:
        return int(of(origins.widths)), int(of(origins.heights))

    return Sides(least=both(np.min), median=both(np.median), most=both(np.max))


def _changes(dataset: Dataset, origins: Origins, crop: str) -> dict[str, int]:
    """How many pictures lose or gain something on their way to the common shape; nothing where it is none."""
    height, width, channels = dataset.images.shape[1:]
    modes = origins.modes.astype(str)
    wide = np.char.startswith(modes, "I") | (modes == "F")
    alpha = np.isin(modes, ("RGBA", "LA", "PA", "La", "RGBa")) | np.char.endswith(modes, TRANSPARENT)
    oblong = origins.widths * height != origins.heights * width
    short, long = np.minimum(origins.widths, origins.heights), np.maximum(origins.widths, origins.heights)
    kept = np.full(len(short), min(height, width))
    side = {"fit": long, CUT: kept}.get(crop, short)
    kept_grey = np.isin(modes, ("1", "L")) | wide
    brought = {
        "center": "cropped to a square",
        "fit": "padded to a square",
        "stretch": "distorted to a square",
        CUT: "squares of a larger one",
    }
    found = {
        brought[crop]: long > kept if crop == CUT else oblong,
        "scaled down": side > min(height, width),
        "scaled up": side < min(height, width),
        "turned upright by EXIF": origins.turned,
        "transparency laid over white": alpha,
        "brought from 16 or 32 bits to 8": wide,
        "converted from CMYK": modes == "CMYK",
        "colors dropped (if there are any)": ~kept_grey if channels == 1 else np.zeros(len(modes), bool),
        "grey repeated as RGB": kept_grey if channels == 3 else np.zeros(len(modes), bool),
    }
    return {name: int(which.sum()) for name, which in found.items() if which.any()}


def _groups(dataset: Dataset, origins: Origins) -> tuple[Group, ...]:
    """Exact duplicates first, then near ones; a group of near ones names one of each set of exact copies."""
    _, first, number = np.unique(origins.content, return_index=True, return_inverse=True)
    exact = _members(number)
    distinct = np.sort(first)
    near = [distinct[members] for members in _members(near_groups(dataset.images[distinct]))]
    split = np.full(len(origins.content), "", dtype="<U10")
    for name, rows in dataset.splits.items():
        split[rows] = name
    return tuple(
        [_group(m, True, dataset, origins, split) for m in exact]
        + [_group(m, False, dataset, origins, split) for m in near]
    )


def _group(members: np.ndarray, exact: bool, dataset: Dataset, origins: Origins, split: np.ndarray) -> Group:
    classes: tuple[str, ...] = ()
    if dataset.labels is not None and dataset.classes:
        classes = tuple(dataset.classes[label] if label >= 0 else "" for label in dataset.labels[members])
    paths = tuple(origins.paths[i] for i in members)
    return Group(exact=exact, paths=paths, splits=tuple(map(str, split[members])), classes=classes)


def _members(number: np.ndarray) -> list[np.ndarray]:
    """Rows of equal `number`, where there are at least two, in order of their first."""
    number = number.reshape(-1)
    order = np.argsort(number, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    return sorted((p for p in parts if len(p) > 1), key=lambda p: int(p[0]))


def near_groups(images: Pixels) -> np.ndarray:
    """For each of n × h × w × c pictures the number of its group of nearly equal ones.

    Thumbnails without their mean and contrast are compared by correlation; each picture is tied to the most alike of
    those before it, so that thousands of nearly equal ones stay cheap. Pictures of one level are tied to none.
    """
    coarse, level = _thumbnails(images, COARSE)
    pairs = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(images), ROWS):
        likeness = coarse[start : start + ROWS] @ coarse[: start + ROWS].T
        rows = np.arange(start, start + len(likeness))
        likeness[np.arange(likeness.shape[1])[None] >= rows[:, None]] = -1
        best = likeness.argmax(1)
        alike = likeness[np.arange(len(rows)), best] >= COARSE_LIKENESS
        pairs.append(np.stack([rows[alike], best[alike]], 1))
    tied = _confirmed(images, level, np.concatenate(pairs))
    graph = coo_matrix((np.ones(len(tied)), (tied[:, 0], tied[:, 1])), shape=(len(images), len(images)))
    return connected_components(graph, directed=False)[1]


def _confirmed(images: Pixels, level: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The pairs that are alike in detail and brightness, too."""
    kept = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(pairs), ROWS):
        some = pairs[start : start + ROWS]
        (one, _), (other, _) = _thumbnails(images[some[:, 0]], FINE), _thumbnails(images[some[:, 1]], FINE)
        near = (one * other).sum(1) >= FINE_LIKENESS
        kept.append(some[near & (np.abs(level[some[:, 0]] - level[some[:, 1]]) <= BRIGHTNESS)])
    return np.concatenate(kept)


def _thumbnails(images: Pixels, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Means over blocks, as unit vectors around zero (n × blocks), and the mean levels (n)."""
    _, h, w, c = images.shape
    weights = np.array(LUMA if c == 3 else [1.0], np.float32)
    rows, columns = (np.unique(np.linspace(0, length, side, endpoint=False).astype(int)) for length in (h, w))
    parts = []
    for start in range(0, len(images), ROWS):
        grey = images[start : start + ROWS].astype(np.float32) @ weights
        sums = np.add.reduceat(np.add.reduceat(grey, rows, axis=1), columns, axis=2)
        areas = np.outer(np.diff([*rows, h]), np.diff([*columns, w]))
        parts.append((sums / areas).reshape(len(sums), -1))
    blocks = np.concatenate(parts)
    level = blocks.mean(1)
    centered = blocks - level[:, None]
    length = np.linalg.norm(centered, axis=1, keepdims=True)
    # Half a level of deviation on average is noise of the file format, not a picture.
    flat = length < 0.5 * np.sqrt(blocks.shape[1])
    return np.where(flat, 0, centered / np.maximum(length, 1e-6)).astype(np.float32), level


def _verdicts(dataset: Dataset, origins: Origins) -> tuple[Verdict, ...]:
    """Rules of thumb on the different training pictures, copies counted once."""
    rows = dataset.splits["train"]
    _, first = np.unique(origins.content[rows], return_index=True)
    rows = rows[first]
    gan = "a discriminator learns fewer than about 1,000 by heart; from 5,000 on it has to generalize"
    vae = "fewer than about 500 are reproduced rather than summarized; from 2,000 on the latent space fills"
    return (
        _classifier_verdict(dataset, rows, origins.paths),
        _verdict("GAN", len(rows), 1000, 5000, f"{len(rows):,} different training pictures; {gan}"),
        _verdict("VAE", len(rows), 500, 2000, f"{len(rows):,} different training pictures; {vae}"),
    )


def _classifier_verdict(dataset: Dataset, rows: np.ndarray, paths: Sequence[str]) -> Verdict:
    if dataset.labels is None or len(dataset.classes) < 2:
        return Verdict(kind="classifier", enough="no", reason=f"there are no classes: {_way_to_classes(paths)}")
    labels = dataset.labels[rows]
    counts = np.bincount(labels[labels >= 0], minlength=len(dataset.classes))
    least = int(counts.argmin())
    told = f"the smallest class, {dataset.classes[least]}, has {counts[least]:,} different training pictures"
    return _verdict("classifier", int(counts[least]), 20, 200, f"{told}; from 20 on it learns, from 200 on well")


def _way_to_classes(paths: Sequence[str]) -> str:
    loose = [path for path in paths if "/" not in path]
    if loose and len({path.split("/")[0] for path in paths} - set(loose)) > 1:
        lie = f"{len(loose):,} of the pictures lie" if len(loose) > 1 else "one of the pictures lies"
        return f"{lie} outside of the sub-folders ({loose[0]}), which otherwise would be the classes"
    return "put the pictures of each class into a sub-folder of its name"


def _verdict(kind: str, count: int, least: int, plenty: int, reason: str) -> Verdict:
    return Verdict(kind=kind, enough="no" if count < least else "barely" if count < plenty else "yes", reason=reason)


def _sides_line(sides: Sides) -> str:
    least, median, most = (f"{w}×{h}" for w, h in (sides.least, sides.median, sides.most))
    return (
        f"originals: all {least} pixels" if least == most else f"originals: {least} to {most} pixels, median {median}"
    )


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _class_lines(classes: Mapping[str, int]) -> list[str]:
    if not classes:
        return ["no classes"]
    least, most = min(classes.values()), max(classes.values())
    balance = "balanced" if most <= SEVERAL * least else f"unbalanced, {least:,} to {most:,} pictures each"
    shown = _counted(dict(list(classes.items())[: 4 * SHOWN]))
    more = f" and {len(classes) - 4 * SHOWN} more" if len(classes) > 4 * SHOWN else ""
    return [f"{len(classes)} classes, {balance}: {shown}{more}"]


def _group_lines(groups: Iterable[Group]) -> list[str]:
    groups = list(groups)
    told: list[str] = []
    for title, which in (
        ("sets of exact duplicates", [g for g in groups if g.exact]),
        ("sets of near duplicates", [g for g in groups if not g.exact]),
        ("leaks: (nearly) the same picture in two splits", [g for g in groups if g.leaks]),
        ("contradictions: (nearly) the same picture under two classes", [g for g in groups if g.contradicts]),
    ):
        told += _listed(title, [_named(g) for g in which])
    return told or ["no duplicates"]


def _named(group: Group) -> str:
    marks = group.classes if group.contradicts else group.splits
    # One of each split or class comes first: it is what a leak or a contradiction is about.
    order = sorted(range(len(marks)), key=lambda i: marks.index(marks[i]) != i)
    shown = [f"{group.paths[i]} ({marks[i]})" for i in order[:SHOWN]]
    return " = ".join(shown) + (f" and {len(marks) - SHOWN} more" if len(marks) > SHOWN else "")


def _listed(title: str, items: list[str]) -> list[str]:
    if not items:
        return []
    more = [f"  and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
    return [f"{title}: {len(items):,}", *(f"  {item}" for item in items[:SHOWN]), *more]
