"""Pictures drawn to enlarge a labelled data set: by class, kept where a recogniser is sure of the class asked for."""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mezzotint.codec import nearest
from mezzotint.data import pictures
from mezzotint.drawing import CHUNK, device_of, draw, using
from mezzotint.errors import UserError
from mezzotint.files import write_whole
from mezzotint.method import Method
from mezzotint.types import Classifies, Generates

TRIES = 20
"""Pictures that are drawn for each one asked for, at most."""
MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Sure:
    """Drawn pictures that were kept, class by class in the order asked for."""

    images: pictures.Pixels
    """n × h × w × c."""
    labels: np.ndarray
    """Class indices of the generator."""
    seeds: np.ndarray
    certainties: np.ndarray
    """The recogniser's probability of the class asked for; not a number without a recogniser."""
    tried: dict[str, int]
    """Pictures drawn of each class to keep these."""

    def kept(self, label: int) -> int:
        """Pictures of one class."""
        return int((self.labels == label).sum())


def draw_sure(
    method: Method, classes: Sequence[str], per_class: int, recogniser: Method | None, certainty: float, seed: int = 0
) -> Sure:
    """Draw until there are `per_class` pictures of each class that the recogniser is sure of, or `TRIES` times as many.

    Classes take turns in the seeds from `seed` on, as in `mezzotint generate --classes`, so that any picture can be
    drawn again. Pictures are judged as they would be saved. Raises UserError for a generator or recogniser that does
    not know these classes, and for numbers that admit nothing.
    """
    _refuse_odd(method, classes, per_class, recogniser, certainty)
    found = [
        _of_class(method, name, (seed + i, len(classes)), per_class, recogniser, certainty)
        for i, name in enumerate(classes)
    ]
    images, labels, seeds, certainties = (np.concatenate(part) for part in zip(*(f[:4] for f in found), strict=True))
    return Sure(images, labels, seeds, certainties, {name: f[4] for name, f in zip(classes, found, strict=True)})


_Found = tuple[pictures.Pixels, np.ndarray, np.ndarray, np.ndarray, int]


def _of_class(
    method: Method, name: str, turn: tuple[int, int], per_class: int, recogniser: Method | None, certainty: float
) -> _Found:
    """Pictures, labels, seeds and certainties of one class, how many were drawn; `turn`: its first seed and step."""
    label, (first, step) = method.spec.classes.index(name), turn
    c, h, w = method.spec.shape
    images, seeds, sure = np.zeros((0, h, w, c), np.uint8), np.zeros(0, np.int64), np.zeros(0)
    tried, most = 0, per_class if recogniser is None else TRIES * per_class
    while len(images) < per_class and tried < most:
        count = min(CHUNK, most - tried)
        numbers = first + step * np.arange(tried, tried + count)
        drawn = pictures.to_uint8(draw(method, numbers.tolist(), torch.full((count,), label)))
        certain = np.full(count, np.nan) if recogniser is None else certainties(recogniser, drawn, name)
        good = np.isnan(certain) | (certain >= certainty)
        images, seeds = np.concatenate([images, drawn[good]]), np.concatenate([seeds, numbers[good]])
        sure, tried = np.concatenate([sure, certain[good]]), tried + count
    kept = min(per_class, len(images))
    if kept == per_class:
        tried = int(seeds[kept - 1] - first) // step + 1  # what was drawn after the last one needed was not looked for
    return images[:kept], np.full(kept, label, np.int64), seeds[:kept], sure[:kept], tried


def certainties(recogniser: Method, images: pictures.Pixels, name: str) -> np.ndarray:
    """A recogniser's probability of the class `name` for each picture, n h w c."""
    assert isinstance(recogniser, Classifies)
    with using(recogniser):
        parts = pictures.to_float(images).to(device_of(recogniser)).split(CHUNK)
        given = torch.cat([recogniser.classify(part).float().softmax(1) for part in parts])
    return given[:, recogniser.spec.classes.index(name)].cpu().double().numpy()


def _refuse_odd(
    method: Method, classes: Sequence[str], per_class: int, recogniser: Method | None, certainty: float
) -> None:
    if not isinstance(method, Generates) or not getattr(method, "classes", 0):
        raise UserError("this model does not draw pictures by class: train one that does (flow, r3gan, biggan)")
    if per_class < 1:
        raise UserError(f"--per-class must be at least 1, not {per_class}")
    if not classes or len(set(classes)) < len(classes):
        raise UserError("name each class to draw once")
    for name in classes:
        if name not in method.spec.classes:
            raise UserError(f"there is no class {name!r}: {nearest(name, method.spec.classes)}")
    if recogniser is None:
        return
    if not isinstance(recogniser, Classifies):
        raise UserError("--recogniser takes the run of a recogniser: train one (cnn) on the same pictures")
    if recogniser.spec.shape != method.spec.shape or not set(classes) <= set(recogniser.spec.classes):
        raise UserError(
            "the recogniser was trained on pictures of another shape or of other classes than the generator"
        )
    if not 0 <= certainty < 1:
        raise UserError(f"--certainty is a probability from 0 to below 1, not {certainty:g}")


def write(folder: Path, sure: Sure, classes: Sequence[str], facts: dict[str, Any]) -> None:
    """Write the pictures into a new folder, a sub-folder a class, with a manifest; whole or not at all.

    `classes` are all of the generator's. The manifest holds `facts`, how many pictures of each class were drawn and
    kept, and of each picture its file, class, seed and certainty.
    """
    names = folder_names(classes)
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        listed: list[dict[str, Any]] = []
        for picture, label, seed, certain in zip(sure.images, sure.labels, sure.seeds, sure.certainties, strict=True):
            file = f"{names[label]}/seed-{seed:06d}.png"
            pictures.save_png(new / file, picture)
            told = None if np.isnan(certain) else round(float(certain), 6)
            listed.append({"file": file, "class": classes[label], "seed": int(seed), "certainty": told})
        drawn = {name: {"drawn": n, "kept": sure.kept(classes.index(name))} for name, n in sure.tried.items()}
        whole = {"format": FORMAT, **facts, "classes": drawn, "pictures": listed}
        write_whole(new / MANIFEST, json.dumps(whole, indent=1))
        if folder.is_dir():
            folder.rmdir()  # an empty one
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def folder_names(classes: Sequence[str]) -> list[str]:
    """Folders for classes, whose names may hold slashes or begin with a dot; numbered where two would be the same."""
    plain = [re.sub(r'[/\\:*?"<>|\x00-\x1f]', "-", name).strip(" .") or "class" for name in classes]
    lowered = [name.lower() for name in plain]
    some = [f"{i}-{name}" if lowered.count(name.lower()) > 1 else name for i, name in enumerate(plain)]
    all_differ = len({name.lower() for name in some}) == len(some)  # one may be called what another became
    return some if all_differ else [f"{i}-{name}" for i, name in enumerate(plain)]
