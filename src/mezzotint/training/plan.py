"""The plan of a run: how many pictures it will see, and what share of the way is done.

A budget of pictures is a plan of one leg. A budget of minutes is turned into pictures by a probe; where the machine
turns out faster or slower, a new leg leads from the present progress to a new total. Each leg is on disk before it
takes effect, so a resumed run follows the same plan to the bit.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from mezzotint.training import lines


@dataclass(frozen=True)
class Leg:
    """From `images` on, progress rises linearly from `progress` to 1 at `total` pictures."""

    images: int
    progress: float
    total: int


class Plan:
    """The legs of a run, kept in a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.legs = [Leg(**fields) for fields in lines.read(path)]

    @property
    def total(self) -> int:
        """Pictures that the run will have seen at its end."""
        return self.legs[-1].total

    @property
    def revised_at(self) -> int:
        """Pictures seen where the last leg begins; earlier than that the plan must not be changed."""
        return self.legs[-1].images

    def progress(self, images: int) -> float:
        """Share of the way that is done after `images` pictures, in [0, 1]."""
        leg = next((leg for leg in reversed(self.legs) if leg.images <= images), self.legs[0])
        if images >= leg.total:
            return 1.0
        return leg.progress + (1 - leg.progress) * (images - leg.images) / (leg.total - leg.images)

    def is_done(self, images: int) -> bool:
        """Whether the leg that holds at `images` is walked to its end."""
        return images >= self.revised_at and images >= self.total

    def add_leg(self, images: int, total: int) -> None:
        """Head for `total` pictures from here on; on disk when this returns."""
        progress = self.progress(images) if self.legs else 0.0
        leg = Leg(images, progress, max(total, images + 1))
        lines.mend(self.path)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(leg)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.legs.append(leg)
