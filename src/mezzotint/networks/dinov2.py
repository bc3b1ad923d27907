"""DINOv2: a vision transformer trained without labels, whose class token tells pictures apart as people do.

Oquab et al. 2023 (the network: Dosovitskiy et al. 2021, with the layer scale of Touvron et al. 2021), patches of 14
pixels, without registers. The names are those of the published files, so that their state dicts load as they are.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.ops.resize import in_color, resized
from mezzotint.types import Images

SIDE, PATCH = 224, 14
"""Pixels of the pictures that the network is given here, and of a patch."""
HEAD = 64
"""Numbers of an attention head in every published size."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue, for values from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Dinov2Config:
    """S/14: width 384, depth 12; B/14: 768 and 12; L/14: 1024 and 24."""

    width: int = 768
    depth: int = 12
    grid: int = 37
    """Patches along a side of the pictures that it was trained on last (518 pixels)."""

    def build(self) -> "Dinov2":
        """The network with random weights."""
        return Dinov2(self)


class _PatchEmbed(nn.Module):
    """Each patch as one token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, width // HEAD, HEAD).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width))


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class _Scale(nn.Module):
    """One factor a channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class _Block(nn.Module):
    """Attention, then a dense part, each normed before, scaled after and added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = _Attention(width)
        self.ls1 = _Scale(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = _Mlp(width)
        self.ls2 = _Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Dinov2(nn.Module):
    """Features of pictures; `mask_token` is loaded with the rest and used in training alone."""

    def __init__(self, config: Dinov2Config = Dinov2Config()) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + config.grid**2, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.patch_embed = _PatchEmbed(width)
        self.blocks = nn.ModuleList([_Block(width) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def features(self, images: Images) -> Float[Tensor, "n width"]:
        """The normed class token of pictures in [-1, 1] of any size, grey or RGB."""
        tokens = self.patch_embed(self._prepared(images))
        x = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1) + self._positions()
        for block in self.blocks:
            x = block(x)
        return self.norm(x[:, 0])

    def forward(self, images: Images) -> Float[Tensor, "n width"]:
        """The same as `features`."""
        return self.features(images)

    @staticmethod
    def _prepared(images: Images) -> Float[Tensor, "n 3 224 224"]:
        x = (resized(in_color(images), SIDE, SIDE).clamp(-1, 1) + 1) / 2
        return (x - x.new_tensor(MEAN)[:, None, None]) / x.new_tensor(DEVIATION)[:, None, None]

    def _positions(self) -> Float[Tensor, "1 tokens width"]:
        """The learned positions of the grid it was trained on, interpolated to the 16×16 patches that it is given.

        The published code scales by (16 + 0.1) / 37 and takes the first 16: the weights are always used with that.
        """
        side, grid = SIDE // PATCH, self.config.grid
        if grid == side:
            return self.pos_embed
        first, rest = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        plane = rest.view(1, grid, grid, -1).permute(0, 3, 1, 2)
        plane = F.interpolate(plane, scale_factor=(side + 0.1) / grid, mode="bicubic")
        return torch.cat([first, plane.flatten(2).transpose(1, 2)], 1)
