"""A network that predicts a pixel from those before it, in arithmetic that is exact on every machine (`grid`).

Channel c of a pixel is given by `components` logistics (Salimans et al. 2017), each of which is anchored on a classical
prediction: the neighbor to the left, above, the median of Weinberger et al. (2000) and so on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mezzotint.networks.grid import UNIT, Affine, GridLinear, activation, on_grid
from mezzotint.ops.tables import LEVEL_PARTS, LOGIT_DEPTH, LOGIT_PARTS, SCALE_OCTAVES, SCALE_PARTS
from mezzotint.types import DataSpec

PLACE_CEILING = 127 / UNIT
PLACES = 32
"""Steps of a picture's width and height by which the network knows where it is."""
SLOPE = 4
"""Pixels of equal x + 4·y are predicted at once: of the k-th row above a prediction sees up to 4k - 1 to the right."""
TOP, LEFT, RIGHT = 6, 16, 16
"""Empty cells of a canvas above, left and right of each picture."""
LENS = 8
NEAR = 6
"""So many of the nearest pixels are seen a second time: eight times as large, and clipped."""
MIRROR = tuple((0, j) for j in range(-2, 3)) + tuple((-1, j) for j in range(-1, 2))
"""(dy, j): the pixel W - 1 - x + j of the row y + dy, where it comes before."""

Levels = Float[Tensor, "cells c"]
Rows = Float[Tensor, "n d"]


def _window(reach: int) -> tuple[tuple[int, int], ...]:
    """(dy, dx) of the pixels that a prediction sees, nearest first."""
    lefts = (reach, reach, reach - 1, reach - 2, reach - 3, reach - 5)
    rights = (-1, 3, 7, 6, 5, 3)
    cells = [
        (-k, dx)
        for k, (left, right) in enumerate(zip(lefts, rights, strict=True))
        for dx in range(-max(left, 0), min(right, reach) + 1)
    ]
    return tuple(sorted(cells, key=lambda c: (c[0] ** 2 + c[1] ** 2, c)))


@dataclass(frozen=True, kw_only=True)
class CausalConfig:
    """How wide the network is and how far it sees."""

    widths: tuple[int, ...] = (96, 64)
    components: int = 6
    """Logistics of each distribution, at most six."""
    reach: int = 8
    """Pixels to the left that are seen, 3 to 12."""
    mirror: bool = True
    """See what lies mirrored at the picture's middle too: for things that are symmetric."""
    places: bool = True
    """Know where in the picture a pixel is: for things that lie in its middle."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes whose sums float32 would round, or which the anchors do not admit."""
        if not self.widths or not all(1 <= width <= 512 for width in self.widths):
            raise ValueError("widths of a causal network are one or more numbers from 1 to 512")
        if not 1 <= self.components <= 6 or not 3 <= self.reach <= 12:
            raise ValueError("a causal network has 1 to 6 components and a reach of 3 to 12 pixels")

    @property
    def seen(self) -> int:
        """Numbers of each channel that the first layer is given."""
        return len(_window(self.reach)) + NEAR + 1 + (len(MIRROR) if self.mirror else 0)

    def linear_sizes(self, channels: int) -> list[tuple[int, int]]:
        """Inputs and outputs of all linear layers."""
        first, last = self.widths[0], self.widths[-1]
        before = [(2 * c, first) for c in range(1, channels)]
        return [
            (self.seen * channels, first),
            *before,
            *[*pairwise(self.widths), (last, 3 * self.components)] * channels,
        ]

    def build(self, spec: DataSpec) -> "Causal":
        """The network with fresh weights."""
        return Causal(self, spec.channels)


@dataclass(frozen=True)
class Places:
    """Which pixels are predicted: the cell of each on the canvas, its coordinates and its picture's size; n each."""

    cells: Int[Tensor, " n"]
    x: Int[Tensor, " n"]
    y: Int[Tensor, " n"]
    width: Int[Tensor, " n"]
    height: Int[Tensor, " n"]
    stride: int
    """Cells from a pixel to the one below it."""


@dataclass(frozen=True)
class Layers:
    """All that a network has learned, on its grids."""

    first: Affine
    across: Tensor
    """`PLACES` × width, added by column,"""
    down: Tensor
    """and by row."""
    before: tuple[Affine, ...]
    """What is known of the channels before, for all channels but the first."""
    middle: tuple[tuple[Affine, ...], ...]
    last: tuple[Affine, ...]


@dataclass(frozen=True)
class Seen:
    """What is known of n pixels before the first of their channels."""

    hidden: Rows
    base: Float[Tensor, "n c"]
    neighbors: tuple[Tensor, ...]
    """Classical predictions, n × c each."""


@dataclass(frozen=True)
class Spoken:
    """A distribution for each of n numbers, of k logistics: all n × k, on the grids of `ops.tables`."""

    mean: Rows
    """In levels."""
    octave: Rows
    """Logarithm to the base 2 of the scale in levels."""
    logit: Rows
    """Of the weights, 0 for the heaviest."""


