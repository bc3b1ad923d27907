"""Whole batches changed at once, by uniform numbers that are keyed per picture."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mezzotint.types import Boxes, Images

NUMBERS, MORE = 8, 17
"""Uniform numbers that a picture's augmentation uses: without and with random erasing or TrivialAugment."""
FLIP = 0
"""The one of them that decides on mirroring."""
TRIVIAL = slice(14, 17)
"""Those of them that TrivialAugment uses."""
AREA, STRETCH = (0.02, 0.4), (0.3, 1 / 0.3)
"""Of what random erasing erases: its share of the picture, and its height by its width (Zhong et al. 2020, sec. 4)."""
NOISE = 1 << 14
"""Numbers in the table that erased pixels are filled from."""


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What may happen to a training picture."""

    flip: bool = False
    """Mirrored left to right, half of the time: in every other epoch, where classes are not balanced."""
    shift: int = 0
    """Moved by up to so many pixels each way; the margin is filled by reflection."""
    cutout: int = 0
    """A square of so many pixels a side set to mid-grey (DeVries & Taylor 2017)."""
    color: float = 0.0
    """Strength of brightness, contrast and (RGB) saturation jitter: factors in [1 - color, 1 + color]."""
    erasing: float = 0.0
    """How often a rectangle is filled with noise (Zhong et al. 2020, "Random Erasing", RE-R)."""
    trivial: bool = False
    """One of fourteen changes of any strength (`data.trivial`), before all others."""

    @property
    def numbers(self) -> int:
        """Uniform numbers that it takes for each picture."""
        return MORE if self.erasing or self.trivial else NUMBERS


def augment(images: Images, uniforms: Tensor, config: Augment) -> Images:
    """`images` changed as `config` says, but for `trivial`, which is done on bytes.

    Row i of `uniforms` (n × `config.numbers`, in [0, 1)) decides for picture i alone.
    """
    # Rounded to float32 a number just under 1 becomes 1, which would reach past the last window.
    u = uniforms.to(images.device, images.dtype).clamp(max=1 - torch.finfo(images.dtype).eps)
    if config.flip:
        images = torch.where((u[:, FLIP] < 0.5).view(-1, 1, 1, 1), images.flip(-1), images)
    if config.shift:
        images = _shifted(images, u[:, 1], u[:, 2], config.shift)
    if config.color:
        images = _colored(images, u[:, 3:6], config.color)
    if config.cutout:
        images = _cut(images, u[:, 6], u[:, 7], config.cutout)
    if config.erasing:
        images = _erased(images, u[:, 8:14], config.erasing)
    return images


LEAST_SEEN = 0.3
"""A box of which a smaller share is still to be seen does not count."""


def moved(boxes: Boxes, uniforms: Tensor, config: Augment, side: tuple[int, int]) -> Boxes:
    """Boxes in pictures of `side` (height, width), where `augment` by the same numbers puts what they hold."""
    u = uniforms.to(boxes.device, torch.float32).clamp(max=1 - torch.finfo(torch.float32).eps)
    width = side[1]
    kind, left, top, right, bottom, rest = boxes.unbind(2)
    if config.flip:
        mirrored = (u[:, FLIP] < 0.5)[:, None] & (kind >= 0)
        left, right = torch.where(mirrored, width - right, left), torch.where(mirrored, width - left, right)
    if config.shift:
        across, down = ((u[:, i : i + 1] * (2 * config.shift + 1)).long() - config.shift for i in (1, 2))
        there = kind >= 0
        left, right = left - across * there, right - across * there
        top, bottom = top - down * there, bottom - down * there
    return within(torch.stack([kind, left, top, right, bottom, rest], 2), side)


def within(boxes: Boxes, side: tuple[int, int]) -> Boxes:
    """Boxes cut to pictures of `side` (height, width); those of which too little is left do not count."""
    height, width = side
    kind, left, top, right, bottom, rest = boxes.unbind(2)
    area = (right - left) * (bottom - top)
    left, right = left.clamp(0, width), right.clamp(0, width)
    top, bottom = top.clamp(0, height), bottom.clamp(0, height)
    hidden = (kind >= 0) & ((right - left) * (bottom - top) < LEAST_SEEN * area)
    return torch.stack([kind, left, top, right, bottom, torch.where(hidden, torch.ones_like(rest), rest)], 2)


def _shifted(images: Images, across: Tensor, down: Tensor, reach: int) -> Images:
    """One window of the reflected picture per picture, gathered from all windows without a copy of them."""
    n, c, h, w = images.shape
    padded = F.pad(images, [reach] * 4, mode="reflect")
    rows = (down * (2 * reach + 1)).long()[:, None] + torch.arange(h, device=images.device)
    columns = (across * (2 * reach + 1)).long()[:, None] + torch.arange(w, device=images.device)
    flat = rows[:, :, None] * (w + 2 * reach) + columns[:, None, :]
    return padded.flatten(2).gather(2, flat.view(n, 1, h * w).expand(n, c, h * w)).view(n, c, h, w)


def _colored(images: Images, u: Tensor, strength: float) -> Images:
    brightness, contrast, saturation = ((1 + strength * (2 * u - 1)).view(-1, 3, 1, 1, 1)).unbind(1)
    light = (images + 1) / 2 * brightness
    light = (light - light.mean((1, 2, 3), keepdim=True)) * contrast + light.mean((1, 2, 3), keepdim=True)
    if images.shape[1] == 3:
        grey = light.mean(1, keepdim=True)
        light = grey + (light - grey) * saturation
    return light.clamp(0, 1) * 2 - 1


def _cut(images: Images, across: Tensor, down: Tensor, side: int) -> Images:
    """The square's middle is anywhere in the picture, so that it may reach over the edge."""
    h, w = images.shape[2:]

    def covered(position: Tensor, length: int) -> Tensor:
        first = (position * length).floor()[:, None] - side // 2
        at = torch.arange(length, device=images.device)
        return (at >= first) & (at < first + side)

    hole = covered(down, h)[:, None, :, None] & covered(across, w)[:, None, None, :]
    return images.masked_fill(hole, 0.0)


def _erased(images: Images, u: Tensor, chance: float) -> Images:
    """Six numbers a picture: whether, which area, which shape, where across and down, which noise."""
    n, c, h, w = images.shape
    area = h * w * (AREA[0] + (AREA[1] - AREA[0]) * u[:, 1])
    stretch = torch.exp(math.log(STRETCH[0]) + math.log(STRETCH[1] / STRETCH[0]) * u[:, 2])

    def covered(side: Tensor, position: Tensor, length: int) -> Tensor:
        long = side.round().clamp(1, length)
        first = (position * (length - long + 1)).floor()[:, None]
        at = torch.arange(length, device=images.device)
        return (at >= first) & (at < first + long[:, None])

    down, across = covered((area * stretch).sqrt(), u[:, 4], h), covered((area / stretch).sqrt(), u[:, 3], w)
    hole = down[:, None, :, None] & across[:, None, None, :] & (u[:, 0] < chance).view(-1, 1, 1, 1)
    table = (2 * torch.rand(NOISE, generator=torch.Generator().manual_seed(0)) - 1).to(images.device, images.dtype)
    at = (u[:, 5] * NOISE).long()[:, None] + torch.arange(c * h * w, device=images.device)
    return torch.where(hole, table[at % NOISE].view(n, c, h, w), images)
