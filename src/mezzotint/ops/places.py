"""Where in a picture something is: answers that are not averaged over it, for a spatial distance."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

CHANNELS, CELLS = 7, 8
"""Channels of which the places are told, and cells along a side: hundreds of numbers a picture, as of its features."""


def places(maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
    """The first seven channels, averaged over the cells of a grid of 8×8, or of fewer where a map is smaller.

    Nash et al. 2021 take seven channels of 17×17. Which seven does not matter: no channel has a meaning of its own.
    """
    height, width = (min(side, CELLS) for side in maps.shape[2:])
    return F.adaptive_avg_pool2d(maps[:, :CHANNELS], (height, width)).flatten(1).float()
