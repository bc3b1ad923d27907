"""Transforms of a lossy codec with a hyperprior, for a range of rates in one network, exact on every machine.

A picture becomes *latents*, an eighth of its sides and many channels, which are scaled by a gain and rounded to whole
numbers; *hyper-latents*, a quarter of the sides of that, tell the mean and the scale of each (Ballé et al. 2018; Minnen
et al. 2018, without the context model). Gains of each channel depend on the quality (Cui et al. 2021), and so does a
constant plane that all transforms are given.

    pixels -> analysis -> y ---- gain, less mean, rounded ----> v -> plus mean, over gain -> synthesis -> pixels
                          |                ^ mean, scale of v                ^
                  hyper-analysis -> gain, rounded -> over gain -> hyper-synthesis

Beside analysis and synthesis a linear transform of squares of 8×8 pixels leads the same way. It begins as the cosines
of JPEG, the others next to nothing, so that what is learned begins as a plain transform code.

All four are in the arithmetic of `grid`: in evaluation equal pictures are equal numbers on any machine, and back.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.networks.grid import CEILING, UNIT, GridConv, bounded, clipped, on_grid
from mezzotint.networks.parts import Fold
from mezzotint.ops.tables import LEVEL_PARTS, LOGIT_DEPTH, LOGIT_PARTS, SCALE_OCTAVES, SCALE_PARTS, powers
from mezzotint.types import DataSpec, Images

FOLD = 4
"""Side of the squares of pixels that become channels at the door."""
CELL = 8
"""Pixels of a latent's side,"""
HYPER = 4
"""latents of a hyper-latent's side."""
QUALITIES = 100
"""Qualities are 1 … 100."""
ANCHORS = 5
"""Qualities, evenly spread, whose gains are learned; between them the logarithms are interpolated."""
GAIN_PARTS = 32
"""Gains are whole powers of 2^(1/32)"""
GAIN_OCTAVES = (-8, 12)
"""between 2^-8 and 2^12."""
LATENT_UNIT = 1024
"""Latents over their gain are multiples of 1/1024,"""
LATENT_CEILING = 64.0
"""clipped here."""
MEAN_CEILING = 2048.0
"""Means of whole numbers are clipped here."""
COMPONENTS = 3
"""Logistics of a hyper-latent's distribution."""
PIXEL_OFFSET = 128 / UNIT
"""Pixels are seen as differences from the middle level."""

Maps = Float[Tensor, "n _ _ _"]
"""Of any channels, rows and columns."""
Quality = Int[Tensor, " n"]


@dataclass(frozen=True, kw_only=True)
class HyperpriorConfig:
    """How wide the transforms are; the decoding half goes into each archive, the analysis does not."""

    analysis: int = 96
    """Channels of the way in."""
    synthesis: int = 48
    """Channels of the way out, half as many at a quarter of the picture's side."""
    latents: int = 96
    """Channels of the latents."""
    hyper: int = 24
    """Channels of the hyper-synthesis."""
    hyper_latents: int = 16
    """Channels of the hyper-latents."""
    blocks: int = 1
    """Residual blocks of each half at an eighth of the picture's side."""

    def __post_init__(self) -> None:
        """Raise ValueError for widths that are none, or so large that an archive's model would not be believed."""
        widths = (self.analysis, self.synthesis, self.latents, self.hyper, self.hyper_latents)
        if not all(2 <= width <= 512 and width % 2 == 0 for width in widths) or not 0 <= self.blocks <= 8:
            raise ValueError("widths of a hyperprior are even numbers from 2 to 512, and it has 0 to 8 blocks")

    def decoding(self) -> "HyperpriorConfig":
        """What the decoding half is built by: without the width of the other."""
        return replace(self, analysis=2)

    def build(self, spec: DataSpec) -> "Hyperprior":
        """The network with fresh weights."""
        return Hyperprior(self, spec.channels)


class Residual(nn.Module):
    """Two 3×3 convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = GridConv(width, width), GridConv(width, width, gain=0.3)

    def forward(self, x: Maps) -> Maps:
        """The same shape, all of it activations."""
        return clipped(x + self.second(clipped(self.first(x))))


class Activation(nn.Module):
    """`clipped` as a layer."""

    def forward(self, x: Maps) -> Maps:
        """The same shape."""
        return clipped(x)


@dataclass(frozen=True)
class Gains:
    """What latents and hyper-latents are multiplied by, n × c × 1 × 1, and the logarithms to the base 2 of that."""

    gain: Tensor
    octave: Tensor


@dataclass(frozen=True)
class Told:
    """What hyper-latents tell of latents times gain, on the grids of `ops.tables`; n × c × h × w."""

    mean: Maps
    octave: Maps
    """Logarithm to the base 2 of a logistic's scale."""


