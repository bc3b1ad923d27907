"""What keeps a discriminator smooth: gradient penalties and weight clipping."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from mezzotint.types import Images


def gradient_penalty(critic: Callable[[Images], Tensor], real: Images, fake: Images, mix: Tensor) -> Tensor:
    """(|∇critic| - 1)² of each picture at real + mix·(fake - real), mix n×1×1×1 in [0, 1].

    Gulrajani et al. 2017 (WGAN-GP), equation 3.
    """
    between = torch.lerp(real, fake.to(real.dtype), mix).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.float().flatten(1).norm(dim=1) - 1).square()


def r1(real: Images, real_logits: Tensor) -> Tensor:
    """|∇D|² of each real picture; `real` must require a gradient. Mescheder et al. 2018, equation 9 without gamma/2."""
    (gradient,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    return gradient.float().square().flatten(1).sum(1)


@torch.no_grad()
def clip_weights(parameters: Iterable[nn.Parameter], bound: float) -> None:
    """Bring every weight into [-bound, bound]. Arjovsky et al. 2017, algorithm 1."""
    for p in parameters:
        p.clamp_(-bound, bound)
