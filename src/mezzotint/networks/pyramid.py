"""The generators and discriminators of a pyramid's levels (Denton et al. 2015, "LAPGAN", section 3.2)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.networks.parts import (
    Conv2d,
    Dropout,
    VectorFromMap,
    convolution,
    doublings,
    with_class,
)
from mezzotint.ops.pyramid import doubled
from mezzotint.types import DataSpec, Images, Labels

LEAK = 0.2


@dataclass(frozen=True, kw_only=True)
class PyramidConfig:
    """Widths of all levels' networks."""

    units: int = 512
    """Of the two dense layers of the smallest level."""
    width: int = 64
    """Channels of the convolutions of all others."""
    dropout: float = 0.3
    """Share of the numbers after each layer of the discriminators that is left out while training."""


class _ClassPlane(nn.Module):
    """A class as one more channel, of the size of the picture (section 3.2)."""

    def __init__(self, classes: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.plane = nn.Embedding(classes, side * side) if classes else None

    def forward(self, x: Tensor, labels: Labels | None) -> Tensor:
        if self.plane is None:
            return x
        assert labels is not None, "a conditional network needs labels"
        return torch.cat([x, self.plane(labels).view(-1, 1, self.side, self.side).to(x.dtype)], 1)


class LevelGenerator(nn.Module):
    """A small picture doubled, a plane of noise and a class → what the doubled picture lacks."""

    def __init__(self, config: PyramidConfig, channels: int, side: int, classes: int) -> None:
        super().__init__()
        self.side, width = side, config.width
        self.plane = _ClassPlane(classes, side)
        first = Conv2d(channels + 1 + bool(classes), width, 3, 1, 1)
        act = nn.ReLU()
        self.body = nn.Sequential(first, act, Conv2d(width, width, 3, 1, 1), act, Conv2d(width, channels, 3, 1, 1))

    def forward(
        self, small: Float[Tensor, "n c h2 w2"], noise: Float[Tensor, "n 1 h w"], labels: Labels | None
    ) -> Float[Tensor, "n c h w"]:
        """The difference, not held in any range."""
        low = doubled(small)
        seen = self.plane(torch.cat([low, noise.to(low.dtype)], 1), labels)
        return self.body(seen.contiguous(memory_format=torch.channels_last))


class LevelDiscriminator(nn.Module):
    """A picture, beside it its small version doubled and a class → one logit."""

    def __init__(self, config: PyramidConfig, channels: int, side: int, classes: int) -> None:
        super().__init__()
        self.plane, width = _ClassPlane(classes, side), config.width
        layers: list[nn.Module] = []
        for inputs in (2 * channels + bool(classes), width):
            layers += [convolution(inputs, width, 4), nn.LeakyReLU(LEAK), Dropout(config.dropout)]
        final = (side // 2 + side % 2) // 2
        self.body = nn.Sequential(*layers, VectorFromMap(), nn.Linear(width * final * final, 1))

    def forward(
        self, difference: Images, small: Float[Tensor, "n c h2 w2"], labels: Labels | None
    ) -> Float[Tensor, " n"]:
        """One logit per picture."""
        low = doubled(small)
        return self.body(self.plane(torch.cat([low + difference, low], 1), labels)).squeeze(1)


class SmallGenerator(nn.Module):
    """Noise and a class → dense layers → the smallest picture."""

    def __init__(self, config: PyramidConfig, channels: int, side: int, latent: int, classes: int) -> None:
        super().__init__()
        self.shape, self.classes, units = (channels, side, side), classes, config.units
        act = nn.ReLU()
        first, last = nn.Linear(latent + classes, units), nn.Linear(units, channels * side * side)
        self.body = nn.Sequential(first, act, nn.Linear(units, units), act, last)

    def forward(self, z: Float[Tensor, "n latent"], labels: Labels | None) -> Images:
        """Pictures, not held in [-1, 1]."""
        return self.body(with_class(z, labels, self.classes)).view(-1, *self.shape)


class SmallDiscriminator(nn.Module):
    """The smallest picture and a class → dense layers → one logit."""

    def __init__(self, config: PyramidConfig, channels: int, side: int, classes: int) -> None:
        super().__init__()
        self.classes, units = classes, config.units
        act = nn.LeakyReLU(LEAK)
        first, second = nn.Linear(channels * side * side + classes, units), nn.Linear(units, units)
        dropouts = nn.Dropout(config.dropout), nn.Dropout(config.dropout)
        self.body = nn.Sequential(first, act, dropouts[0], second, act, dropouts[1], nn.Linear(units, 1))

    def forward(self, images: Images, labels: Labels | None) -> Float[Tensor, " n"]:
        """One logit per picture."""
        return self.body(with_class(images.flatten(1), labels, self.classes)).squeeze(1)


def sides(spec: DataSpec) -> list[int]:
    """Of the pictures of all levels, from small to large; raises UserError for sides that are no doublings."""
    side, times = doublings(spec)
    return [side * 2**i for i in range(times + 1)]
