"""The tutorials' convolutional network: three convolutions, two pools, one hidden layer."""

from dataclasses import dataclass

from torch import Tensor, nn

from mezzotint.types import DataSpec, Images


@dataclass(frozen=True, kw_only=True)
class ClassicConfig:
    """Widths of the layers; the defaults are the tutorials' (32, 64, 64 filters and 64 hidden units)."""

    widths: tuple[int, ...] = (32, 64, 64)
    hidden: int = 64
    dropout: float = 0.0
    """Share of the hidden units that is left out while training."""

    def build(self, spec: DataSpec) -> "Classic":
        """The network for pictures and classes of `spec`."""
        return Classic(self, spec)


class Classic(nn.Module):
    """Conv 3×3, ReLU, pool 2 by turns; then a hidden layer and logits.

    Convolutions are without padding as in the tutorials, but pad pictures of fewer than 18 pixels, which would
    otherwise vanish. ReLU comes after the pool: the same numbers for a quarter of the work.
    """

    def __init__(self, config: ClassicConfig, spec: DataSpec) -> None:
        super().__init__()
        padding = 1 if min(spec.height, spec.width) < 18 else 0
        layers: list[nn.Module] = []
        channels, height, width = spec.shape
        for i, out in enumerate(config.widths):
            layers.append(nn.Conv2d(channels, out, 3, padding=padding))
            height, width = height - 2 + 2 * padding, width - 2 + 2 * padding
            if i < len(config.widths) - 1 and min(height, width) >= 2:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            layers.append(nn.ReLU(inplace=True))
            channels = out
        layers += [nn.Flatten(), nn.Linear(channels * height * width, config.hidden), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers, nn.Dropout(config.dropout))
        self.head = nn.Linear(config.hidden, len(spec.classes))

    def features(self, images: Images) -> Tensor:
        """The hidden layer, n × hidden."""
        return self.body(images)

    def forward(self, images: Images) -> Tensor:
        """Logits, n × classes."""
        return self.head(self.body(images))
