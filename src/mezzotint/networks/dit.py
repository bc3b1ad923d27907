"""A diffusion transformer: squares of a noisy picture as tokens (Peebles & Xie 2023)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.networks.parts import Condition, Fold, attended, zeroed
from mezzotint.types import DataSpec, Images, Labels


@dataclass(frozen=True, kw_only=True)
class DitConfig:
    """Width and depth: 28×28 pictures have 0.5 M parameters at width 64 and depth 4, 58 M at width 576 and depth 9."""

    width: int = 192
    """Numbers of a token, a multiple of 32."""
    depth: int = 6
    fold: int | None = None
    """Side of the square of pixels that is a token; by the picture's size where it is not given."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes of which no network can be made."""
        if self.width < 32 or self.width % 32 or self.depth < 1 or (self.fold is not None and self.fold < 1):
            raise ValueError("width must be a multiple of 32, depth and fold at least 1")

    def build(self, spec: DataSpec, classes: int) -> "Dit":
        """The network for pictures of `spec`, told one of `classes` classes (0: none)."""
        return Dit(self, spec, classes)


class Dit(nn.Module):
    """Squares → tokens with learned places → blocks whose norms and gates are modulated → squares."""

    def __init__(self, config: DitConfig, spec: DataSpec, classes: int) -> None:
        super().__init__()
        side, width = max(spec.height, spec.width), config.width
        fold = config.fold or (1 if side <= 8 else 2 if side <= 16 else 4 if side <= 64 else 8)
        numbers = spec.channels * fold**2
        rows, columns = (-(-length // fold) for length in (spec.height, spec.width))
        self.fold = Fold(fold, fold)
        self.enter, self.leave = nn.Linear(numbers, width), zeroed(nn.Linear(width, numbers))
        self.place = nn.Parameter(0.02 * torch.randn(rows * columns, width))
        self.blocks = nn.ModuleList(_Block(width) for _ in range(config.depth))
        self.condition = Condition(classes, width, [6 * width] * config.depth + [2 * width])

    def forward(self, x: Images, level: Float[Tensor, " n"], labels: Labels | None = None) -> Images:
        """One number for each of `x`, at noise levels in [0, 1]; the label `classes` stands for no class."""
        squares = self.fold(x)
        n, numbers, rows, columns = squares.shape
        y = self.enter(squares.permute(0, 2, 3, 1).reshape(n, rows * columns, numbers)) + self.place
        *modulations, last = self.condition(level, labels)
        for block, modulation in zip(self.blocks, modulations, strict=True):
            y = block(y, modulation)
        scale, shift = last[:, None].chunk(2, 2)
        y = self.leave(_normalized(y, scale, shift))
        return self.fold.undone(y.view(n, rows, columns, numbers).permute(0, 3, 1, 2), x)


class _Block(nn.Module):
    """Attention and a perceptron, each beside the identity behind a gate that begins shut (Peebles & Xie, figure 3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // 32
        self.ask, self.tell = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))

    def forward(self, y: Float[Tensor, "n t f"], modulation: Float[Tensor, "n six_f"]) -> Float[Tensor, "n t f"]:
        scale, shift, gate, scale2, shift2, gate2 = modulation[:, None].chunk(6, 2)
        y = y + gate * self.tell(attended(self.ask(_normalized(y, scale, shift)), self.heads))
        return y + gate2 * self.think(_normalized(y, scale2, shift2))


def _normalized(y: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Each token to mean 0 and variance 1, then modulated."""
    return torch.addcmul(shift, F.layer_norm(y, y.shape[-1:]), 1 + scale)
