"""How far a reconstruction is from its picture: one number per picture, on pictures scaled from [-1, 1] to [0, 1].

All values are those of the [0, 1] scale (data range 1), in float64.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from mezzotint.types import Images

WINDOW, SIGMA = 11, 1.5
"""Width and standard deviation, in pixels, of the Gaussian window (Wang et al. 2004, section III.B)."""
STABILITY = 0.01**2, 0.03**2
"""C1 and C2 of Wang et al. 2004, equations 7 and 9, for a data range of 1."""


def _unit(images: Images) -> Float[Tensor, "n c h w"]:
    return (images.detach().double() + 1) / 2


def mse(images: Images, others: Images) -> Float[Tensor, " n"]:
    """Mean squared error of each picture; 1 between black and white."""
    return (_unit(images) - _unit(others)).square().flatten(1).mean(1)


def mae(images: Images, others: Images) -> Float[Tensor, " n"]:
    """Mean absolute error of each picture; 1 between black and white."""
    return (_unit(images) - _unit(others)).abs().flatten(1).mean(1)


def psnr(images: Images, others: Images) -> Float[Tensor, " n"]:
    """Peak signal-to-noise ratio of each picture in dB; infinite for equal pictures."""
    return -10 * mse(images, others).log10()


def ssim(images: Images, others: Images) -> Float[Tensor, " n"]:
    """Structural similarity of each picture, at most 1 (Wang et al. 2004, equation 13), the mean over its channels.

    Only whole windows count, so the outer five pixels are seen less. A picture smaller than the 11×11 window is given
    the largest odd window that fits, its sigma in proportion: 7×7 with sigma 0.95 for 8×8 digits.
    """
    window = _window(min(images.shape[-2:]))
    x, y = _unit(images), _unit(others)
    mean_x, mean_y, xx, yy, xy = (_blur(z, window) for z in (x, y, x * x, y * y, x * y))
    covariance, variances = xy - mean_x * mean_y, xx - mean_x.square() + yy - mean_y.square()
    c1, c2 = STABILITY
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    structure = (2 * covariance + c2) / (variances + c2)
    return (luminance * structure).flatten(1).mean(1)


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
