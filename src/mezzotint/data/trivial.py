"""TrivialAugment (Müller & Hutter 2021): one change a picture, drawn evenly, of a strength drawn evenly; on bytes.

The changes and their ranges are those of the paper's wide space, but that a picture is moved by a share of its side
(AutoAugment's 0.45) instead of 32 pixels, and that what comes in from outside is the nearest pixel of the edge.
"""

from collections.abc import Callable

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

Bytes = UInt8[Tensor, "n c h w"]

MOVED = 0.45
"""The farthest that a picture is moved, as a share of its side."""
LEVELS = 31
"""Strengths, evenly spaced from none to the strongest."""


def trivial(pixels: Bytes, uniforms: Tensor) -> Bytes:
    """Each picture changed in one way; row i of `uniforms` (n × 3, in [0, 1)): which way, how strong, which sign."""
    u = uniforms.to(pixels.device)
    way = (u[:, 0] * (1 + len(_WAYS))).long()
    strength = ((u[:, 1] * LEVELS).floor() / (LEVELS - 1)).float()
    sign = torch.where(u[:, 2] < 0.5, -1.0, 1.0).float()
    done = pixels.clone()
    for number, change in enumerate(_WAYS, 1):  # 0 leaves the picture as it is
        rows = (way == number).nonzero().flatten()
        if len(rows):
            done[rows] = change(pixels[rows], strength[rows], sign[rows])
    return done


# Changes of single levels: a table of 256 for each picture and channel.


def _looked_up(pixels: Bytes, tables: Tensor) -> Bytes:
    """`tables` is n × (c or 1) × 256, in [0, 255]."""
    n, c, h, w = pixels.shape
    tables = tables.round().clamp(0, 255).to(torch.uint8).expand(n, c, 256)
    return tables.gather(2, pixels.flatten(2).long()).view(n, c, h, w)


def _levels(like: Tensor) -> Tensor:
    return torch.arange(256, dtype=torch.float32, device=like.device).view(1, 1, 256)


def _column(x: Tensor) -> Tensor:
    return x.view(-1, 1, 1)


def _brightness(pixels: Bytes, strength: Tensor, sign: Tensor) -> Bytes:
    return _looked_up(pixels, _levels(pixels) * _column(1 + sign * 0.99 * strength))


def _contrast(pixels: Bytes, strength: Tensor, sign: Tensor) -> Bytes:
    """About the mean of the picture in grey."""
    middle = _column(_grey(pixels).mean((1, 2, 3)))
    return _looked_up(pixels, middle + (_levels(pixels) - middle) * _column(1 + sign * 0.99 * strength))


def _posterize(pixels: Bytes, strength: Tensor, sign: Tensor) -> Bytes:
    """From 8 bits down to 2."""
    step = 2 ** _column((strength * 6).round())
    return _looked_up(pixels, (_levels(pixels) / step).floor() * step)


def _solarize(pixels: Bytes, strength: Tensor, sign: Tensor) -> Bytes:
    levels = _levels(pixels)
    return _looked_up(pixels, torch.where(levels >= 255 * _column(1 - strength), 255 - levels, levels))


def _autocontrast(pixels: Bytes, strength: Tensor, sign: Tensor) -> Bytes:
    """Each channel stretched to all levels; a flat one stays."""
    low, high = (x.float()[..., None] for x in pixels.flatten(2).aminmax(dim=2))
    levels = _levels(pixels)
    return _looked_up(pixels, torch.where(high > low, (levels - low) * 255 / (high - low).clamp(min=1), levels))


