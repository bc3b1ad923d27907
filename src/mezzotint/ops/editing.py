"""Pictures drawn so that what is known of them fits, with a velocity that was never trained for it.

What is known is `seen = degrade(picture)`, with a linear `degrade`: a mask, fewer pixels, a blur, no colors.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from mezzotint.ops.latents import slerp
from mezzotint.ops.paths import Path
from mezzotint.ops.solvers import Noise, Velocity
from mezzotint.types import Images

Degrade = Callable[[Images], Tensor]


def restored(
    velocity: Velocity,
    path: Path,
    x: Images,
    seen: Tensor,
    degrade: Degrade,
    times: Sequence[float],
    noise: Noise,
    *,
    spread: float,
    doubt: float = 0.01,
    returns: int = 1,
) -> Images:
    """The pictures that `x`, at the first of `times`, is drawn to, such that `degrade` makes `seen` of them.

    Each step corrects the picture that the velocity expects to the likeliest one given `seen`, and goes on from there
    by the chain's posterior (Zhu et al. 2023, DiffPIR, algorithm 1; with masks it is Lugmayr et al. 2022, RePaint,
    algorithm 1). Between the picture expected and the true one there is a variance as of normal pictures with standard
    deviation `spread` (Song et al. 2023, equation 9); `doubt` is that of `seen`. Each step but the last is taken
    `returns` times, with noise added back in between, so that what is drawn and what is known grow together (RePaint,
    section 4.2).
    """
    closer = Likeliest(degrade, x)
    count = 0
    for t, following in pairwise(times):
        (alpha, sigma), (next_alpha, next_sigma) = _mixture(path, t), _mixture(path, following)
        certainty = (spread * sigma) ** 2 / ((alpha * spread) ** 2 + sigma**2) / doubt**2
        share = next_sigma * alpha / (next_alpha * sigma)
        fresh = next_sigma * math.sqrt(max(0.0, 1 - share**2))
        for again in range(returns if next_sigma else 1):
            if again:
                back = alpha / next_alpha
                added = math.sqrt(max(0.0, sigma**2 - (back * next_sigma) ** 2))
                x, count = back * x + added * noise(count), count + 1
            expected, _ = path.apart(x, velocity(x, t), torch.tensor(t, dtype=x.dtype, device=x.device))
            picture = closer(expected, seen, certainty)
            old = (x - alpha * picture) / sigma
            x = next_alpha * picture + next_sigma * share * old
            if fresh:
                x, count = x + fresh * noise(count), count + 1
    return x


class Likeliest:
    """The z of least |z - expected|² + certainty·|degrade(z) - seen|², each picture for itself.

    By conjugate gradients (Hestenes & Stiefel 1952) with the transpose of `degrade` from automatic differentiation.
    A few iterations are enough: they are exact after as many as `degrade` has different singular values (a mask: one).
    """

    ITERATIONS = 6

    def __init__(self, degrade: Degrade, like: Images) -> None:
        self.degrade = degrade
        with torch.inference_mode(False), torch.enable_grad():
            self._at = torch.zeros_like(like, requires_grad=True)
            self._out = degrade(self._at)

    def transposed(self, seen: Tensor) -> Images:
        """The transpose of `degrade`."""
        with torch.inference_mode(False), torch.enable_grad():
            return torch.autograd.grad(self._out, self._at, seen.clone(), retain_graph=True)[0]

    def __call__(self, expected: Images, seen: Tensor, certainty: float) -> Images:
        """Of the shape of `expected`."""
        rest = certainty * self.transposed(seen - self.degrade(expected))
        z, ahead, size = expected, rest, _squares(rest)
        for _ in range(self.ITERATIONS):
            turned = ahead + certainty * self.transposed(self.degrade(ahead))
            step = size / _squares(ahead, turned).clamp(min=1e-20)
            z, rest = z + step * ahead, rest - step * turned
            before, size = size, _squares(rest)
            ahead = rest + size / before.clamp(min=1e-20) * ahead
        return z


def _squares(a: Tensor, b: Tensor | None = None) -> Float[Tensor, "n 1 1 1"]:
    return (a * (a if b is None else b)).flatten(1).sum(1)[:, None, None, None]


def _mixture(path: Path, t: float) -> tuple[float, float]:
    m = path.at(torch.tensor(t, dtype=torch.float64))
    return float(m.alpha), float(m.sigma)


def between(first: Images, second: Images, share: float) -> Images:
    """The noise at `share` of the way along the great arc from one noise to another, each picture for itself.

    A straight line would pass through noises of too small a size (Shoemake 1985; White 2016).
    """
    ends = first.flatten(1), second.flatten(1)
    return slerp(*ends, first.new_full((len(first),), share)).view_as(first)
