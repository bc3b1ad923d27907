"""An autoencoder between pictures and small maps of few numbers a place, for quantized codes."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.networks.ladder import Block, ChannelNorm, stages
from mezzotint.networks.parts import widened
from mezzotint.types import DataSpec, Images


@dataclass(frozen=True, kw_only=True)
class CodeMapConfig:
    """Width and depth of both halves: the picture folded, then halved until its side is at most 8."""

    width: int = 64
    """Channels of the finest stage; each coarser one has twice as many on half the side, up to `most`."""
    most: int = 128
    blocks: int = 2
    """Of each stage."""
    fold: int | None = None
    """Side of the squares of pixels that become channels at the door; by the picture's size where it is not given."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes of which no network can be made."""
        if min(self.width, self.most, self.blocks, self.fold or 1) < 1:
            raise ValueError("width, most, blocks and fold must be at least 1")

    def widths(self, count: int) -> list[int]:
        """Of the stages, finest first."""
        return [min(self.most, self.width * 2**i) for i in range(count)]


def _blocks(config: CodeMapConfig, width: int) -> list[nn.Module]:
    return [Block(width) for _ in range(config.blocks)]


class MapEncoder(nn.Module):
    """Fold → blocks → shrink → blocks … → `codes` numbers at each place of the coarsest map."""

    def __init__(self, config: CodeMapConfig, spec: DataSpec, codes: int) -> None:
        super().__init__()
        self.fold, sides = stages(spec, config.fold)
        self.sides = sides[-1]
        """Rows and columns of the map."""
        widths = config.widths(len(sides))
        layers: list[nn.Module] = [nn.Conv2d(spec.channels * self.fold.side**2, widths[0], 3, padding=1)]
        for i, width in enumerate(widths):
            shrink = [nn.Conv2d(widths[i - 1], width, 2, 2)] if i else []
            layers += [*shrink, *_blocks(config, width)]
        self.body = nn.Sequential(*layers, ChannelNorm(widths[-1]), nn.SiLU(), nn.Conv2d(widths[-1], codes, 1))

    def forward(self, images: Images) -> Float[Tensor, "n codes rows columns"]:
        """The map before it is quantized."""
        return self.body(self.fold(images))


class MapDecoder(nn.Module):
    """The way back, to `raw` numbers at each place of the folded picture."""

    def __init__(self, config: CodeMapConfig, spec: DataSpec, codes: int, raw: int) -> None:
        super().__init__()
        _, sides = stages(spec, config.fold)
        widths = config.widths(len(sides))
        layers: list[nn.Module] = [nn.Conv2d(codes, widths[-1], 3, padding=1)]
        for i, width in reversed(list(enumerate(widths))):
            layers += _blocks(config, width)
            if i:
                layers += [nn.Conv2d(width, 4 * widths[i - 1], 1), nn.PixelShuffle(2)]
        end = nn.Conv2d(widths[0], raw, 3, padding=1)
        self.body = nn.Sequential(*layers, ChannelNorm(widths[0]), nn.SiLU(), end)

    def forward(self, codes: Float[Tensor, "n codes rows columns"]) -> Float[Tensor, "n raw a b"]:
        """Raw numbers."""
        return widened(self.body(codes))
