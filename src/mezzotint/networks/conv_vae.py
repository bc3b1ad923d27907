"""Convolutional encoder and decoder for variational autoencoders, for squares of 8 to 128 pixels."""

from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.networks.parts import (
    MapFromVector,
    VectorFromMap,
    convolution,
    doublings,
    transposed_convolution,
    with_class,
)
from mezzotint.types import DataSpec, Images, Labels


def _widths(width: int, most: int, times: int) -> list[int]:
    """Channels from the finest side to the coarsest."""
    return [min(most, width * 2**i) for i in range(times + 1)]


class _Residual(nn.Module):
    """Two 3×3 convolutions beside the identity; the second begins at zero, so a fresh network is a shallow one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return x + self.second(self.first(x.relu()).relu())


def _residuals(blocks: int, channels: int) -> list[nn.Module]:
    return [_Residual(channels) for _ in range(blocks)]


@dataclass(frozen=True, kw_only=True)
class ConvEncoderConfig:
    """Channels at full size, doubled with each halving of the side up to `most`, and residual blocks per side."""

    width: int = 32
    most: int = 128
    blocks: int = 1

    def build(self, spec: DataSpec, latent: int, classes: int) -> "ConvEncoder":
        """An encoder from pictures of `spec` to the mean and log-variance of `latent` numbers."""
        return ConvEncoder(self, spec, latent, classes)


class ConvEncoder(nn.Module):
    """Convolutions of stride 2 with residual blocks between them → mean and log-variance."""

    def __init__(self, config: ConvEncoderConfig, spec: DataSpec, latent: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        side, times = doublings(spec)
        widths = [spec.channels, *_widths(config.width, config.most, times)[1:]]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [convolution(a, b, 4), *_residuals(config.blocks, b), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers, VectorFromMap())
        self.head = nn.Linear(widths[-1] * side * side + classes, 2 * latent)

    def forward(
        self, images: Images, labels: Labels | None = None
    ) -> tuple[Float[Tensor, "n latent"], Float[Tensor, "n latent"]]:
        """Mean and log-variance."""
        mean, log_variance = self.head(with_class(self.body(images), labels, self.classes)).chunk(2, 1)
        return mean, log_variance


@dataclass(frozen=True, kw_only=True)
class ConvDecoderConfig:
    """As the encoder's, the other way round."""

    width: int = 32
    most: int = 128
    blocks: int = 1

    def build(self, spec: DataSpec, latent: int, classes: int, outputs: int = 1) -> "ConvDecoder":
        """A decoder to `outputs` raw numbers per number of a picture."""
        return ConvDecoder(self, spec, latent, classes, outputs)


class ConvDecoder(nn.Module):
    """Latent → a small map of many channels → doubled by transposed convolutions with residual blocks between."""

    def __init__(self, config: ConvDecoderConfig, spec: DataSpec, latent: int, classes: int, outputs: int) -> None:
        super().__init__()
        self.classes = classes
        side, times = doublings(spec)
        widths = _widths(config.width, config.most, times)[::-1]
        project = nn.Linear(latent + classes, widths[0] * side * side)
        layers: list[nn.Module] = [project, MapFromVector(widths[0], side)]
        for a, b in pairwise(widths):
            layers += [*_residuals(config.blocks, a), nn.ReLU(inplace=True), transposed_convolution(a, b, 4)]
        self.body = nn.Sequential(
            *layers, nn.ReLU(inplace=True), nn.Conv2d(widths[-1], outputs * spec.channels, 3, padding=1)
        )

    def forward(self, z: Float[Tensor, "n latent"], labels: Labels | None = None) -> Float[Tensor, "n raw h w"]:
        """Raw numbers, n × (outputs·c) × h × w."""
        return self.body(with_class(z, labels, self.classes))
