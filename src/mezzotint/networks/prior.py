"""Priors over a vector of latent numbers: the standard normal, a learned mixture, a learned flow."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.errors import UserError
from mezzotint.networks.parts import widened, with_class, zeroed
from mezzotint.types import Labels

Codes = Float[Tensor, "n latent"]


def _normal(z: Tensor) -> Tensor:
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)


@dataclass(frozen=True, kw_only=True)
class NormalPriorConfig:
    """The standard normal distribution: nothing to learn."""

    def build(self, latent: int, classes: int) -> "NormalPrior":
        """For codes of `latent` numbers."""
        return NormalPrior(latent)


class NormalPrior(nn.Module):
    """Independent numbers of mean 0 and variance 1."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.noise = latent
        """Normal numbers that a code is drawn from."""

    def log_density(self, z: Codes, labels: Labels | None = None) -> Float[Tensor, " n"]:
        """Of each code, in nats."""
        return _normal(z)

    def draw(self, noise: Float[Tensor, "n noise"], labels: Labels | None = None) -> Codes:
        """Codes of normal noise."""
        return noise


@dataclass(frozen=True, kw_only=True)
class MixturePriorConfig:
    """So many normal distributions with learned places, widths and weights (by class: weights of each class)."""

    components: int = 256

    def __post_init__(self) -> None:
        """Raise ValueError for no component."""
        if self.components < 1:
            raise ValueError("components must be at least 1")

    def build(self, latent: int, classes: int) -> "MixturePrior":
        """For codes of `latent` numbers, told one of `classes` classes (0: none)."""
        return MixturePrior(self, latent, classes)


class MixturePrior(nn.Module):
    """A mixture of normal distributions, each number of a component independent of its others."""

    def __init__(self, config: MixturePriorConfig, latent: int, classes: int) -> None:
        super().__init__()
        self.noise, self.classes = latent + 1, classes
        self.mean = nn.Parameter(torch.randn(config.components, latent))
        self.log_scale = nn.Parameter(torch.full((config.components, latent), -0.5))
        self.weight = nn.Parameter(torch.zeros(max(1, classes), config.components))

    def log_density(self, z: Codes, labels: Labels | None = None) -> Float[Tensor, " n"]:
        """Of each code, in nats."""
        # |(z - mean)/scale|² as matrix products: components times codes times numbers would be a large tensor.
        precision = torch.exp(-2 * self.log_scale)
        squares = z.square() @ precision.t() - 2 * z @ (self.mean * precision).t()
        squares = squares + (self.mean.square() * precision).sum(1)
        constant = self.log_scale.sum(1) + 0.5 * z.shape[1] * math.log(2 * math.pi)
        return torch.logsumexp(self._log_weights(len(z), labels) - 0.5 * squares - constant, 1)

    def draw(self, noise: Float[Tensor, "n noise"], labels: Labels | None = None) -> Codes:
        """Codes of normal noise; its last number chooses the component."""
        past = self._log_weights(len(noise), labels).exp().cumsum(1)
        chosen = (past < torch.special.ndtr(noise[:, -1:])).sum(1).clamp(max=past.shape[1] - 1)
        return self.mean[chosen] + self.log_scale[chosen].exp() * noise[:, :-1]

    def _log_weights(self, count: int, labels: Labels | None) -> Float[Tensor, "n k"]:
        weights = self.weight.log_softmax(1)
        return weights.expand(count, -1) if not self.classes or labels is None else weights[labels]


@dataclass(frozen=True, kw_only=True)
class FlowPriorConfig:
    """Affine couplings (Dinh et al. 2017, "Real NVP") over the vector, each with a network of two hidden layers."""

    couplings: int = 8
    width: int = 128
    """Of the hidden layers."""

    def __post_init__(self) -> None:
        """Raise ValueError for nothing to learn."""
        if min(self.couplings, self.width) < 1:
            raise ValueError("couplings and width must be at least 1")

    def build(self, latent: int, classes: int) -> "FlowPrior":
        """For codes of `latent` numbers; raises UserError for a single number, which has no two halves."""
        if latent < 2:
            raise UserError("a flow prior couples two halves of a code: it needs method.latent of at least 2")
        return FlowPrior(self, latent, classes)


class FlowPrior(nn.Module):
    """Normal noise bent by couplings: each leaves one half as it is and scales and shifts the other by it."""

    order: Tensor
    back: Tensor

    def __init__(self, config: FlowPriorConfig, latent: int, classes: int) -> None:
        super().__init__()
        self.noise, self.classes, self.first = latent, classes, latent // 2
        self.nets = nn.ModuleList(
            _coupling(self.first + classes, config.width, 2 * (latent - self.first)) for _ in range(config.couplings)
        )
        shuffles = torch.Generator().manual_seed(0)
        orders = [torch.randperm(latent, generator=shuffles) for _ in range(config.couplings)]
        self.register_buffer("order", torch.stack(orders))
        self.register_buffer("back", torch.stack([order.argsort() for order in orders]))

    def log_density(self, z: Codes, labels: Labels | None = None) -> Float[Tensor, " n"]:
        """Of each code, in nats: of its noise, and the change of volume on the way there."""
        volume = torch.zeros_like(z[:, 0])
        for net, order in zip(self.nets, self.order, strict=True):
            kept, moved = z[:, order].tensor_split([self.first], 1)
            log_scale, shift = self._said(net, kept, labels)
            z = torch.cat([kept, moved * log_scale.exp() + shift], 1)
            volume = volume + log_scale.sum(1)
        return _normal(z) + volume

    def draw(self, noise: Float[Tensor, "n noise"], labels: Labels | None = None) -> Codes:
        """Codes of normal noise: the couplings backward."""
        for net, back in zip(list(self.nets)[::-1], self.back.flip(0), strict=True):
            kept, moved = noise.tensor_split([self.first], 1)
            log_scale, shift = self._said(net, kept, labels)
            noise = torch.cat([kept, (moved - shift) * torch.exp(-log_scale)], 1)[:, back]
        return noise

    def _said(self, net: nn.Module, kept: Tensor, labels: Labels | None) -> tuple[Tensor, Tensor]:
        """The logarithm of the scale, at most 2 either way so that no code is thrown far out, and the shift."""
        raw_scale, shift = widened(net(with_class(kept, labels, self.classes))).chunk(2, 1)
        return 2 * torch.tanh(raw_scale / 2), shift


def _coupling(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """It begins as the identity coupling."""
    first, second = nn.Linear(inputs, width), nn.Linear(width, width)
    return nn.Sequential(first, nn.SiLU(), second, nn.SiLU(), zeroed(nn.Linear(width, outputs)))
