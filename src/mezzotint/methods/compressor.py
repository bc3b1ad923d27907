"""A lossy codec with a hyperprior: what pictures take and what is lost of them, descended together at all qualities."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from mezzotint import lossy
from mezzotint.losses import rate
from mezzotint.method import Method, MethodConfig
from mezzotint.networks.grid import fixed, on_grid
from mezzotint.networks.hyperprior import QUALITIES, Hyperprior, HyperpriorConfig, levels_of
from mezzotint.ops import similarity
from mezzotint.types import Batch, DataSpec, Images, Loss, Phase

USUAL = 8.0
"""Bits a pixel: what a trained network loses at no quality, the worth of its errors counted."""
SIMILARITY = 1400.0
"""What MS-SSIM's loss of 1 is worth in squares of levels, so that qualities of both targets take about the same."""


@dataclass(frozen=True, kw_only=True)
class CompressorConfig(MethodConfig):
    """Which network, which distortion, and what a bit is worth at the lowest and the highest quality."""

    network: HyperpriorConfig = HyperpriorConfig()
    target: Literal["mse", "ms-ssim"] = "mse"
    """What is lost: squared levels, or structural similarity at several scales."""
    worth: tuple[float, ...] = (-10.0, -1.0)
    """Logarithm to the base 2 of the bits a pixel that a mean squared error of one level is worth, at quality 1 and
    100."""
    crop: int = 64
    """Side of the squares that are cut out of larger pictures, anew each time."""

    def __post_init__(self) -> None:
        """Raise ValueError for a worth that does not rise, or squares of nothing."""
        if len(self.worth) != 2 or not self.worth[0] < self.worth[1]:
            raise ValueError("method.worth is two numbers, the higher one last")
        if self.crop < 8:
            raise ValueError("method.crop must be at least 8")

    def build(self, spec: DataSpec) -> "Compressor":
        """The network with fresh weights."""
        return Compressor(self, spec)


class Compressor(Method):
    """One phase, one group: the network."""

    phases = (Phase("fit", trains=("network",)),)

    def __init__(self, config: CompressorConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.network: Hyperprior = config.network.build(spec)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The network alone."""
        return {"network": list(self.network.parameters())}

    def loss(self, batch: Batch, phase: str) -> Loss:
        """Bits a pixel and what is lost, at a quality drawn for each picture (Cui et al. 2021, section 3.3).

        Rounded numbers give the pictures, and numbers with noise in place of rounding the rate (Minnen & Singh 2020,
        section 3.3): rounding has no slope, and noise no place in a decoder.
        """
        dtype = self.network.decoder.gains.dtype
        levels = self._cut(batch, levels_of(batch.images)).to(dtype)
        quality = 1 + (batch.uniform(1, stream=1)[:, 0] * QUALITIES).long().to(levels.device)
        bits, again = self._coded(batch, levels, quality)
        rates = bits / (levels.shape[2] * levels.shape[3])
        lost = self.lost(levels, again)
        each = rates + self.worth_at(quality).to(dtype) * lost
        error = (levels - again).square().mean()
        parts = {"rate_distortion": each.mean(), "bits_per_pixel": rates.mean(), "mse_levels": error}
        return Loss(_tempered(each).mean(), {name: part.detach() for name, part in parts.items()})

    def lost(self, levels: Tensor, again: Tensor) -> Float[Tensor, " n"]:
        """The distortion of each picture, in squares of levels or what they are worth."""
        if self.config.target == "mse":
            return (levels - again).square().flatten(1).mean(1)
        return SIMILARITY * (1 - similarity.multiscale(levels / 255, again.clamp(0, 255) / 255))

    def worth_at(self, quality: Tensor) -> Float[Tensor, " n"]:
        """Bits a pixel that a squared level is worth: even steps of the logarithm."""
        low, high = self.config.worth
        return torch.exp2(low + (high - low) * (quality - 1).float() / (QUALITIES - 1))

    def shrunk(self, images: Images, quality: int) -> tuple[Images, Float[Tensor, " n"]]:
        """Pictures as they come back from a quality of 1 … 100, and the bits of each by the coder's own tables."""
        pixels = list(levels_of(images).byte().permute(0, 2, 3, 1).cpu().numpy())
        done = lossy.shrink(fixed(self.network), pixels, quality)
        again = torch.from_numpy(np.stack([each.pixels for each in done])).permute(0, 3, 1, 2)
        return again.float().div(127.5).sub(1).to(images.device), torch.tensor([each.bits for each in done])

    def rate_distortion(self, images: Images, quality: int) -> Float[Tensor, " n"]:
        """What the training descends, of each picture at one quality, by the coder's own tables and roundings."""
        again, bits = self.shrunk(images, quality)
        lost = self.lost(levels_of(images), levels_of(again)).cpu()
        return bits / (images.shape[2] * images.shape[3]) + self.worth_at(torch.tensor([quality])) * lost

    def _coded(self, batch: Batch, levels: Tensor, quality: Tensor) -> tuple[Float[Tensor, " n"], Tensor]:
        """Bits of each picture and the levels that come back, not yet rounded."""
        net, decoder = self.network, self.network.decoder
        latents = net.latents(levels, quality)
        hyper = net.hyper_latents(latents, quality) * decoder.hyper_gains_at(quality).gain
        prior = decoder.prior_at(quality)
        noisy = hyper + _noise(batch, hyper, stream=2)
        hyper_bits = rate.mixture_bits(noisy.flatten(2), prior.mean, prior.octave, prior.logit)
        told = decoder.told(on_grid(hyper, 1), quality)
        height, width = latents.shape[2:]
        mean, octave = told.mean[:, :, :height, :width], told.octave[:, :, :height, :width]
        beside = latents * decoder.gains_at(quality).gain - mean
        bits = rate.logistic_bits(beside + _noise(batch, beside, stream=3), octave)
        again = decoder.pixels(on_grid(beside, 1) + mean, quality)
        return hyper_bits.flatten(1).sum(1) + bits.flatten(1).sum(1), again[:, :, : levels.shape[2], : levels.shape[3]]

    def _cut(self, batch: Batch, levels: Tensor) -> Tensor:
        """A square of each picture, where it is larger; drawn for the whole batch and cut to the micro-batch."""
        side = self.config.crop
        height, width = (min(side, length) for length in levels.shape[2:])
        if (height, width) == tuple(levels.shape[2:]):
            return levels
        room = torch.tensor([levels.shape[2] - height + 1, levels.shape[3] - width + 1])
        corners = (batch.uniform(2, stream=4) * room).long().tolist()
        cuts = zip(levels, corners, strict=True)
        return torch.stack([x[:, top : top + height, left : left + width] for x, (top, left) in cuts])


def _tempered(losses: Tensor) -> Tensor:
    """Losses as they are up to `USUAL`, and from there on their logarithm, which goes on as steeply.

    A network that knows nothing yet loses as much at all qualities, and what that is worth differs by hundreds: few
    pictures of the highest ones would be all that is learned from.
    """
    return torch.where(losses < USUAL, losses, USUAL * (1 + (losses.clamp(min=USUAL) / USUAL).log()))


def _noise(batch: Batch, like: Tensor, stream: int) -> Tensor:
    """Uniform in [-0.5, 0.5), of the key of the batch."""
    uniform = batch.uniform(like[0].numel(), stream=stream)
    return uniform.to(like).view_as(like) - 0.5
