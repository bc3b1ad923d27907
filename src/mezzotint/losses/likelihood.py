"""How probable a picture is under a decoder: log-likelihoods in nats, summed over the numbers of each picture.

Pictures have 256 levels a channel, v = 0 … 255, seen as x = v/127.5 - 1: levels lie 2/255 apart in [-1, 1].
The Gaussian and the logistic are discretized (the mass of a level's interval, all of a tail at either end), so that
their values are log-probabilities and bits per dimension are comparable; the Bernoulli's are not, since it scores
brightness as if it were a probability.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

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
    return _logistic_levels(mean, log_scale, images).flatten(1).sum(1)


def _logistic_levels(mean: Tensor, log_scale: Tensor, images: Tensor) -> Tensor:
    """Log-probability of each number of a picture under its own discretized logistic; shapes broadcast."""
    lower, upper, inverse = _standardized(mean, images, log_scale)
    up, down = F.logsigmoid(upper), F.logsigmoid(-lower)
    inner = up + down + torch.log(-torch.expm1(-2 * HALF * inverse))
    darkest, brightest = _ends(images)
    return torch.where(darkest, up, torch.where(brightest, down, inner))


FIRST_LOG_SCALE = -2.0
"""Of the components of a mixture whose raw numbers are zero, in the logarithm of units of [-1, 1]."""


class Mixture(NamedTuple):
    """Discretized logistics of the m numbers at each place of a map, read off a decoder's raw numbers.

    Each number's components are shifted together by a linear function of the numbers before it at the same place.
    Salimans et al. 2017 (PixelCNN++), equation 3; there the numbers are red, green and blue and share the weights of
    the components, here each number has its own, and the coefficients are unbounded and shared by the components.
    """

    log_weights: Float[Tensor, "n k m h w"]
    means: Float[Tensor, "n k m h w"]
    """Before the shift, in units of [-1, 1]."""
    log_scales: Float[Tensor, "n k m h w"]
    couplings: Float[Tensor, "n before m h w"]
    """What each of the first m - 1 numbers adds to number i, times its value; zero unless it comes before i."""

    @staticmethod
    def outputs(components: int, numbers: int) -> int:
        """Raw numbers for each of the `numbers` at a place."""
        return 3 * components + numbers - 1

    @classmethod
    def of(cls, raw: Float[Tensor, "n raw h w"], components: int, numbers: int) -> "Mixture":
        """From n × (m·outputs) × h × w raw numbers; of zeros, evenly spread components of one scale."""
        n, _, h, w = raw.shape
        sizes = [components, components, components, numbers - 1]
        weights, means, scales, couplings = raw.view(n, sum(sizes), numbers, h, w).split(sizes, 1)
        spread = torch.linspace(-1, 1, components + 2, dtype=raw.dtype, device=raw.device)[1:-1]
        earlier = torch.ones(numbers, numbers, dtype=raw.dtype, device=raw.device).triu(1)[: numbers - 1, :, None, None]
        shifted = means + spread[:, None, None, None]
        return cls(weights.log_softmax(1), shifted, scales + FIRST_LOG_SCALE, couplings * earlier)

    def log_probability(self, numbers: Float[Tensor, "n m h w"]) -> Float[Tensor, "n m h w"]:
        """Of each number, given those before it at its place."""
        shift = (self.couplings * numbers[:, :-1, None]).sum(1)
        each = _logistic_levels(self.means + shift[:, None], self.log_scales, numbers[:, None])
        return torch.logsumexp(self.log_weights + each, 1)

    def expected(self) -> Float[Tensor, "n m h w"]:
        """The expected numbers one after another, each given what is expected of those before it, in [-1, 1]."""
        weights = self.log_weights.exp()
        return self._in_turn(lambda i, means: (weights[:, :, i] * means.clamp(-1, 1)).sum(1).clamp(-1, 1))

    def drawn(self, uniforms: Float[Tensor, "n 2 m h w"]) -> Float[Tensor, "n m h w"]:
        """Numbers on the 256 levels, drawn one after another by two uniform numbers in (0, 1) for each."""
        past = self.log_weights.exp().cumsum(1)
        chosen = (past < uniforms[:, :1]).sum(1, keepdim=True).clamp(max=past.shape[1] - 1)
        noise = uniforms[:, 1].clamp(1e-6, 1 - 1e-6).logit() * self.log_scales.gather(1, chosen)[:, 0].exp()

        def draw(i: int, means: Tensor) -> Tensor:
            value = means.gather(1, chosen[:, :, i])[:, 0] + noise[:, i]
            return ((value.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1

        return self._in_turn(draw)

    def _in_turn(self, take: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Each number by `take` from its index and its shifted means n k h w."""
        numbers = torch.zeros_like(self.means[:, 0])
        for i in range(numbers.shape[1]):
            shift = (self.couplings[:, :, i] * numbers[:, :-1]).sum(1)
            numbers[:, i] = take(i, self.means[:, :, i] + shift[:, None])
        return numbers


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


def _standardized(mean: Tensor, images: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lower and upper end of each level's interval in scales from the mean, and one over the scale."""
    inverse = torch.exp(-log_scale.clamp(*LOG_SCALES))
    centered = images - mean
    return (centered - HALF) * inverse, (centered + HALF) * inverse, inverse


def _ends(images: Tensor) -> tuple[Tensor, Tensor]:
    """Where the darkest and the brightest level stand, which take the whole tail beyond them."""
    return images < -1 + HALF, images > 1 - HALF


def gaussian_kl(mean: Float[Tensor, "n latent"], log_variance: Float[Tensor, "n latent"]) -> PerPicture:
    """KL(N(mean, exp(log_variance)), N(0, 1)) in nats. Kingma & Welling 2014, appendix B."""
    return 0.5 * (mean.square() + torch.expm1(log_variance) - log_variance).sum(1)
