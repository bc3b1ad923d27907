"""The residual GANs: SN-GAN's pair (Miyato et al. 2018, appendix B.4) and BigGAN's (Brock et al. 2019, appendix B).

Generator block: norm, ReLU, doubling, 3×3, norm, ReLU, 3×3; beside it doubling and 1×1. Discriminator block: ReLU, 3×3,
ReLU, 3×3, halving; beside it 1×1 and halving. The norm is tuned by class (Miyato & Koyama 2018).

BigGAN is the same with `orthogonal=True`, `spectral=True`, attention at one side, a class code shared by all norms
(`code`), and noise that is split: a piece enters at the start, and one the norms of each block (`split`).
Its full width, for 128×128×3 and 1,000 classes: generator width=96, most=1536, code=128, split=True, attention=64 with
latent=120; discriminator width=96, most=1536, attention=64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.errors import UserError
from mezzotint.networks.normalization import ConditionalNorm
from mezzotint.networks.parts import Conv2d, LogitHead, MapFromVector, class_code, doublings, widened
from mezzotint.networks.weights import orthogonal, spectrally_normalized
from mezzotint.types import DataSpec, Images, Kinds, Labels


def _begin(network: nn.Module) -> None:
    """Glorot's uniform weights, 3×3 convolutions with a gain of sqrt(2), as in the papers' code; biases zero."""
    for part in network.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            gain = 2**0.5 if isinstance(part, nn.Conv2d) and part.kernel_size[0] == 3 else 1.0
            nn.init.xavier_uniform_(part.weight, gain)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class Attention(nn.Module):
    """Each pixel takes what it looks for from all others, weighted by a gain that begins at zero.

    Zhang et al. 2019 (SAGAN), equations 1 to 3; keys and values are halved by a max pool as in BigGAN.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        few, half = max(1, channels // 8), max(1, channels // 2)
        self.query, self.key = Conv2d(channels, few, 1, bias=False), Conv2d(channels, few, 1, bias=False)
        self.value, self.out = Conv2d(channels, half, 1, bias=False), Conv2d(half, channels, 1, bias=False)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The same shape."""
        n, _, h, w = x.shape
        query = self.query(x).flatten(2).transpose(1, 2)
        key, value = (F.max_pool2d(part(x), 2).flatten(2) for part in (self.key, self.value))
        weights = widened(query @ key).softmax(2).to(value.dtype)
        seen = (weights @ value.transpose(1, 2)).transpose(1, 2).reshape(n, -1, h, w)
        return x + self.gain.to(x.dtype) * self.out(seen)


class _Up(nn.Module):
    """A generator's block."""

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.first, self.second = ConditionalNorm(inputs, condition), ConditionalNorm(outputs, condition)
        self.grow, self.mix = Conv2d(inputs, outputs, 3, 1, 1), Conv2d(outputs, outputs, 3, 1, 1)
        self.short = Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        y = self.grow(F.interpolate(self.first(x, condition).relu(), scale_factor=2.0, mode="nearest"))
        y = self.mix(self.second(y, condition).relu())
        # A 1×1 convolution and a doubling may change places; this order is a quarter of the work.
        return y + F.interpolate(self.short(x), scale_factor=2.0, mode="nearest")


class _Down(nn.Module):
    """A discriminator's block; the first one of a network gets pixels and has no ReLU before its convolution."""

    def __init__(self, inputs: int, outputs: int, *, half: bool, first: bool = False) -> None:
        super().__init__()
        self.halves, self.first = half, first
        self.mix, self.shrink = Conv2d(inputs, outputs, 3, 1, 1), Conv2d(outputs, outputs, 3, 1, 1)
        self.short = Conv2d(inputs, outputs, 1) if half or inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.shrink(self.mix(x if self.first else x.relu()).relu())
        if not self.halves:
            return y + self.short(x)
        return F.avg_pool2d(y, 2) + self.short(F.avg_pool2d(x, 2))


def _refuse_missing(attention: int, sides: Sequence[int]) -> None:
    if attention and attention not in sides:
        raise UserError(f"no block has maps of side {attention}: set attention to one of {list(sides)}, or 0")


@dataclass(frozen=True, kw_only=True)
class ResidualGeneratorConfig:
    """Width of the generator, and what BigGAN adds."""

    width: int = 32
    """Channels of the last stage, twice as many in the one before and so on up to `most`."""
    most: int = 128
    attention: int = 0
    """Side of the maps that attend to themselves; 0 is none."""
    code: int = 0
    """Numbers of a class code that all norms share; 0 gives each norm its own numbers for each class."""
    split: bool = False
    """Cut the noise into equal pieces, one for the start and one for the norms of each block."""
    orthogonal: bool = False
    spectral: bool = False

    def build(self, spec: DataSpec, latent: int, classes: int) -> "ResidualGenerator":
        """A generator of pictures of `spec`; raises UserError for sides that cannot be made by doubling."""
        return ResidualGenerator(self, spec, latent, classes)


class ResidualGenerator(nn.Module):
    """Noise → a small map → blocks that double it → norm, ReLU, 3×3, tanh."""

    def __init__(self, config: ResidualGeneratorConfig, spec: DataSpec, latent: int, classes: int) -> None:
        super().__init__()
        side, times = doublings(spec)
        widths = [min(config.most, config.width * 2**i) for i in reversed(range(times))]
        widths = [widths[0], *widths]
        self.classes, self.pieces = classes, times + 1 if config.split else 1
        self.piece = latent // self.pieces
        code = config.code if config.code and classes else classes
        self.code = nn.Embedding(classes, code) if config.code and classes else None
        condition = code + (self.piece if config.split else 0)
        start = latent - self.piece * times if config.split else latent
        self.start = nn.Sequential(nn.Linear(start, widths[0] * side * side), MapFromVector(widths[0], side))
        self.blocks = nn.ModuleList(_Up(a, b, condition) for a, b in pairwise(widths))
        sides = [side * 2 ** (i + 1) for i in range(times)]
        _refuse_missing(config.attention, sides)
        self.attention = nn.ModuleDict(
            {str(i): Attention(widths[i + 1]) for i, s in enumerate(sides) if s == config.attention}
        )
        self.norm, self.last = nn.BatchNorm2d(widths[-1]), Conv2d(widths[-1], spec.channels, 3, 1, 1)
        (orthogonal if config.orthogonal else _begin)(self)
        if config.spectral:
            spectrally_normalized(self)

    def forward(self, z: Float[Tensor, "n latent"], labels: Kinds | None = None) -> Images:
        """Pictures of `z` in [-1, 1]."""
        first = z.shape[1] - self.piece * (self.pieces - 1)
        start, *pieces = z.split([first, *[self.piece] * (self.pieces - 1)], 1) if self.pieces > 1 else (z,)
        x, code = self.start(start), self._code(labels)
        for i, block in enumerate(self.blocks):
            given = [part for part in (code, pieces[i] if pieces else None) if part is not None]
            x = block(x, torch.cat(given, 1) if given else None)
            if str(i) in self.attention:
                x = self.attention[str(i)](x)
        return self.last(self.norm(x).relu()).tanh()

    def _code(self, labels: Kinds | None) -> Tensor | None:
        if not self.classes:
            return None
        assert labels is not None, "a conditional network needs labels"
        if self.code is not None and not labels.is_floating_point():
            return self.code(labels)
        code = class_code(labels, self.classes).to(self.last.weight.dtype)
        return code if self.code is None else code @ self.code.weight


@dataclass(frozen=True, kw_only=True)
class ResidualDiscriminatorConfig:
    """Width of the discriminator, and what BigGAN adds."""

    width: int = 32
    """Channels of the first stage, twice as many in the next and so on up to `most`."""
    most: int = 128
    more: int = 1
    """Blocks at the smallest side."""
    attention: int = 0
    """Side of the maps that attend to themselves; 0 is none."""
    orthogonal: bool = False
    spectral: bool = True

    def build(self, spec: DataSpec, classes: int) -> "ResidualDiscriminator":
        """A discriminator of pictures of `spec`; raises UserError for sides that cannot be made by doubling."""
        return ResidualDiscriminator(self, spec, classes)


class ResidualDiscriminator(nn.Module):
    """Blocks that halve the picture → ReLU, sum over all pixels → one logit, by class a projection."""

    couples_pictures = False

    def __init__(self, config: ResidualDiscriminatorConfig, spec: DataSpec, classes: int) -> None:
        super().__init__()
        side, times = doublings(spec)
        widths = [spec.channels, *[min(config.most, config.width * 2**i) for i in range(times)]]
        layers: list[nn.Module] = []
        _refuse_missing(config.attention, [side * 2**i for i in range(times)])
        for i in range(times):
            layers.append(_Down(widths[i], widths[i + 1], half=True, first=i == 0))
            if side * 2 ** (times - i - 1) == config.attention:
                layers.append(Attention(widths[i + 1]))
        layers += [_Down(widths[-1], widths[-1], half=False) for _ in range(config.more)]
        self.body = nn.Sequential(*layers)
        self.width = widths[-1]
        """Number of features."""
        self.head = LogitHead(self.width, classes)
        (orthogonal if config.orthogonal else _begin)(self)
        if config.spectral:
            spectrally_normalized(self)

    def features(self, images: Images) -> Float[Tensor, "n f"]:
        """What the logit is taken from."""
        return widened(self.body(images).relu()).sum((2, 3))

    def judge(self, features: Float[Tensor, "n f"], labels: Labels | None = None) -> Float[Tensor, " n"]:
        """One logit per row of features."""
        return self.head(features, labels)

    def forward(self, images: Images, labels: Labels | None = None) -> Float[Tensor, " n"]:
        """One logit per picture."""
        return self.judge(self.features(images), labels)
