"""Densely connected networks with bottlenecks and compression, DenseNet-BC (Huang et al. 2017)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mezzotint.networks.recognizer import MapNorm, Recognizer, he_weights, map_norm, reduction
from mezzotint.networks.resnet import stem_layers
from mezzotint.types import DataSpec

BOTTLENECK = 4
"""Channels between the two convolutions of a layer, in multiples of the growth (section 3, "Bottleneck layers")."""


@dataclass(frozen=True, kw_only=True)
class DensenetConfig:
    """The default is DenseNet-121; DenseNet-BC-100-12 has growth 12, blocks 16,16,16 and no norm in its stem."""

    growth: int = 32
    """Channels that each layer adds to all before it."""
    blocks: tuple[int, ...] = (6, 12, 24, 16)
    compression: float = 0.5
    """Share of the channels that is left between two blocks."""
    norm: MapNorm = "batch"
    reduction: int | None = None
    """By what the stem divides the sides: 1, 2 or 4; by the size of the pictures where it is not given."""
    inner_dropout: float = 0.0
    """Share of what each layer adds that is left out while training."""
    dropout: float = 0.0
    """Share of the features that is left out while training."""

    def build(self, spec: DataSpec) -> Recognizer:
        """The network for pictures and classes of `spec`."""
        by, channels = reduction(spec, self.reduction), 2 * self.growth
        normed = (lambda c: map_norm(self.norm, c)) if by == 4 else None
        stem = nn.Sequential(*stem_layers(spec, channels, by, normed))
        stages: list[nn.Module] = []
        for i, count in enumerate(self.blocks):
            layers: list[nn.Module] = []
            if i:
                left = int(channels * self.compression)
                layers.append(_Transition(self, channels, left))
                channels = left
            layers += [_Layer(self, channels + j * self.growth) for j in range(count)]
            channels += count * self.growth
            stages.append(nn.Sequential(*layers))
        last = nn.Sequential(map_norm(self.norm, channels), nn.ReLU(inplace=True))
        network = Recognizer(spec, stem, stages, last, channels, self.dropout)
        he_weights(network)
        return network


class _Layer(nn.Module):
    """Norm, ReLU, 1×1; norm, ReLU, 3×3: what it finds stands beside what was there."""

    def __init__(self, config: DensenetConfig, inputs: int) -> None:
        super().__init__()
        inner = BOTTLENECK * config.growth
        self.find = nn.Sequential(
            map_norm(config.norm, inputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(inputs, inner, 1, bias=False),
            map_norm(config.norm, inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, config.growth, 3, padding=1, bias=False),
            *([nn.Dropout(config.inner_dropout)] if config.inner_dropout else []),
        )

    def forward(self, x: Tensor) -> Tensor:
        """N c h w to n (c + growth) h w."""
        return torch.cat([x, self.find(x)], 1)


class _Transition(nn.Sequential):
    """Fewer channels on half the side; an odd last row is a mean of itself alone."""

    def __init__(self, config: DensenetConfig, inputs: int, outputs: int) -> None:
        super().__init__(
            map_norm(config.norm, inputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.AvgPool2d(2, ceil_mode=True),
        )
