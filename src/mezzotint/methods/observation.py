"""How a decoder's raw numbers are read: as the probability of a picture, as its expectation, as a draw."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.losses import likelihood
from mezzotint.networks.parts import Fold
from mezzotint.types import DataSpec, Images

Likelihood = Literal["bernoulli", "gaussian", "logistic", "mixture"]
"""Bernoulli: brightness as a probability. The others: 256 levels under a density (Gaussian, logistic, a mixture of
logistics) with a learned scale."""
Scale = Literal["channel", "pixel"]
"""Of the Gaussian and the logistic: one learned number a channel (Rybkin et al. 2021), or a map of the decoder's."""


@dataclass(frozen=True)
class Reading:
    """What kind of likelihood, and its size."""

    kind: Likelihood
    scale: Scale = "channel"
    components: int = 4
    """Of the mixture."""

    @property
    def spoken(self) -> str:
        """For protocols."""
        if self.kind == "mixture":
            return f"mixtures of {self.components} discretized logistics"
        return self.kind if self.kind == "bernoulli" else f"discretized {self.kind}, a scale a {self.scale}"


class Observation(nn.Module):
    """A likelihood over raw maps; `fold` says which pixels of a picture are one place of the map."""

    def __init__(self, reading: Reading, spec: DataSpec, fold: Fold | None = None) -> None:
        super().__init__()
        self.reading, self.fold = reading, fold or Fold(1, 1)
        self.numbers = spec.channels * self.fold.side**2
        """Of a picture at each place of the map."""
        shared = reading.scale == "channel" and reading.kind in ("gaussian", "logistic")
        self.log_scale = nn.Parameter(torch.full((spec.channels, 1, 1), -2.0)) if shared else None

    @property
    def outputs(self) -> int:
        """Raw numbers for each number of a picture."""
        if self.reading.kind == "mixture":
            return likelihood.Mixture.outputs(self.reading.components, self.numbers)
        return 1 if self.log_scale is not None or self.reading.kind == "bernoulli" else 2

    @property
    def raw(self) -> int:
        """Channels of the raw map."""
        return self.outputs * self.numbers

    def log_probability(self, raw: Float[Tensor, "n raw a b"], images: Images) -> Float[Tensor, " n"]:
        """Of each picture, in nats."""
        if self.reading.kind == "mixture":
            levels = self._mixture(raw).log_probability(self.fold(images))
            return self.fold.undone(levels, images).flatten(1).sum(1)
        mean, log_scale = self._center(raw, images)
        match self.reading.kind:
            case "bernoulli":
                return likelihood.bernoulli(mean, images)
            case "gaussian":
                return likelihood.gaussian(mean, images, log_scale)
            case _:
                return likelihood.discretized_logistic(mean, log_scale, images)

    def expected(self, raw: Float[Tensor, "n raw a b"], like: Images) -> Images:
        """The expected picture, of the sides of `like`."""
        if self.reading.kind == "mixture":
            return self.fold.undone(self._mixture(raw).expected(), like)
        center, _ = self._center(raw, like)
        return center.sigmoid() * 2 - 1 if self.reading.kind == "bernoulli" else center.clamp(-1, 1)

    def drawn(self, raw: Float[Tensor, "n raw a b"], uniforms: Float[Tensor, "n 2 m a b"], like: Images) -> Images:
        """A picture of the mixture likelihood, by two uniform numbers in (0, 1) for each number."""
        return self.fold.undone(self._mixture(raw).drawn(uniforms), like)

    def _mixture(self, raw: Tensor) -> likelihood.Mixture:
        return likelihood.Mixture.of(raw, self.reading.components, self.numbers)

    def _center(self, raw: Tensor, like: Images) -> tuple[Tensor, Tensor]:
        """Mean (or logit) and log-scale of each number of a picture."""
        center, *scales = (self.fold.undone(part, like) for part in raw.split(self.numbers, 1))
        if scales:
            return center, scales[0] + likelihood.FIRST_LOG_SCALE
        return center, center.new_zeros(1, 1, 1) if self.log_scale is None else self.log_scale
