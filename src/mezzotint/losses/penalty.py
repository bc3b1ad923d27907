"""What keeps a discriminator smooth: gradient penalties and weight clipping."""

from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.types import Images


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    real: Images,
    fake: Images,
    mix: Float[Tensor, "n 1 1 1"],
    center: float = 1.0,
) -> Float[Tensor, " n"]:
    """(|∇critic| - center)² of each picture at real + mix·(fake - real), mix in [0, 1].

    Gulrajani et al. 2017 (WGAN-GP), equation 3; with center 0 Thanh-Tung et al. 2019, equation 8. The critic must not
    couple pictures.
    """
    between = torch.lerp(real, fake.to(real.dtype), mix.to(real.dtype)).detach().requires_grad_()
    logits = critic(between)
    (slope,) = slopes([between], logits)
    if center == 0:
        return slope.square().sum(1)  # a norm has no derivative at zero, its square does
    return (slope.norm(dim=1) - center).square()


def squared_slope(images: Images, logits: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """|∇D|² at each picture; `images` must require a gradient.

    Of real pictures it is R1, of drawn ones R2: Mescheder et al. 2018, equations 9 and 10 without gamma/2.
    """
    return slopes([images], logits)[0].square().sum(1)


def slopes(pictures: Sequence[Images], logits: Float[Tensor, " m"]) -> list[Float[Tensor, "n chw"]]:
    """∇D at each picture of each batch, differentiable again; `logits` are those of all of them.

    One pass serves all batches that went through the discriminator together. The numbers are float32 at least, since
    sums of squares are to come.
    """
    gradients = torch.autograd.grad(logits.sum(), list(pictures), create_graph=True)
    return [g.to(torch.promote_types(g.dtype, torch.float32)).flatten(1) for g in gradients]


@torch.no_grad()
def clip_weights(parameters: Iterable[nn.Parameter], bound: float) -> None:
    """Bring every weight into [-bound, bound]. Arjovsky et al. 2017, algorithm 1."""
    for parameter in parameters:
        parameter.clamp_(-bound, bound)
