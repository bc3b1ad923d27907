"""A discriminator of two kinds of pictures that share all but their first layer (Liu & Tuzel 2016, "CoGAN")."""

from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.networks.parts import Dropout, LogitHead, VectorFromMap, convolution, doublings
from mezzotint.types import DataSpec, Images, Labels

LEAK = 0.2


@dataclass(frozen=True, kw_only=True)
class CoupledDiscriminatorConfig:
    """Width and dropout; `width` filters follow the first halving, twice as many the next and so on up to `most`."""

    width: int = 64
    most: int = 512
    dropout: float = 0.2

    def build(self, spec: DataSpec, classes: int) -> "CoupledDiscriminator":
        """A discriminator of pictures of `spec`; raises UserError for sides that cannot be made by doubling."""
        return CoupledDiscriminator(self, spec, classes)


class CoupledDiscriminator(nn.Module):
    """A first convolution for each kind → shared convolutions of stride 2 → one logit, by class a projection.

    What tells real from drawn high up is the same for both kinds; only the pixels differ (section 2).
    """

    def __init__(self, config: CoupledDiscriminatorConfig, spec: DataSpec, classes: int) -> None:
        super().__init__()
        side, times = doublings(spec)
        widths = [min(config.most, config.width * 2**i) for i in range(times)]
        self.first = nn.ModuleList(convolution(spec.channels, widths[0], 4) for _ in range(2))
        layers: list[nn.Module] = [nn.LeakyReLU(LEAK), Dropout(config.dropout)]
        for a, b in pairwise(widths):
            layers += [convolution(a, b, 4), nn.LeakyReLU(LEAK), Dropout(config.dropout)]
        self.shared = nn.Sequential(*layers, VectorFromMap())
        self.head = LogitHead(widths[-1] * side * side, classes)

    def forward(self, images: Images, kind: int, labels: Labels | None = None) -> Float[Tensor, " n"]:
        """One logit per picture of the given kind, 0 or 1."""
        return self.head(self.shared(self.first[kind](images)), labels)
