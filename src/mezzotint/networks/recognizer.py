"""What recognizers of several architectures share: from pictures to maps to features to logits, and what they drop."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.ops.places import places
from mezzotint.types import DataSpec, Images

MapNorm = Literal["batch", "group"]
"""Statistics over the batch (Ioffe & Szegedy 2015), or over groups of one picture's channels (Wu & He 2018)."""
GROUPS = 32
"""Of group norm, where there are so many channels (Wu & He 2018, table 3)."""


class Recognizer(nn.Module):
    """A stem, stages, a last norm, the mean over all places, a linear head.

    `width` is the number of channels that `last` gives: the features.
    """

    def __init__(
        self, spec: DataSpec, stem: nn.Module, stages: Sequence[nn.Module], last: nn.Module, width: int, dropout: float
    ) -> None:
        super().__init__()
        self.stem, self.stages, self.last = stem, nn.Sequential(*stages), last
        self.dropout = nn.Dropout(dropout)
        self.width = width
        """Number of features."""
        self.head = nn.Linear(width, len(spec.classes)) if spec.classes else None

    def maps(self, images: Images) -> Float[Tensor, "n features rows columns"]:
        """The features place by place."""
        return self.last(self.stages(self.stem(images)))

    def stage_maps(self, images: Images) -> list[Tensor]:
        """The maps at the end of each stage, n c h w, from the largest to the smallest; the last are `maps`."""
        y, found = self.stem(images), list[Tensor]()
        for stage in self.stages:
            y = stage(y)
            found.append(y)
        return [*found[:-1], self.last(y)]

    def pooled(self, maps: Float[Tensor, "n features rows columns"]) -> Float[Tensor, "n features"]:
        """The features of a picture from those of its places: their mean."""
        return maps.mean((2, 3))

    def features(self, images: Images) -> Float[Tensor, "n features"]:
        """The input of the last layer."""
        return self.pooled(self.maps(images))

    def spatial(self, images: Images) -> Float[Tensor, "n d"]:
        """What the first half of the stages sees, place by place (`ops.places`)."""
        return places(self.stages[: (len(self.stages) + 1) // 2](self.stem(images)))

    def forward(self, images: Images) -> Float[Tensor, "n classes"]:
        """Logits."""
        assert self.head is not None, "there are no classes"
        return self.head(self.dropout(self.features(images)))


def reduction(spec: DataSpec, asked: int | None, wide: int = 48) -> int:
    """By what a stem divides the sides: as asked, else so that the first stage works on 28 to 56 pixels.

    1 below `wide` pixels, 2 below 96, 4 from there on (224 pixels: 56, as published).
    """
    side = min(spec.height, spec.width)
    found = asked or (1 if side < wide else 2 if side < 96 else 4)
    if found not in (1, 2, 4):
        raise ValueError("reduction must be 1, 2 or 4")
    return found


def map_norm(norm: MapNorm, channels: int) -> nn.Module:
    """The norm for maps of so many channels."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(next(g for g in range(min(GROUPS, channels), 0, -1) if channels % g == 0), channels)


class ChannelNorm(nn.LayerNorm):
    """Layer norm of the channels at each place of a map (Liu et al. 2022, section 2.5)."""

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """N c h w to the same."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016): for a share `p` of the pictures a branch is left out while training.

    What stays is scaled by 1 / (1 - p), so that nothing changes in use.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, branch: Tensor) -> Tensor:
        """The branch, zero for some pictures."""
        if not self.training or self.p == 0:
            return branch
        kept = torch.rand(len(branch), device=branch.device) >= self.p
        scale = kept.to(branch.dtype) / (1 - self.p)
        return branch * scale.view(-1, *[1] * (branch.ndim - 1))


def depths(blocks: Sequence[int], last: float) -> list[list[float]]:
    """For each block of each stage how often it is left out: from 0 linearly to `last` (Huang et al. 2016, eq. 4)."""
    if not 0 <= last < 1:
        raise ValueError("drop_path must be from 0 to below 1")
    found = iter([last * i / max(1, sum(blocks) - 1) for i in range(sum(blocks))])
    return [[next(found) for _ in range(count)] for count in blocks]


def he_weights(network: nn.Module) -> None:
    """Begin all convolutions by He et al. 2015, section 2.2, with the fan of the outputs."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def small_weights(network: nn.Module) -> None:
    """Begin all linear maps and convolutions by a truncated normal of deviation 0.02, biases by zero."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
