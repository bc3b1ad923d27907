"""Pictures made worse on purpose, by a little or by much: what a distance between sets must notice."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mezzotint.types import Images

REACH = 4
"""Standard deviations at which the kernel of a blur ends."""


def blurred(images: Images, deviation: float) -> Images:
    """A Gaussian blur of so many pixels' standard deviation; the edge is repeated outwards."""
    if deviation == 0:
        return images
    radius = math.ceil(REACH * deviation)
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / deviation).square())
    kernel = kernel / kernel.sum()
    return _along_rows(_along_rows(images, kernel).mT, kernel).mT.contiguous()


def _along_rows(images: Images, kernel: Float[Tensor, " k"]) -> Images:
    radius = len(kernel) // 2
    rows = F.pad(images.flatten(0, 1)[:, None], (radius, radius, 0, 0), mode="replicate")
    return F.conv2d(rows, kernel.view(1, 1, 1, -1)).view_as(images)


def noisy(images: Images, deviation: float, seed: int = 0) -> Images:
    """Normal noise of this standard deviation added to each value; pictures span 2, from -1 to 1."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    return images + deviation * noise.to(images)


def shifted(images: Images, pixels: int) -> Images:
    """Moved to the right and down by so many pixels; the left and upper edges are repeated into the gap."""
    height, width = images.shape[2:]
    return F.pad(images, (pixels, 0, pixels, 0), mode="replicate")[:, :, :height, :width]
