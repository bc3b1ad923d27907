"""A small vision transformer (Dosovitskiy et al. 2021), plain as in Beyer et al. 2022: fixed places, no class token."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mezzotint.networks.parts import Fold, attended
from mezzotint.networks.recognizer import ChannelNorm, DropPath, Recognizer, depths
from mezzotint.types import DataSpec

LEAST = 7
"""Patches along a side, at least, where the size of a patch is left to the pictures."""


@dataclass(frozen=True, kw_only=True)
class VitConfig:
    """ViT-S/16 has width 384, depth 12 and 6 heads."""

    width: int = 192
    depth: int = 9
    heads: int = 3
    patch: int | None = None
    """Side of a patch in pixels; where it is not given the largest power of two, up to 16, that leaves 7 a side."""
    ratio: int = 4
    """Hidden units of a block, in multiples of the width."""
    drop_path: float = 0.0
    """Stochastic depth: how often the last block is left out while training."""
    dropout: float = 0.0
    """Share of the features that is left out while training."""

    def build(self, spec: DataSpec) -> Recognizer:
        """The network for pictures and classes of `spec`."""
        if self.width % self.heads or self.width % 4:
            raise ValueError("width must be a multiple of heads and of 4")
        patch = self.patch or _patch_for(min(spec.height, spec.width))
        rates = depths((self.depth,), self.drop_path)[0]
        blocks = [_Block(self, rate) for rate in rates]
        last = ChannelNorm(self.width, eps=1e-6)
        for layer in (layer for block in blocks for layer in block.modules() if isinstance(layer, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        return Recognizer(spec, _Patches(spec, patch, self.width), blocks, last, self.width, self.dropout)


def _patch_for(side: int) -> int:
    return next(p for p in (16, 8, 4, 2, 1) if side >= LEAST * p or p == 1)


def sines_of_places(rows: int, columns: int, width: int) -> Tensor:
    """Where each patch is: width × rows × columns, a quarter each of sines and cosines of row and column.

    Wavelengths from 2 pi to 10,000 times that (Chen et al. 2021, "MoCo v3", as in Beyer et al. 2022).
    """
    speeds = 10_000.0 ** -(torch.arange(width // 4) / max(1, width // 4 - 1))
    down = (torch.arange(rows)[:, None] * speeds)[:, None].expand(-1, columns, -1)
    across = (torch.arange(columns)[:, None] * speeds)[None].expand(rows, -1, -1)
    return torch.cat([across.sin(), across.cos(), down.sin(), down.cos()], 2).permute(2, 0, 1).contiguous()


class _Patches(nn.Module):
    """Squares of pixels, each one's numbers mapped to `width` channels, and where it is."""

    places: Tensor

    def __init__(self, spec: DataSpec, side: int, width: int) -> None:
        super().__init__()
        self.fold = Fold(side, side)
        self.map = nn.Conv2d(spec.channels * side**2, width, 1)
        # As large as the codes of the places, which would drown the pictures otherwise.
        nn.init.normal_(self.map.weight, std=(spec.channels * side**2) ** -0.5)
        rows, columns = -(-spec.height // side), -(-spec.width // side)
        self.register_buffer("places", sines_of_places(rows, columns, width), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """N c h w to n × width × rows × columns."""
        return self.map(self.fold(images)) + self.places


class _Block(nn.Module):
    """Attention among all places, then two layers at each; both added to what came in, after a norm."""

    def __init__(self, config: VitConfig, rate: float) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.norms = nn.ModuleList([nn.LayerNorm(width, eps=1e-6) for _ in range(2)])
        self.ask, self.tell = nn.Linear(width, 3 * width), nn.Linear(width, width)
        hidden = config.ratio * width
        self.think = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.drop = DropPath(rate)

    def forward(self, x: Tensor) -> Tensor:
        """N c h w to the same."""
        tokens = x.flatten(2).mT
        tokens = tokens + self.drop(self.tell(attended(self.ask(self.norms[0](tokens)), self.heads)))
        tokens = tokens + self.drop(self.think(self.norms[1](tokens)))
        return tokens.mT.view_as(x) if x.is_contiguous() else tokens.mT.reshape(x.shape)
