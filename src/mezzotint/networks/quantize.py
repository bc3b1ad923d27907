"""From maps of numbers to maps of symbols and back: a learned codebook, or rounding to a few levels."""

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

Map = Float[Tensor, "n d h w"]
Symbols = Int[Tensor, "n h w"]


class Quantized(NamedTuple):
    """A map on its quantizer's points, the symbols of those points, and what the encoder is to pay for the distance."""

    values: Map
    """Gradients pass straight through to the map that was quantized (Bengio et al. 2013)."""
    symbols: Symbols
    commitment: Float[Tensor, " n"]
    """Squared distance from the points, summed over the map of each picture; zeros where rounding bounds it."""


@dataclass(frozen=True, kw_only=True)
class CodebookConfig:
    """A learned codebook (van den Oord et al. 2017, "VQ-VAE") that follows its codes by running means."""

    symbols: int = 512
    width: int = 16
    """Numbers of a code."""
    keep: float = 0.99
    """What a step keeps of the running means."""
    dead: float = 0.03
    """A code whose running count falls below this share of the mean count is moved to a code of the batch."""

    def __post_init__(self) -> None:
        """Raise ValueError for what means nothing."""
        if self.symbols < 2 or self.width < 1 or not 0 <= self.keep < 1 or not 0 < self.dead < 1:
            raise ValueError("symbols at least 2, width at least 1, keep from 0 and dead above 0, both below 1")

    def build(self) -> "Codebook":
        """With all codes dead: the first step brings them to life."""
        return Codebook(self)


class Codebook(nn.Module):
    """The nearest of so many learned points. What it saw of a batch changes it in `learn`, after the step."""

    points: Tensor
    count: Tensor
    total: Tensor
    seen_count: Tensor
    seen_total: Tensor
    fresh: Tensor

    def __init__(self, config: CodebookConfig) -> None:
        super().__init__()
        self.config, self.symbols, self.width = config, config.symbols, config.width
        self.register_buffer("points", torch.randn(config.symbols, config.width))
        for name in ("total", "seen_total", "fresh"):
            self.register_buffer(name, torch.zeros(config.symbols, config.width))
        for name in ("count", "seen_count"):
            self.register_buffer(name, torch.zeros(config.symbols))

    def forward(self, x: Map) -> Quantized:
        """Each place's vector by its nearest point."""
        n, d, h, w = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(-1, d)
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            points = self.points.to(rows.dtype)
            nearest = (points.square().sum(1) - 2 * rows @ points.t()).argmin(1)
        values = self.points_of(nearest.view(n, h, w)).to(x.dtype)
        commitment = (x - values).square().flatten(1).sum(1)
        return Quantized(x + (values - x).detach(), nearest.view(n, h, w), commitment)

    def points_of(self, symbols: Symbols) -> Map:
        """The points that symbols stand for."""
        return F.embedding(symbols, self.points).permute(0, 3, 1, 2)

    @torch.no_grad()
    def note(self, x: Map, symbols: Symbols, seed: int, first: int = 0, whole: int = 0) -> None:
        """Take in a training batch, or the part of it from `first` on of `whole` maps (see `Batch`).

        `seed` chooses the vectors that dead codes may move to, among those of the whole batch.
        """
        rows, which = x.permute(0, 2, 3, 1).reshape(-1, self.width).to(self.points.dtype), symbols.flatten()
        self.seen_count.index_add_(0, which, torch.ones_like(which, dtype=self.points.dtype))
        self.seen_total.index_add_(0, which, rows)
        keyed = torch.Generator().manual_seed(seed % 2**63)
        places = x.shape[2] * x.shape[3]
        chosen = torch.randint((whole or len(x)) * places, (self.symbols,), generator=keyed) - first * places
        chosen = chosen.to(rows.device)
        here = (chosen >= 0) & (chosen < len(rows))
        self.fresh.copy_(torch.where(here[:, None], rows[chosen.clamp(0, len(rows) - 1)], self.fresh))

    @torch.no_grad()
    def learn(self) -> None:
        """One step of the running means by all that was noted, and new places for the codes that nobody uses."""
        seen = self.seen_count.sum()
        if not seen:
            return
        keep = self.config.keep
        self.count.mul_(keep).add_(self.seen_count, alpha=1 - keep)
        self.total.mul_(keep).add_(self.seen_total, alpha=1 - keep)
        usual = seen / self.symbols
        revived = self.count < self.config.dead * usual
        self.count.copy_(torch.where(revived, usual, self.count))
        self.total.copy_(torch.where(revived[:, None], self.fresh * usual, self.total))
        self.points.copy_(self.total / self.count[:, None])
        self.seen_count.zero_()
        self.seen_total.zero_()


@dataclass(frozen=True, kw_only=True)
class LevelsConfig:
    """Finite scalar quantization (Mentzer et al. 2024): each number of a place is rounded to a few levels."""

    levels: tuple[int, ...] = (8, 5, 5, 5)
    """Of each number; their product is the number of symbols."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number without a choice."""
        if not self.levels or min(self.levels) < 2:
            raise ValueError("levels must be at least 2 each")

    def build(self) -> "Levels":
        """Nothing to learn."""
        return Levels(self)


class Levels(nn.Module):
    """Rounding: nothing is learned, so no code can die."""

    def __init__(self, config: LevelsConfig) -> None:
        super().__init__()
        self.levels, self.width, self.symbols = config.levels, len(config.levels), prod(config.levels)

    def forward(self, x: Map) -> Quantized:
        """Each number bounded by a tanh and rounded to one of its levels, which lie evenly in [-1, 1].

        Mentzer et al. 2024, section 3.1 and appendix A.1; an even number of levels lies half a step aside.
        """
        levels = self._levels(x)
        half = (levels - 1) / 2
        aside = torch.where(levels % 2 == 0, 0.5, 0.0)
        # At zero the bounded number is zero; its ends are a little beyond the last levels' centers.
        reach = half * 1.001
        bounded = torch.tanh(x + torch.atanh(aside / reach)) * reach - aside
        places = bounded + (bounded.round() - bounded).detach()
        values = (places + aside) / half
        digits = (places.detach() + aside + half).round().long()
        return Quantized(values, self._symbol(digits), torch.zeros_like(x[:, 0, 0, 0]))

    def points_of(self, symbols: Symbols) -> Map:
        """The levels that symbols stand for."""
        digits: list[Tensor] = []
        for count in self.levels:
            digits.append(symbols % count)
            symbols = symbols // count
        places = torch.stack(digits, 1).float()
        half = (self._levels(places) - 1) / 2
        return (places - half) / half

    def note(self, x: Map, symbols: Symbols, seed: int, first: int = 0, whole: int = 0) -> None:
        """Nothing to remember."""

    def learn(self) -> None:
        """Nothing to learn."""

    def _levels(self, like: Tensor) -> Float[Tensor, "1 d 1 1"]:
        return torch.tensor(self.levels, dtype=like.dtype, device=like.device).view(1, -1, 1, 1)

    def _symbol(self, digits: Tensor) -> Tensor:
        """The first number's level counts ones."""
        weight, symbol = 1, torch.zeros_like(digits[:, 0])
        for i, count in enumerate(self.levels):
            symbol = symbol + weight * digits[:, i]
            weight *= count
        return symbol
