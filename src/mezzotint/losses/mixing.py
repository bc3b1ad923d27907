"""Pictures mixed with one another, and the share that each has in the mixture."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy import special
from torch import Tensor

from mezzotint.types import Images

NUMBERS = 5
"""Uniform numbers that the mixing of a picture uses."""


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """How training pictures are mixed; where both kinds are asked for, each picture meets one of them by chance."""

    mixup: float = 0.0
    """Parameter of the symmetric beta distribution of the share (Zhang et al. 2018); 0 never adds pictures."""
    cutmix: float = 0.0
    """The same where a rectangle of another picture is pasted (Yun et al. 2019); 0 never pastes."""
    probability: float = 1.0
    """Share of the pictures that are mixed at all."""
    until: float = 1.0
    """Progress from which on pictures are as they are, so that the end is spent on what will be judged."""

    def __post_init__(self) -> None:
        """Raise ValueError for numbers out of range."""
        if min(self.mixup, self.cutmix) < 0 or not 0 <= self.probability <= 1 or not 0 <= self.until <= 1:
            raise ValueError("mixup and cutmix must not be negative, probability and until from 0 to 1")

    def due(self, progress: float) -> bool:
        """Whether anything is mixed at `progress` in [0, 1]."""
        return self.mixup + self.cutmix > 0 and self.probability > 0 and progress < self.until


def mixed(images: Images, uniforms: Float[Tensor, "n five"], config: Mixing) -> tuple[Images, Float[Tensor, " n"]]:
    """Each picture mixed with its partner, which is the one at its place counted from the end; and its own share.

    Partners are within `images`: where a batch is cut into micro-batches, within these.

    Row i of `uniforms` (n × NUMBERS, in [0, 1)) decides for picture i: whether, which kind, the share, and where.
    """
    u = uniforms.double().cpu()
    pastes = u[:, 1] < (0.0 if config.cutmix == 0 else 0.5 if config.mixup > 0 else 1.0)
    share = torch.where(pastes, _beta(u[:, 2], config.cutmix), _beta(u[:, 2], config.mixup))
    share = torch.where(u[:, 0] < config.probability, share, torch.ones_like(share))
    others = images.flip(0)
    window, pasted_share = windows(images.shape[2], images.shape[3], share, u[:, 3], u[:, 4])
    weight = torch.where(pastes.view(-1, 1, 1), (~window).double(), share.view(-1, 1, 1).expand_as(window))
    weight = weight.to(images.device, images.dtype)[:, None]
    own = torch.where(pastes, pasted_share, share)
    return others + (images - others) * weight, own.to(images.device, torch.float32)


def windows(height: int, width: int, share: Tensor, across: Tensor, down: Tensor) -> tuple[Tensor, Float[Tensor, " n"]]:
    """Rectangles that leave about `share` of a picture uncovered (Yun et al. 2019, eq. 2), and what they leave in fact.

    The middle is anywhere in the picture (`across`, `down` in [0, 1)), so that the edge may cut a part off. The
    first tensor is n × height × width, true where the rectangle is.
    """

    def covered(position: Tensor, length: int) -> Tensor:
        side, middle = length * (1 - share).sqrt(), position * length
        first = (middle - side / 2).round().clamp(0, length)[:, None]
        last = (middle + side / 2).round().clamp(0, length)[:, None]
        at = torch.arange(length)
        return (at >= first) & (at < last)

    window = covered(down, height)[:, :, None] & covered(across, width)[:, None, :]
    return window, 1 - window.double().mean((1, 2))


def _beta(u: Tensor, parameter: float) -> Tensor:
    """Quantiles of the symmetric beta distribution."""
    return (
        torch.from_numpy(special.betaincinv(parameter, parameter, u.numpy())) if parameter > 0 else torch.ones_like(u)
    )
