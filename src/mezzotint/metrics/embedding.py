"""What features are worth that were learned without labels."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from mezzotint.metrics.interval import Score, from_draws

NEIGHBORS = 20
TEMPERATURE = 0.07
"""Both as in Wu et al. 2018 (section 3.4), whose k is 200 among a million pictures."""
ROWS = 1024


def neighbor_hits(
    known: Float[Tensor, "m d"], classes: Int[Tensor, " m"], asked: Float[Tensor, "n d"], truth: Int[Tensor, " n"]
) -> Bool[Tensor, " n"]:
    """Whether the nearest known pictures (by angle, the nearer the heavier) name the class of each asked one."""
    known, votes = F.normalize(known.float()), F.one_hot(classes).float()
    k = min(NEIGHBORS, len(known))
    said: list[Tensor] = []
    for rows in F.normalize(asked.float()).split(ROWS):
        near, at = (rows @ known.T).topk(k)
        said.append(((near / TEMPERATURE).exp()[:, :, None] * votes[at]).sum(1).argmax(1))
    return torch.cat(said) == truth


def effective_rank(features: Float[Tensor, "n d"], resamples: int = 50, seed: int = 0) -> Score:
    """How many directions the features spread over: e to the entropy of the covariance's spectrum, from 1 to d.

    A collapse shows as a small number (Roy and Vetterli 2007; as a measure of features, Garrido et al. 2023).
    """
    x = features.double()
    generator = np.random.default_rng(seed)
    chosen = (torch.from_numpy(generator.integers(0, len(x), len(x))) for _ in range(resamples))
    draws = np.array([_rank(x[rows]) for rows in chosen])
    return from_draws(_rank(x), draws, len(x), (1.0, float(x.shape[1])))


def _rank(x: Tensor) -> float:
    centered = x - x.mean(0)
    spectrum = torch.linalg.eigvalsh(centered.T @ centered).clamp(min=0)
    shares = spectrum / spectrum.sum().clamp(min=torch.finfo(spectrum.dtype).tiny)
    return float(torch.special.entr(shares).sum().exp())
