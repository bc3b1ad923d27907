"""How probable a picture is under a decoder: log-likelihoods in nats, summed over the numbers of each picture.

Pictures have 256 levels a channel, v = 0 … 255, seen as x = v/127.5 - 1: levels lie 2/255 apart in [-1, 1].
The Gaussian and the logistic are discretized (the mass of a level's interval, all of a tail at either end), so that
their values are log-probabilities and bits per dimension are comparable; the Bernoulli's are not, since it scores
brightness as if it were a probability.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mezzotint.types import Images

HALF = 1 / 255
"""Half the distance of two levels."""
LOG_SCALES = (-10.0, 7.0)
"""Scales outside are clamped: at exp(-10) a level holds all the mass, at exp(7) all levels are alike."""

PerPicture = Float[Tensor, " n"]
LogScale = Float[Tensor, "#n #c #h #w"] | Float[Tensor, "c 1 1"]
"""The logarithm of a scale in units of [-1, 1]: of each number of a picture, or of each channel."""


def bernoulli(logits: Images, images: Images) -> PerPicture:
    """Sum of p·log q + (1 - p)·log(1 - q) with p the brightness in [0, 1] and q = sigmoid(logit)."""
    target = (images + 1) / 2
    return -F.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(1).sum(1)


def gaussian(mean: Images, images: Images, log_scale: LogScale) -> PerPicture:
    """Log-probability of the levels under a discretized Gaussian; `log_scale` is log sigma in units of [-1, 1]."""
    lower, upper, _ = _standardized(mean, images, log_scale)
    darkest, brightest = _ends(images)
    # An interval right of the mean is mirrored to the left, where the logarithm is exact however far out.
    mirrored = brightest | (~darkest & (images > mean))
    log_right = _log_cdf(torch.where(mirrored, -lower, upper))
    log_left = _log_cdf(torch.where(mirrored, -upper, lower))
    rounding = torch.finfo(log_left.dtype).eps
    less_left = torch.log(-torch.expm1((log_left - log_right).clamp(max=-rounding)))
    return torch.where(darkest | brightest, log_right, log_right + less_left).flatten(1).sum(1)


def discretized_logistic(mean: Images, log_scale: LogScale, images: Images) -> PerPicture:
    """Log-probability of the levels under a discretized logistic; `log_scale` is log s in units of [-1, 1].

    Salimans et al. 2017 (PixelCNN++), equation 2, for one component. With u and l the standardized ends of a level's
    interval, sigmoid(u) - sigmoid(l) is (1 - exp(l - u))·sigmoid(u)·sigmoid(-l): no difference of near numbers, so
    exact logarithms out to any tail.
    """
    lower, upper, inverse = _standardized(mean, images, log_scale)
    up, down = F.logsigmoid(upper), F.logsigmoid(-lower)
    inner = up + down + torch.log(-torch.expm1(-2 * HALF * inverse))
    darkest, brightest = _ends(images)
    return torch.where(darkest, up, torch.where(brightest, down, inner)).flatten(1).sum(1)


def logistic_mixture(
    levels: Float[Tensor, " n"],
    mean: Float[Tensor, "n k"],
    octave: Float[Tensor, "n k"],
    logit: Float[Tensor, "n k"],
    floor: float = 2.0**-16,
) -> Float[Tensor, " n"]:
    """Log-probability of each number 0 … 255 under a mixture of k discretized logistics, all in units of levels.

    Salimans et al. 2017 (PixelCNN++), equations 2 and 3. `octave` is the logarithm of the scale to the base 2; every
    level has `floor` beside what the mixture gives it, as in a coder's table.
    """
    inverse = torch.exp2(-octave)
    centered = (levels[:, None] - mean) * inverse
    up, down = F.logsigmoid(centered + inverse / 2), F.logsigmoid(inverse / 2 - centered)
    inner = up + down + torch.log(-torch.expm1(-inverse))
    darkest, brightest = levels[:, None] <= 0, levels[:, None] >= 255
    mass = torch.where(darkest, up, torch.where(brightest, down, inner))
    mixed = torch.logsumexp(torch.log_softmax(logit, 1) + mass, 1)
    return torch.logaddexp(mixed + math.log1p(-256 * floor), torch.full_like(mixed, math.log(floor)))


def _log_cdf(x: Tensor) -> Tensor:
    """Logarithm of the normal cumulative distribution.

    torch's own log_ndtr has the right values, but left of -100 its gradient exp(-x²/2 - log_ndtr) is noise in float32.
    """
    near, far = x.clamp(min=-1), x.clamp(max=-1)
    tail = torch.log(torch.special.erfcx(-far / math.sqrt(2)) / 2) - far.square() / 2
    return torch.where(x < -1, tail, torch.special.ndtr(near).log())


def _standardized(mean: Images, images: Images, log_scale: LogScale) -> tuple[Tensor, Tensor, Tensor]:
    """Lower and upper end of each level's interval in scales from the mean, and one over the scale."""
    inverse = torch.exp(-log_scale.clamp(*LOG_SCALES))
    centered = images - mean
    return (centered - HALF) * inverse, (centered + HALF) * inverse, inverse


def _ends(images: Images) -> tuple[Tensor, Tensor]:
    """Where the darkest and the brightest level stand, which take the whole tail beyond them."""
    return images < -1 + HALF, images > 1 - HALF


def gaussian_kl(mean: Float[Tensor, "n latent"], log_variance: Float[Tensor, "n latent"]) -> PerPicture:
    """KL(N(mean, exp(log_variance)), N(0, 1)) in nats. Kingma & Welling 2014, appendix B."""
    return 0.5 * (mean.square() + torch.expm1(log_variance) - log_variance).sum(1)
