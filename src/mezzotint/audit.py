"""Is it copying? Drawn pictures among training and held-out ones, and attacks that ask what a model was trained on."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mezzotint import drawing
from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import spread
from mezzotint.errors import UserError
from mezzotint.method import Method
from mezzotint.metrics import copying, membership
from mezzotint.metrics.copying import Finding
from mezzotint.metrics.features import Extractor, random_filters
from mezzotint.metrics.interval import Score, proportion
from mezzotint.metrics.neighbors import Bank, Neighbors, Views, middles, nearest, shrunk, windows
from mezzotint.types import Classifies, Denoises, Forecasts, Generates, HasLikelihood, Images, Labels

COUNT = 2_000
"""Pictures drawn, and held-out pictures that set and that try the threshold, unless asked otherwise."""
FEWEST = 20
"""Pictures without which nothing is said: drawn, training, and held-out ones of either kind."""
ATTACKED = 10_000
"""Training pictures, and held-out ones, that an attack is judged by at most."""
BOUNDS = 4
"""Draws of the latent that a picture's evidence bound is averaged over."""
WORST = 12
"""Pictures of a kind in a sheet of the worst."""


@dataclass(frozen=True)
class AuditCard:
    """What an audit found: the verdict, scores with their intervals, and the protocol that they share."""

    protocol: dict[str, Any]
    verdict: str
    """`copies`, `no sign of copying`, `cannot tell`, or `draws nothing` for a recogniser."""
    scores: dict[str, Score]
    """Those that end in `_floor` are of held-out pictures given as if generated."""
    notes: tuple[str, ...] = ()
    worst: tuple[dict[str, Any], ...] = ()
    """The drawn pictures nearest to a training picture for their surroundings, by `space`: `drawn` counts from the
    first picture of the audit, `training` and `held_out` (the nearest of either) are rows of the data set."""

    def to_json(self) -> str:
        """What `audit.json` holds."""
        return json.dumps(asdict(self), indent=1)


def from_json(text: str) -> AuditCard:
    """The inverse of `AuditCard.to_json`; raises UserError for anything else."""
    try:
        fields = json.loads(text)
        scores = {name: Score(**score) for name, score in fields["scores"].items()}
        lists = {name: tuple(fields[name]) for name in ("notes", "worst")}
        return AuditCard(**{**fields, **lists, "scores": scores})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError("audit.json is damaged or of another version: make it anew with `mezzotint audit`") from None


@dataclass(frozen=True)
class Shadow:
    """A model of the same recipe, and the rows of the data set that it was trained on."""

    method: Method
    trained_on: np.ndarray


@dataclass(frozen=True)
class Space:
    """Coordinates in which pictures are near or far."""

    name: str
    row: Callable[[Images], Tensor]
    """Pictures as references, n × d."""
    views: Views
    """Pictures as queries, n × views × d."""


@dataclass(frozen=True)
class _Parts:
    """Rows of the data set by what they are for."""

    training: np.ndarray
    held_out: np.ndarray
    calibration: np.ndarray
    """Held-out pictures that set the threshold."""
    comparison: np.ndarray
    """Held-out pictures that are looked at as if they were generated."""


@dataclass
class _Card:
    """An audit card in the making."""

    protocol: dict[str, Any]
    verdict: str = "draws nothing"
    scores: dict[str, Score] = field(default_factory=dict[str, Score])
    notes: list[str] = field(default_factory=list[str])
    worst: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def done(self) -> AuditCard:
        return AuditCard(self.protocol, self.verdict, self.scores, tuple(self.notes), tuple(self.worst))


def audit(
    method: Method,
    dataset: Dataset,
    *,
    count: int = COUNT,
    extractor: Extractor | None = None,
    shadows: Sequence[Shadow] = (),
    seed: int = 0,
    weights: str = "",
) -> AuditCard:
    """Whether a model copies the training pictures of `dataset`, and whether it gives away which they were.

    `count` pictures are drawn; `extractor` gives the features (default: fixed random filters); with `shadows` there is
    LiRA beside the attack by losses; `weights` is the hash of the weights, for the protocol.
    """
    if isinstance(method, Forecasts):
        raise UserError("an audit looks for copies among drawn pictures: it does not know forecasts of clips")
    parts, card = _begun(dataset, count, seed, weights)
    if isinstance(method, Generates):
        drawn = _drawn(method, dataset, range(count), count, seed)
        _copies(drawn, dataset, parts, extractor or random_filters(dataset.spec), seed, card)
    _membership(method, dataset, parts, count, seed, shadows, card)
    return card.done()


