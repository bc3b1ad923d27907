"""A small recognizer that is cheap where a CPU is: the picture is folded at the door, the shortcuts into the filters.

A convolution beside a shortcut (He et al. 2016) is one convolution whose filters have the identity added. So there is
no shortcut to walk here: the filters begin as the identity (Zagoruyko & Komodakis 2018, "DiracNets").
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.ops.places import places
from mezzotint.types import DataSpec, Images


@dataclass(frozen=True, kw_only=True)
class ResidualConfig:
    """Twice the width is four times the work; one more block in any stage costs about the same as in another."""

    width: int = 32
    """Channels of the first stage; each later stage has twice as many, on half the side."""
    blocks: tuple[int, ...] = (1, 1, 1)
    """Convolutions of each stage, beside the stem and the one that leads to each later stage."""
    dropout: float = 0.0
    """Share of the features that is left out while training."""
    fold: int | None = None
    """Side of the squares of pixels that are folded into channels at the door; by the size of the pictures if None."""

    def build(self, spec: DataSpec) -> "Residual":
        """The network for pictures and classes of `spec`; without classes it has features and no logits."""
        return Residual(self, spec)

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Channels of each of the `stage_maps`."""
        return tuple(self.width * 2**stage for stage in range(len(self.blocks)))

    def cell(self, spec: DataSpec) -> int:
        """Side in pixels of a place in the first stage."""
        side = max(spec.height, spec.width)
        return self.fold or (1 if side < 16 else 2 if side <= 32 else 4 if side <= 64 else 8)

    def settled(self, spec: DataSpec) -> "ResidualConfig":
        """The same for pictures of any size as for those of `spec`."""
        return replace(self, fold=self.cell(spec))


class _Block(nn.Sequential):
    """3×3 convolution, batch norm, ReLU; the norm comes after a pool, where there is a quarter of the work.

    With `identity` the first filters begin by passing the inputs on; those of further outputs begin at random.
    """

    def __init__(self, inputs: int, outputs: int, identity: bool = True, pool: bool = False) -> None:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        if identity:
            nn.init.dirac_(convolution.weight[:inputs])
        halving = [nn.MaxPool2d(2)] if pool else []
        super().__init__(convolution, *halving, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Pixels folded into channels, stages of convolutions, mean and maximum over what is left of the side, logits.

    Folding (space to depth) 2×2 pixels quarters the work of the first stage, where a CPU is slowest: few channels on
    many positions. Pictures under 16 pixels are not folded, those over 32 are folded 4×4, over 64 8×8.
    """

    def __init__(self, config: ResidualConfig, spec: DataSpec) -> None:
        super().__init__()
        self.fold = config.cell(spec)
        w, extent = config.width, -(-min(spec.height, spec.width) // self.fold)
        layers: list[nn.Module] = [_Block(spec.channels * self.fold**2, w, identity=False)]
        for stage, blocks in enumerate(config.blocks):
            if stage:
                layers.append(_Block(w, 2 * w, pool=extent > 1))
                extent //= 2
                w *= 2
            layers += [_Block(w, w) for _ in range(blocks)]
        self.body = nn.Sequential(*layers)
        self.dropout = nn.Dropout(config.dropout)
        self.width = 2 * w
        """Number of features."""
        self.head = nn.Linear(self.width, len(spec.classes)) if spec.classes else None

    def maps(self, images: Images) -> Float[Tensor, "n channels rows columns"]:
        """The last stage."""
        return self.body(self._folded(images))

    def pooled(self, maps: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n features"]:
        """Mean and maximum over the last stage."""
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)

    def features(self, images: Images) -> Float[Tensor, "n features"]:
        """Mean and maximum over the last stage, n × features."""
        return self.pooled(self.maps(images))

    def stage_maps(self, images: Images) -> list[Tensor]:
        """The maps at the end of each stage, n c h w: the first on a side of 1/fold, each later one on half of that."""
        y, found = self._folded(images), list[Tensor]()
        for block in self.body:
            if any(isinstance(layer, nn.MaxPool2d) for layer in block.children()):
                found.append(y)
            y = block(y)
        return [*found, y]

    def spatial(self, images: Images) -> Float[Tensor, "n d"]:
        """What half of the convolutions see, place by place (`ops.places`)."""
        return places(self.body[: len(self.body) // 2](self._folded(images)))

    def _folded(self, images: Images) -> Tensor:
        short = -images.shape[2] % self.fold, -images.shape[3] % self.fold
        if any(short):
            images = F.pad(images, (0, short[1], 0, short[0]), mode="replicate")
        return F.pixel_unshuffle(images, self.fold) if self.fold > 1 else images

    def forward(self, images: Images) -> Float[Tensor, "n classes"]:
        """Logits, n × classes."""
        assert self.head is not None, "there are no classes"
        return self.head(self.dropout(self.features(images)))
