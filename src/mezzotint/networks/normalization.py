"""What brings features to one size: batch, instance, layer and pixel norm, and a norm that a condition tunes."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.networks.parts import widened

Norm = Literal["batch", "instance", "layer", "pixel", "none"]
"""Over which numbers: a channel's of the whole batch (Ioffe & Szegedy 2015), a channel's of one picture (Ulyanov et
al. 2016), one picture's (Ba et al. 2016), the channels' at one pixel (Karras et al. 2018, section 4.2), none."""


class PixelNorm(nn.Module):
    """The channels of each pixel brought to a root mean square of 1 (Karras et al. 2018, section 4.2)."""

    def forward(self, x: Tensor) -> Tensor:
        """N c, or n c h w."""
        return x * (widened(x).square().mean(1, keepdim=True) + 1e-8).rsqrt().to(x.dtype)


def norm_layers(norm: Norm, channels: int) -> list[nn.Module]:
    """The layer for maps of `channels`, each with a learned gain and shift (but pixel norm); an empty list for none."""
    match norm:
        case "batch":
            return [nn.BatchNorm2d(channels)]
        case "instance":
            return [nn.GroupNorm(channels, channels)]
        case "layer":
            return [nn.GroupNorm(1, channels)]
        case "pixel":
            return [PixelNorm()]
        case "none":
            return []


def couples_pictures(network: nn.Module) -> bool:
    """Whether what a network says of a picture depends on the others of its training batch."""
    return any(isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d, MinibatchDeviation)) for part in network.modules())


class ConditionalNorm(nn.Module):
    """Batch norm whose gain and shift are linear in a condition (Dumoulin et al. 2017; Miyato & Koyama 2018).

    With a one-hot class as the condition that is a gain and a shift for each class. Without a condition (0 numbers) it
    is plain batch norm.
    """

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not condition)
        self.tune = nn.Linear(condition, 2 * channels, bias=False) if condition else None
        if self.tune is not None:
            nn.init.normal_(self.tune.weight, 0, 0.02)

    def forward(self, x: Float[Tensor, "n c h w"], condition: Float[Tensor, "n k"] | None) -> Float[Tensor, "n c h w"]:
        """Normalized by channel, then (1 + gain)·x + shift."""
        y = self.norm(x)
        if self.tune is None:
            return y
        gain, shift = self.tune(condition)[:, :, None, None].chunk(2, 1)
        return y + (y * gain + shift)


class MinibatchDeviation(nn.Module):
    """One more channel: how much the pictures of a group differ (Karras et al. 2018, section 3).

    The standard deviation over a group of up to `group` pictures, averaged over all features and pixels.
    """

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        """N c h w to n (c + 1) h w."""
        n, _, h, w = x.shape
        group = next(size for size in range(min(self.group, n), 0, -1) if n % size == 0)
        parts = widened(x).reshape(group, n // group, -1)
        spread = (parts.var(0, unbiased=False) + 1e-8).sqrt().mean(1)
        return torch.cat([x, spread.repeat(group).to(x.dtype).view(n, 1, 1, 1).expand(n, 1, h, w)], 1)
