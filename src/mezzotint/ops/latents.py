"""Ways through a space of latents: between two of them, along its strongest directions, to the latent of a picture."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mezzotint.types import Images

Latents = Float[Tensor, "n latent"]
"""One row per picture; a generator's are drawn from the standard normal distribution."""


def slerp(first: Latents, second: Latents, share: Float[Tensor, " n"]) -> Latents:
    """The latents at `share` (in [0, 1]) of the way, along the arc between their directions (Shoemake 1985).

    Normal noise of many dimensions lies near a sphere, and the straight line leaves it (White 2016). Lengths go from
    the one to the other evenly. Latents of one direction, or of opposite ones, are joined by the straight line.
    """
    a, b = (x.norm(dim=1, keepdim=True) for x in (first, second))
    cosine = ((first * second).sum(1, keepdim=True) / (a * b).clamp(min=1e-12)).clamp(-1, 1)
    angle, t = torch.arccos(cosine), share[:, None]
    sine = torch.sin(angle)
    arc = (torch.sin((1 - t) * angle) * first / a + torch.sin(t * angle) * second / b) / sine.clamp(min=1e-12)
    straight = torch.lerp(first, second, t)
    return torch.where((sine < 1e-4) | (a * b == 0), straight, arc * torch.lerp(a, b, t))


def factors(entrance: Float[Tensor, "rows latent"], count: int) -> Float[Tensor, "count latent"]:
    """The `count` unit directions of the latent space that the first layer's weights `entrance` stretch the most.

    Shen & Zhou 2021 (SeFa), equation 9: the eigenvectors of AᵀA with the largest eigenvalues. Each direction's largest
    number is positive, since the sign of an eigenvector means nothing.
    """
    _, vectors = torch.linalg.eigh(entrance.double().T @ entrance.double())
    found = vectors.flip(1).T[:count]
    sign = found.gather(1, found.abs().argmax(1, keepdim=True)).sign()
    return (found * sign).to(entrance.dtype)


def walk(latents: Latents, direction: Float[Tensor, " latent"], reach: float, steps: int) -> Float[Tensor, "m latent"]:
    """Each latent moved along a direction by -reach to reach in even steps: n·steps rows, latent by latent."""
    moves = torch.linspace(-reach, reach, steps, device=latents.device)[None, :, None] * direction
    return (latents[:, None] + moves).flatten(0, 1)


def difference(drawn: Images, asked: Images) -> Float[Tensor, " n"]:
    """Mean squared difference of each pair, over the picture and its halvings down to four pixels."""
    total, scales = torch.zeros(len(drawn), device=drawn.device), 0
    while True:
        total, scales = total + (drawn - asked).square().mean((1, 2, 3)), scales + 1
        if min(drawn.shape[2:]) < 8:
            return total / scales
        drawn, asked = F.avg_pool2d(drawn, 2, ceil_mode=True), F.avg_pool2d(asked, 2, ceil_mode=True)


def projected(
    draw: Callable[[Latents], Images], asked: Images, starts: Latents, steps: int, rate: float = 0.1
) -> tuple[Latents, Float[Tensor, " n"]]:
    """Latents that draw the pictures `asked` as nearly as gradient descent from `starts` finds, and what is left.

    As Karras et al. 2020 (StyleGAN2), appendix D: Adam, whose rate rises over the first twentieth of the steps and
    fades over the last quarter. Latents are held within the sphere that normal noise lies on, so that they stay where
    the generator has been trained. The best latents of all steps count.
    """
    asked, latents = asked.detach(), starts.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([latents], lr=rate)
    longest = starts.shape[1] ** 0.5
    best, least = starts.detach().clone(), torch.full((len(starts),), float("inf"), device=starts.device)
    for step in range(steps + 1):
        left = difference(draw(latents), asked)
        with torch.no_grad():
            better = left < least
            best[better], least = latents[better], torch.minimum(left, least)
        if step == steps:
            break
        share = step / steps
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (share + 1 / steps) / 0.05, (1 - share) / 0.25)
        (latents.grad,) = torch.autograd.grad(left.sum(), latents)
        optimizer.step()
        with torch.no_grad():
            latents.mul_((longest / latents.norm(dim=1, keepdim=True)).clamp(max=1))
    return best, least.detach()
