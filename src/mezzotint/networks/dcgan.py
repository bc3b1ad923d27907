"""Convolutional generator and discriminator of strides and no pools (Radford, Metz & Chintala 2016).

For square pictures whose side is 3, 4, 5 or 7 times a power of two: 8, 16, 28, 32, 64, 128 and others. Networks known
by name, as (generator, discriminator) settings; z has 100 numbers in all of them:

- the paper's, 64×64×3: generator width=128, most=1024;
- PyTorch's tutorial, 64×64×3: the defaults;
- its extension to 128×128×3 by one more doubling: most=1024;
- TensorFlow's tutorial, 28×28×1: (kernel=5, leak=0.3, stem=True, radford=False) and
  (kernel=5, leak=0.3, norm="none", dropout=0.3, radford=False). TensorFlow pads even sides by one pixel more at the
  end and PyTorch at the beginning: the same network of mirrored pictures. Starting weights and the momentum and
  epsilon of batch norm are PyTorch's.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.networks.normalization import Norm, couples_pictures, norm_layers
from mezzotint.networks.parts import (
    ConvTranspose2d,
    Dropout,
    MapFromVector,
    VectorFromMap,
    convolution,
    doublings,
    transposed_convolution,
    with_class,
)
from mezzotint.networks.weights import spectrally_normalized
from mezzotint.types import DataSpec, Images, Kinds, Labels


@torch.no_grad()
def _radford_initialization(module: nn.Module) -> None:
    """Weights from N(0, 0.02²) (Radford et al. 2016, section 4); batch norm's gains from N(1, 0.02²)."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(part.weight, 0, 0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(part.weight, 1, 0.02)


def _activation(leak: float) -> nn.Module:
    return nn.LeakyReLU(leak, inplace=True) if leak else nn.ReLU(inplace=True)


def _needs_bias(norm: Norm) -> bool:
    """Whether what follows a layer has no shift of its own."""
    return norm in ("none", "pixel")


@dataclass(frozen=True, kw_only=True)
class DcganGeneratorConfig:
    """Width, kernel, norm and nonlinearity of the generator.

    `width` filters stand before the last doubling, twice as many before the one above it and so on up to `most`.
    """

    width: int = 64
    most: int = 512
    kernel: Literal[4, 5] = 4
    leak: float = 0.0
    """Slope of the leaky ReLU; 0 is ReLU, as in the paper."""
    norm: Norm = "batch"
    """Batch norm after every layer but the last; it couples the pictures of a training batch."""
    stem: bool = False
    """Begin as the TensorFlow tutorial: each unit of the first map has a batch norm of its own, and a transposed
    convolution of stride 1 comes before the first doubling."""
    radford: bool = True
    """Start from the paper's narrow normal distribution, else from PyTorch's."""

    def build(self, spec: DataSpec, latent: int, classes: int) -> "DcganGenerator":
        """A generator of pictures of `spec`; raises UserError for sides that cannot be made by doubling."""
        return DcganGenerator(self, spec, latent, classes)


