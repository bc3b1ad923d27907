"""The only evaluation loop: a trained method and a data set in, scores with their protocol out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mezzotint import forecasting, shrinking
from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import ordered
from mezzotint.drawing import CHUNK, FIRST_SEED, Drawn, device_of, drawn_like, using
from mezzotint.errors import UserError
from mezzotint.losses import flow
from mezzotint.losses.divergence import importance_bound
from mezzotint.method import Method
from mezzotint.metrics import detection, distortion, distribution, embedding, rate
from mezzotint.metrics.classification import Classification
from mezzotint.metrics.distribution import FEWEST, NEIGHBORS
from mezzotint.metrics.features import AS_THEY_ARE, Extractor, Spatial, is_fid, random_filters
from mezzotint.metrics.interval import Score, mean, mean_of, proportion
from mezzotint.scorecard import MEASURES, ScoreCard
from mezzotint.types import (
    Batch,
    Calibrates,
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
    Images,
    Labels,
    Redraws,
    WeighsCodes,
)

QUICK, USUAL = 2_000, 10_000
"""Pictures drawn for the score card of a run of under five minutes, and of others."""
HASTY = 500
"""Pictures drawn for it where a method draws so slowly that more would take too much of the run's budget."""
FORECAST = (1_000, 200, 50)
"""Clips forecast for it: the most that take no more than a tenth of the run's budget."""
DENSITIES = 200
"""Pictures whose density is estimated where a method knows it by solving an equation: each costs as much as drawing
many."""
DENSITY_STEPS = 16
WEIGHED, CODES = 500, 32
"""Pictures whose probability is estimated by importance weights, and codes drawn for each."""
REDRAWN = 500
"""Pictures of which a part is given, for the rest to be drawn."""
BLOCKS_WITHIN = 8
"""Of the jackknife of each class's distance, whose mean over the classes is what counts."""
QUANTIZATION = "8 bits a channel"
"""Pictures are judged as they would be saved."""


@dataclass(frozen=True)
class MethodFeatures:
    """A trained network that embeds pictures as the ruler of other models."""

    method: Method
    name: str
    digest: str
    resize: str = AS_THEY_ARE

    def __call__(self, images: Images) -> Tensor:
        """What its last layer sees; raises UserError where the pictures have another shape than it was trained on."""
        return self._embedding(images).features(images).float()

    def spatial(self, images: Images) -> Tensor:
        """What it sees halfway, place by place; raises as above."""
        return self._embedding(images).spatial(images)

    def kinds(self, features: Tensor, classes: Sequence[str]) -> Labels | None:
        """Which of `classes` each row of features is of, by its last layer; None where it tells others or none."""
        head: Any = getattr(getattr(self.method, "network", None), "head", None)
        if not isinstance(head, nn.Linear) or tuple(self.method.spec.classes) != tuple(classes):
            return None
        return head(features.to(head.weight.device)).argmax(1).cpu()

    def _embedding(self, images: Images) -> Embeds:
        assert isinstance(self.method, Embeds)
        if tuple(images.shape[1:]) != self.method.spec.shape:
            raise UserError(
                f"the features of {self.name} are for pictures of {_spoken(self.method.spec.shape)}, "
                f"not {_spoken(tuple(images.shape[1:]))}: train a recogniser on these pictures"
            )
        self.method.to(images.device)
        return self.method


def _spoken(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}×{shape[2]}×{shape[0]}"


def usual_count(minutes: float | None) -> int:
    """Pictures to draw for the score card at the end of a run of so many minutes (or of a number of pictures)."""
    return QUICK if minutes is None or minutes < 5 else USUAL


