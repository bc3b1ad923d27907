"""Forecasts held against what came, beside two that know nothing: the last frame again, and steady motion."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import ordered
from mezzotint.drawing import device_of, using
from mezzotint.method import Method
from mezzotint.metrics import distribution, sequence
from mezzotint.metrics.features import Extractor
from mezzotint.metrics.interval import Score, mean
from mezzotint.ops.motion import linear_motion
from mezzotint.types import Clips, Dreams, Forecasts

Way = Callable[[Clips, int, Sequence[int]], Clips]
"""From context, horizon and a seed a clip to the frames that follow."""
CLIPS = 10
"""Per pass."""
FEWEST = 6
"""Clips in a set that can be compared with another."""
COPY, LINEAR = "copy_last", "linear_motion"
SHOWN = 3
"""Clips on a sheet of film strips, futures of one clip and dreams."""


def as_saved(frames: Clips) -> Clips:
    """Frames rounded to 8 bits a channel."""
    return ((frames.float() + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1


def forecasters(method: Forecasts) -> dict[str, Way]:
    """What is measured, by the prefix of its scores."""
    return {
        "": method.forecast,
        f"{COPY}_": lambda context, horizon, _: context[:, -1:].expand(-1, horizon, -1, -1, -1),
        f"{LINEAR}_": lambda context, horizon, _: linear_motion(context, horizon),
    }


def split_clips(
    method: Forecasts, dataset: Dataset, split: str, count: int, device: Any, seed: int = 0
) -> Iterator[tuple[Clips, Clips, Sequence[int]]]:
    """What is given and what came of up to `count` clips spread over a split, and their seeds from `seed` on.

    Each clip has a seed of its own: with one for all, what is drawn for one clip would be drawn for every one.
    """
    for clips, _ in ordered(dataset, split, CLIPS, device, count):
        yield clips[:, : method.context], clips[:, method.context :], range(seed, seed + len(clips))
        seed += len(clips)


@dataclass(frozen=True)
class Measured:
    """Scores by name, and the values of each clip behind those of the method itself."""

    scores: dict[str, Score]
    answers: dict[str, Tensor]
    protocol: dict[str, Any]


def glance(method: Method, dataset: Dataset, split: str, count: int) -> tuple[float, int]:
    """The squared error a frame of the method itself on a few clips, and how many there were."""
    assert isinstance(method, Forecasts)
    found: list[Tensor] = []
    with using(method):
        for context, came, seeds in split_clips(method, dataset, split, count, device_of(method)):
            said = as_saved(method.forecast(context, came.shape[1], seeds))
            found.append((said - came).square().sum((2, 3, 4)).mean(1) / 4)  # of [0, 1], not of [-1, 1]
    return float(torch.cat(found).mean()), sum(map(len, found))


def measured(method: Method, dataset: Dataset, split: str, count: int, extractor: Extractor, seed: int) -> Measured:
    """All errors of up to `count` clips of a split, averaged and step by step, and the Fréchet distance of futures.

    Scores of the two simple forecasters have their names before them; `name[+3]` is the third step's.
    """
    assert isinstance(method, Forecasts)
    ways = forecasters(method)
    errors: dict[str, list[Tensor]] = {}
    features: dict[str, list[Tensor]] = {prefix: [] for prefix in (*ways, "came")}
    with using(method):
        for context, came, seeds in split_clips(method, dataset, split, count, device_of(method), seed):
            features["came"].append(_seen(came, extractor))
            for prefix, forecast in ways.items():
                said = as_saved(forecast(context, came.shape[1], seeds))
                features[prefix].append(_seen(said, extractor))
                for name, values in sequence.errors(said, came).items():
                    errors.setdefault(prefix + name, []).append(values.cpu())
    each = {name: torch.cat(values) for name, values in errors.items()}
    scores = {name: mean(values.mean(1)) for name, values in each.items()}
    scores |= _distances({name: torch.cat(rows) for name, rows in features.items()}, ways)
    for name, values in each.items():
        scores |= {f"{name}[+{k}]": mean(step) for k, step in enumerate(values.unbind(1), 1)}
    clips, horizon = next(iter(each.values())).shape
    protocol = {
        "clips": clips,
        "context": method.context,
        "horizon": horizon,
        "extractor": {"name": extractor.name, "digest": extractor.digest, "resize": extractor.resize},
        "film_features": "means of frames' features over the horizon, and of their changes from frame to frame",
        "quantization": "8 bits a channel",
    }
    answers = {name: values.mean(1) for name, values in each.items() if not name.startswith((COPY, LINEAR))}
    return Measured(scores, answers, protocol)


def _seen(frames: Clips, extractor: Extractor) -> Tensor:
    rows = extractor(frames.flatten(0, 1).float()).unflatten(0, frames.shape[:2])
    return sequence.film_features(rows).cpu()


def _distances(rows: dict[str, Tensor], ways: dict[str, Any]) -> dict[str, Score]:
    """Between forecast and recorded futures of the same clips."""
    came = rows["came"]
    if len(came) < FEWEST:
        return {}
    return {f"{prefix}frechet_video": distribution.frechet_intervals(came, rows[prefix])[0] for prefix in ways}


def film_strips(method: Method, dataset: Dataset, split: str, count: int = SHOWN, seed: int = 0) -> pictures.Pixels:
    """A few clips, three rows each: what was recorded, the forecast behind its context, and its error."""
    assert isinstance(method, Forecasts)
    rows: list[np.ndarray] = []
    with using(method):
        for context, came, seeds in split_clips(method, dataset, split, count, device_of(method), seed):
            said = method.forecast(context, came.shape[1], seeds).cpu()
            for given, true, forecast in zip(context.cpu(), came.cpu(), said, strict=True):
                rows += strip(given, true, forecast)
    return pictures.grid(np.concatenate(rows), dataset.spec.frames)


def futures_sheet(method: Method, dataset: Dataset, split: str, count: int = SHOWN) -> pictures.Pixels:
    """One clip as it was recorded, and below it `count` futures behind white, of the seeds 0, 1, 2 …"""
    assert isinstance(method, Forecasts)
    with using(method):
        ((context, came, _),) = split_clips(method, dataset, split, 1, device_of(method))
        said = method.forecast(context.expand(count, -1, -1, -1, -1), came.shape[1], range(count))
    rows = [torch.cat([context, came], 1), torch.cat([torch.ones_like(context).expand(count, -1, -1, -1, -1), said], 1)]
    return _in_rows(torch.cat(rows))


def dreams_sheet(method: Method, frames: int, count: int = SHOWN) -> pictures.Pixels:
    """Clips of `frames` frames out of noise alone, of the seeds 0, 1, 2 …"""
    assert isinstance(method, Dreams)
    with using(method):
        return _in_rows(method.dream(range(count), frames))


def _in_rows(clips: Clips) -> pictures.Pixels:
    return pictures.grid(pictures.to_uint8(clips.flatten(0, 1).float().cpu()), clips.shape[1])


def strip(given: Tensor, came: Tensor, said: Tensor) -> list[np.ndarray]:
    """Three rows of t × h × w × c: recorded; white, then forecast; white, then error."""
    white = torch.ones_like(given)
    rows = (torch.cat([given, came]), torch.cat([white, said]), torch.cat([white, error_picture(said, came)]))
    return [pictures.to_uint8(row) for row in rows]


def error_picture(said: Tensor, came: Tensor) -> Tensor:
    """The absolute error: black where there is none, white where it is all of the range."""
    return (said - came).abs() - 1