def audit_pictures(drawn: Images, dataset: Dataset, *, extractor: Extractor | None = None, seed: int = 0) -> AuditCard:
    """The same of pictures alone, n c h w in [-1, 1], wherever they come from: whether they are copies."""
    parts, card = _begun(dataset, len(drawn), seed)
    _copies(drawn, dataset, parts, extractor or random_filters(dataset.spec), seed, card)
    return card.done()


def _begun(dataset: Dataset, count: int, seed: int, weights: str = "") -> tuple[_Parts, _Card]:
    """The rows by what they are for, and a card that says so."""
    held_out = np.concatenate([dataset.splits["test"], dataset.splits["validation"]])
    mixed = np.random.default_rng(seed).permutation(held_out)
    half = min(count, len(mixed) // 2)
    parts = _Parts(dataset.splits["train"], held_out, mixed[:half], mixed[half : 2 * half])
    protocol = {
        "data": dataset.name,
        "data_digest": dataset.digest,
        "training": len(parts.training),
        "held_out": f"{len(held_out)} of test and validation",
        "seed": seed,
        "weights": weights,
    }
    return parts, _Card(protocol)


def _drawn(method: Method, dataset: Dataset, which: Sequence[int], count: int, seed: int) -> Images:
    """Some of the `count` pictures that an audit draws, as they would be saved: classes as among training pictures."""
    labels = drawing.labels_like(method, dataset, "train", count)
    seeds = [drawing.FIRST_SEED + seed * count + i for i in which]
    drawn = drawing.draw(method, seeds, None if labels is None else labels[list(which)])
    return pictures.to_float(pictures.to_uint8(drawn))


def _images(dataset: Dataset, rows: np.ndarray) -> Images:
    return pictures.to_float(dataset.images[rows])


def _batches(dataset: Dataset, rows: np.ndarray, size: int = drawing.CHUNK) -> Iterator[tuple[Images, Labels | None]]:
    for first in range(0, len(rows), size):
        some = rows[first : first + size]
        yield _images(dataset, some), None if dataset.labels is None else torch.from_numpy(dataset.labels[some])


# Copies.


def spaces(extractor: Extractor) -> tuple[Space, Space]:
    """Pixels and features."""
    return (
        Space("pixels", lambda x: middles(shrunk(x)), lambda x: windows(shrunk(x))),
        Space("features", extractor, lambda x: torch.stack([extractor(x), extractor(x.flip(-1))], 1)),
    )


def references(space: Space, dataset: Dataset, rows: np.ndarray) -> Tensor:
    """Pictures of the data set as references, n × d."""
    return torch.cat([space.row(x) for x, _ in _batches(dataset, rows)])


def _copies(drawn: Images, dataset: Dataset, parts: _Parts, extractor: Extractor, seed: int, card: _Card) -> None:
    """Verdict, shares, ratios, duplicates and the worst pictures, in pixels and in features."""
    card.protocol |= {
        "drawn": len(drawn),
        "threshold_from": f"{len(parts.calibration)} held-out pictures, tried on {len(parts.comparison)} others",
        "pixels": "means of blocks, about 8 on a side; mirrored, and shifted by up to 2 of at most 32 pixels",
        "extractor": {"name": extractor.name, "digest": extractor.digest, "resize": extractor.resize},
    }
    card.verdict = "cannot tell"
    sizes = (len(drawn), len(parts.training), len(parts.calibration))
    if min(sizes) < FEWEST:
        card.notes.append(
            f"no search for copies: it takes at least {FEWEST} drawn, {FEWEST} training and {2 * FEWEST} held-out "
            f"pictures, and here are {sizes[0]}, {sizes[1]} and {len(parts.held_out)}"
        )
        return
    with torch.inference_mode():
        findings = [_look(space, drawn, dataset, parts, seed, card) for space in spaces(extractor)]
    card.verdict = copying.verdict(findings)
    card.protocol["p"] = ", ".join(f"{f.p:.2g}" for f in findings)
    least = min(f.detectable for f in findings)
    card.notes.append(
        f"exact copies are found from a share of about {least:.2%} on"
        if least <= 1
        else "no share of copies could be told from chance: there are too few held-out pictures, or all drawn ones "
        "are near the same few training pictures"
    )


def _look(space: Space, drawn: Images, dataset: Dataset, parts: _Parts, seed: int, card: _Card) -> Finding:
    """Search one space; the finding, with the scores put on the card."""
    training, held_out = (Bank(references(space, dataset, rows), seed) for rows in (parts.training, parts.held_out))
    real = [_images(dataset, rows) for rows in (parts.calibration, parts.comparison)]
    found = [nearest(some, training, space.views) for some in (drawn, *real)]
    apart = nearest(drawn, held_out, space.views, k=1)
    finding = copying.find_copies(found[0], apart, found[1], found[2], (len(training), len(held_out)))
    card.scores[f"near_copies_{space.name}"] = finding.share
    card.scores[f"near_copies_{space.name}_floor"] = finding.floor
    card.scores |= _balance(drawn, training, held_out, space, seed)
    card.scores |= _duplicates([drawn, *real], found, space)
    card.worst += _worst(found[0], apart, parts, space)
    return finding


def _balance(drawn: Images, training: Bank, held_out: Bank, space: Space, seed: int) -> dict[str, Score]:
    """Equal numbers of training and held-out pictures: which are nearer, and by how much?"""
    n = min(len(training), len(held_out))
    order = torch.Generator().manual_seed(seed)
    equal = [Bank(b.rows[torch.randperm(len(b), generator=order)[:n]], seed) for b in (training, held_out)]
    ours, theirs = (nearest(drawn, b, space.views, k=1) for b in equal)
    to_training, to_held_out = ours.distances[:, 0], theirs.distances[:, 0]
    rows = torch.where(to_training < to_held_out, ours.rows[:, 0], n + theirs.rows[:, 0])
    ratios = torch.where(to_training == to_held_out, 1.0, to_training / to_held_out)
    return {
        f"nearer_to_training_{space.name}": copying.share_nearer(to_training, to_held_out, rows),
        f"distance_ratio_{space.name}": copying.median(ratios),
    }


def _duplicates(sets: Sequence[Tensor], to_training: Sequence[Neighbors], space: Space) -> dict[str, Score]:
    """Share of drawn pictures with another nearer than one in 500 real ones has among as many.

    Distances are taken by the mean distance to the training pictures around, as in the search for copies.
    """
    n = min(map(len, sets))
    values: list[Tensor] = []
    for images, neighbors in zip(sets, to_training, strict=True):
        chosen = torch.from_numpy(spread(len(images), n))
        some = images[chosen]
        among = nearest(
            some,
            Bank(torch.cat([space.row(part) for part in some.split(drawing.CHUNK)])),
            space.views,
            k=1,
            itself=True,
        )
        around = neighbors.distances[chosen].mean(1).clamp(min=1e-12)
        values.append(among.distances[:, 0] / around)
    limit = copying.threshold(values[1])
    shares = [proportion(int((v <= limit).sum()), n) for v in (values[0], values[2])]
    return dict(zip((f"duplicates_{space.name}", f"duplicates_{space.name}_floor"), shares, strict=True))


def _worst(found: Neighbors, apart: Neighbors, parts: _Parts, space: Space) -> list[dict[str, Any]]:
    close = copying.closeness(found)
    return [
        {
            "space": space.name,
            "drawn": i,
            "closeness": round(float(close[i]), 4),
            "training": int(parts.training[int(found.rows[i, 0])]),
            "held_out": int(parts.held_out[int(apart.rows[i, 0])]),
        }
        for i in close.argsort(stable=True)[:WORST].tolist()
    ]


def worst_sheet(method: Method, dataset: Dataset, card: AuditCard) -> pictures.Pixels | None:
    """The worst in columns, first in pixels, below in features: drawn, nearest training, nearest held-out picture."""
    if not card.worst:
        return None
    which = [one["drawn"] for one in card.worst]
    drawn = pictures.to_uint8(_drawn(method, dataset, which, card.protocol["drawn"], card.protocol["seed"]))
    rows: list[pictures.Pixels] = []
    for space in dict.fromkeys(one["space"] for one in card.worst):
        chosen = [i for i, one in enumerate(card.worst) if one["space"] == space]
        rows.append(drawn[chosen])
        rows += [dataset.images[[card.worst[i][kind] for i in chosen]] for kind in ("training", "held_out")]
    return pictures.enlarged(pictures.grid(np.concatenate(rows), len(rows[0])), 480)


# Membership.


def _membership(
    method: Method, dataset: Dataset, parts: _Parts, count: int, seed: int, shadows: Sequence[Shadow], card: _Card
) -> None:
    """The attack by losses, and with shadows LiRA, on equal treatment of training and held-out pictures."""
    members, others = (rows[spread(len(rows), min(len(rows), ATTACKED))] for rows in (parts.training, parts.held_out))
    if not isinstance(method, (Classifies, Generates, HasLikelihood)):
        card.notes.append("no membership attack: none is known here for models that give features alone")
        return
    if min(len(members), len(others)) < FEWEST:
        card.notes.append(f"no membership attack: it takes at least {FEWEST} training and {FEWEST} held-out pictures")
        return
    rows = np.concatenate([members, others])
    target = confidence(method, dataset, rows, count, seed)
    card.protocol["membership"] = f"{len(members)} training and {len(others)} held-out pictures, by {_kind(method)}"
    for name, score in membership.attack(target[: len(members)], target[len(members) :]).items():
        card.scores[f"membership_{name}"] = score
    if shadows:
        others_say = torch.stack([confidence(s.method, dataset, rows, count, seed) for s in shadows])
        inside = torch.from_numpy(np.stack([np.isin(rows, s.trained_on) for s in shadows]))
        ratio = membership.likelihood_ratio(target, others_say, inside)
        for name, score in membership.attack(ratio[: len(members)], ratio[len(members) :]).items():
            card.scores[f"lira_{name}"] = score
        card.protocol["shadows"] = len(shadows)


def _kind(method: Method) -> str:
    if isinstance(method, Classifies):
        return "the confidence in their class"
    if isinstance(method, HasLikelihood):
        return f"their evidence bound, {BOUNDS} draws averaged"
    if isinstance(method, Denoises):
        return f"their denoising error, {BOUNDS} draws averaged"
    return "the distance to the nearest drawn picture"


def confidence(method: Method, dataset: Dataset, rows: np.ndarray, count: int, seed: int) -> Tensor:
    """How well a model knows each picture, in float64: higher for what it was trained on, if it gives that away.

    A recogniser's logit of the true class's probability, a likelihood model's evidence bound, minus a denoiser's error,
    else minus the distance to the nearest of `count` drawn pictures (Chen et al. 2020, "GAN-Leaks", section 4.2).
    """
    with drawing.using(method):
        if isinstance(method, Classifies):
            parts = [
                membership.logit_confidence(method.classify(x), y)
                for x, y in _batches(dataset, rows, 500)
                if y is not None
            ]
            return torch.cat(parts)
        if isinstance(method, (HasLikelihood, Denoises)):
            told = method.elbo if isinstance(method, HasLikelihood) else method.denoising_error
            mean = torch.cat(
                [
                    torch.stack([told(x, y, seed + 1_000 * i + j) for j in range(BOUNDS)]).double().mean(0)
                    for i, (x, y) in enumerate(_batches(dataset, rows, 250))
                ]
            )
            return mean if isinstance(method, HasLikelihood) else -mean
    drawn = Bank(middles(shrunk(_drawn(method, dataset, range(count), count, seed))), seed)
    views: Views = lambda x: middles(shrunk(x))[:, None]  # noqa: E731
    with torch.inference_mode():
        found = [nearest(x, drawn, views, k=1).distances[:, 0] for x, _ in _batches(dataset, rows, 500)]
    return -torch.cat(found).double()


def sentences(card: AuditCard) -> list[str]:
    """The findings for people, a sentence each."""
    told: list[str] = []
    for space in ("pixels", "features"):
        share, floor = (card.scores.get(f"near_copies_{space}{end}") for end in ("", "_floor"))
        if share and floor:
            told.append(
                f"In {space} {_percent(share)} of {share.n:,} drawn pictures are near-copies of training pictures; of "
                f"held-out pictures, which cannot be copies, {_percent(floor)}."
            )
        nearer = card.scores.get(f"nearer_to_training_{space}")
        if nearer:
            told.append(
                f"Of equal numbers of training and held-out pictures, the nearest to a drawn one is a training picture "
                f"in {_percent(nearer)}; 50 % would be so by chance."
            )
    for name, attack in (("membership", "what the model knows of them"), ("lira", "comparison with shadow runs")):
        area, hits = (card.scores.get(f"{name}_{key}") for key in ("auc", "tpr_at_1%"))
        if area and hits:
            can = "can be told from others" if area.low > 0.5 else "cannot be told from others"
            told.append(
                f"Training pictures {can} by {attack}: area under the curve {area.value:.3f} ({area.low:.3f} to "
                f"{area.high:.3f}; a guess has 0.5), {_percent(hits)} found at 1 % false alarms."
            )
    return told


def _percent(score: Score) -> str:
    return f"{score.value:.2%} ({score.low:.2%} to {score.high:.2%})"


def shadow_digest(dataset: Dataset, rows: np.ndarray) -> str:
    """What tells a shadow's half of the data from all other halves."""
    return hashlib.sha256(dataset.digest.encode() + np.ascontiguousarray(rows).tobytes()).hexdigest()
