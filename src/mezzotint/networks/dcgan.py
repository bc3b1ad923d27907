"""Convolutional generator and discriminator of strides and no pools (Radford, Metz & Chintala 2016).

Works for square pictures whose side is a small number (2 to 7) times a power of two: 8, 16, 28, 32, 64, 128 …
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mezzotint.errors import UserError
from mezzotint.networks.dense import with_class
from mezzotint.types import DataSpec, Images, Labels


def doublings(spec: DataSpec) -> tuple[int, int]:
    """The side where the picture begins and how often it doubles: (7, 2) for 28 pixels, (4, 4) for 64."""
    if spec.height != spec.width:
        raise UserError(f"a convolutional generator draws squares, not {spec.height}×{spec.width}; give --size")
    side, times = spec.height, 0
    while side % 2 == 0 and side > 4:
        side, times = side // 2, times + 1
    if side > 7 or times == 0:
        raise UserError(
            f"pictures of {spec.height} pixels a side cannot be drawn by doubling; give --size 8, 16, 28, 32, 64 or 128"
        )
    return side, times


def _normalized(norm: str, channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels)] if norm == "batch" else []


@torch.no_grad()
def _radford_initialization(module: nn.Module) -> None:
    """Weights from N(0, 0.02²) and batch norm's gains from N(1, 0.02²) (Radford et al. 2016, section 4)."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(part.weight, 0, 0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1, 0.02)


@dataclass(frozen=True, kw_only=True)
class DcganGeneratorConfig:
    """Width, kernel and nonlinearity of the generator.

    `width` filters stand before the last doubling, twice as many before the one above it and so on up to `most`.
    """

    width: int = 64
    most: int = 512
    kernel: Literal[4, 5] = 4
    leak: float = 0.0
    """Slope of the leaky ReLU; 0 is ReLU, as in the paper."""
    stem: bool = False
    """A stride-1 transposed convolution at the smallest side, as the TensorFlow tutorial has it."""
    radford: bool = True
    """Start from the paper's narrow normal distribution, else from PyTorch's."""

    def build(self, spec: DataSpec, latent: int, classes: int) -> "DcganGenerator":
        """A generator of pictures of `spec`; raises UserError for sides that cannot be drawn by doubling."""
        return DcganGenerator(self, spec, latent, classes)


class DcganGenerator(nn.Module):
    """Noise → a small picture of many channels → doubled by transposed convolutions of stride 2 → tanh."""

    def __init__(self, config: DcganGeneratorConfig, spec: DataSpec, latent: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        side, times = doublings(spec)
        widths = [min(config.most, config.width * 2**i) for i in reversed(range(times))]
        first = min(config.most, 2 * widths[0]) if config.stem else widths[0]
        self.start = (first, side, side)
        self.project = nn.Linear(latent + classes, first * side * side, bias=False)
        layers = [*_normalized("batch", first), self._activation(config)]
        if config.stem:
            layers += [nn.ConvTranspose2d(first, widths[0], config.kernel, 1, config.kernel // 2, bias=False)]
            layers += [*_normalized("batch", widths[0]), self._activation(config)]
        for a, b in zip(widths, widths[1:], strict=False):
            layers += [self._double(config, a, b), *_normalized("batch", b), self._activation(config)]
        layers += [self._double(config, widths[-1], spec.channels), nn.Tanh()]
        self.body = nn.Sequential(*layers)
        if config.radford:
            _radford_initialization(self)

    @staticmethod
    def _activation(config: DcganGeneratorConfig) -> nn.Module:
        return nn.LeakyReLU(config.leak, inplace=True) if config.leak else nn.ReLU(inplace=True)

    @staticmethod
    def _double(config: DcganGeneratorConfig, a: int, b: int) -> nn.Module:
        k = config.kernel
        return nn.ConvTranspose2d(a, b, k, 2, (k - 1) // 2, output_padding=k % 2, bias=False)

    def forward(self, z: Tensor, labels: Labels | None = None) -> Images:
        """Pictures of `z`, n × latent."""
        return self.body(self.project(with_class(z, labels, self.classes)).view(-1, *self.start))


@dataclass(frozen=True, kw_only=True)
class DcganDiscriminatorConfig:
    """Width, kernel, norm and dropout of the discriminator.

    `width` filters follow the first halving, twice as many the next and so on up to `most`.
    """

    width: int = 64
    most: int = 512
    kernel: Literal[4, 5] = 4
    leak: float = 0.2
    norm: Literal["batch", "none"] = "batch"
    """Batch norm after every convolution but the first; it makes a picture's logit depend on its company."""
    dropout: float = 0.0
    radford: bool = True

    def build(self, spec: DataSpec, classes: int) -> "DcganDiscriminator":
        """A discriminator of pictures of `spec`."""
        return DcganDiscriminator(self, spec, classes)


class DcganDiscriminator(nn.Module):
    """Halved by convolutions of stride 2 → one logit; by class through a projection (Miyato & Koyama 2018)."""

    def __init__(self, config: DcganDiscriminatorConfig, spec: DataSpec, classes: int) -> None:
        super().__init__()
        self.couples_pictures = config.norm == "batch"
        side, times = doublings(spec)
        widths = [spec.channels, *[min(config.most, config.width * 2**i) for i in range(times)]]
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
            norm = _normalized(config.norm, b) if i else []
            layers += [nn.Conv2d(a, b, config.kernel, 2, (config.kernel - 1) // 2, bias=not norm), *norm]
            layers.append(nn.LeakyReLU(config.leak, inplace=True))
            if config.dropout:
                layers.append(nn.Dropout(config.dropout))
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Linear(widths[-1] * side * side, 1)
        if config.radford:
            _radford_initialization(self)
        self.projection = nn.Embedding(classes, widths[-1] * side * side) if classes else None
        if self.projection is not None:
            nn.init.normal_(self.projection.weight, 0, 0.02)

    def forward(self, images: Images, labels: Labels | None = None) -> Tensor:
        """One logit per picture, n."""
        features = self.body(images)
        logits = self.head(features).squeeze(1)
        if self.projection is not None:
            assert labels is not None
            logits = logits + (features * self.projection(labels)).sum(1)
        return logits
