"""What pictures are known by when something of them is lost: holes, fewer pixels, no colors, a blur, all but edges.

Each is a frozen value, so that a recipe can name what its model is trained to be given, and (but for edges, and for
holes, which differ from picture to picture) a linear function of pictures.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mezzotint.ops import disturb, pyramid
from mezzotint.ops.resize import resized
from mezzotint.types import Images

LUMA = 0.299, 0.587, 0.114
"""Of red, green and blue in brightness (ITU-R BT.601), as Pillow and JPEG have it."""


@dataclass(frozen=True, kw_only=True)
class Holes:
    """Parts of a picture are missing."""


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """Fewer pixels: a side of 1/factor."""

    factor: int = 4

    def __post_init__(self) -> None:
        """Raise ValueError for what shrinks nothing."""
        if self.factor < 2:
            raise ValueError("a picture is shrunk by a factor of at least 2")

    def __call__(self, images: Images) -> Float[Tensor, "n c small_h small_w"]:
        """N c h w to n c h/factor w/factor, by a bicubic filter as wide as the shrinking asks for."""
        return resized(images, images.shape[2] // self.factor, images.shape[3] // self.factor)


@dataclass(frozen=True, kw_only=True)
class Grey:
    """No colors."""

    def __call__(self, images: Images) -> Float[Tensor, "n 1 h w"]:
        """Brightness, by ITU-R BT.601; of grey pictures they themselves."""
        if images.shape[1] == 1:
            return images
        return (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


@dataclass(frozen=True, kw_only=True)
class Blurred:
    """A Gaussian blur of so many pixels' standard deviation."""

    deviation: float

    def __call__(self, images: Images) -> Images:
        """Of the same shape; the edge is repeated outwards."""
        return disturb.blurred(images, self.deviation)


@dataclass(frozen=True, kw_only=True)
class Edges:
    """All but the edges."""

    def __call__(self, images: Images) -> Images:
        """Of the same shape: each channel's edges, bright on black (`ops.pyramid.edges`); not linear."""
        return pyramid.edges(images)


Given = Holes | Shrunk | Grey | Edges
"""What a model may be trained to be given."""

KINDS = 5
"""Of holes: box, half, strokes, scattered pixels, frame."""
HOLE_NUMBERS = 2 + 4 * 6
"""Uniform numbers that the shape of a hole is made of."""
STROKES = 6


def holes(shape: Float[Tensor, "n numbers"], pixels: Float[Tensor, "n h w"]) -> Float[Tensor, "n 1 h w"]:
    """A hole for each picture, 1 where something is missing, of a kind and place that uniform numbers decide.

    A box of up to 0.7 of either side, up to 0.7 of the picture on one side, one to six strokes, 20 to 95 % scattered
    pixels, or all but a box.
    """
    n, height, width = pixels.shape
    kind, amount, rest = (shape[:, 0] * KINDS).long().clamp(max=KINDS - 1), shape[:, 1, None, None], shape[:, 2:]
    y, x = torch.meshgrid(
        (torch.arange(height, device=pixels.device) + 0.5) / height,
        (torch.arange(width, device=pixels.device) + 0.5) / width,
        indexing="ij",
    )
    box = _boxes(rest, y, x)
    side = (rest[:, 0] * 4).long().clamp(max=3)[:, None, None]
    across = torch.where(side < 2, y, x)
    half = torch.where(side % 2 == 0, across, 1 - across) < 0.3 + 0.4 * amount
    scattered = pixels < 0.2 + 0.75 * amount
    choices = torch.stack([box, half, _strokes(rest, amount, y, x), scattered, ~box], 1)
    return choices[torch.arange(n, device=pixels.device), kind][:, None].to(pixels.dtype)


def _boxes(numbers: Float[Tensor, "n some"], y: Tensor, x: Tensor) -> Tensor:
    """Rectangles with sides from 0.2 to 0.7."""
    tall, wide, above, left = (numbers[:, i, None, None] for i in range(4))
    tall, wide = 0.2 + 0.5 * tall, 0.2 + 0.5 * wide
    above, left = above * (1 - tall), left * (1 - wide)
    return (y >= above) & (y < above + tall) & (x >= left) & (x < left + wide)


def _strokes(numbers: Float[Tensor, "n some"], amount: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Pixels near one of a few straight strokes, 0.02 to 0.06 from its middle line."""
    found = torch.zeros(len(numbers), *y.shape, dtype=torch.bool, device=y.device)
    for i in range(STROKES):
        ay, ax, by, bx = (numbers[:, 4 * i + j, None, None] for j in range(4))
        ahead_y, ahead_x = by - ay, bx - ax
        length = (ahead_y.square() + ahead_x.square()).clamp(min=1e-6)
        along = (((y - ay) * ahead_y + (x - ax) * ahead_x) / length).clamp(0, 1)
        away = (y - ay - along * ahead_y).square() + (x - ax - along * ahead_x).square()
        found |= (away < (0.02 + 0.04 * amount).square()) & (i <= STROKES * amount)
    return found


def enlarged(seen: Float[Tensor, "n c small_h small_w"], height: int, width: int) -> Float[Tensor, "n c h w"]:
    """What is seen, at the size of the picture that it was taken from."""
    if seen.shape[2:] == (height, width):
        return seen
    return F.interpolate(seen, (height, width), mode="bicubic", align_corners=False)