@dataclass
class _Card:
    """A score card in the making."""

    protocol: dict[str, Any]
    scores: dict[str, Score] = field(default_factory=dict[str, Score])
    confusion: list[list[int]] | None = None
    notes: list[str] = field(default_factory=list[str])
    mistakes: tuple[dict[str, Any], ...] = ()
    answers: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    def finished(self) -> ScoreCard:
        """The card that is written."""
        return ScoreCard(self.protocol, self.scores, self.confusion, tuple(self.notes), self.mistakes, self.answers)


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
    length; `shown` are those pictures, where they
    were drawn before (`drawn_like` with the same arguments); `extractor` gives the features of the
    distances (default: fixed random filters); `weights` is the hash of the weights, for the protocol. `thorough` asks
    for what takes long as well: the spatial distance (Nash et al. 2021), for which all pictures are looked at again,
    the importance-weighted bound of some pictures, and the density of a few under a method that flows back.
    """
    card = _begun(dataset, split, seed, weights)
    if device_of(method).type == "cuda" and torch.backends.cudnn.allow_tf32:
        card.protocol["precision"] = "fp32 network with TF32 convolutions, fp64 scores"
    with using(method):
        if isinstance(method, Detects):
            _detection(method, dataset, split, card)
        if isinstance(method, Classifies):
            _recognition(method, dataset, split, card)
        elif isinstance(method, Embeds):
            _embedding(method, dataset, split, card)
        if isinstance(method, HasLikelihood):
            _likelihood(method, dataset, split, seed, card)
        if isinstance(method, Encodes):
            _reconstruction(method, dataset, split, card)
        if isinstance(method, Compresses):
            shrunk = shrinking.measured(method, dataset, split, count)
            card.scores |= shrunk.scores
            card.protocol |= {**shrunk.protocol, "quantization": QUANTIZATION}
        if isinstance(method, WeighsCodes) and thorough:
            _importance(method, dataset, split, min(count, WEIGHED), seed, card)
        if isinstance(method, Redraws) and method.beside:
            _redrawing(method, dataset, split, seed, card)
        if isinstance(method, FlowsBack) and thorough:
            _density(method, dataset, split, min(count, DENSITIES), seed, card)
    if isinstance(method, Forecasts):
        _forecasts(method, dataset, split, count, extractor or random_filters(dataset.spec), seed, card)
    if isinstance(method, Generates):
        shown = shown or drawn_like(method, dataset, split, count, seed)
        if isinstance(method, DrawsInSteps):
            card.protocol["drawing"] = method.way_of_drawing  # it tells what was judged, not how
        _generation(shown, dataset, extractor or random_filters(dataset.spec), device_of(method), thorough, card)
    return card.finished()


def judge(
    shown: Drawn, dataset: Dataset, *, split: str = "test", extractor: Extractor | None = None, weights: str = ""
) -> ScoreCard:
    """The distances of pictures that were drawn elsewhere from a split of the data, as `measure` takes them.

    `weights` names the pictures in the protocol.
    """
    card = _begun(dataset, split, 0, weights)
    _generation(shown, dataset, extractor or random_filters(dataset.spec), torch.device("cpu"), True, card)
    return card.finished()


def _begun(dataset: Dataset, split: str, seed: int, weights: str) -> _Card:
    """A card without scores; raises UserError where there is nothing to measure on."""
    if len(dataset.splits.get(split, ())) == 0:
        raise UserError(f"the data have no pictures in the split {split!r}: it can be train, validation or test")
    return _Card(
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


def answers(method: Classifies, dataset: Dataset, split: str) -> tuple[Tensor, Labels]:
    """Logits of a split's pictures and their labels, on the CPU."""
    found: list[tuple[Tensor, Tensor]] = []
    assert isinstance(method, Method)
    with using(method):
        for images, labels in ordered(dataset, split, 500, device_of(method)):
            assert labels is not None
            found.append((method.classify(images).float().cpu(), labels.cpu()))
    logits, labels = zip(*found, strict=True)
    return torch.cat(logits), torch.cat(labels)


def features(method: Embeds, dataset: Dataset, split: str, limit: int | None = None) -> Tensor:
    """Features of a split's pictures, or of so many spread over it, on the CPU."""
    assert isinstance(method, Method)
    with using(method):
        found = [method.features(x).float().cpu() for x, _ in ordered(dataset, split, 500, device_of(method), limit)]
    return torch.cat(found)


