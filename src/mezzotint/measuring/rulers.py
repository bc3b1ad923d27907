"""Pictures as a ruler sees them: in the features of an extractor, which may be a method that was trained here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import ordered
from mezzotint.drawing import CHUNK
from mezzotint.errors import UserError
from mezzotint.method import Method
from mezzotint.metrics.features import AS_THEY_ARE
from mezzotint.types import Embeds, Images, Labels


@dataclass(frozen=True)
class MethodFeatures:
    """A trained network that embeds pictures as the ruler of other models."""

    method: Method
    name: str
    digest: str
    resize: str = AS_THEY_ARE

    def __call__(self, images: Images) -> Tensor:
        """What its last layer sees; raises UserError where the pictures have another shape than it was trained on."""
        return self._embedding(images).features(images).float()

    def spatial(self, images: Images) -> Tensor:
        """What it sees halfway, place by place; raises as above."""
        return self._embedding(images).spatial(images)

    def kinds(self, features: Tensor, classes: Sequence[str]) -> Labels | None:
        """Which of `classes` each row of features is of, by its last layer; None where it tells others or none."""
        head: Any = getattr(getattr(self.method, "network", None), "head", None)
        if not isinstance(head, nn.Linear) or tuple(self.method.spec.classes) != tuple(classes):
            return None
        return head(features.to(head.weight.device)).argmax(1).cpu()

    def _embedding(self, images: Images) -> Embeds:
        assert isinstance(self.method, Embeds)
        if tuple(images.shape[1:]) != self.method.spec.shape:
            raise UserError(
                f"the features of {self.name} are for pictures of {_spoken(self.method.spec.shape)}, "
                f"not {_spoken(tuple(images.shape[1:]))}: train a recogniser on these pictures"
            )
        self.method.to(images.device)
        return self.method


def _spoken(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}×{shape[2]}×{shape[0]}"


@dataclass(frozen=True)
class Embedded:
    """Pictures as an extractor sees them."""

    features: Tensor
    labels: Labels | None

    def of(self, label: int) -> Tensor:
        """The features of one class."""
        assert self.labels is not None
        return self.features[self.labels == label]


def embedded(
    dataset: Dataset, split: str, count: int, extractor: Callable[[Images], Tensor], device: torch.device
) -> Embedded:
    """Up to `count` pictures spread over a split, as the extractor sees them; features and labels are on the CPU."""
    with torch.inference_mode():
        parts = [(extractor(x).cpu(), y) for x, y in ordered(dataset, split, CHUNK, device, count)]
    if not parts:
        return Embedded(torch.zeros(0, 1), None)
    features, labels = zip(*parts, strict=True)
    return Embedded(torch.cat(features), None if labels[0] is None else torch.cat(labels).cpu())
