"""Distances between drawn and real pictures, with the distance of real from real as the floor."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.drawing import CHUNK, Drawn
from mezzotint.measuring.rulers import Embedded, MethodFeatures, embedded
from mezzotint.metrics import distribution
from mezzotint.metrics.distribution import FEWEST, NEIGHBORS
from mezzotint.metrics.features import Extractor, Spatial, is_fid
from mezzotint.metrics.interval import mean_of, proportion
from mezzotint.scorecard import QUANTIZATION, Draft
from mezzotint.types import Images

BLOCKS_WITHIN = 8
"""Of the jackknife of each class's distance, whose mean over the classes is what counts."""


def add_distances(
    shown: Drawn, dataset: Dataset, extractor: Extractor, device: torch.device, thorough: bool, card: Draft
) -> None:
    """Put into the card how far drawn pictures are from the real ones of its split, and real ones of another split.

    `thorough` asks for the spatial distance as well, for which all pictures are looked at again.
    """
    card.protocol["extractor"] = {"name": extractor.name, "digest": extractor.digest, "resize": extractor.resize}
    split, asked = card.protocol["split"], shown.labels
    other = "train" if split != "train" else "validation"

    def seen(look: Callable[[Images], Tensor]) -> tuple[Embedded, Embedded, Embedded]:
        with torch.inference_mode():
            parts = pictures.to_float(shown.images).split(CHUNK)
            fake = Embedded(torch.cat([look(part.to(device)).cpu() for part in parts]), asked)
        real, floor = (embedded(dataset, name, len(shown.images), look, device) for name in (split, other))
        return real, fake, floor

    real, fake, floor = seen(extractor)
    card.protocol |= {
        "drawn": len(fake.features),
        "reference": len(real.features),
        "floor_from": f"{len(floor.features)} pictures of {other}",
        "quantization": QUANTIZATION,
        "neighbors": NEIGHBORS,
        "classes_drawn": "none asked for" if asked is None else f"as in {split}",
    }
    _distances("", "distance from real to drawn pictures", real, fake, card)
    _distances("_floor", "floor", real, floor, card)
    if asked is not None:
        for suffix, judged in (("", fake), ("_floor", floor)):
            _within_classes(suffix, real, judged, dataset.classes, card)
        if isinstance(extractor, MethodFeatures):
            for suffix, judged in (("", fake), ("_floor", real)):
                _as_asked(suffix, judged, extractor, dataset.classes, card)
    if thorough and isinstance(extractor, Spatial) and min(len(real.features), len(floor.features)) >= FEWEST:
        there, drawn, real_again = (each.features for each in seen(extractor.spatial))
        card.scores["frechet_spatial"] = distribution.frechet_intervals(there, drawn)[0]
        card.scores["frechet_spatial_floor"] = distribution.frechet_intervals(there, real_again)[0]
    _note(len(real.features), len(fake.features), real.features.shape[1], extractor, card)


def _distances(suffix: str, what: str, real: Embedded, judged: Embedded, card: Draft) -> None:
    a, b = real.features, judged.features
    if min(len(a), len(b)) < FEWEST:
        sizes = f"{len(a)} and {len(b)}"
        card.notes.append(f"no {what}: it takes at least {FEWEST} pictures in each set, and here are {sizes}")
        return
    here, endless = distribution.frechet_intervals(a, b)
    card.scores[f"frechet{suffix}"] = here
    if min(len(a), len(b)) > a.shape[1]:
        card.scores[f"frechet_infinity{suffix}"] = endless
    card.scores[f"kid{suffix}"] = distribution.kid(a, b)
    for key, score in distribution.precision_recall_density_coverage(a, b, NEIGHBORS).items():
        card.scores[f"{key}{suffix}"] = score


def _as_asked(suffix: str, judged: Embedded, recogniser: MethodFeatures, classes: Sequence[str], card: Draft) -> None:
    """The share of pictures that a recogniser sees as the class they were drawn for (of real ones: as their own)."""
    with torch.inference_mode():
        seen = recogniser.kinds(judged.features, classes)
    if seen is not None and judged.labels is not None:
        card.scores[f"asked_class{suffix}"] = proportion(int((seen == judged.labels).sum()), len(seen))


def _within_classes(suffix: str, real: Embedded, judged: Embedded, classes: Sequence[str], card: Draft) -> None:
    """The Fréchet distance of each class from its own real pictures, and their mean.

    Excess of finite sets removed, since classes are small; not where one has fewer pictures than there are features.
    """
    if real.labels is None or judged.labels is None:
        return
    pairs = [(real.of(i), judged.of(i)) for i in range(len(classes))]
    if min(min(map(len, pair)) for pair in pairs) <= max(real.features.shape[1], FEWEST):
        card.notes.append(f"no distances within classes{suffix.replace('_', ' of the ')}: too few pictures in a class")
        return
    scores = [distribution.frechet_intervals(*pair, blocks=BLOCKS_WITHIN)[1] for pair in pairs]
    for name, score in zip(classes, scores, strict=True):
        card.scores[f"frechet_infinity{suffix}[{name}]"] = score
    card.scores[f"frechet_within_classes{suffix}"] = mean_of(scores)


def _note(real: int, drawn: int, features: int, extractor: Extractor, card: Draft) -> None:
    """What a reader must know of so many pictures in so many features of this extractor."""
    if FEWEST <= min(real, drawn) <= features:
        card.notes.append(
            f"{min(real, drawn)} pictures are few for {features} features: the Fréchet distances (the floor's too) are "
            "far too large and comparable only among cards of the same numbers"
        )
    if is_fid(extractor):
        card.notes.append(
            "in these features the Fréchet distance is the FID of Heusel et al. 2017, with the resizing of "
            f"Parmar et al. 2022 (clean-fid), between {drawn} drawn and {real} real pictures"
        )
    if extractor.name == "random-filters":
        card.notes.append(
            "the features are fixed random filters, blind to meaning: with labelled pictures train a recogniser "
            "(cnn) and measure with --features RUN"
        )
