"""What a code costs: divergences between what an encoder says of a picture's code and what a prior expects, in nats."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

PerPicture = Float[Tensor, " n"]


def normal_log_density(z: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log-density of each number under its own normal distribution; shapes broadcast."""
    return -0.5 * ((z - mean) * torch.exp(-log_scale)).square() - log_scale - 0.5 * math.log(2 * math.pi)


def normal_kl(moved: Tensor, log_ratio: Tensor, prior_log_scale: Tensor) -> Tensor:
    """KL(N(m + moved, s·ratio), N(m, s)) of each number, from the prior's log s: its mean cancels.

    The posterior as a change of its prior: Vahdat & Kautz 2020 (NVAE), equation 2.
    """
    relative = (moved * torch.exp(-prior_log_scale)).square()
    return 0.5 * (relative + torch.expm1(2 * log_ratio)) - log_ratio


class Decomposition(NamedTuple):
    """The divergence of a batch's codes from the standard normal in three parts, of each picture."""

    information: PerPicture
    """Of the code about the picture: log q(z|x) - log q(z)."""
    correlation: PerPicture
    """Total correlation: log q(z) less the sum of log q(z_j)."""
    marginals: PerPicture
    """The sum of log q(z_j) - log p(z_j)."""


def decomposed(
    z: Float[Tensor, "n latent"],
    mean: Float[Tensor, "n latent"],
    log_variance: Float[Tensor, "n latent"],
    pictures: int,
) -> Decomposition:
    """The three parts at one draw `z` of each picture's posterior, in a data set of `pictures`.

    Chen et al. 2018 (beta-TC-VAE), equation 2; the densities of all codes by minibatch-weighted sampling (appendix
    C.1), which couples the pictures of a batch.
    """
    each = normal_log_density(z[:, None], mean[None], log_variance[None] / 2)
    own = normal_log_density(z, mean, log_variance / 2).sum(1)
    count = math.log(len(z) * max(pictures, len(z)))
    aggregate = torch.logsumexp(each.sum(2), 1) - count
    product = (torch.logsumexp(each, 1) - count).sum(1)
    prior = normal_log_density(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
    return Decomposition(own - aggregate, aggregate - product, product - prior)


def importance_bound(log_weights: Float[Tensor, "k n"]) -> PerPicture:
    """Log of the mean of k importance weights p(x, z)/q(z|x): a lower bound on log p(x) that rises with k.

    Burda et al. 2016 (IWAE), equation 8; of one weight it is the evidence lower bound.
    """
    return torch.logsumexp(log_weights, 0) - math.log(len(log_weights))
