"""A data set ready to train on: bytes of one shape, labels, and splits that depend on each picture alone."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mezzotint.data import annotations, boxes, cache
from mezzotint.data.annotations import Marked
from mezzotint.data.decode import CUT, MAX_PIXELS, Pixels, fitted, orientation_of
from mezzotint.data.folders import File, Listing
from mezzotint.data.footage import Footage
from mezzotint.data.formats import Arrays
from mezzotint.data.sources import ArraySource, locate
from mezzotint.errors import UserError
from mezzotint.types import DataSpec

CROPS = ("center", "fit", "stretch", CUT)
SPLITS = ("train", "validation", "test")
FORMAT = 5
TARGET = "target."
"""Before the names of targets among the arrays of the cache."""
"""Part of every cache key: raised when the same files would be decoded to other bytes, or told of otherwise."""
ROWS = 1024
"""Pictures that are copied at once."""


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
    """n × h × w × c, possibly memory-mapped; of clips what they are made of."""
    labels: np.ndarray | None
    classes: tuple[str, ...]
    splits: dict[str, np.ndarray]
    """Sorted indices of `train`, `validation` and `test`; of clips where there are any, else of pictures."""
    digest: str
    """Hex SHA-256 of pixels, labels, classes, splits, targets and things."""
    skipped: tuple[Skipped, ...] = ()
    targets: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """What is to be learned of each picture beside its class, by name; rows as in `images`. `boxes` are float32,
    n × m × 6 (`types.Boxes`)."""
    things: tuple[str, ...] = ()
    """What the boxes hold."""
    remarks: tuple[str, ...] = ()
    """What was odd about the annotations, a sentence each."""
    footage: Footage | None = None
    """What clips are cut from; None for still pictures."""

    @property
    def spec(self) -> DataSpec:
        """What a network must know of these pictures."""
        height, width, channels = self.footage.shape if self.footage else self.images.shape[1:]
        train = self.splits["train"]
        counts = () if self.labels is None else np.bincount(self.labels[train], minlength=len(self.classes)).tolist()
        frames = self.footage.length if self.footage else 1
        return DataSpec(
            channels,
            height,
            width,
            self.classes,
            len(train),
            counts=tuple(counts),
            things=self.things,
            frames=frames,
        )

    def at(self, rows: np.ndarray) -> Pixels:
        """Pictures n × h × w × c, or clips n × t × h × w × c, of these indices."""
        return self.footage.at(rows) if self.footage else self.images[rows]


@dataclass(frozen=True)
class Origins:
    """What the pictures of a data set were before they were brought to one shape; rows as in `Dataset.images`."""

    paths: list[str]
    """Relative to the folder; `#i` in a set that is read from arrays."""
    content: np.ndarray
    """Hex hash of each picture's own pixels."""
    widths: np.ndarray
    heights: np.ndarray
    modes: np.ndarray
    """Pillow's name of the kind of pixels."""
    turned: np.ndarray
    """Whether the EXIF orientation was not upright."""
    others: int
    """Files in the folder that are no pictures by their names."""


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
    arrays keep their shape and files take the power of two from 8 to 128 at or below their median short side. By `cut`
    pictures keep their pixels, and up to 64 squares of each are pictures of the set, all in one split; smaller ones are
    skipped.
    `channels` is 1 (grey) or 3; by default 1 where all pictures are grey. Raises UserError where nothing can be read.
    """
    return load_with_origins(source, size, channels, crop, cache_folder, progress, max_pixels)[0]


def load_with_origins(
    source: str | Path,
    size: int | None,
    channels: int | None,
    crop: str,
    cache_folder: Path | None,
    progress: cache.Progress | None,
    max_pixels: int = MAX_PIXELS,
) -> tuple[Dataset, Origins]:
    """What `load` gives, and what the pictures were before."""
    _refuse_odd_shapes(size, channels, crop)
    place = cache_folder or cache.folder()
    found = locate(source, place)
    if isinstance(found, Listing):
        # The folder is part of the key: unpacked archives have files of the same names, sizes and times.
        entry_key = [f"{f.path} {f.bytes} {f.changed} {f.label} {f.split}" for f in found.files]
        entry_key += [str(found.root.resolve()), str(max_pixels)]
        entry_key += [found.notes.key] if found.notes else []
        name = found.root.resolve().name or "pictures"
    else:
        entry_key, name = [found.key], found.name

    def entry_of(size: int | None, channels: int | None) -> Path:
        decided = repr((FORMAT, entry_key, size, channels, crop))
        return place / "decoded" / hashlib.sha256(decided.encode(errors="surrogateescape")).hexdigest()[:32]

    entry = entry_of(size, channels)
    stored = cache.load(entry)
    if stored is None:
        shape = (size, channels, crop)
        if isinstance(found, Listing):
            stored = cache.store(entry, lambda new: _fill_from_files(new, found, shape, max_pixels, progress))
        else:
            stored = cache.store(entry, lambda new: _fill_from_arrays(new, found, shape))
        _, height, width, depth = stored.pixels.shape
        cache.alias(entry_of(height if height == width else None, depth), entry)
    others = found.others if isinstance(found, Listing) else 0
    return _dataset(name, stored), _origins(stored, others)


def _refuse_odd_shapes(size: int | None, channels: int | None, crop: str) -> None:
    if size is not None and not 1 <= size <= 4096:
        raise UserError(f"pictures cannot be brought to a size of {size}: name a number of pixels from 1 to 4096")
    if channels not in (None, 1, 3):
        raise UserError(f"pictures cannot have {channels} channels here: name 1 (grey) or 3 (RGB)")
    if crop not in CROPS:
        raise UserError(f"there is no crop {crop!r}: name one of {', '.join(CROPS)}")


def _dataset(name: str, stored: cache.Entry) -> Dataset:
    splits = {split: stored.arrays[split] for split in SPLITS}
    skipped = tuple(Skipped(*pair) for pair in stored.facts["skipped"])
    facts = stored.facts
    labels = stored.arrays.get("labels")
    return Dataset(
        name,
        stored.pixels,
        labels,
        tuple(facts["classes"]),
        splits,
        _digest(stored),
        skipped,
        targets={k.removeprefix(TARGET): values for k, values in stored.arrays.items() if k.startswith(TARGET)},
        things=tuple(facts.get("things", ())),
        remarks=tuple(facts.get("remarks", ())),
    )


def _digest(stored: cache.Entry) -> str:
    """Hex hash of all that a training sees: pixels, classes, labels, splits, targets and things."""
    facts = stored.facts
    digest = hashlib.sha256(repr((facts["shape"], facts["classes"], facts["file"]["sha256"])).encode())
    if facts.get("things"):
        digest.update(repr(facts["things"]).encode())
    targets = {name for name in stored.arrays if name.startswith(TARGET)}
    for name in sorted({"labels", *SPLITS, *targets} & set(stored.arrays)):
        digest.update(np.ascontiguousarray(stored.arrays[name]).data)
    return digest.hexdigest()


def _origins(stored: cache.Entry, others: int) -> Origins:
    arrays = stored.arrays
    widths, heights = arrays["sides"].T
    return Origins(stored.facts["paths"], arrays["content"], widths, heights, arrays["modes"], arrays["turned"], others)


_Shape = tuple[int | None, int | None, str]


def _fill_from_arrays(new: Path, source: ArraySource, shape: _Shape) -> dict[str, Any]:
    size, channels, crop = shape
    if crop == CUT:
        raise UserError(f"squares are cut from files alone, and {source.name} has none: leave --crop cut out")
    arrays = source.read()
    hashes = _hashes(arrays.images)
    images = _brought_to(arrays.images, size, channels, crop)
    if source.black_and_white and images.shape != arrays.images.shape:
        raise UserError(f"{source.name} is black and white in its own size alone: leave --size and --channels out")
    np.save(new / "pixels.npy", images)
    n, h, w, c = arrays.images.shape
    origin = {
        "content": np.array(hashes),
        "sides": np.tile(np.array([w, h], np.int32), (n, 1)),
        "modes": np.full(n, "L" if c == 1 else "RGB"),
        "turned": np.zeros(n, bool),
    }
    given_splits = split(hashes if arrays.made_from is None else _hashes(arrays.made_from), arrays.given)
    paths = [f"#{i}" for i in range(n)]
    facts = _finish(
        new, images, arrays.labels, arrays.classes, given_splits, (), origin, paths, _kept(arrays, images, crop)
    )
    return {**facts, "things": list(arrays.things)}


def _hashes(images: Pixels) -> list[str]:
    return [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in images]


def _kept(arrays: Arrays, images: Pixels, crop: str) -> dict[str, np.ndarray]:
    """The boxes of a set of arrays where its pictures were brought to."""
    if not arrays.things:
        return {}
    (height, width), size = arrays.images.shape[1:3], images.shape[1]
    same = images.shape[1:3] == (height, width)
    return {"boxes": boxes.padded([b if same else boxes.placed(b, width, height, size, crop) for b in arrays.boxes])}


def _brought_to(images: Pixels, size: int | None, channels: int | None, crop: str) -> Pixels:
    c = channels or images.shape[3]
    if (size is None or images.shape[1:3] == (size, size)) and images.shape[3] == c:
        return images
    rgb = [Image.fromarray(np.broadcast_to(row, (*row.shape[:2], 3))) for row in images]
    done = [np.asarray(p if size is None else fitted(p, size, crop)) for p in rgb]
    if c == 3:
        return np.stack(done)
    if images.shape[3] == 1:
        return np.stack([p[..., :1] for p in done])
    return np.stack([np.asarray(Image.fromarray(p).convert("L"))[..., None] for p in done])


def _fill_from_files(
    new: Path, listing: Listing, shape: _Shape, max_pixels: int, progress: cache.Progress | None
) -> dict[str, Any]:
    size, channels, crop = shape
    marked = None
    if listing.notes is not None and crop == CUT:
        raise UserError("squares are cut from pictures without boxes: name --crop center, fit or stretch")
    if size is None and crop == CUT:
        raise UserError("name the side of the squares that are cut, as with --size 64")
    if listing.notes is not None:
        marked = annotations.read(listing.root, listing.notes, [f.path for f in listing.files])
        listing = _annotated(listing, marked)
    paths = [f"{listing.root}/{f.path}" for f in listing.files]
    side = usual_size(paths) if size is None else size
    out = new / "pixels.npy"
    results = cache.decode_files(out, paths, side, channels or 3, crop, max_pixels, progress)
    skipped = tuple(
        Skipped(file.path, r["error"]) for file, r in zip(listing.files, results, strict=True) if "error" in r
    )
    rows = [row for pair in zip(listing.files, results, strict=True) for row in _rows(*pair)]
    rows = _on_one_side(rows) if crop == CUT else rows
    if not rows:
        raise UserError(
            f"none of the {len(paths)} pictures in {listing.root} can be read; the first: {skipped[0].reason}"
        )
    grey = channels is None and all(row.told["grey"] for row in rows)
    images: Pixels = np.load(out, mmap_mode="r")
    if len(rows) < len(images) or grey:
        _narrow(out, images, [row.number for row in rows], 1 if grey else images.shape[3])
        images = np.load(out, mmap_mode="r")
    files, told = [row.file for row in rows], [row.told for row in rows]
    labels = np.array([f.label for f in files], np.int64) if listing.classes else None
    origin = {
        "content": np.array([row.content for row in rows]),
        "sides": np.array([(r["width"], r["height"]) for r in told], np.int32),
        "modes": np.array([r["mode"] for r in told]),
        "turned": np.array([r["turned"] for r in told]),
    }
    where = _split_of_files(rows)
    targets = {} if marked is None else {"boxes": _boxes(listing.root, files, told, marked, side, crop)}
    paths = [row.path for row in rows]
    facts = _finish(new, images, labels, listing.classes, where, skipped, origin, paths, targets)
    return facts if marked is None else {**facts, "things": marked.things, "remarks": marked.odd.sentences()}


@dataclass(frozen=True)
class _Row:
    """A picture of the set, and the file that it is of."""

    number: int
    file: File
    told: dict[str, Any]
    """Of the file as a whole."""
    path: str
    content: str


def _rows(file: File, told: dict[str, Any]) -> list[_Row]:
    """One of a file, one of each square that was cut from it, none of a file that was not read."""
    if "error" in told:
        return []
    if "squares" not in told:
        return [_Row(told["i"], file, told, file.path, told["content"])]
    return [_Row(told["i"] + k, file, told, f"{file.path}#{k}", content) for k, content in enumerate(told["squares"])]


def _split_of_files(rows: list[_Row]) -> dict[str, np.ndarray]:
    """Rows of the three splits: squares go where their picture goes."""
    given = np.array([row.file.split for row in rows]) if rows and rows[0].file.split else None
    return split([row.told["content"] for row in rows], given)


def _on_one_side(rows: list[_Row]) -> list[_Row]:
    """Without squares that another split has: plain sky is in many photographs."""
    sides = {int(i): name for name, places in _split_of_files(rows).items() for i in places}
    first: dict[str, str] = {}
    return [row for i, row in enumerate(rows) if first.setdefault(row.content, sides[i]) == sides[i]]


def _annotated(listing: Listing, marked: Marked) -> Listing:
    """The pictures that the annotations know, in the splits that they tell (all of them, or none)."""
    known = [f for f in listing.files if f.path in marked.boxes]
    split_all = all(f.path in marked.splits for f in known) and "train" in marked.splits.values()
    files = (replace(f, split=marked.splits[f.path] if split_all else "") for f in known)
    return replace(listing, files=tuple(files))


def _boxes(
    root: Path, files: Sequence[File], told: Sequence[dict[str, Any]], marked: Marked, side: int, crop: str
) -> np.ndarray:
    """The boxes of each picture in the square that it was brought to, n × m × 6."""
    found: list[boxes.Rows] = []
    for file, facts in zip(files, told, strict=True):
        rows, (width, height) = marked.boxes[file.path], (facts["width"], facts["height"])
        orientation = _orientation(root / file.path) if facts["turned"] else 1
        shown = (height, width) if orientation >= 5 else (width, height)
        claimed = marked.sizes.get(file.path, shown)
        if marked.shares:
            rows = rows * np.array([1, *shown, *shown, 1])
        elif claimed == (width, height) != shown:
            marked.odd.add("turned pictures are annotated as they are stored: their boxes were turned", file.path)
            rows = boxes.upright(rows, width, height, orientation)
        elif claimed != shown and len(rows):
            marked.odd.add("pictures have another size than their annotation says: their boxes were scaled", file.path)
            rows = rows * np.array([1, *np.tile(np.divide(shown, np.maximum(claimed, 1)), 2), 1])
        rows = boxes.sound(rows, *shown, marked.odd, file.path)
        placed = boxes.placed(rows, *shown, side, crop)
        told_of = "boxes are hardly or not in the crop (--crop fit keeps whole pictures) and do not count"
        marked.odd.add(told_of, file.path, len(rows) - int((placed[:, 5] == 0).sum()) - int((rows[:, 5] == 1).sum()))
        found.append(placed)
    return boxes.padded(found)


def _orientation(path: Path) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as image:
            return orientation_of(image)


def _narrow(out: Path, images: Pixels, kept: list[int], channels: int) -> None:
    """Write only the rows that could be read and the channels that differ, by blocks: all may not fit in memory."""
    slim = out.with_name("kept.npy")
    shape = (len(kept), *images.shape[1:3], channels)
    with slim.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for start in range(0, len(kept), ROWS):
            file.write(images[kept[start : start + ROWS]][..., :channels].tobytes())
    slim.replace(out)


def usual_size(paths: Sequence[str]) -> int:
    """The power of two from 8 to 128 at or below the median short side of (up to about 200 of) the pictures."""
    sides: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in paths[:: max(1, len(paths) // 200)]:
            try:
                with Image.open(path) as image:
                    sides.append(min(image.size))
            except Exception:  # what cannot be opened is named when it is decoded
                continue
    median = float(np.median(sides)) if sides else 64
    return int(2 ** min(7, max(3, int(np.log2(median)))))


def split(hashes: Sequence[str], given: np.ndarray | None) -> dict[str, np.ndarray]:
    """Indices of the three splits, decided for each picture by the hash of its content alone.

    A tenth is test and a tenth validation, equal pictures together. Given splits stay as they are; where one of them
    is missing, it is taken from the given training pictures: a tenth for test, a twentieth for validation.
    Where a split would still be empty (very few pictures) and there are three different ones, the picture with the
    lowest hash that others can spare goes there, with its copies; from given splits only training pictures do.
    """
    position = np.array([int(h[:13], 16) for h in hashes]) / 16.0**13
    where = np.full(len(hashes), "train", dtype="<U10")
    if given is None:
        where[position < 0.2] = "validation"
        where[position < 0.1] = "test"
    else:
        spare = ~np.isin(given, ("validation", "test"))
        where[~spare] = given[~spare]
        if "validation" not in given:
            where[spare & (position < 0.05)] = "validation"
        if "test" not in given:
            where[spare & (position >= 0.05) & (position < 0.15)] = "test"
    _fill_empty(where, np.asarray(hashes), SPLITS if given is None else SPLITS[:1])
    return {name: np.flatnonzero(where == name) for name in SPLITS}


def _fill_empty(where: np.ndarray, hashes: np.ndarray, givers: Sequence[str]) -> None:
    """Change `where` so that no split is empty, as far as `givers` have more than one different picture."""
    for name in SPLITS:
        if name in where or len(np.unique(hashes)) < len(SPLITS):
            continue
        able = [giver for giver in givers if len(np.unique(hashes[where == giver])) > 1]
        if able:
            where[hashes == min(hashes[np.isin(where, able)])] = name


def _finish(
    new: Path,
    images: Pixels,
    labels: np.ndarray | None,
    classes: tuple[str, ...],
    splits: dict[str, np.ndarray],
    skipped: tuple[Skipped, ...],
    origin: dict[str, np.ndarray],
    paths: list[str],
    targets: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Write what is not pixels; the facts of the entry."""
    if len(splits["train"]) == 0:
        raise UserError("there are no pictures to train on: at least three different ones are needed")
    arrays = dict(splits) if labels is None else {**splits, "labels": labels}
    everything: dict[str, Any] = {**arrays, **origin, **{TARGET + name: values for name, values in targets.items()}}
    np.savez(new / "arrays.npz", **everything)
    return {
        "shape": list(images.shape),
        "classes": list(classes),
        "skipped": [[s.path, s.reason] for s in skipped],
        "paths": paths,
    }
