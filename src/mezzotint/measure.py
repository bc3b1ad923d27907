"""The only evaluation loop: a trained method and a data set in, scores with their protocol out."""

import torch

from mezzotint import forecasting, shrinking
from mezzotint.data.dataset import Dataset
from mezzotint.drawing import Drawn, device_of, drawn_like, using
from mezzotint.errors import UserError
from mezzotint.measuring import distances, likelihood, recognition, reconstruction
from mezzotint.method import Method
from mezzotint.metrics.features import Extractor, random_filters
from mezzotint.scorecard import MEASURES, QUANTIZATION, Draft, ScoreCard
from mezzotint.types import (
    Classifies,
    Compresses,
    Detects,
    DrawsInSteps,
    Embeds,
    Encodes,
    FlowsBack,
    Forecasts,
    Generates,
    HasLikelihood,
    Redraws,
    WeighsCodes,
)


def measure(
    method: Method,
    dataset: Dataset,
    *,
    split: str = "test",
    count: int = 10_000,
    extractor: Extractor | None = None,
    seed: int = 0,
    thorough: bool = False,
    weights: str = "",
    shown: Drawn | None = None,
) -> ScoreCard:
    """All scores that the method's abilities admit, on one split of the data.

    `count` bounds the pictures drawn, the real ones they are compared with, and those whose probability is estimated at
    length; `shown` are those pictures, where they were drawn before (`drawn_like` with the same arguments); `extractor`
    gives the features of the distances (default: fixed random filters); `weights` is the hash of the weights, for the
    protocol. `thorough` asks for what takes long as well: the spatial distance (Nash et al. 2021), for which all
    pictures are looked at again, the importance-weighted bound of some pictures, and the density of a few under a
    method that flows back.
    """
    card = _begun(dataset, split, seed, weights)
    if device_of(method).type == "cuda" and torch.backends.cudnn.allow_tf32:
        card.protocol["precision"] = "fp32 network with TF32 convolutions, fp64 scores"
    with using(method):
        if isinstance(method, Detects):
            recognition.add_detection(method, dataset, split, card)
        if isinstance(method, Classifies):
            recognition.add_recognition(method, dataset, split, card)
        elif isinstance(method, Embeds):
            recognition.add_embedding(method, dataset, split, card)
        if isinstance(method, HasLikelihood):
            likelihood.add_bound(method, dataset, split, seed, card)
        if isinstance(method, Encodes):
            reconstruction.add_reconstruction(method, dataset, split, card)
        if isinstance(method, Compresses):
            shrunk = shrinking.measured(method, dataset, split, count)
            card.scores |= shrunk.scores
            card.protocol |= {**shrunk.protocol, "quantization": QUANTIZATION}
        if isinstance(method, WeighsCodes) and thorough:
            likelihood.add_importance(method, dataset, split, count, seed, card)
        if isinstance(method, Redraws) and method.beside:
            reconstruction.add_redrawing(method, dataset, split, seed, card)
        if isinstance(method, FlowsBack) and thorough:
            likelihood.add_density(method, dataset, split, count, seed, card)
    if isinstance(method, Forecasts):
        _forecasts(method, dataset, split, count, extractor or random_filters(dataset.spec), seed, card)
    if isinstance(method, Generates):
        shown = shown or drawn_like(method, dataset, split, count, seed)
        if isinstance(method, DrawsInSteps):
            card.protocol["drawing"] = method.way_of_drawing  # it tells what was judged, not how
        ruler = extractor or random_filters(dataset.spec)
        distances.add_distances(shown, dataset, ruler, device_of(method), thorough, card)
    return card.finished()


def judge(
    shown: Drawn, dataset: Dataset, *, split: str = "test", extractor: Extractor | None = None, weights: str = ""
) -> ScoreCard:
    """The distances of pictures that were drawn elsewhere from a split of the data, as `measure` takes them.

    `weights` names the pictures in the protocol.
    """
    card = _begun(dataset, split, 0, weights)
    distances.add_distances(shown, dataset, extractor or random_filters(dataset.spec), torch.device("cpu"), True, card)
    return card.finished()


def _begun(dataset: Dataset, split: str, seed: int, weights: str) -> Draft:
    """A card without scores; raises UserError where there is nothing to measure on."""
    if len(dataset.splits.get(split, ())) == 0:
        raise UserError(f"the data have no pictures in the split {split!r}: it can be train, validation or test")
    return Draft(
        {
            "data": dataset.name,
            "data_digest": dataset.digest,
            "split": split,
            "pictures": len(dataset.splits[split]),
            "shape": list(dataset.spec.shape),
            "seed": seed,
            "weights": weights,
            "precision": "fp32 network, fp64 scores",
            "measures": MEASURES,
        }
    )


def _forecasts(
    method: Method, dataset: Dataset, split: str, count: int, extractor: Extractor, seed: int, card: Draft
) -> None:
    found = forecasting.measured(method, dataset, split, count, extractor, seed)
    card.scores |= found.scores
    card.answers |= found.answers
    card.protocol |= {**found.protocol, "pictures": found.protocol["clips"]}
    few = found.protocol["clips"]
    if "frechet_video" in found.scores:
        card.notes.append(
            f"frechet_video compares {few} forecast futures with those that came, in features of single frames: "
            "comparable only among cards of the same numbers and extractor, and no FVD of the literature's network"
        )
