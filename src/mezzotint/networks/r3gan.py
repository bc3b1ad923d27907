"""Residual generator and discriminator without any norm, as a mirrored pair (Huang et al. 2024, "R3GAN", section 4).

    x ──┬── 1×1 ── leaky ReLU ── 3×3 ── leaky ReLU ── 1×1 (begins at 0) ──(+)── y
        └─────────────────────────────────────────────────────────────────┘

The last convolution of each branch begins at zero and the others are shrunk by the number of blocks (Zhang et al. 2019,
"Fixup"), so that a deep network begins as a shallow one and needs no norm. The paper's 3×3 convolutions are grouped
(16 channels each) in branches of twice the width: `expansion=2, group=16`; the dense ones that are the default here
are faster on a CPU.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.errors import UserError
from mezzotint.networks.parts import (
    Conv2d,
    LogitHead,
    convolution,
    doublings,
    transposed_convolution,
    widened,
    with_class,
)
from mezzotint.types import DataSpec, Images, Kinds, Labels

LEAK = 0.2
GAIN = (2 / (1 + LEAK**2)) ** 0.5
"""He et al. 2015, equation 15: what keeps the variance through a leaky ReLU."""


def _begin(layer: nn.Module, gain: float, inputs: int = 0) -> None:
    """Normal weights that keep the variance up to `gain`; biases zero."""
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    nn.init.normal_(weight, 0, gain / (inputs or weight[0].numel()) ** 0.5)
    if isinstance(bias, Tensor):
        nn.init.zeros_(bias)


def _point(inputs: int, outputs: int, gain: float = 1.0, *, bias: bool = False) -> nn.Module:
    layer = Conv2d(inputs, outputs, 1, bias=bias)
    _begin(layer, gain)
    return layer


class _Branch(nn.Module):
    """What a block adds to its input."""

    def __init__(self, width: int, expansion: float, group: int, blocks: int) -> None:
        super().__init__()
        inner = round(width * expansion)
        if group and inner % group:
            raise UserError(
                f"group={group} does not divide the {inner} channels of a branch: set it to a divisor, or 0"
            )
        mix = nn.Conv2d(inner, inner, 3, padding=1, groups=inner // group) if group else Conv2d(inner, inner, 3, 1, 1)
        layers = [Conv2d(width, inner, 1), mix, Conv2d(inner, width, 1, bias=False)]
        for layer, gain in zip(layers, (GAIN * blocks**-0.25, GAIN * blocks**-0.25, 0.0), strict=True):
            _begin(layer, gain)
        act = nn.LeakyReLU(LEAK, inplace=True)
        self.body = nn.Sequential(layers[0], act, layers[1], act, layers[2])

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return x + self.body(x)


class _Resize(nn.Module):
    """Halved by the mean of 2×2, doubled bilinearly; the width changes where there are fewer pixels."""

    def __init__(self, inputs: int, outputs: int, *, up: bool) -> None:
        super().__init__()
        self.up = up
        self.point = _point(inputs, outputs)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        if not self.up:
            return self.point(F.avg_pool2d(x, 2))
        return F.interpolate(self.point(x), scale_factor=2, mode="bilinear", align_corners=False)


@dataclass(frozen=True, kw_only=True)
class _Size:
    """Width and depth of either network of the mirrored pair."""

    width: int = 64
    """Channels of the stage next to the pixels, twice as many in the one beyond and so on up to `most`."""
    most: int = 128
    blocks: int = 1
    """Residual blocks a stage."""
    expansion: float = 1.0
    """Channels inside a branch to those outside."""
    group: int = 0
    """Channels of each group of the 3×3 convolutions; 0 is dense."""
    coarse: bool = True
    """Let the stage next to the pixels work at half the side, behind a convolution of stride 2."""


@dataclass(frozen=True, kw_only=True)
class R3ganGeneratorConfig(_Size):
    """Width and depth of the generator; each stage has twice the side of the one before."""

    def build(self, spec: DataSpec, latent: int, classes: int) -> "R3ganGenerator":
        """A generator of pictures of `spec`; raises UserError for sides that cannot be made by doubling."""
        return R3ganGenerator(self, spec, latent, classes)


def _stages(width: int, most: int, coarse: bool, spec: DataSpec) -> tuple[int, bool, list[int]]:
    """The first side, whether the last stage is coarse, and the channels of each stage from small to large pictures."""
    side, times = doublings(spec)
    coarse = coarse and times > 1
    return side, coarse, [min(most, width * 2**i) for i in reversed(range(times + 1 - coarse))]


class R3ganGenerator(nn.Module):
    """A learned map, each channel times a number that is linear in the noise → stages of blocks → pixels."""

    def __init__(self, config: R3ganGeneratorConfig, spec: DataSpec, latent: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        side, coarse, widths = _stages(config.width, config.most, config.coarse, spec)
        self.basis = nn.Parameter(torch.randn(widths[0], side, side))
        self.linear = nn.Linear(latent + classes, widths[0], bias=False)
        _begin(self.linear, 1.0)
        blocks = config.blocks * len(widths)
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            layers += [_Resize(widths[i - 1], width, up=True)] if i else []
            layers += [_Branch(width, config.expansion, config.group, blocks) for _ in range(config.blocks)]
        last = (
            Conv2d(widths[-1], spec.channels, 3, 1, 1)
            if not coarse
            else transposed_convolution(widths[-1], spec.channels, 4)
        )
        _begin(last, 1.0, inputs=widths[-1] * (4 if coarse else 9))
        self.body = nn.Sequential(*layers, last)

    def forward(self, z: Float[Tensor, "n latent"], labels: Kinds | None = None) -> Images:
        """Pictures of `z`, not held in [-1, 1]: a generator that saturates early has no gradient to come back by."""
        style = self.linear(with_class(z, labels, self.classes))
        x = (style[:, :, None, None] * self.basis).contiguous(memory_format=torch.channels_last)
        return self.body(x)


@dataclass(frozen=True, kw_only=True)
class R3ganDiscriminatorConfig(_Size):
    """Width and depth of the discriminator; each stage has half the side of the one before."""

    def build(self, spec: DataSpec, classes: int) -> "R3ganDiscriminator":
        """A discriminator of pictures of `spec`; raises UserError for sides that cannot be made by doubling."""
        return R3ganDiscriminator(self, spec, classes)


class R3ganDiscriminator(nn.Module):
    """Stages of blocks → a weighted sum over what is left of the side → one logit, by class a projection."""

    couples_pictures = False

    def __init__(self, config: R3ganDiscriminatorConfig, spec: DataSpec, classes: int) -> None:
        super().__init__()
        side, coarse, widths = _stages(config.width, config.most, config.coarse, spec)
        widths = widths[::-1]
        first = Conv2d(spec.channels, widths[0], 3, 1, 1) if not coarse else convolution(spec.channels, widths[0], 4)
        _begin(first, 1.0)
        blocks = config.blocks * len(widths)
        layers: list[nn.Module] = [first]
        for i, width in enumerate(widths):
            layers += [_Resize(widths[i - 1], width, up=False)] if i else []
            layers += [_Branch(width, config.expansion, config.group, blocks) for _ in range(config.blocks)]
        self.body = nn.Sequential(*layers)
        self.basis = nn.Parameter(torch.randn(widths[-1], side, side) / side)
        self.width = widths[-1]
        """Number of features."""
        self.head = LogitHead(self.width, classes)
        _begin(self.head.linear, 1.0)

    def features(self, images: Images) -> Float[Tensor, "n f"]:
        """What the logit is taken from."""
        return (widened(self.body(images)) * self.basis).sum((2, 3))

    def judge(self, features: Float[Tensor, "n f"], labels: Labels | None = None) -> Float[Tensor, " n"]:
        """One logit per row of features."""
        return self.head(features, labels)

    def forward(self, images: Images, labels: Labels | None = None) -> Float[Tensor, " n"]:
        """One logit per picture."""
        return self.judge(self.features(images), labels)
