"""A U-Net for noisy pictures (Ronneberger et al. 2015; Ho et al. 2020), cheap where a CPU is.

Pixels are folded into channels at the door (space to depth), which quarters the work of the finest stage; there is one
bridge a stage, and every norm is modulated by the noise level and the class (Dhariwal & Nichol 2021, section 3).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.networks.parts import Condition, Dropout, Fold, attended, zeroed
from mezzotint.types import DataSpec, Images, Labels


@dataclass(frozen=True, kw_only=True)
class UnetConfig:
    """Width and depth: for 28×28 pictures 0.3 M parameters at width 32 and blocks 1, 60 M at width 320 and blocks 2."""

    width: int = 64
    """Channels of the finest stage; each coarser one has twice as many on half the side, up to four times."""
    blocks: int = 1
    """Residual blocks of each stage on the way down, and again on the way up."""
    fold: int | None = None
    """Side of the squares of pixels that become channels at the door; by the picture's size where it is not given."""
    attention: int = 8
    """Stages of at most this side attend after each block; 0 is no attention."""
    dropout: float = 0.0
    """Share of the numbers that each block leaves out while training."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes of which no network can be made."""
        if self.width < 8 or self.width % 8 or self.blocks < 1 or (self.fold is not None and self.fold < 1):
            raise ValueError("width must be a multiple of 8, blocks and fold at least 1")

    def build(self, spec: DataSpec, classes: int) -> "Unet":
        """The network for pictures of `spec`, told one of `classes` classes (0: none)."""
        return Unet(self, spec, classes)


class Unet(nn.Module):
    """Fold → stages down, each on half the side → stages up, each with a bridge from its peer → unfold.

    ```text
    picture ─ fold ─ stage ────────────── bridge ────────────── stage ─ unfold
                       └ shrink ─ stage ─ bridge ─ stage ─ grow ┘
                                    └ shrink … grow ┘
    ```
    """

    def __init__(self, config: UnetConfig, spec: DataSpec, classes: int) -> None:
        super().__init__()
        side = max(spec.height, spec.width)
        fold = config.fold or (1 if side < 16 else 2 if side <= 64 else 4 if side <= 128 else 8)
        sides = [-(-side // fold)]
        while sides[-1] > 8 and len(sides) < 4:
            sides.append(-(-sides[-1] // 2))
        widths = [config.width * min(2**i, 4) for i in range(len(sides))]
        stages = [(width, reach <= config.attention) for width, reach in zip(widths, sides, strict=True)]
        self.fold = Fold(fold, fold * 2 ** (len(sides) - 1))
        self.enter = nn.Conv2d(spec.channels * fold**2, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_Stage(config, *stage) for stage in stages)
        self.up = nn.ModuleList(_Stage(config, *stage) for stage in reversed(stages))
        pairs = list(pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 2, 2) for fine, coarse in pairs)
        self.grow = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in reversed(pairs))
        self.merge = nn.ModuleList(nn.Conv2d(2 * fine, fine, 1) for fine, _ in reversed(pairs))
        last = zeroed(nn.Conv2d(widths[0], spec.channels * fold**2, 3, padding=1))
        self.leave = nn.Sequential(_Norm(widths[0]), nn.SiLU(), last)
        each = [2 * width for width, _ in stages + stages[::-1] for _ in range(config.blocks)]
        self.condition = Condition(classes, 4 * config.width, each)

    def forward(self, x: Images, level: Float[Tensor, " n"], labels: Labels | None = None) -> Images:
        """One number for each of `x`, at noise levels in [0, 1]; the label `classes` stands for no class."""
        modulations = iter(self.condition(level, labels))
        bridges: list[Tensor] = []
        y = self.enter(self.fold(x))
        for i, stage in enumerate(self.down):
            if i:
                bridges.append(y)
                y = self.shrink[i - 1](y)
            y = stage(y, modulations)
        for i, stage in enumerate(self.up):
            if i:
                grown = F.pixel_shuffle(self.grow[i - 1](y), 2)
                y = self.merge[i - 1](torch.cat([grown, bridges.pop()], 1))
            y = stage(y, modulations)
        return self.fold.undone(self.leave(y), x)


class _Stage(nn.Module):
    """Residual blocks of one width, each followed by attention where the side is short."""

    def __init__(self, config: UnetConfig, width: int, attends: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(width, config.dropout) for _ in range(config.blocks))
        self.attention = nn.ModuleList(_Attention(width) for _ in range(config.blocks if attends else 0))

    def forward(self, y: Float[Tensor, "n c h w"], modulations: Iterator[Tensor]) -> Float[Tensor, "n c h w"]:
        for i, block in enumerate(self.blocks):
            y = block(y, next(modulations))
            if self.attention:
                y = self.attention[i](y)
        return y


class _Block(nn.Module):
    """Two 3×3 convolutions beside the identity; the second norm is modulated, the second convolution begins at zero."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.first_norm, self.second_norm = _Norm(width), _Norm(width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = zeroed(nn.Conv2d(width, width, 3, padding=1))
        self.dropout = Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Float[Tensor, "n c h w"], modulation: Float[Tensor, "n two_c"]) -> Float[Tensor, "n c h w"]:
        scale, shift = modulation[:, :, None, None].chunk(2, 1)
        y = self.second_norm(self.first(F.silu(self.first_norm(x))))
        return x + self.second(self.dropout(F.silu(torch.addcmul(shift, y, 1 + scale))))


class _Attention(nn.Module):
    """Each position looks at all others (Vaswani et al. 2017), in heads of about 32 channels; at first the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = next(heads for heads in range(max(1, width // 32), 0, -1) if width % heads == 0)
        self.norm = _Norm(width)
        self.ask, self.tell = nn.Linear(width, 3 * width), zeroed(nn.Linear(width, width))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        n, c, h, w = x.shape
        told = attended(self.ask(self.norm(x).permute(0, 2, 3, 1).reshape(n, h * w, c)), self.heads)
        return x + self.tell(told).view(n, h, w, c).permute(0, 3, 1, 2)


class _Norm(nn.Module):
    """Each position's channels to mean 0 and variance 1 (Ba et al. 2016), then scaled and shifted.

    Group norm, the usual one here, is slow on a CPU where channels are last.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return F.layer_norm(x.permute(0, 2, 3, 1), self.scale.shape, self.scale, self.shift).permute(0, 3, 1, 2)
