"""How well things are found: average precision as COCO has it, by faster-coco-eval."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mezzotint.errors import UserError
from mezzotint.metrics.interval import Score, around
from mezzotint.types import Boxes

BLOCKS = 16
"""Of pictures, each of which is left out once for the intervals."""
AP, AP_50, RECALL = "average_precision", "average_precision_50", "average_recall"


def judge() -> Any:
    """The library that judges; raises UserError where it is not installed."""
    try:
        import faster_coco_eval  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(
            "detectors are judged by faster-coco-eval: install it with `pip install 'mezzotint[detect]'`"
        ) from None
    return faster_coco_eval


def average_precision(given: Boxes, found: Boxes, things: Sequence[str]) -> dict[str, Score]:
    """Mean average precision at an overlap of 0.5, and the mean over overlaps from 0.5 to 0.95, and mean recall.

    Up to 100 boxes of a picture count, as in COCO; the house's detector finds at most 50. Over 101 recalls and the
    classes that occur; also `average_precision_50[thing]`. Boxes that do not count are as COCO's crowds: what is found
    there is neither right nor wrong. Intervals by a jackknife over blocks of pictures, [0, 1] for a single picture.
    Without a single box that counts there are no scores.
    """
    if not ((given[:, :, 0] >= 0) & (given[:, :, 5] == 0)).any():
        return {}
    table = _Table(given, found, things)
    n, everything = len(given), np.arange(1, len(given) + 1)
    value = table.scores(everything)
    blocks = np.array_split(np.random.default_rng(0).permutation(everything), min(BLOCKS, n))
    without = [table.scores(np.setdiff1d(everything, block)) for block in blocks] if n > 1 else []
    return {name: _jackknifed(v, [w.get(name, math.nan) for w in without], n) for name, v in value.items()}


def glance(given: Boxes, found: Boxes, things: Sequence[str]) -> float:
    """The average precision at 0.5 alone, without an interval; 0 where there is no box to find."""
    if not ((given[:, :, 0] >= 0) & (given[:, :, 5] == 0)).any():
        return 0.0
    return _Table(given, found, things).scores(np.arange(1, len(given) + 1))[AP_50]


def _jackknifed(value: float, without: Sequence[float], n: int) -> Score:
    """A class that is in one block alone has no score without it: such blocks are left out."""
    kept = np.array([w for w in without if math.isfinite(w)])
    blocks = len(kept)
    error = math.sqrt((blocks - 1) * float(kept.var())) if blocks > 1 else math.inf
    score = around(value, error, n, blocks - 1, f"jackknife over {blocks} blocks of pictures")
    return Score(value, max(score.low, 0.0), min(score.high, 1.0), n, score.method)


class _Table:
    """Given and found boxes as the library has them; pictures are numbered from 1."""

    def __init__(self, given: Boxes, found: Boxes, things: Sequence[str]) -> None:
        self.library, self.things = judge(), things
        truth = {
            "images": [{"id": i + 1} for i in range(len(given))],
            "categories": [{"id": k + 1, "name": name} for k, name in enumerate(things)],
            "annotations": coco_boxes(given, range(1, len(given) + 1), certainties=False),
        }
        said = coco_boxes(found, range(1, len(found) + 1))
        self.truth = self.library.COCO(truth)
        self.said = self.truth.loadRes(said) if said else None

    def scores(self, pictures: NDArray[np.int64]) -> dict[str, float]:
        """The scores of some of the pictures."""
        if self.said is None:
            occurring = {a["category_id"] - 1 for a in self.truth.dataset["annotations"] if not a["iscrowd"]}
            classes = {f"{AP_50}[{self.things[k]}]": 0.0 for k in sorted(occurring)}
            return {AP_50: 0.0, AP: 0.0, RECALL: 0.0, **classes}
        judged = self.library.COCOeval_faster(self.truth, self.said, "bbox", print_function=_silent)
        judged.params.imgIds = pictures.tolist()
        judged.evaluate()
        judged.accumulate()
        # Overlaps × recalls × classes × sizes of things × numbers of boxes; -1 where a class does not occur.
        precision = np.asarray(judged.eval["precision"])[:, :, :, 0, -1]
        recall = np.asarray(judged.eval["recall"])[:, :, 0, -1]
        classes = {
            f"{AP_50}[{name}]": float(precision[0, :, k].mean())
            for k, name in enumerate(self.things)
            if precision[0, 0, k] > -1
        }
        means = {
            name: float(v[v > -1].mean()) for name, v in ((AP_50, precision[0]), (AP, precision), (RECALL, recall))
        }
        return {**means, **classes}


def _silent(*words: object) -> None:
    """The library tells how long it takes."""


def coco_boxes(boxes: Boxes, pictures: Sequence[int], certainties: bool = True) -> list[dict[str, Any]]:
    """Boxes as COCO lists them, of pictures with these ids; categories are numbered from 1.

    Found boxes have a `score`; given ones (`certainties=False`) an `id`, an `area` and `iscrowd`.
    """
    listed: list[dict[str, Any]] = []
    for picture, rows in zip(pictures, boxes.cpu().double().tolist(), strict=True):
        for kind, left, top, right, bottom, rest in rows:
            if kind < 0:
                continue
            size = [right - left, bottom - top]
            row = {"image_id": int(picture), "category_id": int(kind) + 1, "bbox": [left, top, *size]}
            given = {"id": len(listed) + 1, "area": size[0] * size[1], "iscrowd": int(rest)}
            listed.append({**row, **({"score": rest} if certainties else given)})
    return listed
