"""Pictures brought to another size, and to three channels, without a trace of where they came from."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mezzotint.types import Images


def resized(images: Images, height: int, width: int) -> Float[Tensor, "n c {height} {width}"]:
    """Bicubic (Catmull-Rom, a = -1/2) with a filter as wide as the shrinking asks for; neither rounded nor clipped.

    That is what Pillow does to float pictures, and what a distance between sets of pictures is to be taken after:
    without the wide filter shrinking aliases, and rounding in between costs digits (Parmar et al. 2022, section 3).
    """
    if images.shape[2:] == (height, width):
        return images
    return F.interpolate(images, (height, width), mode="bicubic", align_corners=False, antialias=True)


def in_color(images: Images) -> Float[Tensor, "n 3 h w"]:
    """Grey pictures as three equal channels, colored ones as they are."""
    return images.expand(-1, 3, -1, -1)
