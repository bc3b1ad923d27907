"""The 17-million-parameter convolutional autoencoder that pythae (Chadebec et al. 2022) uses for 28×28 pictures.

Written from its published description, to compare like with like in benchmarks.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from mezzotint.errors import UserError
from mezzotint.types import DataSpec, Images, Labels


def _refuse_others(spec: DataSpec, classes: int) -> None:
    if (spec.height, spec.width, classes) != (28, 28, 0):
        raise UserError("pythae's network is for 28×28 pictures without conditions; use the convolutional one")


@dataclass(frozen=True, kw_only=True)
class PythaeEncoderConfig:
    """128 to 1024 channels by four convolutions of stride 2."""

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
        for a, b in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(a, b, 4, 2, 1), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.mean = nn.Linear(widths[-1], latent)
        self.log_variance = nn.Linear(widths[-1], latent)

    def forward(self, images: Images, labels: Labels | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each n × latent."""
        features = self.body(images)
        return self.mean(features), self.log_variance(features)


@dataclass(frozen=True, kw_only=True)
class PythaeDecoderConfig:
    """1024 to 256 channels by three transposed convolutions of stride 2."""

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
        self.project = nn.Linear(latent, 8 * w * 16)
        self.start = (8 * w, 4, 4)
        self.body = nn.Sequential(
            nn.ConvTranspose2d(8 * w, 4 * w, 3, 2, 1),
            nn.BatchNorm2d(4 * w),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(4 * w, 2 * w, 3, 2, 1, output_padding=1),
            nn.BatchNorm2d(2 * w),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(2 * w, outputs * spec.channels, 3, 2, 1, output_padding=1),
        )

    def forward(self, z: Tensor, labels: Labels | None = None) -> Tensor:
        """Raw numbers, n × (outputs·c) × 28 × 28."""
        return self.body(self.project(z).view(-1, *self.start))
