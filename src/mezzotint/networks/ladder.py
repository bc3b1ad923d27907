"""A ladder of latent maps, coarse to fine: the hierarchical autoencoder's network.

In the manner of Sønderby et al. 2016 (LVAE), Vahdat & Kautz 2020 (NVAE) and Child 2021 (VDVAE): the way down from the
coarsest code is shared by the generative model and the posterior, which looks at the picture's features beside it.
Made cheap for a CPU: pixels are folded into channels at the door, and a block has one convolution.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.networks.parts import Fold, widened, zeroed
from mezzotint.types import DataSpec, Images, Labels

LARGEST = 5.0
"""Bound of log-scales and of their changes: beyond it a code would be all noise, or exact."""


def stages(spec: DataSpec, fold: int | None = None) -> tuple[Fold, list[tuple[int, int]]]:
    """The door through which pictures come in, and rows and columns of each stage's maps, finest first.

    Squares of `fold` pixels become channels (by the picture's size where it is not given), then the side is halved
    until it is at most 8.
    """
    side = max(spec.height, spec.width)
    fold = fold or (1 if side < 16 else 2 if side <= 64 else 4 if side <= 128 else 8)
    halvings = 0
    while -(-side // fold) > 8 << halvings:
        halvings += 1
    multiple = fold << halvings
    rows, columns = (-(-length // multiple) << halvings for length in (spec.height, spec.width))
    return Fold(fold, multiple), [(rows >> i, columns >> i) for i in range(halvings + 1)]


class ChannelNorm(nn.Module):
    """Each position's channels to mean 0 and variance 1 (Ba et al. 2016), then scaled and shifted."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The same shape."""
        return F.layer_norm(x.permute(0, 2, 3, 1), self.scale.shape, self.scale, self.shift).permute(0, 3, 1, 2)


class Block(nn.Module):
    """A norm, SiLU and a 3×3 convolution beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.convolution = ChannelNorm(width), nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.convolution.bias)  # pyright: ignore[reportArgumentType]
        with torch.no_grad():
            self.convolution.weight.mul_(0.5)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The same shape."""
        return x + self.convolution(F.silu(self.norm(x)))


class Rung(nn.Module):
    """One stochastic layer: what the way down expects of a code map, what the picture says of it, and what follows."""

    def __init__(self, width: int, codes: int) -> None:
        super().__init__()
        self.codes = codes
        self.norm = ChannelNorm(width)
        self.expect = zeroed(nn.Conv2d(width, 2 * codes, 3, padding=1))
        self.meet = nn.Conv2d(2 * width, width, 1)
        self.see = zeroed(nn.Conv2d(width, 2 * codes, 3, padding=1))
        self.take = nn.Conv2d(codes, width, 1)
        self.block = Block(width)

    def expected(self, way: Float[Tensor, "n w a b"]) -> tuple[Tensor, Tensor]:
        """Mean and log-scale of the prior."""
        mean, log_scale = widened(self.expect(F.silu(self.norm(way)))).chunk(2, 1)
        return mean, _bounded(log_scale)

    def seen(self, way: Float[Tensor, "n w a b"], features: Float[Tensor, "n w a b"]) -> tuple[Tensor, Tensor]:
        """By how much the posterior's mean and log-scale differ from the prior's."""
        met = self.meet(torch.cat([way, features], 1))
        moved, log_ratio = widened(self.see(F.silu(met))).chunk(2, 1)
        return moved, _bounded(log_ratio)

    def forward(self, way: Float[Tensor, "n w a b"], code: Float[Tensor, "n c a b"]) -> Float[Tensor, "n w a b"]:
        """The way down after it has taken in a code."""
        return self.block(way + self.take(code))


def _bounded(log_scale: Tensor) -> Tensor:
    return LARGEST * torch.tanh(log_scale / LARGEST)


Pick = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""A code from the number of its rung, the way so far, and the prior's mean and log-scale."""


@dataclass(frozen=True, kw_only=True)
class LadderConfig:
    """Width and depth."""

    width: int = 64
    """Channels of the finest stage; each coarser one has twice as many on half the side, up to `most`."""
    most: int = 128
    rungs: int = 3
    """Stochastic layers of each stage."""
    codes: int = 8
    """Latent numbers at each position of a rung."""
    top: int = 32
    """Latent numbers of the topmost rung, which has a single position: what the picture is as a whole."""
    blocks: int = 1
    """Of each stage on the way up, and after the last rung."""
    fold: int | None = None
    """Side of the squares of pixels that become channels at the door; by the picture's size where it is not given."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes of which no network can be made."""
        if min(self.width, self.most, self.rungs, self.codes, self.top, self.blocks, self.fold or 1) < 1:
            raise ValueError("width, most, rungs, codes, top, blocks and fold must be at least 1")

    def build(self, spec: DataSpec, raw: int, classes: int) -> "Ladder":
        """The network for pictures of `spec` to `raw` numbers at each place of their folded map."""
        return Ladder(self, spec, raw, classes)


class Ladder(nn.Module):
    """Fold → stages up to a vector → the topmost code → stages down, a code at each rung → raw numbers.

    ```text
    picture ─ fold ─ stage ─ shrink ─ stage ─ shrink … ─ mean      features, finest first
                       │                │                  │
    raw ──── block ─ rungs ── grow ── rungs ─── grow … ─ top       the way down, coarsest first
    ```
    """

    def __init__(self, config: LadderConfig, spec: DataSpec, raw: int, classes: int) -> None:
        super().__init__()
        self.config, self.classes = config, classes
        self.fold, self.sides = stages(spec, config.fold)
        widths = [min(config.most, config.width * 2**i) for i in range(len(self.sides))]
        pairs = list(pairwise(widths))
        self.enter = nn.Conv2d(spec.channels * self.fold.side**2, widths[0], 3, padding=1)
        self.up = nn.ModuleList(nn.Sequential(*[Block(w) for _ in range(config.blocks)]) for w in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 2, 2) for fine, coarse in pairs)
        self.begin = nn.Embedding(max(1, classes), widths[-1])
        self.top = Top(widths[-1], config.top, self.sides[-1])
        self.rungs = nn.ModuleList(Rung(w, config.codes) for w in reversed(widths) for _ in range(config.rungs))
        self.grow = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in reversed(pairs))
        last = [Block(widths[0]) for _ in range(config.blocks)]
        self.leave = nn.Sequential(*last, ChannelNorm(widths[0]), nn.SiLU(), zeroed(nn.Conv2d(widths[0], raw, 1)))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of each rung's code for one picture, the topmost first."""
        maps = [(self.config.codes, *sides) for sides in reversed(self.sides) for _ in range(self.config.rungs)]
        return [(self.config.top,), *maps]

    def features(self, images: Images) -> list[Tensor]:
        """What the way up sees, finest stage first."""
        found: list[Tensor] = []
        y = self.enter(self.fold(images))
        for i, stage in enumerate(self.up):
            y = stage(y if i == 0 else self.shrink[i - 1](y))
            found.append(y)
        return found

    def seen(self, number: int, way: Tensor, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """By how much the posterior's mean and log-scale at a rung differ from the prior's."""
        if number == 0:
            return self.top.seen(way, features[-1])
        rung, stage = self.rungs[number - 1], (number - 1) // self.config.rungs
        return rung.seen(way, features[len(features) - 1 - stage])  # pyright: ignore[reportCallIssue]

    def forward(self, pick: Pick, count: int, labels: Labels | None = None) -> Float[Tensor, "n raw h w"]:
        """Raw numbers of `count` pictures whose codes `pick` chooses, the topmost first."""
        which = torch.zeros(count, dtype=torch.int64, device=self.begin.weight.device)
        way = self.begin(which if labels is None or not self.classes else labels)
        way = self.top(way, pick(0, way, *self.top.expected(way)))
        for number, rung in enumerate(self.rungs):
            stage, place = divmod(number, self.config.rungs)
            if stage and place == 0:
                way = F.pixel_shuffle(self.grow[stage - 1](way), 2)
            assert isinstance(rung, Rung)
            way = rung(way, pick(number + 1, way, *rung.expected(way)))
        return widened(self.leave(way))


class Top(nn.Module):
    """The topmost rung: a vector, from the features' mean over all positions to a whole map."""

    def __init__(self, width: int, codes: int, sides: tuple[int, int]) -> None:
        super().__init__()
        self.sides = sides
        self.expect, self.see = zeroed(nn.Linear(width, 2 * codes)), nn.Linear(2 * width, 2 * codes)
        self.meet = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.SiLU())
        self.take = nn.Linear(codes, width * sides[0] * sides[1])
        self.block = Block(width)

    def expected(self, way: Float[Tensor, "n w"]) -> tuple[Tensor, Tensor]:
        """Mean and log-scale of the prior: of each class, or of all pictures."""
        mean, log_scale = widened(self.expect(way)).chunk(2, 1)
        return mean, _bounded(log_scale)

    def seen(self, way: Float[Tensor, "n w"], features: Float[Tensor, "n w a b"]) -> tuple[Tensor, Tensor]:
        """By how much the posterior's mean and log-scale differ from the prior's."""
        pooled = widened(features).mean((2, 3))
        moved, log_ratio = widened(self.see(self.meet(torch.cat([way, pooled], 1)))).chunk(2, 1)
        return moved, _bounded(log_ratio)

    def forward(self, way: Float[Tensor, "n w"], code: Float[Tensor, "n codes"]) -> Float[Tensor, "n w a b"]:
        """The first map of the way down."""
        spread = self.take(code).view(len(code), *self.sides, -1).permute(0, 3, 1, 2)
        return self.block(spread + way[:, :, None, None].to(spread.dtype))
