"""Fully connected networks: the first generators and autoencoders."""

from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.networks.parts import with_class
from mezzotint.types import DataSpec, Images, Kinds, Labels


def _layers(widths: tuple[int, ...]) -> nn.Sequential:
    """Linear and ReLU by turns."""
    pairs = [(nn.Linear(a, b), nn.ReLU(inplace=True)) for a, b in pairwise(widths)]
    return nn.Sequential(*[layer for pair in pairs for layer in pair])


@dataclass(frozen=True, kw_only=True)
class DenseGeneratorConfig:
    """Hidden layers of the dense generator; the tutorials have one of 128."""

    widths: tuple[int, ...] = (128,)

    def build(self, spec: DataSpec, latent: int, classes: int) -> "DenseGenerator":
        """A generator from `latent` numbers (and a class) to pictures of `spec`."""
        return DenseGenerator(self, spec, latent, classes)


class DenseGenerator(nn.Module):
    """Noise → hidden layers → every pixel at once, in [-1, 1]."""

    def __init__(self, config: DenseGeneratorConfig, spec: DataSpec, latent: int, classes: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
        widths = (latent + classes, *config.widths)
        self.body = _layers(widths)
        self.head = nn.Linear(widths[-1], spec.dimensions)

    def forward(self, z: Float[Tensor, "n latent"], labels: Kinds | None = None) -> Images:
        """Pictures of `z`."""
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
        widths = (spec.dimensions + classes, *config.widths)
        self.body = _layers(widths)
        self.head = nn.Linear(widths[-1], 2 * latent)

    def forward(
        self, images: Images, labels: Labels | None = None
    ) -> tuple[Float[Tensor, "n latent"], Float[Tensor, "n latent"]]:
        """Mean and log-variance."""
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
        widths = (latent + classes, *config.widths)
        self.body = _layers(widths)
        self.head = nn.Linear(widths[-1], outputs * spec.dimensions)

    def forward(self, z: Float[Tensor, "n latent"], labels: Labels | None = None) -> Float[Tensor, "n raw h w"]:
        """Raw numbers, n × (outputs·c) × h × w."""
        return self.head(self.body(with_class(z, labels, self.classes))).view(-1, *self.shape)
