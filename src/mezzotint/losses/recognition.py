"""What a recognizer descends: cross-entropy, weighted by class or with logits moved by how frequent classes are."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mezzotint.types import Labels


def surprise(
    logits: Float[Tensor, "n k"], labels: Labels, smoothing: float = 0.0, weights: Float[Tensor, " k"] | None = None
) -> Float[Tensor, " n"]:
    """Cross-entropy of each picture in nats, times the weight of its class.

    `smoothing` is the share of the target that is spread over all classes (Szegedy et al. 2016, section 7).
    """
    found = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
    return found if weights is None else found * weights[labels]


def class_weights(counts: Sequence[int], power: float) -> Float[Tensor, " k"]:
    """A weight for each class: its number of pictures to the power of minus `power`; the mean over pictures is 1.

    With power 1 all classes weigh the same together. A class without pictures is taken to have one.
    """
    n = torch.tensor(counts, dtype=torch.float32).clamp(min=1)
    weights = n**-power
    return weights * n.sum() / (weights * n).sum()


def logit_offsets(counts: Sequence[int], strength: float) -> Float[Tensor, " k"]:
    """`strength` times the log of each class's share, to be added to logits while training (Menon et al. 2021, eq. 10).

    The logits without it are then those of a world in which all classes are equally frequent (for strength 1).
    """
    n = torch.tensor(counts, dtype=torch.float32).clamp(min=1)
    return strength * (n / n.sum()).log()
