"""Changes of pictures that gradients pass through, each decided by given uniform numbers: what a GAN looks through.

A discriminator that sees real and drawn pictures through the same random changes cannot learn few pictures by heart,
and the generator gets its gradient through them (Zhao et al. 2020, "DiffAugment"; Karras et al. 2020, "ADA").
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mezzotint.types import Images

NUMBERS = 10
"""Uniform numbers that a picture's changes use."""


@dataclass(frozen=True, kw_only=True)
class Looking:
    """Which changes there are, each of strength 0 (never) to 1 (that of Zhao et al.), and how likely each one is."""

    color: float = 1.0
    """Brightness moved by up to half of a unit of the range of two, contrast times 0.5 to 1.5, saturation 0 to 2."""
    move: float = 1.0
    """Moved by up to an eighth of the side each way; what comes in is mid-grey."""
    hide: float = 1.0
    """A square of half the side set to mid-grey."""
    probability: float = 0.0
    """Of each change for each picture; 0 looks at pictures as they are. Where it is adaptive, where it begins."""
    target: float = 0.0
    """Overlap that an adaptive probability aims at, 0.6 in ADA; 0 leaves the probability where it is."""
    images: int = 100_000
    """Pictures in which an adaptive probability may go from 0 to 1 (500,000 in ADA)."""

    def __post_init__(self) -> None:
        """Raise ValueError for numbers out of range."""
        if not all(0 <= x <= 1 for x in (self.color, self.move, self.hide, self.probability, self.target)):
            raise ValueError("strengths, probability and target are numbers from 0 to 1")
        if self.images < 1:
            raise ValueError("an adaptive probability takes at least one picture to change")

    @property
    def looks(self) -> bool:
        """Whether anything is ever changed."""
        return self.probability > 0 or self.target > 0


def looked_at(images: Images, uniforms: Float[Tensor, "n u"], chance: Tensor | float, config: Looking) -> Images:
    """`images`, each of its changes made with probability `chance`; row i (n × NUMBERS, in [0, 1)) decides for i."""
    # Places and sizes are counted in pixels, for which bfloat16 is too coarse.
    images = images.to(torch.promote_types(images.dtype, torch.float32))
    u = uniforms.to(images.device, images.dtype)
    chosen = (u[:, :3] < chance).to(images.dtype)[:, :, None, None, None]
    if config.color:
        images = _colored(images, u[:, 3:6], config.color * chosen[:, 0])
    if config.move:
        images = _moved(images, u[:, 6:8], config.move * chosen[:, 1])
    if config.hide:
        images = _hidden(images, u[:, 8:10], config.hide * chosen[:, 2])
    return images


def _colored(images: Images, u: Tensor, strength: Tensor) -> Images:
    """Not clipped: a clipped pixel has no gradient."""
    brightness, saturation, contrast = (2 * u - 1)[:, :, None, None, None].unbind(1)
    images = images + strength * brightness / 2
    if images.shape[1] > 1:
        grey = images.mean(1, keepdim=True)
        images = grey + (images - grey) * (1 + strength * saturation)
    middle = images.mean((1, 2, 3), keepdim=True)
    return middle + (images - middle) * (1 + strength * contrast / 2)


def _moved(images: Images, u: Tensor, strength: Tensor) -> Images:
    """Whole pixels, gathered from a picture with a margin."""
    n, c, h, w = images.shape
    reach = torch.tensor([h / 8, w / 8], device=images.device).round()
    by = ((2 * u - 1) * (reach + 0.5) * strength.view(n, 1)).round().clamp(-reach, reach).long()
    rows, columns = ((torch.arange(side, device=images.device) + by[:, i, None]) for i, side in enumerate((h, w)))
    inside = ((rows >= 0) & (rows < h))[:, None, :, None] & ((columns >= 0) & (columns < w))[:, None, None, :]
    flat = rows.clamp(0, h - 1)[:, :, None] * w + columns.clamp(0, w - 1)[:, None, :]
    moved = images.flatten(2).gather(2, flat.view(n, 1, h * w).expand(n, c, h * w)).view(n, c, h, w)
    return moved * inside.to(images.dtype)


def _hidden(images: Images, u: Tensor, strength: Tensor) -> Images:
    """The square's middle is anywhere in the picture, so that it may reach over the edge."""
    n, _, h, w = images.shape

    def covered(middle: Tensor, length: int) -> Tensor:
        at = torch.arange(length, device=images.device)
        side = (length / 2 * strength.view(n, 1)).round()
        first = (middle[:, None] * length).floor() - (side / 2).floor()
        return (at >= first) & (at < first + side)

    hole = covered(u[:, 0], h)[:, None, :, None] & covered(u[:, 1], w)[:, None, None, :]
    return images * (~hole).to(images.dtype)


def overlap_step(chance: Tensor, overlap: Tensor, pictures: Tensor, config: Looking) -> Tensor:
    """The probability after `pictures` with the mean sign `overlap` in [-1, 1]: one step towards its target.

    Karras et al. 2020 (ADA), section 3.1: a discriminator that is right too often is shown more changes.
    """
    return (chance + torch.sign(overlap - config.target) * pictures / config.images).clamp(0, 1)
