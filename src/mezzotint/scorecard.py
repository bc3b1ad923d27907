"""Score cards: scores, the protocol that they share, and which scores of two cards may be compared."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mezzotint.errors import UserError
from mezzotint.files import write_tensors, write_whole
from mezzotint.metrics.interval import Score

MEASURES = 2
"""Number of the way of measuring: raised when the same pictures would be scored otherwise."""

QUANTIZATION = "8 bits a channel"
"""Pictures are judged as they would be saved."""

ALWAYS = ("data_digest", "split", "pictures", "shape", "precision", "measures")
"""Fields of the protocol that bear on every score. The data's name, the seed and the weights' hash bear on none: they
tell which pictures of which model were judged, not how."""

_LIKELIHOOD = ("likelihood",)
_PIXELS = ("quantization",)
_WAYS = ("", "copy_last_", "linear_motion_")
_FORECAST = ("context", "horizon", "quantization")
_DRAWN = ("extractor", "drawn", "reference", "quantization", "neighbors", "classes_drawn")
BEARING: dict[str, tuple[str, ...]] = {
    "elbo": _LIKELIHOOD,
    "bits_per_dimension": _LIKELIHOOD,
    "bits_per_dimension_iw": ("importance",),
    "bits_per_dimension_ode": ("density",),
    "psnr": (*_PIXELS, "context", "horizon", "compression"),
    "ms_ssim": (*_PIXELS, "compression", "scales"),
    "bits_per_pixel": ("compression",),
    "ssim": (*_PIXELS, "context", "horizon"),
    **{f"{way}{name}": _FORECAST for way in _WAYS for name in ("mse_frame", "mse", "mae")},
    **{f"{way}{name}": _FORECAST for way in _WAYS[1:] for name in ("psnr", "ssim")},
    **{f"{way}frechet_video": (*_FORECAST, "extractor", "film_features") for way in _WAYS},
    "classification_accuracy_score": ("cas", "quantization"),
    "neighbor_accuracy": ("neighbors_among",),
    **dict.fromkeys(("average_precision", "average_precision_50", "average_recall"), ("detection",)),
    **dict.fromkeys(("redrawn_psnr", "redrawn_ssim"), ("redrawn", "quantization")),
    **dict.fromkeys(("frechet", "frechet_infinity", "frechet_spatial", "frechet_within_classes", "kid"), _DRAWN),
    **dict.fromkeys(("precision", "recall", "density", "coverage", "asked_class"), _DRAWN),
}
"""What bears on single scores beside that; a recogniser's precision and recall have none of these fields."""

ANSWERS = "answers.safetensors"


@dataclass(frozen=True)
class ScoreCard:
    """Scores by name, each with its interval, the protocol they share, and what a reader must know."""

    protocol: dict[str, Any]
    scores: dict[str, Score]
    confusion: list[list[int]] | None = None
    """Rows are the true classes."""
    notes: tuple[str, ...] = ()
    mistakes: tuple[dict[str, Any], ...] = ()
    """What a recogniser is surest and wrong about, surest first: number of the `picture` in its split, its `class`,
    the class `said` and the `probability` that it was given."""
    answers: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor], compare=False)
    """By score, the value of each picture of the split, whose mean is the score: what paired tests are made on."""

    def to_json(self) -> str:
        """What `score.json` holds: all but the answers."""
        told = {name: value for name, value in vars(self).items() if name != "answers"}
        return json.dumps({**told, "scores": {name: vars(score) for name, score in self.scores.items()}}, indent=1)


@dataclass
class Draft:
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


def from_json(text: str) -> ScoreCard:
    """The inverse of `ScoreCard.to_json`; raises UserError for anything else."""
    try:
        fields = json.loads(text)
        scores = {name: Score(**score) for name, score in fields["scores"].items()}
        lists = {name: tuple(fields[name]) for name in ("notes", "mistakes")}
        return ScoreCard(**{**fields, **lists, "scores": scores})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError("score.json is damaged or of another version: make it anew with `mezzotint measure`") from None


def write(folder: Path, card: ScoreCard) -> None:
    """Put `score.json` and the answers into a run's folder; the card that stands there holds until both are whole."""
    new = folder / f".{ANSWERS}.new"
    try:
        write_tensors(new, {"protocol": _bytes(card), **card.answers})
        write_whole(folder / "score.json", card.to_json())
        new.replace(folder / ANSWERS)
    finally:
        new.unlink(missing_ok=True)


def read(folder: Path) -> ScoreCard:
    """The score card in a run's folder with its answers, none where they are not of this card."""
    path = folder / "score.json"
    if not path.is_file():
        raise UserError(
            f"{folder} has no score.json: finish its training, or make one with `mezzotint measure {folder}`"
        )
    card = from_json(path.read_text(encoding="utf-8", errors="replace"))
    try:
        answers = load_file(folder / ANSWERS)
        if torch.equal(answers.pop("protocol"), _bytes(card)):
            return ScoreCard(**{**vars(card), "answers": answers})
    except (OSError, SafetensorError, KeyError):
        pass  # a card of an older version, or a damaged file: no paired test then
    return card


def _bytes(card: ScoreCard) -> Tensor:
    """The protocol as a tensor, by which answers know their card."""
    return torch.frombuffer(bytearray(json.dumps(card.protocol, sort_keys=True).encode()), dtype=torch.uint8)


def bearing(card: ScoreCard, score: str) -> dict[str, Any]:
    """The part of the protocol that a score of this name must share with another to be compared with it."""
    name = score.partition("[")[0]
    own = BEARING.get(name.removesuffix("_floor"), ())
    fields = (*own, "floor_from") if name.endswith("_floor") else own
    return {key: card.protocol.get(key) for key in (*ALWAYS, *fields)}


def differences(a: ScoreCard, b: ScoreCard, score: str) -> list[str]:
    """The fields of the protocol that bear on the score and in which two cards differ.

    Where there are none, the two values may stand in one column.
    """
    ours, theirs = bearing(a, score), bearing(b, score)
    return [key for key, value in ours.items() if value != theirs[key]]
