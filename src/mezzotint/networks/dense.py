"""Fully connected networks: the first generators and autoencoders."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.types import DataSpec, Images, Labels


def with_class(z: Tensor, labels: Labels | None, classes: int) -> Tensor:
    """`z` with the class beside it as a one-hot code (Mirza & Osindero 2014); just `z` without classes."""
    if classes == 0:
        return z
    assert labels is not None
    return torch.cat([z, F.one_hot(labels, classes).to(z.dtype)], 1)


def _layers(widths: list[int]) -> nn.Sequential:
    """Linear and ReLU by turns."""
    pairs = [(nn.Linear(a, b), nn.ReLU(inplace=True)) for a, b in zip(widths, widths[1:], strict=False)]
    return nn.Sequential(*[layer for pair in pairs for layer in pair])


@dataclass(frozen=True, kw_only=True)
class DenseGeneratorConfig:
    """Hidden layers of the dense generator; one of 128 is that of Goodfellow's first and of the tutorials."""

    widths: tuple[int, ...] = (128,)

    def build(self, spec: DataSpec, latent: int, classes: int) -> "DenseGenerator":
        """A generator from `latent` numbers (and a class) to pictures of `spec`."""
        return DenseGenerator(self, spec, latent, classes)


class DenseGenerator(nn.Module):
    """Noise → hidden layers → every pixel at once, in [-1, 1]."""

    def __init__(self, config: DenseGeneratorConfig, spec: DataSpec, latent: int, classes: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
        self.body = _layers([latent + classes, *config.widths])
        self.head = nn.Linear((latent + classes, *config.widths)[-1], spec.dimensions)

    def forward(self, z: Tensor, labels: Labels | None = None) -> Images:
        """Pictures of `z`, n × latent."""
        return self.head(self.body(with_class(z, labels, self.classes))).tanh().view(-1, *self.spec.shape)


@dataclass(frozen=True, kw_only=True)
class DenseEncoderConfig:
    """Hidden layers of the dense encoder."""

    widths: tuple[int, ...] = (256, 128)

    def build(self, spec: DataSpec, latent: int, classes: int) -> "DenseEncoder":
        """An encoder from pictures of `spec` to the mean and log-variance of `latent` numbers."""
        return DenseEncoder(self, spec, latent, classes)


class DenseEncoder(nn.Module):
    """Every pixel at once → hidden layers → mean and log-variance."""

    def __init__(self, config: DenseEncoderConfig, spec: DataSpec, latent: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.body = _layers([spec.dimensions + classes, *config.widths])
        self.head = nn.Linear((spec.dimensions + classes, *config.widths)[-1], 2 * latent)

    def forward(self, images: Images, labels: Labels | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each n × latent."""
        mean, log_variance = self.head(self.body(with_class(images.flatten(1), labels, self.classes))).chunk(2, 1)
        return mean, log_variance


@dataclass(frozen=True, kw_only=True)
class DenseDecoderConfig:
    """Hidden layers of the dense decoder."""

    widths: tuple[int, ...] = (128, 256)

    def build(self, spec: DataSpec, latent: int, classes: int, outputs: int = 1) -> "DenseDecoder":
        """A decoder to `outputs` raw numbers per number of a picture."""
        return DenseDecoder(self, spec, latent, classes, outputs)


class DenseDecoder(nn.Module):
    """Latent → hidden layers → raw numbers for every pixel."""

    def __init__(self, config: DenseDecoderConfig, spec: DataSpec, latent: int, classes: int, outputs: int) -> None:
        super().__init__()
        self.shape, self.classes = (outputs * spec.channels, spec.height, spec.width), classes
        self.body = _layers([latent + classes, *config.widths])
        self.head = nn.Linear((latent + classes, *config.widths)[-1], outputs * spec.dimensions)

    def forward(self, z: Tensor, labels: Labels | None = None) -> Tensor:
        """Raw numbers, n × (outputs·c) × h × w."""
        return self.head(self.body(with_class(z, labels, self.classes))).view(-1, *self.shape)
