"""What keeps a discriminator smooth: gradient penalties and weight clipping."""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.types import Images


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Images, fake: Images, mix: Float[Tensor, "n 1 1 1"]
) -> Float[Tensor, " n"]:
    """(|∇critic| - 1)² of each picture at real + mix·(fake - real), mix in [0, 1].

    Gulrajani et al. 2017 (WGAN-GP), equation 3. The critic must not couple pictures.
    """
    between = torch.lerp(real, fake.to(real.dtype), mix.to(real.dtype)).detach().requires_grad_()
    return (_gradient(critic(between), between).norm(dim=1) - 1).square()


def r1(real: Images, real_logits: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """|∇D|² of each real picture; `real` must require a gradient. Mescheder et al. 2018, equation 9 without gamma/2."""
    return _gradient(real_logits, real).square().sum(1)


def _gradient(logits: Tensor, images: Tensor) -> Float[Tensor, "n chw"]:
    """∇logit by each picture, differentiable again; float32 at least, since sums of squares are to come."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.to(torch.promote_types(gradient.dtype, torch.float32)).flatten(1)


@torch.no_grad()
def clip_weights(parameters: Iterable[nn.Parameter], bound: float) -> None:
    """Bring every weight into [-bound, bound]. Arjovsky et al. 2017, algorithm 1."""
    for parameter in parameters:
        parameter.clamp_(-bound, bound)
