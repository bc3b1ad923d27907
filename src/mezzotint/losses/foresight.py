"""How far said frames are from those that came: one number per clip, differentiable, on the scale of [-1, 1]."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mezzotint.types import Clips

WINDOW, SIGMA = 11, 1.5
"""Width and standard deviation, in pixels, of the window that structure is compared in (Wang et al. 2004)."""


def squared(said: Clips, came: Clips) -> Float[Tensor, " n"]:
    """The mean squared error."""
    return (said - came).square().flatten(1).mean(1)


def absolute(said: Clips, came: Clips) -> Float[Tensor, " n"]:
    """The mean absolute error."""
    return (said - came).abs().flatten(1).mean(1)


def gradient_difference(said: Clips, came: Clips) -> Float[Tensor, " n"]:
    """The mean difference of slopes, down and across (Mathieu et al. 2016, equation 6, alpha = 1): blur costs."""

    def slopes(x: Tensor) -> tuple[Tensor, Tensor]:
        return (x[..., 1:, :] - x[..., :-1, :]).abs(), (x[..., 1:] - x[..., :-1]).abs()

    pairs = zip(slopes(said), slopes(came), strict=True)
    return torch.stack([(a - b).abs().flatten(1).mean(1) for a, b in pairs]).sum(0)


def structure(said: Clips, came: Clips) -> Float[Tensor, " n"]:
    """One minus the structural similarity (Wang et al. 2004, equation 13), the mean over frames and channels.

    Gaussian windows of 11×11 pixels, whole ones alone; smaller frames get the largest odd window that fits.
    """
    window = _window(min(said.shape[-2:])).to(said)
    x, y = ((clip.flatten(0, 2)[:, None] + 1) / 2 for clip in (said, came))
    blurred = _blurred(torch.cat([x, y, x * x, y * y, x * y], 1), window)
    mean_x, mean_y, xx, yy, xy = blurred.unbind(1)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    covariance, variances = xy - mean_x * mean_y, xx - mean_x.square() + yy - mean_y.square()
    similar = luminance * (2 * covariance + c2) / (variances + c2)
    return 1 - similar.unflatten(0, said.shape[:3]).flatten(1).mean(1)


def _window(side: int) -> Tensor:
    width = min(WINDOW, side - 1 + side % 2)
    offsets = torch.arange(width, dtype=torch.float64) - width // 2
    weights = torch.exp(-0.5 * (offsets / (SIGMA * width / WINDOW)).square())
    return weights / weights.sum()


def _blurred(x: Tensor, window: Tensor) -> Tensor:
    """Separable weighted means over whole windows, channel by channel."""
    rows = window.view(1, 1, -1, 1).expand(x.shape[1], 1, -1, 1)
    return F.conv2d(F.conv2d(x, rows, groups=x.shape[1]), rows.transpose(2, 3), groups=x.shape[1])
