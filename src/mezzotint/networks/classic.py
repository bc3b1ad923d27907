"""The tutorials' convolutional network: three convolutions, two pools, one hidden layer."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.networks.parts import Conv2d, VectorFromMap
from mezzotint.ops.places import places
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


def _smallest_side(convolutions: int) -> int:
    """The side that lasts through unpadded 3×3 convolutions with pools between them: 18 for three."""
    side = 3
    for _ in range(convolutions - 1):
        side = 2 * side + 2
    return side


def _seen_side(last: int, pools: list[bool]) -> int:
    """The side of the picture that `last` pixels after unpadded convolutions, some with a pool, depend on."""
    for pooled in reversed(pools):
        last = (2 * last if pooled else last) + 2
    return last


class Classic(nn.Module):
    """Conv 3×3, pool 2, ReLU by turns; then a hidden layer and logits.

    Convolutions are unpadded as in the tutorials. Pictures too small for that (under 18 pixels with three of them)
    are padded to keep their side, and no longer pooled once they are one pixel wide. ReLU comes after the pool: the
    same numbers for a quarter of the work. Rows and columns that never reach the logits, because a pool leaves an odd
    last one out, are cut off at the door: of 28×28 pixels 26×26 are seen, the same numbers for a sixth less work.
    """

    def __init__(self, config: ClassicConfig, spec: DataSpec) -> None:
        super().__init__()
        channels, height, width = spec.shape
        padding = 1 if min(height, width) < _smallest_side(len(config.widths)) else 0
        layers: list[nn.Module] = []
        pools: list[bool] = []
        for i, filters in enumerate(config.widths):
            convolution = Conv2d if i == 0 else nn.Conv2d  # a first layer's gradient by the weights is what is slow
            layers.append(convolution(channels, filters, 3, padding=padding))
            height, width = height - 2 + 2 * padding, width - 2 + 2 * padding
            pools.append(i < len(config.widths) - 1 and min(height, width) >= 2)
            if pools[-1]:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            layers.append(nn.ReLU(inplace=True))
            channels = filters
        self.convolutions = len(layers)
        """Layers before the hidden one."""
        layers += [VectorFromMap(), nn.Linear(channels * height * width, config.hidden), nn.ReLU(inplace=True)]
        if config.dropout:
            layers.append(nn.Dropout(config.dropout))
        self.body = nn.Sequential(*layers)
        self.first = 3 if pools[0] else 2
        """Layers of the first convolution with what belongs to it."""
        self.seen = spec.shape[1:] if padding else (_seen_side(height, pools), _seen_side(width, pools))
        self.head = nn.Linear(config.hidden, len(spec.classes))

    def maps(self, images: Images) -> Float[Tensor, "n channels rows columns"]:
        """The last convolution."""
        return self.body[: self.convolutions](images[:, :, : self.seen[0], : self.seen[1]])

    def pooled(self, maps: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n hidden"]:
        """The hidden layer from the last convolution."""
        return self.body[self.convolutions :](maps)

    def features(self, images: Images) -> Float[Tensor, "n hidden"]:
        """The hidden layer."""
        return self.pooled(self.maps(images))

    def spatial(self, images: Images) -> Float[Tensor, "n d"]:
        """What the first convolution sees, place by place (`ops.places`)."""
        return places(self.body[: self.first](images))

    def forward(self, images: Images) -> Float[Tensor, "n classes"]:
        """Logits."""
        return self.head(self.features(images))
