"""What clips are cut from: items that bounce about, rendered when they are asked for, and frames that were decoded."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.decode import Pixels
from mezzotint.ops.noise import keyed_uniform

FRAMES = 20
"""Of a clip, where nobody says otherwise."""
STEP = 0.1
"""What a bouncing item covers from one frame to the next, as a share of the way that it has between the walls."""
ITEMS = 2
"""Of a rendered clip."""


@runtime_checkable
class Footage(Protocol):
    """Clips by their numbers."""

    @property
    def length(self) -> int:
        """Frames of a clip."""
        ...

    @property
    def rate(self) -> float:
        """Frames a second."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a frame."""
        ...

    def at(self, rows: NDArray[np.int64]) -> Pixels:
        """The clips of these numbers, n × t × h × w × c."""
        ...


@dataclass(frozen=True)
class Cut:
    """Clips of decoded frames: clip i begins at frame i."""

    frames: Pixels
    length: int
    rate: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a frame."""
        return self.frames.shape[1], self.frames.shape[2], self.frames.shape[3]

    def at(self, rows: NDArray[np.int64]) -> Pixels:
        """The clips that begin at these frames, n × t × h × w × c."""
        return self.frames[rows[:, None] + np.arange(self.length)]


@dataclass(frozen=True)
class Bouncing:
    """Clips of two items that bounce off the walls of a dark square (Srivastava et al. 2015, section 3.1).

    An item is a picture of `items`; where two meet the brighter pixel is seen. It begins anywhere, goes in any
    direction at a constant pace (a tenth of its way between the walls a frame), is set onto the wall that it would pass
    and goes back from there. All of it is a function of the clip's number: there is no end of clips and none is stored.
    """

    items: Pixels
    """n × h × w × c."""
    bounds: tuple[tuple[int, NDArray[np.int64]], ...]
    """For each split the first clip's number behind it, ascending, and the items that its clips show."""
    side: int
    length: int
    rate: float = 10.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a frame."""
        return self.side, self.side, self.items.shape[3]

    def at(self, rows: NDArray[np.int64]) -> Pixels:
        """The clips of these numbers, n × t × h × w × c."""
        size, numbers = self.items.shape[1], keyed_uniform(0, rows, 4 * ITEMS).reshape(-1, ITEMS, 4)
        clips = np.zeros((len(rows), self.length, *self.shape), np.uint8)
        paths = np.floor(bounced(numbers[..., 1:], self.length) * (self.side - size)).astype(int)
        for clip, row, own, path in zip(clips, rows, numbers, paths, strict=True):
            for uniform, way in zip(own[:, 0], path, strict=True):
                item = self.items[self._choice(int(row), float(uniform))]
                for frame, (top, left) in zip(clip, way, strict=True):
                    window = frame[top : top + size, left : left + size]
                    np.maximum(window, item, out=window)
        return clips

    def _choice(self, row: int, uniform: float) -> int:
        shown = next(items for end, items in self.bounds if row < end)
        return int(shown[int(uniform * len(shown))])


def bounced(numbers: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Places in [0, 1]² of points that bounce within the unit square, … × length × 2.

    `numbers` (… × 3) in [0, 1) are the start and the direction in turns; the first place is one step from the start.
    """
    place, angle = numbers[..., :2].copy(), numbers[..., 2] * 2 * np.pi
    pace = STEP * np.stack([np.sin(angle), np.cos(angle)], -1)
    places = np.empty((*place.shape[:-1], length, 2))
    for t in range(length):
        place = place + pace
        pace = np.where((place <= 0) | (place >= 1), -pace, pace)
        place = place.clip(0, 1)
        places[..., t, :] = place
    return places
