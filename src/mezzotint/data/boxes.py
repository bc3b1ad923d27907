"""Boxes on their way from an annotation to a training picture: turned, cut, scaled, and what was odd told."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]
"""Boxes of one picture, k × 6: class, left, top, right, bottom in pixels, 1 where the box does not count."""

LEAST_SEEN = 0.3
"""A box of which the crop leaves less is not counted, nor one that comes out thinner than `LEAST_SIDE` pixels."""
LEAST_SIDE = 1.0
BEYOND = 1.0
"""Pixels by which a box may reach over the edge before that is worth telling."""


@dataclass
class Oddities:
    """What was odd, how often, and where it was first."""

    found: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])

    def add(self, what: str, where: str, count: int = 1) -> None:
        """Note `count` boxes or pictures of which `what` can be said, as in `3 boxes without area were left out`."""
        if count:
            before, first = self.found.get(what, (0, where))
            self.found[what] = before + count, first

    def sentences(self) -> tuple[str, ...]:
        """One a kind."""
        return tuple(f"{count} {what} (the first: {where})" for what, (count, where) in self.found.items())


def sound(boxes: Rows, width: int, height: int, odd: Oddities, where: str) -> Rows:
    """Boxes of numbers, their corners in order, with an area, inside of a picture of `width` × `height`, each once."""
    finite = np.isfinite(boxes).all(1)
    odd.add("boxes that are no numbers were left out", where, int((~finite).sum()))
    boxes = boxes[finite]
    reversed_ = (boxes[:, 3] < boxes[:, 1]) | (boxes[:, 4] < boxes[:, 2])
    odd.add("boxes with reversed corners were put right", where, int(reversed_.sum()))
    left, right = np.minimum(boxes[:, 1], boxes[:, 3]), np.maximum(boxes[:, 1], boxes[:, 3])
    top, bottom = np.minimum(boxes[:, 2], boxes[:, 4]), np.maximum(boxes[:, 2], boxes[:, 4])
    flat = (right <= left) | (bottom <= top)
    odd.add("boxes without area were left out", where, int(flat.sum()))
    outside = ~flat & ((right <= 0) | (bottom <= 0) | (left >= width) | (top >= height))
    odd.add("boxes outside of their picture were left out", where, int(outside.sum()))
    kept = ~flat & ~outside
    boxes = np.stack([boxes[:, 0], left, top, right, bottom, boxes[:, 5]], 1)[kept]
    over = (boxes[:, 1:3].min(1, initial=0) < -BEYOND) | ((boxes[:, 3:5] - [width, height]).max(1, initial=0) > BEYOND)
    odd.add("boxes that reach out of their picture were cut", where, int(over.sum()))
    boxes = cut(boxes, width, height)
    single = np.unique(boxes, axis=0, return_index=True)[1]
    odd.add("boxes that repeat another were left out", where, len(boxes) - len(single))
    return boxes[np.sort(single)]


def cut(boxes: Rows, width: float, height: float) -> Rows:
    """Boxes cut to a picture."""
    done = boxes.copy()
    done[:, [1, 3]] = done[:, [1, 3]].clip(0, width)
    done[:, [2, 4]] = done[:, [2, 4]].clip(0, height)
    return done


def upright(boxes: Rows, width: int, height: int, orientation: int) -> Rows:
    """Boxes in a stored picture of `width` × `height`, in the picture as its EXIF orientation (1 to 8) turns it."""
    kind, left, top, right, bottom, rest = boxes.T
    if orientation in (2, 3, 7, 8):
        left, right = width - right, width - left
    if orientation in (3, 4, 6, 7):
        top, bottom = height - bottom, height - top
    if orientation >= 5:
        left, top, right, bottom = top, left, bottom, right
    return np.stack([kind, left, top, right, bottom, rest], 1)


def placed(boxes: Rows, width: int, height: int, size: int, crop: str) -> Rows:
    """Boxes in an upright picture, in the square of `size` that `decode.fitted` makes of it.

    What is wholly cropped away is gone; what is hardly seen any more does not count.
    """
    across, down = _placing(width, height, size, crop)
    done = boxes.copy()
    done[:, [1, 3]] = done[:, [1, 3]] * across[0] + across[1]
    done[:, [2, 4]] = done[:, [2, 4]] * down[0] + down[1]
    whole = _area(done)
    done = cut(done, size, size)
    seen, sides = _area(done), np.minimum(done[:, 3] - done[:, 1], done[:, 4] - done[:, 2])
    done[(seen < LEAST_SEEN * whole) | (sides < LEAST_SIDE), 5] = 1
    return done[seen > 0]


def _placing(width: int, height: int, size: int, crop: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Scale and offset across and down."""
    if crop == "stretch":
        return (size / width, 0.0), (size / height, 0.0)
    if crop == "fit":
        sides = [max(1, round(side * size / max(width, height))) for side in (width, height)]
        across, down = ((new / old, (size - new) // 2) for new, old in zip(sides, (width, height), strict=True))
        return across, down
    side = min(width, height)
    scale = size / side
    return (scale, -((width - side) // 2) * scale), (scale, -((height - side) // 2) * scale)


def unplaced(boxes: Rows, width: int, height: int, size: int, crop: str) -> Rows:
    """The way back from the square to the upright picture, cut to it."""
    across, down = _placing(width, height, size, crop)
    done = boxes.copy()
    done[:, [1, 3]] = (done[:, [1, 3]] - across[1]) / across[0]
    done[:, [2, 4]] = (done[:, [2, 4]] - down[1]) / down[0]
    return cut(done, width, height)


def _area(boxes: Rows) -> NDArray[np.float64]:
    return (boxes[:, 3] - boxes[:, 1]) * (boxes[:, 4] - boxes[:, 2])


def padded(pictures: Sequence[Rows]) -> NDArray[np.float32]:
    """Boxes of n pictures as n × m × 6, m the most that any has (at least one), the rest of class -1 and of zeros."""
    most = max([1, *map(len, pictures)])
    table = np.zeros((len(pictures), most, 6), np.float32)
    table[:, :, 0] = -1
    for row, boxes in zip(table, pictures, strict=True):
        row[: len(boxes)] = boxes
    return table