@dataclass(frozen=True)
class Prior:
    """The distributions of hyper-latents times gain, on the grids of `ops.tables`; n × c × k."""

    mean: Tensor
    octave: Tensor
    logit: Tensor


class Decoder(nn.Module):
    """All that takes whole numbers back to pictures."""

    def __init__(self, config: HyperpriorConfig, channels: int) -> None:
        super().__init__()
        self.config, self.channels = config, channels
        c, h = config, config.hyper
        slope = torch.linspace(-1.0, 3.0, ANCHORS)[:, None]
        self.gains = nn.Parameter(slope.repeat(1, c.latents))
        """Octaves at the anchors,"""
        self.hyper_gains = nn.Parameter(0.4 * slope.repeat(1, c.hyper_latents) + 1)
        """and those of the hyper-latents."""
        self.prior_mean = nn.Parameter(torch.linspace(-1, 1, COMPONENTS).repeat(c.hyper_latents, 1))
        self.prior_octave = nn.Parameter(torch.zeros(c.hyper_latents, COMPONENTS))
        self.prior_logit = nn.Parameter(torch.zeros(c.hyper_latents, COMPONENTS))
        self.hyper_synthesis = nn.Sequential(
            *(GridConv(c.hyper_latents + 1, h, activations=False), Activation()),
            *(GridConv(h, 4 * h, 1), nn.PixelShuffle(2), Activation()),
            *(GridConv(h, h), Activation()),
            *(GridConv(h, 4 * h, 1), nn.PixelShuffle(2), Activation()),
            GridConv(h, 2 * c.latents, 1, gain=0.5, precise=True),
        )
        wide, narrow = c.synthesis, c.synthesis // 2
        self.synthesis = nn.Sequential(
            *(GridConv(c.latents + 1, wide, activations=False), Activation()),
            *(Residual(wide) for _ in range(c.blocks)),
            *(GridConv(wide, 4 * narrow, 1), nn.PixelShuffle(2), Activation()),
            Residual(narrow),
            *(GridConv(narrow, channels * FOLD**2, gain=0.1, precise=True), nn.PixelShuffle(FOLD)),
        )
        self.direct = GridConv(c.latents, channels * CELL**2, 1, gain=0.1, activations=False)
        known = cosines(channels)[: c.latents]
        with torch.no_grad():
            self.direct.weight[:, : len(known)] = known.T

    def gains_at(self, quality: Quality) -> Gains:
        """Of the latents."""
        return _gains(self.gains, quality, learning=self.training)

    def hyper_gains_at(self, quality: Quality) -> Gains:
        """Of the hyper-latents."""
        return _gains(self.hyper_gains, quality, learning=self.training)

    def prior_at(self, quality: Quality) -> Prior:
        """How hyper-latents times gain are distributed."""
        gains = self.hyper_gains_at(quality)
        logit = on_grid(self.prior_logit * 4, LOGIT_PARTS)
        logit = (logit - logit.detach().amax(1, keepdim=True)).clamp(min=-LOGIT_DEPTH)
        mean = (on_grid(self.prior_mean, UNIT) * gains.gain[..., 0]).clamp(-127, 126)
        octave = on_grid(self.prior_octave * 2, SCALE_PARTS) + gains.octave[..., 0]
        return Prior(
            on_grid(mean, LEVEL_PARTS),
            bounded(on_grid(octave, SCALE_PARTS), *SCALE_OCTAVES),
            logit.expand(len(quality), -1, -1),
        )

    def told(self, hyper: Maps, quality: Quality) -> Told:
        """What hyper-latents, whole numbers n × c × h × w, tell of latents, whose sides are four times theirs."""
        gains = self.gains_at(quality)
        given = torch.cat([_over(hyper, self.hyper_gains_at(quality)), plane(quality, hyper)], 1)
        mean, octave = self.hyper_synthesis(given).to(hyper.dtype).chunk(2, 1)
        return Told(
            on_grid((mean * gains.gain).clamp(-MEAN_CEILING, MEAN_CEILING), LEVEL_PARTS),
            bounded(on_grid(2 * octave + gains.octave, SCALE_PARTS), *SCALE_OCTAVES),
        )

    def pixels(self, latents: Maps, quality: Quality) -> Maps:
        """Levels 0 … 255, not yet rounded nor clipped, of latents times gain (whole numbers plus their means)."""
        plain = _over(latents, self.gains_at(quality))
        linear = F.pixel_shuffle(self.direct(plain), CELL)
        bent = self.synthesis(torch.cat([plain, plane(quality, latents)], 1))
        return (linear.to(latents.dtype) + bent.to(latents.dtype) + PIXEL_OFFSET) * UNIT


