"""What may be done to weights: spectral normalization, equalized learning rates, orthogonal beginnings."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)
"""Whose weights these functions change."""
FIRST_ITERATIONS = 15
"""Of the power method, before the first step."""


class SpectralNorm(nn.Module):
    """A weight over its largest singular value (Miyato et al. 2018, equation 8).

    The weight is seen as a matrix W (outputs × all else). A running estimate u of W's first left singular vector gives
    v = Wᵀu/|Wᵀu| and σ = uᵀWv = |Wᵀu|, with u held fixed in the derivative (equation 12). `advance` takes one step of
    the power method (algorithm 1). Passes through the network change nothing, so that the loss of a step does not
    depend on how often, or in what pieces, it is taken.
    """

    u: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer(
            "u", F.normalize(torch.randn(len(weight), dtype=weight.dtype, device=weight.device), dim=0)
        )
        for _ in range(FIRST_ITERATIONS):
            self.advance(weight)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with σ = 1."""
        with torch.autocast(weight.device.type, enabled=False):
            # An averaged u has lost length.
            sigma = (F.normalize(self.u, dim=0) @ weight.flatten(1)).norm()
            return weight / sigma.clamp(min=1e-12)

    @torch.no_grad()
    def advance(self, weight: Tensor) -> None:
        """One step of the power method on `weight`, the one before the division."""
        matrix = weight.flatten(1)
        self.u.copy_(F.normalize(matrix @ F.normalize(self.u @ matrix, dim=0), dim=0))


def spectrally_normalized(network: nn.Module) -> None:
    """Give every layer of `network` a weight of spectral norm 1."""
    for layer in [part for part in network.modules() if isinstance(part, LAYERS)]:
        parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight.detach()))


def advance(network: nn.Module) -> None:
    """One step of the power method in each spectrally normalized layer of `network`."""
    for part in network.modules():
        if isinstance(part, parametrize.ParametrizationList):
            for change in part:
                if isinstance(change, SpectralNorm):
                    change.advance(part.original)


class Scaled(nn.Module):
    """A weight that is stored at standard deviation 1 and used at `scale` times that."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """The weight that is used."""
        return weight * self.scale


@torch.no_grad()
def equalized(layer: nn.Module, gain: float = 2**0.5) -> nn.Module:
    """`layer` with weights from N(0, 1) that are used times gain/sqrt(inputs), and a bias of zero.

    Karras et al. 2018, section 4.1 (He et al.'s constant at run time): all weights have the same range, so Adam's
    steps are of the same relative size in all of them.
    """
    weight = layer.weight
    assert isinstance(weight, Tensor)
    nn.init.normal_(weight)
    if isinstance(bias := getattr(layer, "bias", None), Tensor):
        nn.init.zeros_(bias)
    parametrize.register_parametrization(layer, "weight", Scaled(gain / weight[0].numel() ** 0.5))
    return layer


@torch.no_grad()
def orthogonal(network: nn.Module) -> None:
    """Rows or columns of every weight at right angles (Saxe et al. 2014; Brock et al. 2019, section 3), biases zero."""
    for part in network.modules():
        if isinstance(part, LAYERS):
            nn.init.orthogonal_(part.weight)
            if isinstance(bias := getattr(part, "bias", None), Tensor):
                nn.init.zeros_(bias)
