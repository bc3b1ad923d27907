"""How far a reconstruction is from its picture: one number per picture, on pictures scaled from [-1, 1] to [0, 1].

All values are those of the [0, 1] scale (data range 1), in float64.
"""

from jaxtyping import Float
from torch import Tensor

from mezzotint.ops import similarity
from mezzotint.types import Images


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

    Only whole windows count, so the outer five pixels are seen less; `ops.similarity` tells of small pictures.
    """
    return similarity.similarity(_unit(images), _unit(others))[0]


def ms_ssim(images: Images, others: Images) -> Float[Tensor, " n"]:
    """Structural similarity at several scales, at most 1 (Wang et al. 2003, equation 7), of each picture.

    Five scales from 176 pixels on, fewer below.
    """
    return similarity.multiscale(_unit(images), _unit(others))
