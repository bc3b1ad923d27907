"""Telling recorded clips from forecast ones: all frames are seen at once, as the channels of one picture."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.networks.parts import Conv2d, Fold
from mezzotint.networks.weights import spectrally_normalized
from mezzotint.types import Clips, DataSpec


@dataclass(frozen=True, kw_only=True)
class ClipDiscriminatorConfig:
    """Width and how often it halves."""

    width: int = 64
    layers: int = 2
    patch: int = 4
    """Side of the squares of pixels that become channels at the door."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes of which no network can be made."""
        if min(self.width, self.layers, self.patch) < 1:
            raise ValueError("width, layers and patch must be at least 1")

    def build(self, spec: DataSpec) -> "ClipDiscriminator":
        """The network for whole clips of `spec`, spectrally normalized."""
        network = ClipDiscriminator(self, spec)
        spectrally_normalized(network)
        return network


class ClipDiscriminator(nn.Module):
    """Fold → 3×3 convolutions over all frames' channels, each halving → one logit at each place, averaged.

    A clip's first frames are always true: what is judged is whether the others follow from them (Mathieu et al. 2016,
    section 3.2), in motion as in shape.
    """

    def __init__(self, config: ClipDiscriminatorConfig, spec: DataSpec) -> None:
        super().__init__()
        self.fold = Fold(config.patch, config.patch)
        layers: list[nn.Module] = [Conv2d(spec.frames * spec.channels * config.patch**2, config.width, 3, padding=1)]
        width = config.width
        for _ in range(config.layers):
            layers += [nn.LeakyReLU(0.2), Conv2d(width, 2 * width, 3, 2, 1)]
            width *= 2
        self.body = nn.Sequential(*layers, nn.LeakyReLU(0.2), Conv2d(width, 1, 1))

    def forward(self, clips: Clips) -> Float[Tensor, " n"]:
        """One logit per clip."""
        folded = self.fold(clips.flatten(1, 2)).contiguous(memory_format=torch.channels_last)
        return self.body(folded).float().mean((1, 2, 3))
