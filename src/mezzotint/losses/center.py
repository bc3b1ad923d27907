"""What a detector by centers descends: where centers are, and where the sides of their boxes are."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mezzotint.ops.boxes import overlap

ALPHA, BETA = 2, 4
"""Exponents of equation 1 of Zhou et al. 2019."""


def center_focal(
    logits: Float[Tensor, "n k h w"], target: Float[Tensor, "n k h w"], counted: Float[Tensor, "n k h w"]
) -> Float[Tensor, " n"]:
    """The focal loss of each picture, over the number of its centers (at least 1): Zhou et al. 2019, equation 1.

    `target` is 1 at centers and falls off around them, where being wrong costs less; where `counted` is 0 nothing does.
    """
    certain = logits.sigmoid()
    centers = (target == 1).to(logits.dtype)
    here = -((1 - certain) ** ALPHA) * F.logsigmoid(logits) * centers
    elsewhere = -((1 - target) ** BETA) * certain**ALPHA * F.logsigmoid(-logits) * (1 - centers)
    return ((here + elsewhere) * counted).sum((1, 2, 3)) / (centers * counted).sum((1, 2, 3)).clamp(min=1)


def sides(
    told: Float[Tensor, "n h w 4"], given: Float[Tensor, "n h w 4"], weights: Float[Tensor, "n h w"]
) -> Float[Tensor, " n"]:
    """One less the generalized overlap of told and given boxes (Rezatofighi et al. 2019), a weighted mean a picture."""
    missing = 1 - overlap(told, given, generalized=True)
    return (missing * weights).sum((1, 2)) / weights.sum((1, 2)).clamp(min=1)