class DcganGenerator(nn.Module):
    """Noise → a small map of many channels → doubled by transposed convolutions of stride 2 → tanh."""

    def __init__(self, config: DcganGeneratorConfig, spec: DataSpec, latent: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        side, times = doublings(spec)
        widths = [min(config.most, config.width * 2**i) for i in reversed(range(times))]
        opening = _stem if config.stem else _projection
        layers = opening(config, latent + classes, widths[0], side)
        for a, b in pairwise(widths):
            layers.append(transposed_convolution(a, b, config.kernel, bias=_needs_bias(config.norm)))
            layers += [*norm_layers(config.norm, b), _activation(config.leak)]
        layers += [transposed_convolution(widths[-1], spec.channels, config.kernel, bias=False), nn.Tanh()]
        self.body = nn.Sequential(*layers)
        if config.radford:
            _radford_initialization(self)

    def forward(self, z: Float[Tensor, "n latent"], labels: Kinds | None = None) -> Images:
        """Pictures of `z` in [-1, 1]."""
        return self.body(with_class(z, labels, self.classes))


def _projection(config: DcganGeneratorConfig, inputs: int, width: int, side: int) -> list[nn.Module]:
    """Noise to a map of `width` channels, normalized by channel."""
    project = nn.Linear(inputs, width * side * side, bias=_needs_bias(config.norm))
    return [project, MapFromVector(width, side), *norm_layers(config.norm, width), _activation(config.leak)]


def _stem(config: DcganGeneratorConfig, inputs: int, width: int, side: int) -> list[nn.Module]:
    """Noise to a map of twice `width` channels (at most `most`), normalized by unit; then to `width` channels."""
    bias, first = _needs_bias(config.norm), min(config.most, 2 * width)
    units, kernel = first * side * side, config.kernel - 1 + config.kernel % 2  # only odd kernels keep the side
    norm = [nn.BatchNorm1d(units)] if config.norm == "batch" else []
    project = [nn.Linear(inputs, units, bias=bias), *norm, _activation(config.leak), MapFromVector(first, side)]
    mix = ConvTranspose2d(first, width, kernel, 1, kernel // 2, bias=bias)
    return [*project, mix, *norm_layers(config.norm, width), _activation(config.leak)]


@dataclass(frozen=True, kw_only=True)
class DcganDiscriminatorConfig:
    """Width, kernel, norm and dropout of the discriminator.

    `width` filters follow the first halving, twice as many the next and so on up to `most`.
    """

    width: int = 64
    most: int = 512
    kernel: Literal[4, 5] = 4
    leak: float = 0.2
    norm: Norm = "batch"
    """Batch norm after every convolution but the first; it makes a picture's logit depend on its company."""
    dropout: float = 0.0
    """Share of the numbers after each convolution that is left out while training."""
    radford: bool = True
    """Start from the paper's narrow normal distribution, else from PyTorch's."""
    spectral: bool = False
    """Weights of spectral norm 1 (Miyato et al. 2018)."""

    def build(self, spec: DataSpec, classes: int) -> "DcganDiscriminator":
        """A discriminator of pictures of `spec`; raises UserError for sides that cannot be made by doubling."""
        return DcganDiscriminator(self, spec, classes)


class DcganDiscriminator(nn.Module):
    """Halved by convolutions of stride 2 → one logit; by class through a projection (Miyato & Koyama 2018, eq. 3)."""

    def __init__(self, config: DcganDiscriminatorConfig, spec: DataSpec, classes: int) -> None:
        super().__init__()
        side, times = doublings(spec)
        widths = [spec.channels, *[min(config.most, config.width * 2**i) for i in range(times)]]
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(widths)):
            norm = norm_layers(config.norm, b) if i else []
            layers += [
                convolution(a, b, config.kernel, bias=not i or _needs_bias(config.norm)),
                *norm,
                _activation(config.leak),
            ]
            if config.dropout:
                layers.append(Dropout(config.dropout))
        self.body = nn.Sequential(*layers, VectorFromMap())
        self.width = widths[-1] * side * side
        """Number of features."""
        self.head = nn.Linear(self.width, 1)
        if config.radford:
            _radford_initialization(self)
        self.projection = nn.Embedding(classes, self.width) if classes else None
        if self.projection is not None:
            nn.init.normal_(self.projection.weight, 0, 0.02)
        if config.spectral:
            spectrally_normalized(self)

    @property
    def couples_pictures(self) -> bool:
        """Whether a picture's logit depends on the others of its training batch."""
        return couples_pictures(self)

    def features(self, images: Images) -> Float[Tensor, "n f"]:
        """What the logit is taken from."""
        return self.body(images)

    def judge(self, features: Float[Tensor, "n f"], labels: Labels | None = None) -> Float[Tensor, " n"]:
        """One logit per row of features."""
        logits = self.head(features).squeeze(1)
        if self.projection is None:
            return logits
        assert labels is not None, "a conditional discriminator needs labels"
        return logits + (features * self.projection(labels)).sum(1)

    def forward(self, images: Images, labels: Labels | None = None) -> Float[Tensor, " n"]:
        """One logit per picture."""
        return self.judge(self.features(images), labels)
