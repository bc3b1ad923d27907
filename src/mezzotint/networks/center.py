"""Maps of centers and of sides on top of a recognizer, for a detector.

```text
picture ── stage 1 ── stage 2 ── stage 3 ── stage 4      (each on half the side of the one before)
             │ 1×1      │ 1×1      │ 1×1      │ 1×1
             + ── up ── + ── up ── + ── up ── ┘          (Lin et al. 2017)
             │ 3×3
             ├─ 3×3 ─ 1×1 ── centers, one map a class
             └─ 3×3 ─ 1×1 ── distances to the four sides
```
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.networks.residual import ResidualConfig
from mezzotint.networks.resnet import ResnetConfig
from mezzotint.types import DataSpec, Images

PRIOR = 0.1
"""Certainty of a center anywhere before anything was learned (Lin et al. 2017, "focal loss", section 4.1)."""
FARTHEST = 6.0
"""Bound on the logarithm of a distance in cells."""


@dataclass(frozen=True, kw_only=True)
class CenterConfig:
    """Twice the width is four times the work."""

    backbone: ResidualConfig | ResnetConfig = ResidualConfig(blocks=(1, 1, 1, 1), fold=4)
    """`fold`, or `reduction`, is the side of a cell in pixels: things whose centers share one are told apart by class
    alone."""
    neck: int = 48
    """Channels of what the maps are made from."""

    def build(self, spec: DataSpec) -> "Center":
        """The network for the pictures and things of `spec`."""
        return Center(self, spec)


class Center(nn.Module):
    """A map for each of `spec.things`, and four of distances."""

    def __init__(self, config: CenterConfig, spec: DataSpec) -> None:
        super().__init__()
        self.backbone = config.backbone.build(replace(spec, classes=()))
        self.stride = config.backbone.cell(spec)
        """Side of a cell in pixels."""
        self.laterals = nn.ModuleList([nn.Conv2d(width, config.neck, 1) for width in config.backbone.stage_widths])
        self.smooth = nn.Sequential(
            nn.Conv2d(config.neck, config.neck, 3, padding=1, bias=False), nn.BatchNorm2d(config.neck), nn.ReLU()
        )
        self.centers = _head(config.neck, len(spec.things))
        self.distances = _head(config.neck, 4)
        nn.init.constant_(_bias(self.centers), -math.log((1 - PRIOR) / PRIOR))

    def features(self, images: Images) -> Float[Tensor, "n d y x"]:
        """What the maps are made from, on a side of 1/stride."""
        stages = self.backbone.stage_maps(images)
        y = self.laterals[-1](stages[-1])
        for lateral, stage in zip(list(self.laterals)[-2::-1], stages[-2::-1], strict=True):
            y = lateral(stage) + F.interpolate(y, size=stage.shape[2:], mode="nearest")
        return self.smooth(y)

    def forward(self, images: Images) -> tuple[Float[Tensor, "n k y x"], Float[Tensor, "n 4 y x"]]:
        """Logits of centers, and distances of left, top, right and bottom from the middles of the cells, in pixels."""
        y = self.features(images)
        distances = self.distances(y).float().clamp(max=FARTHEST)
        return self.centers(y).float(), self.stride * torch.exp(distances)


def _head(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, inputs, 3, padding=1), nn.ReLU(), nn.Conv2d(inputs, outputs, 1))


def _bias(head: nn.Sequential) -> Tensor:
    last = head[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    return last.bias
