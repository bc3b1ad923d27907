"""Terms that keep features from collapsing where nothing but agreement is asked for (Bardes, Ponce and LeCun 2022)."""

from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-4
"""Under the root of the variance, so that its gradient stays finite at zero."""


def variance_hinge(z: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """How far the deviation of each feature over the batch falls short of 1, in the mean (equations 1 and 2)."""
    return (1 - (z.var(0) + EPSILON).sqrt()).relu().mean()


def covariance_penalty(z: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """The squared covariances of different features over the batch, summed and divided by d (equations 3 and 4)."""
    centered = z - z.mean(0)
    covariance = centered.T @ centered / (len(z) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / z.shape[1]
