"""What flow matching and diffusion need beside the error itself: pairing, weights, DDPM's noise, likelihoods."""

import math
from collections.abc import Callable, Sequence
from functools import cache

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mezzotint.ops import solvers
from mezzotint.ops.paths import Path, Prediction, picture_error
from mezzotint.types import Images, Labels


def paired(noise: Images, images: Images, labels: Labels | None) -> Images:
    """The same noises in the order that brings them nearest to their pictures, in sum of squared distances.

    Minibatch optimal transport (Tong et al. 2024; Pooladian et al. 2023). Noises change places within a class alone:
    otherwise a class would have noises of its own, which drawing does not give it.
    """
    order, everyone = torch.arange(len(images)), torch.arange(len(images))
    groups = (
        [everyone] if labels is None else [(labels == label).nonzero().flatten().cpu() for label in labels.unique()]
    )
    ours, theirs = (x.detach().flatten(1).cpu().double().numpy() for x in (images, noise))
    for group in groups:
        rows = group.numpy()
        gain = ours[rows] @ theirs[rows].T  # |a - b|² is -2ab and what no order changes
        _, columns = linear_sum_assignment(gain, maximize=True)
        order[group] = group[torch.from_numpy(columns)].clone()
    return noise[order.to(noise.device)]


def min_snr_weight(path: Path, predicts: Prediction, t: Tensor, spread: float, most: float) -> Tensor:
    """What the squared error of what a network says is multiplied by, so that the picture's has min(snr, most).

    Hang et al. 2023, section 3.4, with snr = (alpha/sigma)²; for every prediction.
    """
    m = path.at(t)
    share = picture_error(path, predicts, t, spread)
    tiny = torch.finfo(t.dtype).tiny
    snr_times_share = (m.alpha / m.sigma.clamp(min=tiny) * share).square()
    return torch.minimum(snr_times_share, most * share.square())


DDPM_STEPS = 1000


@cache
def ddpm_ratios() -> Tensor:
    """Noise to picture, sigma/alpha, in each of DDPM's thousand steps, float64.

    Ho et al. 2020, section 4: variances beta from 1e-4 to 0.02 in a line, alpha² the product of all 1 - beta.
    """
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, DDPM_STEPS, dtype=torch.float64), 0)
    return ((1 - kept) / kept).sqrt()


def transported(
    velocity: Callable[[Tensor, float], Tensor], x: Images, probe: Images, times: Sequence[float]
) -> tuple[Images, Tensor]:
    """Where the flow takes each picture, and the integral of the velocity's divergence along the way, n.

    The divergence is probe·(J probe) with J the velocity's Jacobian: exact on the average over probes of mean 0 and
    variance 1 (Hutchinson 1989).
    """
    shape = x.shape

    def slope(state: Tensor, t: float) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            at = state[:, :-1].reshape(shape).clone().requires_grad_()
            moving = velocity(at, t)
            (turned,) = torch.autograd.grad(moving, at, probe.clone())
            divergence = (turned * probe).flatten(1).sum(1, keepdim=True)
            return torch.cat([moving.detach().flatten(1), divergence.detach()], 1)

    start = torch.cat([x.flatten(1), x.new_zeros(len(x), 1)], 1)
    end = solvers.runge_kutta(solvers.RK4, slope, start, times)
    return end[:, :-1].reshape(shape), end[:, -1]


def noise_log_density(x: Images, sigma: float) -> Tensor:
    """Log-density of each picture under independent normals of mean 0, n."""
    flat = x.flatten(1) / sigma
    return -0.5 * flat.square().sum(1) - flat.shape[1] * (0.5 * math.log(2 * math.pi) + math.log(sigma))


def dequantized(images: Images, uniform: Images) -> tuple[Images, float]:
    """Pictures of 256 levels spread evenly over their levels, and what to add to the log-density of each, in nats.

    Theis et al. 2016, section 3.1: with `uniform` in [0, 1) the mean log-density plus c·h·w·log(2/255) is a lower bound
    on the log-probability of the levels.
    """
    step = 2 / 255
    return images + (uniform - 0.5) * step, images[0].numel() * math.log(step)
