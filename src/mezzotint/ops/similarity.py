"""Structural similarity, differentiable: what is alike of two pictures in small windows, and that at several scales."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

WINDOW, SIGMA = 11, 1.5
"""Width and standard deviation, in pixels, of the Gaussian window (Wang et al. 2004, section III.B)."""
STABILITY = 0.01**2, 0.03**2
"""C1 and C2 of Wang et al. 2004, equations 7 and 9, for a data range of 1."""
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales, finest first (Wang et al. 2003, section 3.2)."""

Unit = Float[Tensor, "n c h w"]
"""Pictures in [0, 1]."""


def similarity(x: Unit, y: Unit) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Structural similarity and its part without luminance, of each picture (Wang et al. 2004, equation 13).

    Means over channels and over all whole windows. A picture smaller than the 11×11 window is given the largest odd
    window that fits, its sigma in proportion: 7×7 with sigma 0.95 for 8×8 digits.
    """
    window = _window(min(x.shape[-2:]))
    mean_x, mean_y, xx, yy, xy = (_blur(z, window) for z in (x, y, x * x, y * y, x * y))
    covariance, variances = xy - mean_x * mean_y, xx - mean_x.square() + yy - mean_y.square()
    c1, c2 = STABILITY
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    structure = (2 * covariance + c2) / (variances + c2)
    return (luminance * structure).flatten(1).mean(1), structure.flatten(1).mean(1)


def scales_of(height: int, width: int) -> int:
    """How often a picture may be halved, and once more: down to the window's size, five times at most."""
    return max(1, sum(min(height, width) >> i >= WINDOW for i in range(len(WEIGHTS))))


def multiscale(x: Unit, y: Unit) -> Float[Tensor, " n"]:
    """MS-SSIM of each picture (Wang et al. 2003, equation 7); negative parts count as zero.

    Each scale has the means of squares of 2×2 pixels of the one before. Pictures under 176 pixels have fewer scales,
    whose weights are made to sum to as much: their values compare with those of pictures of like size only.
    """
    count = scales_of(x.shape[-2], x.shape[-1])
    share = sum(WEIGHTS) / sum(WEIGHTS[:count])
    product = x.new_ones(len(x))
    for scale, weight in enumerate(WEIGHTS[:count]):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        whole, structure = similarity(x, y)
        factor = whole if scale == count - 1 else structure
        # A root of zero has no slope.
        product = product * factor.clamp(min=1e-6) ** (weight * share)
    return product


def _window(side: int) -> list[float]:
    width = min(WINDOW, side - 1 + side % 2)
    offsets = torch.arange(width, dtype=torch.float64) - width // 2
    weights = torch.exp(-0.5 * (offsets / (SIGMA * width / WINDOW)).square())
    return (weights / weights.sum()).tolist()


def _blur(images: Tensor, window: list[float]) -> Tensor:
    """Separable weighted means over whole windows."""
    for axis in (-2, -1):
        size = images.shape[axis] - len(window) + 1
        images = sum((w * images.narrow(axis, i, size) for i, w in enumerate(window)), start=images.new_zeros(()))
    return images
