"""A small residual recognizer that is cheap where a CPU is: the picture is folded at the door."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.types import DataSpec, Images


@dataclass(frozen=True, kw_only=True)
class ResidualConfig:
    """Twice the width is four times the work; one more block in any stage costs about the same as in another."""

    width: int = 32
    """Channels of the first stage; each later stage has twice as many, on half the side."""
    blocks: tuple[int, ...] = (1, 1, 1)
    """Blocks of each stage; the depth is a stem, the convolutions of the blocks and one between stages."""
    convolutions: Literal[1, 2] = 2
    """Of each block: two with a shortcut around them, or one without."""
    halving: Literal["stride", "pool"] = "stride"
    """How the side halves between stages: by a convolution of stride 2, or by a maximum after a full one."""
    dropout: float = 0.0
    """Share of the features that is left out while training."""

    def build(self, spec: DataSpec) -> "Residual":
        """The network for pictures and classes of `spec`."""
        return Residual(self, spec)


class _Normed(nn.Sequential):
    """3×3 convolution, batch norm, ReLU; the norm comes after a pool, where there is a quarter of the work."""

    def __init__(self, inputs: int, outputs: int, halving: Literal["stride", "pool"] | None = None) -> None:
        stride = 2 if halving == "stride" else 1
        pool = [nn.MaxPool2d(2)] if halving == "pool" else []
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            *pool,
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class _Block(nn.Module):
    """Residual block of two 3×3 convolutions (He et al. 2016, figure 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Normed(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.second(self.first(x))) + x, inplace=True)


class Residual(nn.Module):
    """Pixels folded into channels, stages of residual blocks, mean and maximum over what is left of the side, logits.

    Folding (space to depth) 2×2 pixels quarters the work of the first stage, where a CPU is slowest: few channels on
    many positions. Pictures under 16 pixels are not folded, those over 32 are folded 4×4, over 64 8×8.
    """

    def __init__(self, config: ResidualConfig, spec: DataSpec) -> None:
        super().__init__()
        side = max(spec.height, spec.width)
        self.fold = 1 if side < 16 else 2 if side <= 32 else 4 if side <= 64 else 8
        w, extent = config.width, -(-min(spec.height, spec.width) // self.fold)
        layers: list[nn.Module] = [_Normed(spec.channels * self.fold**2, w)]
        for stage, blocks in enumerate(config.blocks):
            if stage:
                layers.append(_Normed(w, 2 * w, config.halving if extent > 1 else None))
                extent = extent // 2 if config.halving == "pool" else (extent + 1) // 2
                w *= 2
            layers += [_Block(w) if config.convolutions == 2 else _Normed(w, w) for _ in range(blocks)]
        self.body = nn.Sequential(*layers)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(2 * w, len(spec.classes))

    def features(self, images: Images) -> Float[Tensor, "n features"]:
        """Mean and maximum over the last stage, n × features."""
        short = -images.shape[2] % self.fold, -images.shape[3] % self.fold
        if any(short):
            images = F.pad(images, (0, short[1], 0, short[0]), mode="replicate")
        y = self.body(F.pixel_unshuffle(images, self.fold) if self.fold > 1 else images)
        return torch.cat([y.mean((2, 3)), y.amax((2, 3))], 1)

    def forward(self, images: Images) -> Float[Tensor, "n classes"]:
        """Logits, n × classes."""
        return self.head(self.dropout(self.features(images)))