class Causal(nn.Module):
    """See the module's docstring; `look`, then `speak` for each channel in turn."""

    def __init__(self, config: CausalConfig, channels: int) -> None:
        super().__init__()
        self.config, self.channels = config, channels
        self.window = _window(config.reach)
        widths = config.widths
        self.first = GridLinear(config.seen * channels, widths[0])
        self.across = nn.Parameter(torch.zeros(PLACES if config.places else 1, widths[0]))
        self.down = nn.Parameter(torch.zeros(PLACES if config.places else 1, widths[0]))
        self.before = nn.ModuleList(GridLinear(2 * c, widths[0]) for c in range(1, channels))
        self.middle = nn.ModuleList(
            nn.ModuleList(GridLinear(a, b) for a, b in pairwise(widths)) for _ in range(channels)
        )
        # Begins near its anchors.
        self.last = nn.ModuleList(GridLinear(widths[-1], 3 * config.components, gain=0.1) for _ in range(channels))

    def layers(self) -> Layers:
        """What was learned, on its grids; where the network only speaks, it is taken once for all pixels."""

        def settled(linears: Any) -> tuple[Affine, ...]:
            return tuple(linear.settled() for linear in linears)

        return Layers(
            self.first.settled(),
            on_grid(self.across.clamp(-PLACE_CEILING, PLACE_CEILING), UNIT),
            on_grid(self.down.clamp(-PLACE_CEILING, PLACE_CEILING), UNIT),
            settled(self.before),
            tuple(settled(middle) for middle in self.middle),
            settled(self.last),
        )

    def look(self, layers: Layers, canvas: Levels, at: Places) -> Seen:
        """All that is known before the first channel; cells that come later than a pixel do not count."""
        window = torch.tensor([dy * at.stride + dx for dy, dx in self.window], device=canvas.device)
        context = _cells(canvas, at.cells[:, None] + window)
        west, north, northwest, northeast = (
            context[:, self.window.index(place)] for place in ((0, -1), (-1, 0), (-1, -1), (-1, 1))
        )
        base = torch.floor((west + north) / 2)
        around = context - base[:, None]
        parts = [around, _lens(around[:, :NEAR]), base[:, None] - 128]
        if self.config.mirror:
            parts.append(_mirrored(canvas, at, base))
        hidden = layers.first(torch.cat(parts, 1).flatten(1) / UNIT)
        steps = PLACES if self.config.places else 1
        hidden = hidden + layers.across[at.x * steps // at.width] + layers.down[at.y * steps // at.height]
        plane = west + north - northwest
        median = torch.maximum(torch.minimum(west, north), torch.minimum(torch.maximum(west, north), plane))
        return Seen(hidden, base, (west, north, median, base, northeast, plane.clamp(0, 255)))

    def speak(self, layers: Layers, seen: Seen, before: Float[Tensor, "n c"]) -> Spoken:
        """The distributions of channel c, where `before` are the levels of the c channels before it."""
        c = before.shape[1]
        hidden = seen.hidden
        if c:
            beyond = before - seen.base[:, :c]
            hidden = hidden + layers.before[c - 1](torch.cat([beyond, _lens(beyond)], 1) / UNIT)
        hidden = activation(hidden)
        for layer in layers.middle[c]:
            hidden = activation(layer(hidden))
        mean, octave, logit = layers.last[c](hidden).unflatten(1, (3, -1)).unbind(1)
        anchors = _anchors(seen.neighbors, before)[:, : self.config.components]
        logit = on_grid(logit * 4, LOGIT_PARTS)
        logit = logit - logit.detach().amax(1, keepdim=True)
        return Spoken(
            anchors + on_grid(mean * UNIT, LEVEL_PARTS).clamp(-256, 256),
            on_grid(2 * octave + 1, SCALE_PARTS).clamp(*SCALE_OCTAVES),
            logit.clamp(min=-LOGIT_DEPTH),
        )


def _lens(difference: Tensor) -> Tensor:
    return (difference * LENS).clamp(-255, 255)


def _mirrored(canvas: Levels, at: Places, base: Float[Tensor, "n c"]) -> Float[Tensor, "n m c"]:
    """Differences of mirrored pixels from `base`, 0 where there are none yet."""
    device = canvas.device
    rows, shifts = (torch.tensor(column, device=device) for column in zip(*MIRROR, strict=True))
    x = (at.width - 1 - at.x)[:, None] + shifts
    known = (x >= 0) & (x < at.width[:, None]) & (x < at.x[:, None] - SLOPE * rows)
    cells = (at.cells - at.x)[:, None] + x + rows * at.stride
    return (_cells(canvas, torch.where(known, cells, 0)) - base[:, None]) * known[..., None]


def _cells(canvas: Levels, which: Int[Tensor, "n m"]) -> Float[Tensor, "n m c"]:
    """What lies in cells; on a CPU by numpy, which takes half the time."""
    if canvas.device.type != "cpu":
        return canvas[which]
    return torch.from_numpy(canvas.numpy().take(which.numpy(), 0, mode="clip"))


def _anchors(neighbors: Sequence[Tensor], before: Float[Tensor, "n c"]) -> Rows:
    """Six classical predictions of channel c, n × 6: by its own neighbors, and moved as the channel before it moved."""
    c = before.shape[1]
    if not c:
        return torch.stack([known[:, 0] for known in neighbors], 1)
    near = neighbors[:3]
    moved = [(known[:, c] + before[:, -1] - known[:, c - 1]).clamp(0, 255) for known in near]
    return torch.stack([known[:, c] for known in near] + moved, 1)
