"""How probable a method finds pictures: evidence bounds, tighter ones of several codes, densities by a flow."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import ordered
from mezzotint.drawing import CHUNK, device_of
from mezzotint.losses import flow
from mezzotint.losses.divergence import importance_bound
from mezzotint.metrics import rate
from mezzotint.scorecard import Draft
from mezzotint.types import Batch, FlowsBack, HasLikelihood, WeighsCodes

DENSITIES = 200
"""Pictures whose density is estimated where a method knows it by solving an equation: each costs as much as drawing
many."""
DENSITY_STEPS = 16
WEIGHED, CODES = 500, 32
"""Pictures whose probability is estimated by importance weights, and codes drawn for each."""


def add_bound(method: HasLikelihood, dataset: Dataset, split: str, seed: int, card: Draft) -> None:
    """Put into the card the evidence bound of all pictures, or their probability where it is exact."""
    bounds = [
        method.elbo(images, labels, seed + i)
        for i, (images, labels) in enumerate(ordered(dataset, split, 250, device_of(method)))
    ]
    bound = torch.cat(bounds)
    card.scores["elbo"] = rate.nats_per_picture(bound)
    card.scores["bits_per_dimension"] = rate.bits_per_dimension(bound, dataset.spec.dimensions)
    card.answers["elbo"] = bound.cpu()
    observation: Any = getattr(method, "observation", None)
    if observation is None:
        card.protocol["likelihood"] = "exact, as a coder takes it, of 256 levels"
        return
    card.protocol["likelihood"] = f"evidence lower bound, one draw of the latent; {_of_what(method, dataset)}"
    card.protocol["decoder"] = observation.reading.spoken


def add_importance(method: WeighsCodes, dataset: Dataset, split: str, count: int, seed: int, card: Draft) -> None:
    """Put into the card a tighter bound from several codes a picture, of up to WEIGHED pictures."""
    bounds = [
        importance_bound(torch.stack([method.log_weight(x, y, (seed + i) * CODES + k) for k in range(CODES)]))
        for i, (x, y) in enumerate(ordered(dataset, split, CHUNK, device_of(method), min(count, WEIGHED)))
    ]
    bound = torch.cat(bounds)
    card.scores["bits_per_dimension_iw"] = rate.bits_per_dimension(bound, dataset.spec.dimensions)
    card.protocol["importance"] = (
        f"importance-weighted bound, {CODES} codes a picture, {len(bound)} pictures; {_of_what(method, dataset)}"
    )


def add_density(method: FlowsBack, dataset: Dataset, split: str, count: int, seed: int, card: Draft) -> None:
    """Put into the card bits per dimension by the flow that pictures are drawn by, of up to DENSITIES pictures."""
    found: list[Tensor] = []
    for i, (images, labels) in enumerate(ordered(dataset, split, CHUNK, device_of(method), min(count, DENSITIES))):
        uniform = torch.special.ndtr(Batch(images, seed=seed + i).normal(*dataset.spec.shape, stream=1))
        spread_out, extra = flow.dequantized(images, uniform)
        found.append(method.log_density(spread_out, labels, seed + i, DENSITY_STEPS) + extra)
    log_probability = torch.cat(found)
    card.scores["bits_per_dimension_ode"] = rate.bits_per_dimension(log_probability, dataset.spec.dimensions)
    card.protocol["density"] = (
        f"estimate by the flow's equation (rk4, {DENSITY_STEPS} steps, one probe), evenly dequantized, "
        f"{len(log_probability)} pictures: not comparable with an evidence bound"
    )


def _of_what(method: Any, dataset: Dataset) -> str:
    if getattr(method.config, "likelihood", "") == "bernoulli":
        if np.isin(dataset.images, (0, 255)).all():
            return "Bernoulli, of black and white pictures"
        return "Bernoulli, which scores brightness as a probability: not comparable with the others"
    return "of 256 levels"
