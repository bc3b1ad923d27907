"""Latent tools: maps, directions, neighbors and outliers of pictures by the codes that a model gives them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import ordered
from mezzotint.drawing import device_of, using
from mezzotint.drawing import telling_sheets as telling
from mezzotint.errors import UserError
from mezzotint.method import Method
from mezzotint.ops import codes
from mezzotint.scorecard import ScoreCard
from mezzotint.types import Encodes, HasLikelihood, Images, Labels

MOST = 2_000
"""Pictures of a data set that a map, a direction or neighbors look at, spread over it, unless asked otherwise."""
GLANCE = 500
"""Of the atlas in a report."""
BATCH = 100


@dataclass(frozen=True)
class Coded:
    """Pictures of a split and their codes."""

    images: pictures.Pixels
    codes: Float[Tensor, "n d"]
    labels: Labels | None


def coded(method: Method, dataset: Dataset, split: str, count: int = MOST) -> Coded:
    """Up to `count` pictures of a split with their codes; raises UserError for a method without codes."""
    if not isinstance(method, Encodes):
        raise UserError("this model has no latent codes; train an autoencoder (vae, hvae, vq, fsq)")
    if len(dataset.splits.get(split, ())) == 0:
        raise UserError(f"the data have no pictures in the split {split!r}: it can be train, validation or test")
    found: list[tuple[np.ndarray, Tensor, Labels | None]] = []
    with using(method):
        for images, labels in ordered(dataset, split, BATCH, device_of(method), count):
            found.append((pictures.to_uint8(images), method.encode(images, labels).float().cpu(), labels))
    shown, vectors, given = zip(*found, strict=True)
    labels = None if given[0] is None else torch.cat(given).cpu()
    return Coded(np.concatenate(shown), torch.cat(vectors), labels)


def placed(found: Coded) -> Float[Tensor, "n 2"]:
    """Where each picture lies on a map: its own two numbers where a code has two, else its principal coordinates."""
    if found.codes.shape[1] == 2:
        return found.codes
    return codes.projected(found.codes, *codes.principal_axes(found.codes))


def sheet(found: Coded, side: int = 960) -> pictures.Pixels:
    """The pictures on white where their codes lie, on a square of `side` pixels; where two would overlap, the first.

    The outermost hundredth of the codes either way lies at the edge, so that few far ones do not squeeze all others.
    """
    at = placed(found).double()
    low, high = (torch.quantile(at, q, dim=0) for q in (0.01, 0.99))
    _, height, width, channels = found.images.shape
    room = torch.tensor([side - width, side - height], dtype=torch.float64)
    corners = ((at - low) / (high - low).clamp(min=1e-12)).clamp(0, 1).mul(room).round().long()
    page = np.full((side, side, channels), 255, np.uint8)
    taken = np.zeros((side, side), bool)
    for picture, (left, top) in zip(found.images, corners.tolist(), strict=True):
        spot = (slice(top, top + height), slice(left, left + width))
        if not taken[spot].any():
            page[spot], taken[spot] = picture, True
    return page


def class_direction(found: Coded, classes: Sequence[str], name: str) -> Float[Tensor, " d"]:
    """The direction towards a class; raises UserError where it cannot be told."""
    if found.labels is None or name not in classes:
        known = f"it can be {', '.join(classes)}" if found.labels is not None else "the data have no classes"
        raise UserError(f"there is no class {name!r} to learn a direction from: {known}")
    try:
        return codes.direction(found.codes, found.labels == classes.index(name))
    except ValueError:
        raise UserError(f"a direction towards {name!r} needs pictures of that class and of others") from None


def telling_sheets(method: Method, dataset: Dataset, card: ScoreCard) -> dict[str, pictures.Pixels]:
    """What shows best how good a method is: the sheets of `drawing.telling_sheets`, and an atlas where it has codes."""
    sheets = telling(method, dataset, card)
    if isinstance(method, Encodes):
        sheets["atlas"] = sheet(coded(method, dataset, card.protocol["split"], GLANCE), 480 + 8 * dataset.spec.width)
    return sheets


OUTLIER_WARNING = (
    "a likelihood calls simple pictures likely and intricate ones unlikely, whatever they show (Nalisnick et al. "
    "2019), so that blank pictures beat the training pictures: go by `corrected`, from which a picture's own "
    "complexity is taken off"
)


@dataclass(frozen=True)
class Outlying:
    """How odd each picture is under a model, in bits for each of its c·h·w numbers; more is odder."""

    cost: Float[Tensor, " n"]
    """The model's own code length (from its evidence bound)."""
    corrected: Float[Tensor, " n"]
    """The same less what a general format needs: Serrà et al. 2020, equation 1."""


def outlying(method: Method, images: Images, labels: Labels | None = None, seed: int = 0) -> Outlying:
    """Scores of pictures that fit the model; raises UserError for a model without a likelihood of 256 levels."""
    bounded: Any = method
    if not isinstance(method, HasLikelihood) or getattr(bounded.config, "likelihood", "") == "bernoulli":
        raise UserError("an outlier score needs a model with a likelihood of 256 levels (vae, hvae, vq, fsq)")
    with using(method):
        parts = images.split(BATCH)
        given = [None] * len(parts) if labels is None else list(labels.split(BATCH))
        bounds = [
            method.elbo(x.to(device_of(method)), y, seed + i) for i, (x, y) in enumerate(zip(parts, given, strict=True))
        ]
    unit = float(np.log(2)) * method.spec.dimensions
    cost = -torch.cat(bounds).double().cpu() / unit
    return Outlying(cost, cost - codes.complexity(pictures.to_uint8(images)) / unit)
