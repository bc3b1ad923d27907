"""How probable a picture is under a decoder: log-likelihoods in nats, summed over the numbers of each picture.

Pictures have 256 levels a channel, v = 0 … 255, seen as x = v/127.5 - 1: levels lie 2/255 apart in [-1, 1].
The Gaussian and the logistic are discretized (the mass of a level's interval, all the tails at its ends), so that
their values are log-probabilities and bits per dimension are comparable; the Bernoulli's are not, since it scores
brightness as if it were a probability.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mezzotint.types import Images

HALF = 1 / 255
"""Half the distance of two levels."""
FLOOR = 1e-12
"""Smallest probability mass whose logarithm is taken directly."""


def bernoulli(logits: Tensor, images: Images) -> Tensor:
    """Sum p·log q + (1 - p)·log(1 - q) with p the brightness in [0, 1] and q = sigmoid(logit), n."""
    target = (images + 1) / 2
    return -F.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(1).sum(1)


def gaussian(mean: Tensor, images: Images, log_scale: Tensor) -> Tensor:
    """Log-probability of the levels under a discretized Gaussian, n; `log_scale` is log sigma in units of [-1, 1]."""
    inverse = torch.exp(-log_scale)
    centered = images - mean
    upper, lower = (centered + HALF) * inverse, (centered - HALF) * inverse
    # By symmetry both tails are evaluated on the left, where differences of the normal CDF keep their precision.
    left, right = torch.where(centered > 0, -upper, lower), torch.where(centered > 0, -lower, upper)
    mass = torch.special.ndtr(right) - torch.special.ndtr(left)
    density = -0.5 * (centered * inverse).square() - log_scale - 0.5 * math.log(2 * math.pi) + math.log(2 * HALF)
    inner = torch.where(mass > FLOOR, mass.clamp(min=FLOOR).log(), density)
    low_end, high_end = torch.special.log_ndtr(upper), torch.special.log_ndtr(-lower)
    return _with_ends(images, inner, low_end, high_end)


def discretized_logistic(mean: Tensor, log_scale: Tensor, images: Images) -> Tensor:
    """Log-probability of the levels under a discretized logistic, n.

    Salimans et al. 2017 (PixelCNN++), equation 2, for one component; `log_scale` is log s in units of [-1, 1]. With
    u and l the standardized ends of a level's interval, sigmoid(u) - sigmoid(l) is
    (1 - exp(l - u))·sigmoid(u)·sigmoid(-l): no difference of near numbers, so exact logarithms out to any tail.
    """
    inverse = torch.exp(-log_scale)
    centered = images - mean
    upper, lower = (centered + HALF) * inverse, (centered - HALF) * inverse
    up, down = F.logsigmoid(upper), F.logsigmoid(-lower)
    inner = up + down + torch.log(-torch.expm1(-2 * HALF * inverse))
    return _with_ends(images, inner, up, down)


def _with_ends(images: Images, inner: Tensor, low_end: Tensor, high_end: Tensor) -> Tensor:
    """The darkest and brightest level take the whole tail beyond them."""
    value = torch.where(images < -1 + HALF, low_end, torch.where(images > 1 - HALF, high_end, inner))
    return value.flatten(1).sum(1)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)), N(0, 1)) in nats, n. Kingma & Welling 2014, appendix B."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
