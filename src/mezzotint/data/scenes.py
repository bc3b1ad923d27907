"""Scenes for detectors: small pictures composed on photographs, with boxes that are right by construction."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mezzotint.data.boxes import Rows
from mezzotint.data.decode import Pixels
from mezzotint.data.formats import Arrays

Stamp = NDArray[np.uint8]
"""A small picture to put onto another, h × w × 4: RGB and how much it covers."""

MOST = 5
"""Things in a scene, at most; a scene in twenty is empty."""
EMPTY = 0.05
OVERLAP = 0.25
"""Share of the smaller of two boxes that the other may cover."""
ATTEMPTS = 20
"""At finding a place for a thing before it is left out."""
LONGEST = 512
"""Short side that large photographs are brought to before pieces of them are taken."""
EMOJI = {"face": "face-", "flag": "country-flag", "clock": "time", "animal": "animal-"}
"""Things by the subcategories of emoji that begin so."""


@dataclass(frozen=True)
class Parts:
    """What the scenes of one split are composed of."""

    stamps: Sequence[Stamp]
    kinds: np.ndarray
    """The thing that each stamp shows."""
    photographs: Sequence[Pixels]
    """h × w × 3."""


def compose(parts: Parts, count: int, seed: int, side: int, sizes: tuple[int, int]) -> tuple[Pixels, tuple[Rows, ...]]:
    """`count` scenes of side × side × 3 with their boxes; longer sides of things are from `sizes[0]` to `sizes[1]`.

    Scene i is decided by (seed, i) and the parts alone.
    """
    images = np.zeros((count, side, side, 3), np.uint8)
    found: list[Rows] = []
    for i in range(count):
        images[i], boxes = _scene(np.random.default_rng([seed, i]), parts, side, sizes)
        found.append(boxes)
    return images, tuple(found)


def _scene(rng: np.random.Generator, parts: Parts, side: int, sizes: tuple[int, int]) -> tuple[Pixels, Rows]:
    scene = _piece(rng, parts.photographs[int(rng.integers(len(parts.photographs)))], side)
    boxes: list[list[float]] = []
    wanted = 0 if rng.random() < EMPTY else int(rng.integers(1, MOST + 1))
    things = np.unique(parts.kinds)
    for kind in rng.choice(things, wanted):
        stamp = parts.stamps[int(rng.choice(np.flatnonzero(parts.kinds == kind)))]
        scaled = _scaled(stamp, int(rng.integers(sizes[0], sizes[1] + 1)))
        height, width = scaled.shape[:2]
        for _ in range(ATTEMPTS):
            left, top = int(rng.integers(0, side - width + 1)), int(rng.integers(0, side - height + 1))
            box = [float(kind), left, top, left + width, top + height, 0.0]
            if all(_covered(box, other) <= OVERLAP for other in boxes):
                _put(scene, scaled, left, top)
                boxes.append(box)
                break
    return scene, np.array(boxes, np.float64).reshape(-1, 6)


def _piece(rng: np.random.Generator, photograph: Pixels, side: int) -> Pixels:
    """A square of a photograph, from a third of its short side to all of it, mirrored or not."""
    height, width = photograph.shape[:2]
    short = min(height, width)
    length = int(rng.integers(max(1, short // 3), short + 1))
    left, top = int(rng.integers(0, width - length + 1)), int(rng.integers(0, height - length + 1))
    piece = Image.fromarray(photograph[top : top + length, left : left + length])
    pixels = np.array(piece.resize((side, side), Image.Resampling.BILINEAR))
    return pixels[:, ::-1].copy() if rng.random() < 0.5 else pixels


def _scaled(stamp: Stamp, longest: int) -> Stamp:
    """The stamp with that longer side, without an edge that covers less than half anywhere."""
    height, width = stamp.shape[:2]
    scale = longest / max(height, width)
    size = max(2, round(width * scale)), max(2, round(height * scale))
    scaled = np.asarray(Image.fromarray(stamp).resize(size, Image.Resampling.BILINEAR))
    return trimmed(scaled)


def trimmed(stamp: Stamp) -> Stamp:
    """Without rows and columns at the edge that cover less than half anywhere."""
    solid = stamp[..., 3] > 127
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    if not len(rows):
        return stamp
    return stamp[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _covered(one: Sequence[float], other: Sequence[float]) -> float:
    """The share of the smaller box that both have in common."""
    across = min(one[3], other[3]) - max(one[1], other[1])
    down = min(one[4], other[4]) - max(one[2], other[2])
    areas = [(box[3] - box[1]) * (box[4] - box[2]) for box in (one, other)]
    return max(across, 0) * max(down, 0) / min(areas)


def _put(scene: Pixels, stamp: Stamp, left: int, top: int) -> None:
    height, width = stamp.shape[:2]
    there = scene[top : top + height, left : left + width]
    share = stamp[..., 3:].astype(np.float32) / 255
    there[:] = np.rint(there * (1 - share) + stamp[..., :3] * share).astype(np.uint8)


def glyphs(images: Pixels, seed: int) -> list[Stamp]:
    """Bright things on black (n × h × w × 1) as stamps: black is clear, and each has a light tint of its own."""
    tints = np.random.default_rng(seed).uniform(0.5, 1.0, (len(images), 3))
    stamps: list[Stamp] = []
    for picture, tint in zip(images[..., 0], tints, strict=True):
        color = np.rint(picture[..., None] * tint).astype(np.uint8)
        cover = np.minimum(picture.astype(np.int32) * 4, 255).astype(np.uint8)
        stamps.append(trimmed(np.concatenate([color, cover[..., None]], 2)))
    return stamps


def emoji(folder: Path) -> list[tuple[str, str, Stamp]]:
    """Thing, name and picture of the emoji in a folder with `emoji.json` and `img/…/64/` that show one of `EMOJI`."""
    listed = json.loads((folder / "emoji.json").read_text(encoding="utf-8"))
    pictures = sorted((folder / "img").glob("*/64"))[0]
    found: list[tuple[str, str, Stamp]] = []
    for entry in sorted(listed, key=lambda e: e["unified"]):
        thing = next((t for t, begin in EMOJI.items() if entry["subcategory"].startswith(begin)), None)
        path = pictures / entry["image"]
        if thing is not None and path.is_file():
            with Image.open(path) as image:
                found.append((thing, entry["unified"], trimmed(np.array(image.convert("RGBA")))))
    return found


def photographs(folder: Path, extensions: frozenset[str]) -> list[Pixels]:
    """The pictures in a folder and below it in order of their paths, the large ones made smaller."""
    found: list[Pixels] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in extensions and p.is_file()):
        try:
            with Image.open(path) as image:
                image.draft("RGB", (LONGEST, LONGEST))
                picture = image.convert("RGB")
        except Exception:
            continue
        found.append(_reduced(picture))
    return [pixels for pixels in found if min(pixels.shape[:2]) >= 64]


def _reduced(picture: Image.Image) -> Pixels:
    scale = LONGEST / min(picture.size)
    if scale < 1:
        size = round(picture.width * scale), round(picture.height * scale)
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    return np.array(picture)


def shared_out(count: int, share: float, seed: int) -> list[np.ndarray]:
    """Indices for training, validation and test: of `count` things about `share` for each of the last two."""
    order = np.random.default_rng([seed, count]).permutation(count)
    held = max(1, round(share * count))
    return [np.sort(order[2 * held :]), np.sort(order[:held]), np.sort(order[held : 2 * held])]


def sets(
    parts: Sequence[Parts], counts: Sequence[int], things: tuple[str, ...], side: int, sizes: tuple[int, int]
) -> Arrays:
    """Training, validation and test scenes as one data set; `parts` and `counts` of each split."""
    made = [
        compose(part, count, seed, side, sizes) for seed, (part, count) in enumerate(zip(parts, counts, strict=True))
    ]
    images = np.concatenate([images for images, _ in made])
    boxes = tuple(rows for _, found in made for rows in found)
    given = np.repeat(["train", "validation", "test"], counts)
    return Arrays(images, None, (), given, boxes, things)
