"""The 17-million-parameter convolutional autoencoder that pythae (Chadebec et al. 2022) uses for 28×28 pictures.

Written from its published description, to compare like with like in benchmarks.
"""

from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.errors import UserError
from mezzotint.networks.parts import ConvTranspose2d, MapFromVector, VectorFromMap, convolution
from mezzotint.types import DataSpec, Images, Labels


def _refuse_others(spec: DataSpec, classes: int) -> None:
    if (spec.height, spec.width, classes) != (28, 28, 0):
        raise UserError(
            "pythae's network is for 28×28 pictures without classes; choose the kinds conv-encoder and conv-decoder"
        )


@dataclass(frozen=True, kw_only=True)
class PythaeEncoderConfig:
    """Four convolutions of stride 2; the first has `width` filters, each next one twice as many."""

    width: int = 128

    def build(self, spec: DataSpec, latent: int, classes: int) -> "PythaeEncoder":
        """Raises UserError for other than 28×28 pictures."""
        _refuse_others(spec, classes)
        return PythaeEncoder(self, spec, latent)


class PythaeEncoder(nn.Module):
    """28 → 14 → 7 → 3 → 1 pixels, then mean and log-variance."""

    def __init__(self, config: PythaeEncoderConfig, spec: DataSpec, latent: int) -> None:
        super().__init__()
        widths = [spec.channels, *[config.width * 2**i for i in range(4)]]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [convolution(a, b, 4), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers, VectorFromMap())
        self.mean = nn.Linear(widths[-1], latent)
        self.log_variance = nn.Linear(widths[-1], latent)

    def forward(
        self, images: Images, labels: Labels | None = None
    ) -> tuple[Float[Tensor, "n latent"], Float[Tensor, "n latent"]]:
        """Mean and log-variance; `labels` are not looked at."""
        features = self.body(images)
        return self.mean(features), self.log_variance(features)


@dataclass(frozen=True, kw_only=True)
class PythaeDecoderConfig:
    """Three transposed convolutions of stride 2 from eight times `width` channels."""

    width: int = 128

    def build(self, spec: DataSpec, latent: int, classes: int, outputs: int = 1) -> "PythaeDecoder":
        """Raises UserError for other than 28×28 pictures."""
        _refuse_others(spec, classes)
        return PythaeDecoder(self, spec, latent, outputs)


class PythaeDecoder(nn.Module):
    """4 → 7 → 14 → 28 pixels."""

    def __init__(self, config: PythaeDecoderConfig, spec: DataSpec, latent: int, outputs: int) -> None:
        super().__init__()
        w = config.width
        self.body = nn.Sequential(
            nn.Linear(latent, 8 * w * 4 * 4),
            MapFromVector(8 * w, 4),
            ConvTranspose2d(8 * w, 4 * w, 3, 2, 1),
            nn.BatchNorm2d(4 * w),
            nn.ReLU(inplace=True),
            ConvTranspose2d(4 * w, 2 * w, 3, 2, 1, output_padding=1),
            nn.BatchNorm2d(2 * w),
            nn.ReLU(inplace=True),
            ConvTranspose2d(2 * w, outputs * spec.channels, 3, 2, 1, output_padding=1),
        )

    def forward(self, z: Float[Tensor, "n latent"], labels: Labels | None = None) -> Float[Tensor, "n raw h w"]:
        """Raw numbers, n × (outputs·c) × 28 × 28; `labels` are not looked at."""
        return self.body(z)