def _forecasts(
    method: Method, dataset: Dataset, split: str, count: int, extractor: Extractor, seed: int, card: _Card
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


def _recognition(method: Classifies, dataset: Dataset, split: str, card: _Card) -> None:
    counts = Classification(dataset.classes)
    logits, labels = answers(method, dataset, split)
    counts.update(logits, labels)
    if isinstance(method, Calibrates) and method.temperature != 1:
        card.protocol["temperature"] = round(method.temperature, 4)
    for name, value in counts.compute().items():
        if isinstance(value, Score):
            card.scores[name] = value
        elif name == "confusion":
            card.confusion = value.tolist()
    card.mistakes = _surest_mistakes(logits, labels, dataset.classes)
    card.answers["accuracy"] = logits.argmax(1) == labels


def _detection(method: Method, dataset: Dataset, split: str, card: _Card) -> None:
    assert isinstance(method, Detects)
    found = torch.cat([method.detect(images).cpu() for images, _ in ordered(dataset, split, CHUNK, device_of(method))])
    given = torch.from_numpy(dataset.targets["boxes"][dataset.splits[split]])
    card.scores |= detection.average_precision(given, found, dataset.things)
    counts = (given[:, :, 0] >= 0) & (given[:, :, 5] == 0)
    card.protocol["boxes"] = int(counts.sum())
    card.protocol["detection"] = (
        f"COCO's average precision by faster-coco-eval, {found.shape[1]} boxes a picture at most"
    )
    if not card.scores:
        card.notes.append("no score of detection: there is not one box that counts in this split")


def _embedding(method: Embeds, dataset: Dataset, split: str, card: _Card) -> None:
    """What the features spread over, and what the nearest training pictures say of a picture's class."""
    device = device_of(method)
    asked = _seen(dataset, split, USUAL, method.features, device)
    card.scores["effective_rank"] = embedding.effective_rank(asked.features)
    if dataset.labels is None or split == "train":
        return
    known = _seen(dataset, "train", USUAL, method.features, device)
    assert known.labels is not None
    assert asked.labels is not None
    hits = embedding.neighbor_hits(known.features, known.labels, asked.features, asked.labels)
    card.scores["neighbor_accuracy"] = proportion(int(hits.sum()), len(hits))
    card.answers["neighbor_accuracy"] = hits
    card.protocol["neighbors_among"] = f"{embedding.NEIGHBORS} of {len(known.features)} training pictures"


def _surest_mistakes(
    logits: Tensor, labels: Labels, classes: Sequence[str], count: int = 32
) -> tuple[dict[str, Any], ...]:
    top, said = logits.softmax(1).max(1)
    wrong = (said != labels).nonzero().flatten()
    surest = wrong[top[wrong].argsort(descending=True, stable=True)[:count]].tolist()
    return tuple(
        {
            "picture": i,
            "class": classes[int(labels[i])],
            "said": classes[int(said[i])],
            "probability": round(float(top[i]), 4),
        }
        for i in surest
    )


def _likelihood(method: HasLikelihood, dataset: Dataset, split: str, seed: int, card: _Card) -> None:
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
    card.protocol["likelihood"] = f"evidence lower bound, one draw of the latent; {_of_what(method)}"
    card.protocol["decoder"] = observation.reading.spoken


def _importance(method: WeighsCodes, dataset: Dataset, split: str, count: int, seed: int, card: _Card) -> None:
    """A tighter bound from several codes a picture."""
    bounds = [
        importance_bound(torch.stack([method.log_weight(x, y, (seed + i) * CODES + k) for k in range(CODES)]))
        for i, (x, y) in enumerate(ordered(dataset, split, CHUNK, device_of(method), count))
    ]
    bound = torch.cat(bounds)
    card.scores["bits_per_dimension_iw"] = rate.bits_per_dimension(bound, dataset.spec.dimensions)
    card.protocol["importance"] = (
        f"importance-weighted bound, {CODES} codes a picture, {len(bound)} pictures; {_of_what(method)}"
    )


def _density(method: FlowsBack, dataset: Dataset, split: str, count: int, seed: int, card: _Card) -> None:
    """Bits per dimension by the flow that pictures are drawn by."""
    found: list[Tensor] = []
    for i, (images, labels) in enumerate(ordered(dataset, split, CHUNK, device_of(method), count)):
        uniform = torch.special.ndtr(Batch(images, seed=seed + i).normal(*dataset.spec.shape, stream=1))
        spread_out, extra = flow.dequantized(images, uniform)
        found.append(method.log_density(spread_out, labels, seed + i, DENSITY_STEPS) + extra)
    log_probability = torch.cat(found)
    card.scores["bits_per_dimension_ode"] = rate.bits_per_dimension(log_probability, dataset.spec.dimensions)
    card.protocol["density"] = (
        f"estimate by the flow's equation (rk4, {DENSITY_STEPS} steps, one probe), evenly dequantized, "
        f"{len(log_probability)} pictures: not comparable with an evidence bound"
    )


def _of_what(method: Any) -> str:
    if getattr(method.config, "likelihood", "") == "bernoulli":
        return "Bernoulli, which scores brightness as a probability: not comparable with the others"
    return "of 256 levels"


def _reconstruction(method: Encodes, dataset: Dataset, split: str, card: _Card) -> None:
    found: dict[str, list[Tensor]] = {"psnr": [], "ssim": []}
    for images, labels in ordered(dataset, split, 250, device_of(method)):
        again = method.decode(method.encode(images, labels), labels)
        again = pictures.to_float(pictures.to_uint8(again))
        found["psnr"].append(distortion.psnr(again, images.cpu()))
        found["ssim"].append(distortion.ssim(again, images.cpu()))
    for name, values in found.items():
        card.answers[name] = torch.cat(values)
        card.scores[name] = mean(card.answers[name])
    card.protocol["quantization"] = QUANTIZATION


def _redrawing(method: Any, dataset: Dataset, split: str, seed: int, card: _Card) -> None:
    """How near pictures come to themselves when a part of each is given, by the one number that one drawing has."""
    found: dict[str, list[Tensor]] = {"redrawn_psnr": [], "redrawn_ssim": []}
    for i, (images, labels) in enumerate(ordered(dataset, split, CHUNK, device_of(method), REDRAWN)):
        _, again = method.redrawn(images, labels, (seed + 1) * FIRST_SEED + i * CHUNK)
        again = pictures.to_float(pictures.to_uint8(again))
        found["redrawn_psnr"].append(distortion.psnr(again, images.cpu()))
        found["redrawn_ssim"].append(distortion.ssim(again, images.cpu()))
    for name, values in found.items():
        finite = torch.cat(values)
        finite = finite[finite.isfinite()]  # of a picture without a hole
        if len(finite):
            card.scores[name] = mean(finite)
    count = min(REDRAWN, len(dataset.splits[split]))
    card.protocol["redrawn"] = f"{count} pictures, {method.config.given} given as in training"


def _generation(
    shown: Drawn, dataset: Dataset, extractor: Extractor, device: torch.device, thorough: bool, card: _Card
) -> None:
    """Distances between drawn and real pictures, with the distance of real from real as the floor."""
    card.protocol["extractor"] = {"name": extractor.name, "digest": extractor.digest, "resize": extractor.resize}
    split, asked = card.protocol["split"], shown.labels
    other = "train" if split != "train" else "validation"

    def seen(look: Callable[[Images], Tensor]) -> tuple[_Set, _Set, _Set]:
        with torch.inference_mode():
            parts = pictures.to_float(shown.images).split(CHUNK)
            fake = _Set(torch.cat([look(part.to(device)).cpu() for part in parts]), asked)
        real, floor = (_seen(dataset, name, len(shown.images), look, device) for name in (split, other))
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
    if FEWEST <= min(len(real.features), len(fake.features)) <= real.features.shape[1]:
        card.notes.append(
            f"{min(len(real.features), len(fake.features))} pictures are few for {real.features.shape[1]} features: "
            "the Fréchet distances (the floor's too) are far too large and comparable only among cards of the same "
            "numbers"
        )
    if is_fid(extractor):
        card.notes.append(
            "in these features the Fréchet distance is the FID of Heusel et al. 2017, with the resizing of "
            f"Parmar et al. 2022 (clean-fid), between {len(fake.features)} drawn and {len(real.features)} real pictures"
        )
    if extractor.name == "random-filters":
        card.notes.append(
            "the features are fixed random filters, blind to meaning: with labelled pictures train a recogniser "
            "(cnn) and measure with --features RUN"
        )


@dataclass(frozen=True)
class _Set:
    """Pictures as an extractor sees them."""

    features: Tensor
    labels: Labels | None

    def of(self, label: int) -> Tensor:
        """The features of one class."""
        assert self.labels is not None
        return self.features[self.labels == label]


def _seen(
    dataset: Dataset, split: str, count: int, extractor: Callable[[Images], Tensor], device: torch.device
) -> _Set:
    with torch.inference_mode():
        parts = [(extractor(x).cpu(), y) for x, y in ordered(dataset, split, CHUNK, device, count)]
    if not parts:
        return _Set(torch.zeros(0, 1), None)
    features, labels = zip(*parts, strict=True)
    return _Set(torch.cat(features), None if labels[0] is None else torch.cat(labels).cpu())


def _distances(suffix: str, what: str, real: _Set, judged: _Set, card: _Card) -> None:
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


def _as_asked(suffix: str, judged: _Set, recogniser: MethodFeatures, classes: Sequence[str], card: _Card) -> None:
    """The share of pictures that a recogniser sees as the class they were drawn for (of real ones: as their own)."""
    with torch.inference_mode():
        seen = recogniser.kinds(judged.features, classes)
    if seen is not None and judged.labels is not None:
        card.scores[f"asked_class{suffix}"] = proportion(int((seen == judged.labels).sum()), len(seen))


def _within_classes(suffix: str, real: _Set, judged: _Set, classes: Sequence[str], card: _Card) -> None:
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
