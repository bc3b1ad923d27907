"""A recurrent network with a choice at every step: what cannot be foreseen is drawn, and one draw is one future."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.networks.parts import widened
from mezzotint.networks.recurrent import Maps, RecurrentConfig, State
from mezzotint.types import Clips, DataSpec

Gaussian = tuple[Float[Tensor, "n latent"], Float[Tensor, "n latent"]]
"""Mean and logarithm of the variance."""


@dataclass(frozen=True, kw_only=True)
class StochasticConfig:
    """The recurrent network, and how many numbers are drawn for each frame."""

    core: RecurrentConfig = RecurrentConfig()
    latent: int = 16

    def __post_init__(self) -> None:
        """Raise ValueError for nothing to draw."""
        if self.latent < 1:
            raise ValueError("latent must be at least 1")

    def build(self, spec: DataSpec) -> "Stochastic":
        """The network for frames of `spec`."""
        return Stochastic(self, spec)


class Stochastic(nn.Module):
    """Before each frame numbers z are drawn: in training by who has seen the frame, later by who has not.

    A variational recurrent network (Chung et al. 2015, equations 5 to 9; Denton & Fergus 2018 for video): the prior
    p(z|past) sees what the network says of the past and the frame before, which that has not taken in yet; the
    posterior q(z|past, frame) sees the frame too. Both are Gaussian. A blank frame stands before the first one, so that
    clips can begin from nothing.
    """

    def __init__(self, config: StochasticConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, width = config, config.core.width
        self.core = config.core.build(spec, config.latent)
        folded = spec.channels * config.core.patch**2
        self.prior = _Gaussian(width + folded, width, config.latent)
        self.posterior = _Gaussian(width + 2 * folded, width, config.latent)

    def forward(
        self, frames: Clips, noise: Float[Tensor, "t n latent"], shown: Bool[Tensor, "n t"] | None = None
    ) -> tuple[Clips, Float[Tensor, " n"]]:
        """What it says of all frames (each after those before it and its own z), and KL(q, p) in nats of each clip.

        Where a frame is not `shown` (all are by default), what was said of it stands before the next one instead
        (scheduled sampling). The posterior sees each frame anyway: the cost is still that of a bound, of a network
        whose later frames follow from earlier ones by way of z.
        """
        folded = self.core.folded(frames)
        state, seen, top = self._begin(folded[0])
        said, cost = list[Tensor](), noise.new_zeros(len(frames))
        for t, (frame, drawn) in enumerate(zip(folded, noise, strict=True)):
            posterior = self.posterior(_beside(top, seen, frame))
            cost = cost + divergence(posterior, self.prior(_beside(top, seen)))
            y, state, top = self._step(seen, _drawn(posterior, drawn), state)
            said.append(y)
            seen = frame if shown is None else torch.where(shown[:, t, None, None, None], frame.to(y.dtype), y)
        return self.core.unfolded(torch.stack(said), frames), cost

    def continued(self, frames: Clips, noise: Float[Tensor, "t n latent"]) -> Clips:
        """The frames that follow: `noise` (t + horizon) × n × latent draws a z for each frame, given ones too."""
        context, horizon = frames.shape[1], len(noise) - frames.shape[1]
        like = frames if context else frames.new_zeros(frames.shape[0], 1, *frames.shape[2:])
        folded = self.core.folded(like)
        state, seen, top = self._begin(folded[0])
        said: list[Tensor] = []
        for t, drawn in enumerate(noise):
            known = t < context
            told = self.posterior(_beside(top, seen, folded[t])) if known else self.prior(_beside(top, seen))
            y, state, top = self._step(seen, _drawn(told, drawn), state)
            said.append(y)
            seen = folded[t] if known else y
        return self.core.unfolded(torch.stack(said[-horizon:]), like)

    def _begin(self, like: Maps) -> tuple[State, Maps, Maps]:
        """The empty state, the blank frame, and what the top layer says of nothing."""
        state = self.core.cells.begin(like)
        return state, torch.zeros_like(like), state[0]

    def _step(self, seen: Maps, z: Tensor, state: State) -> tuple[Maps, State, Maps]:
        n, _, h, w = seen.shape
        told = torch.cat([seen, z.to(seen.dtype)[:, :, None, None].expand(n, -1, h, w)], 1)
        outputs, state = self.core.cells(told.contiguous(memory_format=torch.channels_last)[None], state)
        return self.core.leave(outputs[0]), state, outputs[0]


class _Gaussian(nn.Module):
    """Feature maps to mean and log variance: a 3×3 convolution, means over a 3×3 grid of the places."""

    def __init__(self, inputs: int, width: int, latent: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(inputs, width, 3, padding=1)
        self.head = nn.Linear(9 * width, 2 * latent)

    def forward(self, maps: Maps) -> Gaussian:
        pooled = F.adaptive_avg_pool2d(widened(F.silu(self.body(maps))), 3).flatten(1)
        mean, log_variance = widened(self.head(pooled)).chunk(2, 1)
        return mean, log_variance.clamp(-10, 10)


def _beside(top: Maps, *frames: Maps) -> Maps:
    return torch.cat([top, *(frame.to(top.dtype) for frame in frames)], 1)


def _drawn(told: Gaussian, noise: Tensor) -> Tensor:
    return told[0] + (told[1] / 2).exp() * noise


def divergence(told: Gaussian, prior: Gaussian) -> Float[Tensor, " n"]:
    """KL of one diagonal Gaussian from another in nats."""
    (a, log_a), (b, log_b) = told, prior
    ratio = (log_a - log_b).exp() + (a - b).square() * (-log_b).exp()
    return (ratio - 1 + log_b - log_a).sum(1) / 2
