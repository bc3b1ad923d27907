"""What generator and discriminator play for; all per pair of pictures, from the discriminator's logits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

from mezzotint.types import Images

Logits = Float[Tensor, " n"]
"""One number per picture; with a sigmoid over it, the discriminator's probability that the picture is real."""

LOWEST_LOGIT = -60.0
"""Where the non-saturating ratio of derivatives stops growing: its counterpart nears the end of float32."""


@dataclass(frozen=True)
class AdversarialLoss:
    """The two sides of one game, and how the generator's gradient follows from the discriminator's.

    `generator(real, fake)` and `discriminator(real, fake)` take the logits of pairs of one real and one drawn picture
    and return a loss per pair. Only where `relative` does the generator's look at the real logit.
    `scale(real, fake)` is the derivative of the generator's loss by the fake logit over that of the discriminator's, or
    None where the latter can be zero: one pass through the discriminator then cannot serve both.
    """

    generator: Callable[[Tensor, Tensor], Tensor]
    discriminator: Callable[[Tensor, Tensor], Tensor]
    scale: Callable[[Tensor, Tensor], Tensor] | None
    relative: bool = False
    """Whether the pair plays, not the picture."""
    undecided: float | None = 0.0
    """The logit of a picture as likely real as drawn; None where only differences of logits mean something."""


def _cross_entropy(real: Logits, fake: Logits) -> Logits:
    """-log D(x) - log(1 - D(G(z))) with D = sigmoid(logit): Goodfellow et al. 2014, equation 1."""
    return softplus(-real) + softplus(fake)


def _opposite(real: Logits, fake: Logits) -> Logits:
    return -torch.ones_like(fake)


def _non_saturating_scale(real: Logits, fake: Logits) -> Logits:
    """-sigmoid(-l)/sigmoid(l) = -exp(-l). Below the bound the product fades to zero instead of being 0·∞."""
    return -torch.exp(-fake.clamp(min=LOWEST_LOGIT))


def _relativistic_scale(real: Logits, fake: Logits) -> Logits:
    """As the non-saturating one, of the difference."""
    return _non_saturating_scale(real, fake - real)


LOSSES: dict[str, AdversarialLoss] = {
    # Goodfellow et al. 2014, equation 1: the generator descends log(1 - D(G(z))).
    "minimax": AdversarialLoss(lambda real, fake: -softplus(fake), _cross_entropy, _opposite),
    # Goodfellow et al. 2014, section 3: the generator descends -log D(G(z)).
    "non-saturating": AdversarialLoss(lambda real, fake: softplus(-fake), _cross_entropy, _non_saturating_scale),
    # Mao et al. 2017, equation 9 (a = 0, b = c = 1). The discriminator's derivative is zero where a fake scores 0.
    "least-squares": AdversarialLoss(
        lambda real, fake: (fake - 1).square() / 2,
        lambda real, fake: (real - 1).square() / 2 + fake.square() / 2,
        None,
        undecided=0.5,
    ),
    # Lim & Ye 2017; Miyato et al. 2018, equations 16 and 17. The discriminator's derivative is zero below -1.
    "hinge": AdversarialLoss(lambda real, fake: -fake, lambda real, fake: (1 - real).relu() + (1 + fake).relu(), None),
    # Arjovsky et al. 2017, equations 2 and 3.
    "wasserstein": AdversarialLoss(lambda real, fake: -fake, lambda real, fake: fake - real, _opposite, undecided=None),
    # Jolicoeur-Martineau 2019, section 4; Huang et al. 2024 (R3GAN), equation 2 with f(t) = -log(1 + exp(-t)).
    "relativistic": AdversarialLoss(
        lambda real, fake: softplus(real - fake),
        lambda real, fake: softplus(fake - real),
        _relativistic_scale,
        relative=True,
        undecided=None,
    ),
}


def pull(loss: AdversarialLoss, real: Logits, fake: Logits) -> Logits:
    """The derivative of the generator's loss by each fake logit."""
    at = fake.detach().requires_grad_()
    (derivative,) = torch.autograd.grad(loss.generator(real.detach(), at).sum(), at)
    return derivative


class InputGradient:
    """Turns the gradient that reaches the drawn pictures from the discriminator's loss into the generator's own.

    Where a discriminator does not couple the pictures of a batch, the gradient of any loss by picture i is that of
    logit i times the loss's derivative by it. So one backward pass serves both networks: each picture's gradient is
    multiplied by `AdversarialLoss.scale` on its way to the generator. `attach` the pictures before the discriminator
    sees them, `fill` once their logits are known, then go backward. The result is that of simultaneous descent.
    """

    def __init__(self) -> None:
        self.factor: Tensor | None = None

    def attach(self, images: Images) -> Images:
        """The same pictures, at the turning point of the gradient."""
        return _Turn.apply(images, self)  # pyright: ignore[reportReturnType]

    def fill(self, loss: AdversarialLoss, real: Logits, fake: Logits) -> None:
        """Set the factors from the logits of the attached (fake) pictures and of the real ones that they met.

        Raises ValueError for a loss without a scale.
        """
        if loss.scale is None:
            raise ValueError("this loss has no single pass: its discriminator's derivative can be zero")
        self.factor = loss.scale(real.detach(), fake.detach())


class _Turn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, turned: InputGradient) -> Tensor:
        ctx.turned = turned
        return images.view_as(images)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        gradient, factor = gradients[0], ctx.turned.factor
        if factor is None:
            raise RuntimeError("InputGradient.fill must be called before backward")
        return gradient * factor.to(gradient.dtype).view(-1, *[1] * (gradient.ndim - 1)), None
