"""A convolutional network in the manner of transformers, ConvNeXt (Liu et al. 2022)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mezzotint.networks.recognizer import ChannelNorm, DropPath, Recognizer, depths, reduction, small_weights
from mezzotint.types import DataSpec

SCALE = 1e-6
"""Where the gain of each branch begins (Touvron et al. 2021, "LayerScale")."""


@dataclass(frozen=True, kw_only=True)
class ConvnextConfig:
    """The default is ConvNeXt-T."""

    blocks: tuple[int, ...] = (3, 3, 9, 3)
    width: int = 96
    """Channels of the first stage; each later stage has twice as many, on half the side."""
    kernel: int = 7
    """Side of the depthwise convolutions, odd."""
    reduction: int | None = None
    """By what the stem divides the sides: 1, 2 or 4; by the size of the pictures where it is not given."""
    drop_path: float = 0.0
    """Stochastic depth: how often the last block is left out while training."""
    dropout: float = 0.0
    """Share of the features that is left out while training."""

    def build(self, spec: DataSpec) -> Recognizer:
        """The network for pictures and classes of `spec`."""
        if self.kernel % 2 == 0:
            raise ValueError("kernel must be odd")
        by = reduction(spec, self.reduction, wide=16)
        stem = nn.Sequential(nn.Conv2d(spec.channels, self.width, by, by), ChannelNorm(self.width, eps=1e-6))
        extent, width = max(1, min(spec.height, spec.width) // by), self.width
        stages: list[nn.Module] = []
        for i, rates in enumerate(depths(self.blocks, self.drop_path)):
            layers: list[nn.Module] = []
            if i:
                step = 2 if extent > 1 else 1
                layers += [ChannelNorm(width, eps=1e-6), nn.Conv2d(width, 2 * width, step, step)]
                extent, width = max(1, extent // 2), 2 * width
            stages.append(nn.Sequential(*layers, *(_Block(width, self.kernel, rate) for rate in rates)))
        network = Recognizer(spec, stem, stages, ChannelNorm(width, eps=1e-6), width, self.dropout)
        small_weights(network)
        return network


class _Block(nn.Module):
    """Depthwise convolution, norm, four times the channels, GELU, back; added to what came in."""

    def __init__(self, width: int, kernel: int, rate: float) -> None:
        super().__init__()
        self.mix = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.think = nn.Sequential(
            nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.gain = nn.Parameter(torch.full((width,), SCALE))
        self.drop = DropPath(rate)

    def forward(self, x: Tensor) -> Tensor:
        """N c h w to the same."""
        y = self.think(self.mix(x).permute(0, 2, 3, 1)) * self.gain
        return x + self.drop(y.permute(0, 3, 1, 2))
