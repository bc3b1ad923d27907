"""What whole numbers cost an entropy coder, in bits, and what they cost while noise stands for their rounding."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

LN2 = math.log(2)


def logistic_bits(distance: Float[Tensor, "*shape"], octave: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Bits of the interval of length 1 around a number that lies `distance` from the mean of its logistic.

    Ballé et al. 2018, equation 6, of a logistic: a density folded with uniform noise, so that it is right for rounded
    numbers and smooth for those with noise in [-0.5, 0.5]. `octave` is the logarithm of the scale to the base 2. No
    difference of near numbers is taken: the logarithm is exact, and slopes, out to any tail.
    """
    return -_log_mass(distance, octave) / LN2


def mixture_bits(
    values: Float[Tensor, "n c m"],
    mean: Float[Tensor, "n c k"],
    octave: Float[Tensor, "n c k"],
    logit: Float[Tensor, "n c k"],
) -> Float[Tensor, "n c m"]:
    """The same under a mixture of k logistics for each channel."""
    mass = _log_mass(values[..., None] - mean[:, :, None], octave[:, :, None].expand(*values.shape, -1))
    return -torch.logsumexp(mass + logit.log_softmax(2)[:, :, None], 3) / LN2


def _log_mass(distance: Tensor, octave: Tensor) -> Tensor:
    inverse = torch.exp2(-octave)
    inner = torch.log(-torch.expm1(-inverse))
    return F.logsigmoid((distance + 0.5) * inverse) + F.logsigmoid((0.5 - distance) * inverse) + inner
