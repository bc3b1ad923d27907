"""Classes as users name them, and the numbers that a method knows them by."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mezzotint.codec import nearest
from mezzotint.drawing import CHUNK
from mezzotint.errors import UserError
from mezzotint.method import Method
from mezzotint.types import Labels


@dataclass(frozen=True)
class Naming:
    """The classes of a method; raises UserError for what it does not know by name, or cannot do without."""

    method: Method
    recipe: str
    """Its recipe's name, for sentences."""

    @property
    def by_class(self) -> bool:
        """Whether pictures are drawn by class."""
        return bool(getattr(self.method, "classes", 0))

    @property
    def codes_by_class(self) -> bool:
        """Whether the way to a code (or noise) and back is told the picture's class."""
        return bool(getattr(self.method, "codes_by_class", self.by_class))

    def numbers(self, classes: Sequence[str], count: int) -> Labels:
        """Of `count` classes."""
        known = self.method.spec.classes
        if not self.by_class:
            raise UserError(f"{self.recipe} was not trained by class, so it cannot draw one that you name")
        for name in classes:
            if name not in known:
                raise UserError(f"there is no class {name!r}: {nearest(name, known)}")
        if len(classes) != count:
            raise UserError(f"there are {len(classes)} classes for {count} pictures")
        return torch.tensor([known.index(name) for name in classes])

    def shared(self, classes: Sequence[str] | None, count: int) -> Labels | None:
        """Of one class for each of `count` pictures, or of one for all; None where none is named."""
        if not classes:
            return None
        return self.numbers(list(classes) * count if len(classes) == 1 else classes, count)

    def or_usual(self, classes: Sequence[str], seeds: Sequence[int]) -> Labels | None:
        """The same for the pictures of these seeds; where none is named, those that the seeds draw unasked."""
        if classes:
            return self.shared(classes, len(seeds))
        usual = self.method.labels_for(seeds, None)
        return None if usual is None else usual.cpu()

    def chunks(self, rows: Tensor, classes: Sequence[str] | None) -> list[tuple[Tensor, Labels | None]]:
        """Rows to be coded, or codes, in chunks with their classes (or the one of all), where it cannot do without."""
        parts, labels = rows.split(CHUNK), self.shared(classes, len(rows))
        if labels is not None:
            return list(zip(parts, labels.split(CHUNK), strict=True))
        if self.codes_by_class:
            raise UserError(f"{self.recipe} was trained by class: name the class of each picture, or of all")
        return [(part, None) for part in parts]
