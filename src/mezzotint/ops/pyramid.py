"""Pictures taken apart by scale, and the edges in them."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mezzotint.types import Images


def halved(images: Images) -> Float[Tensor, "n c h2 w2"]:
    """The mean of each 2×2 pixels; sides must be even."""
    return F.avg_pool2d(images, 2)


def doubled(images: Images) -> Float[Tensor, "n c h2 w2"]:
    """Each pixel four times, so that `halved` is the way back."""
    return F.interpolate(images, scale_factor=2.0, mode="nearest")


def laplacian(images: Images, levels: int) -> tuple[Tensor, list[Tensor]]:
    """The small picture, and what each doubling of it lacks from small to large (Burt & Adelson 1983).

    The sum over `levels` doublings, picture = doubled(picture) + what it lacks, gives `images` back.
    """
    lacking: list[Tensor] = []
    for _ in range(levels):
        small = halved(images)
        lacking.append(images - doubled(small))
        images = small
    return images, lacking[::-1]


def edges(images: Images) -> Float[Tensor, "n c h w"]:
    """The range of the 3×3 pixels around each one, in [-1, 1]: the morphological gradient (Serra 1982)."""
    highest, lowest = (sign * F.max_pool2d(sign * images, 3, 1, 1) for sign in (1, -1))
    return highest - lowest - 1
