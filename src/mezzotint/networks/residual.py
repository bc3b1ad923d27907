"""A small residual recogniser that is cheap where a CPU is: the picture is folded at the door."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.types import DataSpec, Images


@dataclass(frozen=True, kw_only=True)
class ResidualConfig:
    """Channels of the first stage (doubled in each later one) and residual blocks per stage."""

    width: int = 64
    blocks: tuple[int, ...] = (2, 2)
    """Residual blocks of each stage; the side halves between stages."""
    dropout: float = 0.0
    """Share of the features that is left out while training."""

    def build(self, spec: DataSpec) -> "Residual":
        """The network for pictures and classes of `spec`."""
        return Residual(self, spec)


class _Block(nn.Module):
    """Pre-activation residual block (He et al. 2016): norm, ReLU, 3×3 convolution, twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x), inplace=True))
        return x + self.conv2(F.relu(self.norm2(y), inplace=True))


class Residual(nn.Module):
    """2×2 pixels folded into channels, stages of residual blocks, maximum over the rest of the picture, logits.

    Folding (space to depth) quarters the work of the first stage, where a CPU spends most of its time on few channels.
    Pictures over 32 pixels are folded 4×4.
    """

    def __init__(self, config: ResidualConfig, spec: DataSpec) -> None:
        super().__init__()
        self.fold = 1 if spec.height < 16 else 2 if spec.height <= 32 else 4
        w = config.width
        layers: list[nn.Module] = [nn.Conv2d(spec.channels * self.fold**2, w, 3, padding=1, bias=False)]
        for stage, blocks in enumerate(config.blocks):
            if stage:
                layers += [nn.BatchNorm2d(w), nn.ReLU(inplace=True), nn.Conv2d(w, 2 * w, 3, 2, 1, bias=False)]
                w *= 2
            layers += [_Block(w) for _ in range(blocks)]
        self.body = nn.Sequential(*layers, nn.BatchNorm2d(w), nn.ReLU(inplace=True))
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(2 * w, len(spec.classes))

    def features(self, images: Images) -> Tensor:
        """Mean and maximum over the last stage, n × features."""
        y = self.body(F.pixel_unshuffle(images, self.fold) if self.fold > 1 else images)
        return torch.cat([y.mean((2, 3)), y.amax((2, 3))], 1)

    def forward(self, images: Images) -> Tensor:
        """Logits, n × classes."""
        return self.head(self.dropout(self.features(images)))
