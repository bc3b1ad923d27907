"""How well a model predicts pictures: likelihoods as rates."""

import math

from jaxtyping import Float
from torch import Tensor

from mezzotint.metrics.interval import Score, mean


def nats_per_picture(log_probability: Float[Tensor, " n"]) -> Score:
    """The mean of log p(x), or of a lower bound on it (ELBO), over pictures."""
    return mean(log_probability)


def bits_per_dimension(log_probability: Float[Tensor, " n"], dimensions: int) -> Score:
    """Bits that an ideal code spends on each of a picture's c·h·w numbers.

    From log p(x) of each picture in nats; where that is a lower bound (ELBO), the rate is an upper bound.
    """
    return mean(-log_probability.double() / (dimensions * math.log(2)))
