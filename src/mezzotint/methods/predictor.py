"""Prediction of each pixel from those before it (Theis & Bethge 2015, van den Oord et al. 2016): what a coder needs."""

import copy
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mezzotint import lossless
from mezzotint.losses import likelihood
from mezzotint.method import Method, MethodConfig
from mezzotint.networks.causal import LEFT, RIGHT, TOP, Causal, CausalConfig, Places
from mezzotint.types import Batch, DataSpec, Images, Labels, Loss, Phase


@dataclass(frozen=True, kw_only=True)
class PredictorConfig(MethodConfig):
    """Which network predicts, and how many pixels of a picture each step looks at."""

    network: CausalConfig = CausalConfig()
    pixels: int = 32
    """Pixels drawn from each picture of a batch: those of one picture tell much the same."""

    def __post_init__(self) -> None:
        """Raise ValueError for no pixels."""
        if self.pixels < 1:
            raise ValueError("method.pixels must be at least 1")

    def build(self, spec: DataSpec) -> "Predictor":
        """The network with fresh weights."""
        return Predictor(self, spec)


class Predictor(Method):
    """One phase, one group: the network."""

    phases = (Phase("fit", trains=("network",)),)

    def __init__(self, config: PredictorConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.network: Causal = config.network.build(spec)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The network alone."""
        return {"network": list(self.network.parameters())}

    def loss(self, batch: Batch, phase: str) -> Loss:
        """Bits that a number of a picture takes, at pixels drawn from the batch's key."""
        with torch.autocast(batch.images.device.type, enabled=False):
            levels = levels_of(batch.images).to(self.network.first.weight.dtype)
            places = self._drawn(batch, levels)
            canvas = canvas_of(levels)
            layers = self.network.layers()
            seen, values = self.network.look(layers, canvas, places), canvas[places.cells]
            bits = torch.stack(
                [
                    -likelihood.logistic_mixture(
                        values[:, c], *vars(self.network.speak(layers, seen, values[:, :c])).values()
                    )
                    for c in range(self.network.channels)
                ]
            ).mean() / math.log(2)
        return Loss(bits, {"bits_per_dimension": bits.detach()})

    def elbo(self, images: Images, labels: Labels | None, seed: int) -> Float[Tensor, " n"]:
        """Log p(x) of each picture in nats, exactly: what the coder's own tables give."""
        pixels = levels_of(images).byte().permute(0, 2, 3, 1).cpu().numpy()
        network = self.network if images.device.type == "cpu" else copy.deepcopy(self.network).cpu()  # coders are there
        bits = lossless.bits(network, list(pixels))
        return torch.from_numpy(-bits * math.log(2)).to(images.device, torch.float32)

    def _drawn(self, batch: Batch, levels: Tensor) -> Places:
        """So many places of each picture; drawn for the whole batch and cut to the micro-batch."""
        n, _, height, width = levels.shape
        generator = torch.Generator().manual_seed(batch.seed)
        drawn = torch.randint(height * width, (batch.whole or n, self.config.pixels), generator=generator)
        drawn = drawn[batch.first : batch.first + n].to(levels.device)
        stride = width + LEFT + RIGHT
        x, y = (drawn % width).flatten(), (drawn // width).flatten()
        picture = torch.arange(n, device=levels.device).repeat_interleave(self.config.pixels)
        cells = (picture * (height + TOP) + TOP + y) * stride + LEFT + x
        return Places(cells, x, y, torch.full_like(x, width), torch.full_like(x, height), stride)


def levels_of(images: Images) -> Tensor:
    """Floats in [-1, 1] as levels 0 … 255, still floats."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255)


def canvas_of(levels: Float[Tensor, "n c h w"]) -> Float[Tensor, "cells c"]:
    """Pictures one below another with empty cells around them."""
    return nn.functional.pad(levels, (LEFT, RIGHT, TOP, 0)).permute(0, 2, 3, 1).flatten(0, 2)