def _equalize(pixels: Bytes, strength: Tensor, sign: Tensor) -> Bytes:
    """Each channel's levels spread by their cumulative histogram, as Pillow does; a channel of one level stays."""
    flat = pixels.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], 256, dtype=torch.long, device=flat.device)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    highest = flat.amax(2, keepdim=True)
    step = (flat.shape[2] - counts.gather(2, highest)) // 255
    before = counts.cumsum(2) - counts
    tables = ((before + step // 2) // step.clamp(min=1)).clamp(max=255).float()
    return _looked_up(pixels, torch.where(step > 0, tables, _levels(pixels)))


# Changes that blend a picture with a poorer one of itself.


def _grey(pixels: Bytes) -> Tensor:
    """Luma (ITU-R 601), n × 1 × h × w, in [0, 255]."""
    if pixels.shape[1] != 3:
        return pixels.float()
    weights = torch.tensor([0.299, 0.587, 0.114], device=pixels.device).view(1, 3, 1, 1)
    return (pixels.float() * weights).sum(1, keepdim=True)


def _blended(pixels: Bytes, poor: Tensor, strength: Tensor, sign: Tensor) -> Bytes:
    factor = (1 + sign * 0.99 * strength).view(-1, 1, 1, 1)
    return (poor + (pixels.float() - poor) * factor).round().clamp(0, 255).to(torch.uint8)


def _color(pixels: Bytes, strength: Tensor, sign: Tensor) -> Bytes:
    return _blended(pixels, _grey(pixels), strength, sign)


def _sharpness(pixels: Bytes, strength: Tensor, sign: Tensor) -> Bytes:
    """The poorer picture is a mean of neighbors in which the middle counts five times; the frame stays."""
    c, (h, w) = pixels.shape[1], pixels.shape[2:]
    if min(h, w) < 3:
        return pixels
    kernel = torch.full((c, 1, 3, 3), 1 / 13, device=pixels.device)
    kernel[:, :, 1, 1] = 5 / 13
    poor = pixels.float()
    poor[:, :, 1:-1, 1:-1] = F.conv2d(pixels.float(), kernel, groups=c)
    return _blended(pixels, poor, strength, sign)


# Changes of place: each pixel takes the nearest one to where it comes from.


def _moved(pixels: Bytes, matrices: Tensor, offsets: Tensor) -> Bytes:
    """`matrices` (n × 2 × 2) and `offsets` (n × 2) lead from a place to its origin; (x, y) about the middle."""
    n, c, h, w = pixels.shape
    y, x = torch.meshgrid(torch.arange(h) - (h - 1) / 2, torch.arange(w) - (w - 1) / 2, indexing="ij")
    here = torch.stack([x, y]).flatten(1).to(pixels.device)
    there = matrices @ here + offsets[:, :, None]
    columns = (there[:, 0] + (w - 1) / 2).round().clamp(0, w - 1).long()
    rows = (there[:, 1] + (h - 1) / 2).round().clamp(0, h - 1).long()
    at = (rows * w + columns)[:, None].expand(n, c, h * w)
    return pixels.flatten(2).gather(2, at).view(n, c, h, w)


def _matrices(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return torch.stack([a, b, c, d], 1).view(-1, 2, 2)


def _rotate(pixels: Bytes, strength: Tensor, sign: Tensor) -> Bytes:
    angle = torch.deg2rad(sign * 135 * strength)
    cos, sin = angle.cos(), angle.sin()
    return _moved(pixels, _matrices(cos, -sin, sin, cos), torch.zeros(len(pixels), 2, device=pixels.device))


def _affine(which: str) -> Callable[[Bytes, Tensor, Tensor], Bytes]:
    def change(pixels: Bytes, strength: Tensor, sign: Tensor) -> Bytes:
        h, w = pixels.shape[2:]
        one, zero, amount = torch.ones_like(strength), torch.zeros_like(strength), sign * strength
        shear_x, shear_y = (0.99 * amount if which == name else zero for name in ("shear x", "shear y"))
        offsets = torch.stack(
            [amount * MOVED * w if which == "move x" else zero, amount * MOVED * h if which == "move y" else zero], 1
        )
        return _moved(pixels, _matrices(one, shear_x, shear_y, one), offsets)

    return change


_WAYS: tuple[Callable[[Bytes, Tensor, Tensor], Bytes], ...] = (
    _brightness,
    _contrast,
    _posterize,
    _solarize,
    _autocontrast,
    _equalize,
    _color,
    _sharpness,
    _rotate,
    *map(_affine, ("shear x", "shear y", "move x", "move y")),
)
