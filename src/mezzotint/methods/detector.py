"""Detection: things in pictures by their centers, without anchors (Zhou et al. 2019, Liu et al. 2020)."""

from dataclasses import dataclass

import torch
from torch import nn

from mezzotint.errors import UserError
from mezzotint.losses import center
from mezzotint.method import Method, MethodConfig
from mezzotint.networks.center import CenterConfig
from mezzotint.ops import boxes as shapes
from mezzotint.types import Batch, Boxes, DataSpec, Images, Loss, Phase

MOST = 50
"""Boxes that are found in a picture, at most."""


@dataclass(frozen=True, kw_only=True)
class DetectorConfig(MethodConfig):
    """Which network detects, and what counts how much."""

    network: CenterConfig = CenterConfig()
    sides: float = 5.0
    """Weight of the loss of the boxes' sides beside that of the centers (Liu et al. 2020, section 3.4)."""
    least: float = 0.01
    """Certainty from which on something is found; scores count all of it, people are shown the sure ones."""
    flip_test: bool = False
    """Average the maps of a picture and of its mirror image; for data that are mirrored in training.

    Not where the width is no multiple of a cell: the mirror image's cells lie elsewhere.
    """

    def build(self, spec: DataSpec) -> "Detector":
        """Raises UserError for data without boxes, and for pictures smaller than the network's cells can tell apart."""
        if not spec.things:
            raise UserError(
                "a detector needs pictures with boxes: name a folder with COCO, YOLO or VOC annotations, "
                "or scenes-digits to try it out"
            )
        if min(spec.height, spec.width) < 16:
            raise UserError("a detector needs pictures of at least 16 pixels a side: set --size")
        return Detector(self, spec)


class Detector(Method):
    """One phase, one group: the network."""

    phases = (Phase("fit", trains=("network",)),)

    def __init__(self, config: DetectorConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.network = config.network.build(spec)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The network alone."""
        return {"network": list(self.network.parameters())}

    def loss(self, batch: Batch, phase: str) -> Loss:
        """The focal loss of the centers and the overlap that the boxes lack; what does not count is left alone."""
        logits, distances = self.network(batch.images)
        boxes, stride = batch.targets["boxes"].to(logits.dtype), self.network.stride
        counts = (boxes[:, :, 0] >= 0) & (boxes[:, :, 5] == 0)
        given, left_alone = (
            torch.where(which[:, :, None], boxes, boxes.new_tensor([-1.0, 0, 0, 0, 0, 0]))
            for which in (counts, (boxes[:, :, 0] >= 0) & ~counts)
        )
        height, width, things = *logits.shape[2:], len(self.spec.things)
        bumps = shapes.bumps(given, height, width, stride)
        target = shapes.by_class(bumps, given, things)
        ignored = shapes.by_class(shapes.inside(left_alone, height, width, stride), left_alone, things)
        counted = torch.where(target == 1, 1.0, 1 - ignored)
        corners, weights = shapes.told_sides(given, bumps)
        centers = center.center_focal(logits, target, counted).mean()
        sides = center.sides(shapes.corners_of(distances, stride), corners, weights).mean()
        return Loss(centers + self.config.sides * sides, {"centers": centers.detach(), "sides": sides.detach()})

    def detect(self, images: Images) -> Boxes:
        """Up to `MOST` boxes of each picture in pixels, surest first, cut to the picture; the rest have class -1."""
        logits, distances = self.network(images)
        certainty = logits.sigmoid()
        if self.config.flip_test and images.shape[3] % self.network.stride == 0:
            mirrored, theirs = self.network(images.flip(-1))
            certainty = (certainty + mirrored.sigmoid().flip(-1)) / 2
            distances = (distances + theirs.flip(-1)[:, [2, 1, 0, 3]]) / 2
        corners = shapes.corners_of(distances, self.network.stride)
        found = shapes.peaks(certainty, corners, MOST, self.config.least)
        height, width = images.shape[2:]
        found[:, :, [1, 3]] = found[:, :, [1, 3]].clamp(0, width)
        found[:, :, [2, 4]] = found[:, :, [2, 4]].clamp(0, height)
        return found