class Hyperprior(nn.Module):
    """Both halves; see the module's docstring."""

    def __init__(self, config: HyperpriorConfig, channels: int) -> None:
        super().__init__()
        self.config, self.channels = config, channels
        c, wide = config, config.analysis
        self.fold = Fold(FOLD, CELL)
        self.analysis = nn.Sequential(
            *(GridConv(channels * FOLD**2 + 1, wide), Activation()),
            Residual(wide),
            *(GridConv(wide, wide, stride=2), Activation()),
            *(Residual(wide) for _ in range(c.blocks)),
            GridConv(wide, c.latents, gain=0.1, precise=True),
        )
        self.direct = GridConv(channels * CELL**2, c.latents, 1, gain=0.1, precise=True)
        known = cosines(channels)[: c.latents]
        with torch.no_grad():
            self.direct.weight[: len(known)] = known
        self.hyper_analysis = nn.Sequential(
            *(GridConv(c.latents + 1, wide // 2, stride=2, activations=False), Activation()),
            GridConv(wide // 2, c.hyper_latents, stride=2, gain=1.0, precise=True),
        )
        self.decoder = Decoder(config, channels)

    def latents(self, levels: Maps, quality: Quality) -> Maps:
        """Latents without gain of levels 0 … 255; sides are padded to multiples of eight by repeating the edge."""
        folded = self.fold(levels / UNIT - PIXEL_OFFSET)
        cells = F.pixel_unshuffle(F.pixel_shuffle(folded, FOLD), CELL)
        bent = self.analysis(torch.cat([folded, plane(quality, folded)], 1))
        return self.direct(cells).to(levels.dtype) + bent.to(levels.dtype)

    def hyper_latents(self, latents: Maps, quality: Quality) -> Maps:
        """Hyper-latents without gain, their sides a quarter of the latents', rounded up."""
        below, right = (-side % HYPER for side in latents.shape[2:])
        seen = on_grid(latents.clamp(-LATENT_CEILING, LATENT_CEILING), LATENT_UNIT)
        seen = F.pad(seen, (0, right, 0, below), mode="replicate")
        return self.hyper_analysis(torch.cat([seen, plane(quality, seen)], 1)).to(latents.dtype)


def cosines(channels: int) -> Float[Tensor, "waves numbers"]:
    """An orthonormal basis of 8×8 pixels, as `pixel_unshuffle` has them: slow waves first, brightness before color.

    The discrete cosine transform (Ahmed et al. 1974) of brightness and two opponent colors, or of grey alone.
    """
    step = torch.arange(CELL, dtype=torch.float64)
    waves = torch.cos(math.pi * (2 * step + 1) * step[:, None] / (2 * CELL)) * (2 / CELL) ** 0.5
    waves[0] /= 2**0.5
    colors = torch.ones(1, 1, dtype=torch.float64)
    if channels == 3:
        colors = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)
        colors = colors / colors.norm(dim=1, keepdim=True)
    basis = torch.einsum("kc,ui,vj->kuvcij", colors, waves, waves).flatten(3).flatten(0, 2)
    speed = (step[:, None] + step)[None] * torch.tensor([1.0, 2.0, 2.0])[:channels, None, None]
    return basis[(speed + torch.tensor([0.0, 1.0, 1.0])[:channels, None, None]).flatten().argsort(stable=True)].float()


def plane(quality: Quality, like: Maps) -> Maps:
    """A constant plane of each picture's quality, from 1/64 to 4."""
    level = (quality * int(UNIT * CEILING) + QUALITIES // 2) // QUALITIES
    return (level.to(like.dtype) / UNIT)[:, None, None, None].expand(-1, 1, *like.shape[2:])


def levels_of(images: Images) -> Maps:
    """Floats in [-1, 1] as levels 0 … 255, still floats."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255)


def _gains(anchors: Tensor, quality: Quality, *, learning: bool) -> Gains:
    """Interpolated between the anchors; exact powers where nothing is learned."""
    steps = (quality.to(anchors.device) - 1) * (ANCHORS - 1)
    below = (steps // (QUALITIES - 1)).clamp(max=ANCHORS - 2)
    share = ((steps - below * (QUALITIES - 1)).to(anchors.dtype) / (QUALITIES - 1))[:, None]
    known = on_grid(anchors, GAIN_PARTS)
    octave = on_grid(known[below] * (1 - share) + known[below + 1] * share, GAIN_PARTS).clamp(*GAIN_OCTAVES)
    octave = octave[..., None, None]
    if learning:
        return Gains(torch.exp2(octave), octave)
    table = torch.from_numpy(powers(GAIN_PARTS, *(GAIN_PARTS * end for end in GAIN_OCTAVES))).to(octave)
    return Gains(table[((octave - GAIN_OCTAVES[0]) * GAIN_PARTS).long()], octave)


def _over(scaled: Maps, gains: Gains) -> Maps:
    """Without gain, on the grid that the synthesis is exact on."""
    return on_grid((scaled / gains.gain).clamp(-LATENT_CEILING, LATENT_CEILING), LATENT_UNIT)
