"""A data set ready to train on: bytes of one shape, labels, and splits that depend on each picture alone."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mezzotint.data import cache
from mezzotint.data.decode import MAX_PIXELS, Pixels, fitted
from mezzotint.data.sources import Arrays, ArraySource, Listing, locate
from mezzotint.errors import UserError
from mezzotint.types import DataSpec

SPLITS = ("train", "validation", "test")
FORMAT = 1
"""Part of every cache key: raised when the same files would be decoded to other bytes."""


@dataclass(frozen=True)
class Skipped:
    """A file that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """Pictures of one shape with their labels and splits."""

    name: str
    images: Pixels
    """n × h × w × c, possibly memory-mapped."""
    labels: np.ndarray | None
    classes: tuple[str, ...]
    splits: dict[str, np.ndarray]
    """Sorted indices of `train`, `validation` and `test`."""
    digest: str
    """Hex SHA-256 of pixels, labels, classes and splits."""
    skipped: tuple[Skipped, ...] = ()

    @property
    def spec(self) -> DataSpec:
        """What a network must know of these pictures."""
        _, height, width, channels = self.images.shape
        return DataSpec(channels, height, width, self.classes, len(self.splits["train"]))


def load(
    source: str | Path,
    *,
    size: int | None = None,
    channels: int | None = None,
    crop: str = "center",
    cache_folder: Path | None = None,
    progress: cache.Progress | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Dataset:
    """Pictures of a named set, a folder or an .npz file; decoded once and kept in the cache.

    `size` is the side of the squares that pictures are brought to by `crop` (`center`, `fit` or `stretch`); by default
    arrays keep their shape and files take the power of two from 8 to 128 at or below their median short side.
    `channels` is 1 (grey) or 3; by default 1 where all pictures are grey. Raises UserError where nothing can be read.
    """
    place = cache_folder or cache.folder()
    found = locate(source, place)
    if isinstance(found, Listing):
        entry_key = [f"{f.path} {f.bytes} {f.changed} {f.label} {f.split}" for f in found.files] + [str(max_pixels)]
        name = found.root.resolve().name or "pictures"
    else:
        entry_key, name = [found.key], found.name
    decided = repr((FORMAT, entry_key, size, channels, crop))
    entry = place / "decoded" / hashlib.sha256(decided.encode()).hexdigest()[:32]
    stored = cache.load(entry)
    if stored is None:
        shape = (size, channels, crop)
        if isinstance(found, Listing):
            stored = cache.store(entry, lambda new: _fill_from_files(new, found, shape, max_pixels, progress))
        else:
            stored = cache.store(entry, lambda new: _fill_from_arrays(new, found, shape))
    return _dataset(name, entry, *stored)


def _dataset(name: str, entry: Path, images: Pixels, facts: dict[str, Any]) -> Dataset:
    with np.load(entry / "labels.npz", allow_pickle=False) as stored:
        labels = stored["labels"] if "labels" in stored.files else None
        splits = {split: stored[split] for split in SPLITS}
    skipped = tuple(Skipped(*pair) for pair in facts["skipped"])
    return Dataset(name, images, labels, tuple(facts["classes"]), splits, facts["digest"], skipped)


_Shape = tuple[int | None, int | None, str]


def _fill_from_arrays(new: Path, source: ArraySource, shape: _Shape) -> dict[str, Any]:
    size, channels, crop = shape
    arrays = source.read()
    hashes = [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in arrays.images]
    images = _brought_to(arrays.images, size, channels, crop)
    np.save(new / "pixels.npy", images)
    return _finish(new, images, arrays.labels, arrays.classes, split(hashes, arrays.given), ())


def _brought_to(images: Pixels, size: int | None, channels: int | None, crop: str) -> Pixels:
    side = size if size is not None else None
    c = channels or images.shape[3]
    if (side is None or images.shape[1:3] == (side, side)) and images.shape[3] == c:
        return images
    rgb = [Image.fromarray(np.broadcast_to(row, (*row.shape[:2], 3))) for row in images]
    done = [np.asarray(p if side is None else fitted(p, side, crop)) for p in rgb]
    if c == 3:
        return np.stack(done)
    if images.shape[3] == 1:
        return np.stack([p[..., :1] for p in done])
    return np.stack([np.asarray(Image.fromarray(p).convert("L"))[..., None] for p in done])


def _fill_from_files(
    new: Path, listing: Listing, shape: _Shape, max_pixels: int, progress: cache.Progress | None
) -> dict[str, Any]:
    size, channels, crop = shape
    paths = [str(listing.root / f.path) for f in listing.files]
    size = size or usual_size(paths)
    out = new / "pixels.npy"
    results = cache.decode_files(out, paths, size, channels or 3, crop, max_pixels, progress)
    kept = [i for i, r in enumerate(results) if "error" not in r]
    skipped = tuple(Skipped(listing.files[r["i"]].path, r["error"]) for r in results if "error" in r)
    if not kept:
        raise UserError(
            f"none of the {len(paths)} pictures in {listing.root} can be read; the first: {skipped[0].reason}"
        )
    grey = channels is None and all(results[i]["grey"] for i in kept)
    images: Pixels = np.load(out, mmap_mode="r")
    if skipped or grey:
        np.save(new / "kept.npy", images[kept][..., : 1 if grey else None])
        (new / "kept.npy").replace(out)
        images = np.load(out, mmap_mode="r")
    files = [listing.files[i] for i in kept]
    labels = np.array([f.label for f in files], np.int64) if listing.classes else None
    given = np.array([f.split for f in files]) if files[0].split else None
    where = split([results[i]["content"] for i in kept], given)
    return _finish(new, images, labels, listing.classes, where, skipped)


def usual_size(paths: Sequence[str]) -> int:
    """The power of two from 8 to 128 at or below the median short side of (up to 1,000 of) the pictures."""
    sides: list[int] = []
    for path in paths[:: max(1, len(paths) // 1000)]:
        try:
            with Image.open(path) as image:
                sides.append(min(image.size))
        except Exception:  # what cannot be opened is named when it is decoded
            continue
    median = float(np.median(sides)) if sides else 64
    return int(2 ** min(7, max(3, int(np.log2(median)))))


def split(hashes: Sequence[str], given: np.ndarray | None) -> dict[str, np.ndarray]:
    """Indices of the three splits, decided for each picture by the hash of its content alone.

    A tenth is test and a tenth validation; a given test split stays as it is and a twentieth of the given training
    pictures is validation. Equal pictures are always together. Where a split would be empty (very few pictures), the
    picture with the lowest hash that the others can spare goes there.
    """
    position = np.array([int(h[:13], 16) for h in hashes]) / 16.0**13
    where = np.full(len(hashes), "train", dtype="<U10")
    if given is not None and "test" in given:
        where[given == "test"] = "test"
        own = given == "validation"
        where[own if own.any() else (given != "test") & (position < 0.05)] = "validation"
    else:
        where[position < 0.1] = "test"
        where[(position >= 0.1) & (position < 0.2)] = "validation"
    for name in ("train", "test", "validation"):
        if name not in where and len(set(hashes)) >= len(SPLITS):
            spare = [s for s in SPLITS if len({h for h, w in zip(hashes, where, strict=True) if w == s}) > 1]
            lowest = min((p, i) for i, p in enumerate(position) if where[i] in spare)[1]
            where[np.array([h == hashes[lowest] for h in hashes])] = name
    return {name: np.flatnonzero(where == name) for name in SPLITS}


def _finish(
    new: Path,
    images: Pixels,
    labels: np.ndarray | None,
    classes: tuple[str, ...],
    splits: dict[str, np.ndarray],
    skipped: tuple[Skipped, ...],
) -> dict[str, Any]:
    """Write what is not pixels; the facts of the entry."""
    if len(splits["train"]) == 0:
        raise UserError("there are no pictures to train on: at least three different ones are needed")
    arrays = dict(splits) if labels is None else {**splits, "labels": labels}
    np.savez(new / "labels.npz", **arrays)
    digest = hashlib.sha256(repr((images.shape, classes)).encode())
    for part in (images, *(arrays[name] for name in sorted(arrays))):
        digest.update(np.ascontiguousarray(part).data)
    return {
        "shape": list(images.shape),
        "classes": list(classes),
        "digest": digest.hexdigest(),
        "skipped": [[s.path, s.reason] for s in skipped],
    }


def arrays_of(dataset: Dataset, split_name: str) -> Arrays:
    """The pictures and labels of one split, in memory."""
    rows = dataset.splits[split_name]
    labels = None if dataset.labels is None else dataset.labels[rows]
    return Arrays(dataset.images[rows], labels, dataset.classes)
