"""What an extractor sees and what it is blind to: the distance from real pictures to real ones made worse and worse."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import spread
from mezzotint.errors import UserError
from mezzotint.metrics.distribution import Moments, frechet
from mezzotint.metrics.features import Extractor
from mezzotint.ops.disturb import blurred, noisy, shifted
from mezzotint.types import Images

CHUNK = 50
"""Pictures per pass."""
FEWEST = 20
"""Pictures in either half: with fewer nothing can be told of a distance."""
CLUSTERS, SIDE = 10, 32
"""Modes that are made up where there are no labels, and the side of the pictures that they are found in."""
BLUR = (0.5, 0.75, 1.0, 1.5, 2.0)
NOISE = (0.05, 0.1, 0.2, 0.4, 0.8)
SHIFT = (1.0, 2.0, 3.0, 4.0, 6.0)
DROPPED = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Shares of the modes; the nearest whole numbers of modes are dropped."""
ORDERS = 8
"""In which modes are dropped: some are missed more than others, and the mean over orders is not to depend on which."""


@dataclass(frozen=True)
class Curve:
    """Fréchet distances over the levels of one disturbance, from none at all upwards."""

    name: str
    unit: str
    levels: tuple[float, ...]
    distances: tuple[float, ...]
    pictures: int
    """That were judged at each level: the same number at all of them, since the distance depends on it."""
    monotone: bool
    """Whether each level is farther away than the one before."""


@dataclass(frozen=True)
class ValidityCard:
    """What was compared, and how the distance grew with each disturbance."""

    extractor: str
    digest: str
    """SHA-256 of the extractor's weights."""
    resize: str
    dimensions: int
    """Features of a picture; where they are more than pictures, all distances are far too large."""
    data: str
    data_digest: str
    split: str
    n: int
    """Real pictures in the reference, and in the half that is disturbed."""
    seed: int
    curves: tuple[Curve, ...]

    def to_json(self) -> str:
        """What `validity.json` holds."""
        return json.dumps(asdict(self), indent=1) + "\n"


def validity(
    extractor: Extractor, dataset: Dataset, *, split: str = "test", count: int = 2_000, seed: int = 0
) -> ValidityCard:
    """Distances from one half of a split to the other half under growing blur, noise, shift and loss of modes.

    Each half has `count` pictures, or half of the split where that is less; `seed` shuffles. A distance that is to
    judge pictures must grow with every disturbance (Heusel et al. 2017, figure 3). Raises UserError for fewer than
    20 pictures a half.
    """
    rows = _shuffled_rows(dataset, split, count, seed)
    real, judged = pictures.to_float(dataset.images[rows]).tensor_split(2)
    reference, undisturbed = Moments.of(_features(extractor, real)), _features(extractor, judged)

    def distance(features: Tensor) -> float:
        return frechet(reference, Moments.of(features))

    def curve(name: str, unit: str, levels: tuple[float, ...], disturb: Callable[[float], Images]) -> Curve:
        worse = (pictures.to_uint8(disturb(level)) for level in levels)  # judged as a model's pictures are: as saved
        distances = [distance(_features(extractor, pictures.to_float(pixels))) for pixels in worse]
        return _curve(name, unit, (0.0, *levels), [distance(undisturbed), *distances], len(judged))

    kind, modes = _modes(dataset, rows[len(real) :], judged, seed)
    kept = _kept(modes, seed)
    left = [fmean(distance(undisturbed[places]) for places in orders) for orders in kept.values()]
    curves = (
        curve("blur", "standard deviation in pixels", BLUR, lambda level: blurred(judged, level)),
        curve("noise", "standard deviation, of a range of 2", NOISE, lambda level: noisy(judged, level, seed)),
        curve("shift", "pixels right and down", SHIFT, lambda level: shifted(judged, int(level))),
        _curve("dropped modes", f"share of the {kind}", tuple(kept), left, len(kept[0.0][0])),
    )
    facts = (extractor.name, extractor.digest, extractor.resize, len(reference.mean))
    return ValidityCard(*facts, dataset.name, dataset.digest, split, len(real), seed, curves)


def _curve(name: str, unit: str, levels: tuple[float, ...], distances: list[float], count: int) -> Curve:
    grows = len(levels) > 1 and all(low < high for low, high in pairwise(distances))
    return Curve(name, unit, levels, tuple(distances), count, grows)


def _shuffled_rows(dataset: Dataset, split: str, count: int, seed: int) -> np.ndarray:
    rows = dataset.splits.get(split, np.zeros(0, int))
    half = min(count, len(rows) // 2)
    if half < FEWEST:
        raise UserError(
            f"either half needs at least {FEWEST} pictures, and {dataset.name} has {len(rows)} in the split {split!r}: "
            "use more pictures, and a --count of as many"
        )
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return rows[order[: 2 * half].numpy()]


def _features(extractor: Extractor, images: Images) -> Float[Tensor, "n d"]:
    with torch.inference_mode():
        return torch.cat([extractor(part).cpu() for part in images.split(CHUNK)])


def _modes(dataset: Dataset, rows: np.ndarray, images: Images, seed: int) -> tuple[str, Int[np.ndarray, " n"]]:
    """What the modes are called, and the mode of each picture: its class, or its cluster among plain pixels."""
    if dataset.labels is not None and len(np.unique(dataset.labels[rows])) > 1:
        return "classes", np.unique(dataset.labels[rows], return_inverse=True)[1]
    from sklearn.cluster import KMeans

    sides = min(images.shape[2], SIDE), min(images.shape[3], SIDE)
    pixels = F.adaptive_avg_pool2d(images, sides).flatten(1).numpy()
    clusters = min(CLUSTERS, len(np.unique(pixels, axis=0)))
    return "clusters of pixels", KMeans(clusters, random_state=seed).fit_predict(pixels)


def _kept(modes: Int[np.ndarray, " n"], seed: int) -> dict[float, list[Int[Tensor, " m"]]]:
    """By the share of modes that is dropped: places of pictures that are left, as many everywhere, for each order.

    The most common mode always stays, so that no set is tiny.
    """
    sizes = np.bincount(modes)
    others = np.delete(np.arange(len(sizes)), sizes.argmax())
    randomness = np.random.default_rng(seed)
    orders = [np.concatenate([[sizes.argmax()], randomness.permutation(others)]) for _ in range(ORDERS)]
    left = sorted({max(1, len(sizes) - round(share * len(sizes))) for share in DROPPED}, reverse=True)
    places = {number: [np.flatnonzero(np.isin(modes, order[:number])) for order in orders] for number in left}
    fewest = min(len(found) for sets in places.values() for found in sets)
    return {
        round(1 - number / len(sizes), 4): [torch.from_numpy(found[spread(len(found), fewest)]) for found in sets]
        for number, sets in places.items()
    }
