"""Where pictures come from: named sets, folders, files of arrays, the hub."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint.codec import nearest
from mezzotint.data import annotations, formats, scenes
from mezzotint.data.binarized import binarized
from mezzotint.data.decode import picture_extensions
from mezzotint.data.folders import SPLIT_FOLDERS, Listing, Notes, list_folder
from mezzotint.data.formats import Arrays
from mezzotint.data.stacked import stacks
from mezzotint.errors import UserError


@dataclass(frozen=True)
class ArraySource:
    """A source that is read as arrays from a few files; `key` changes when they do."""

    name: str
    key: str
    read: Callable[[], Arrays]
    black_and_white: bool = False
    """Pixels are 0 and 255, which they would not stay in another size."""


def locate(source: str | Path, cache: Path) -> ArraySource | Listing:
    """What `source` names; raises UserError with the nearest right name where it names nothing."""
    name = str(source)
    if name.startswith("hub:"):
        return _hub(name.removeprefix("hub:"))
    try:
        path = Path(name).expanduser()
    except RuntimeError:
        raise UserError(f"there is no user whose home {name} could be in: write the folder's full path") from None
    if name in NAMED and not path.is_dir():
        return NAMED[name](cache)
    if path.suffix == ".npz" and path.is_file():
        return ArraySource(path.stem, _files_key([path]), lambda: formats.read_npz(path))
    if path.is_dir():
        return _idx_in(path) or _cifar_in(path) or _amat_in(path) or _pictures_in(path)
    if path.suffix == ".json" and path.is_file():
        return _pictures_in(path.parent, path.name)
    if path.exists():
        raise UserError(f"{path} is neither a folder of pictures nor an .npz file nor a COCO file (.json)")
    if "/" in name or "\\" in name or path.suffix:
        raise UserError(f"there is no folder or file {path}")
    raise UserError(f"there is no data set or folder {name!r}: {nearest(name, NAMED)}")


def _pictures_in(folder: Path, coco: str | None = None) -> Listing:
    """The pictures in a folder, with what annotates them: the files that are found, or the one that is named."""
    listing = list_folder(folder)
    pictures = [file.path for file in listing.files]
    notes = Notes("coco", (coco,)) if coco else annotations.find(folder, listing.besides, pictures)
    if notes is None:
        return listing
    notes = replace(notes, key=_files_key([folder / file for file in notes.files], notes.kind))
    files = tuple(replace(file, label=-1) for file in listing.files)
    return replace(listing, files=files, classes=(), others=listing.others - len(notes.files), notes=notes)


def _idx_in(folder: Path, name: str | None = None, classes: tuple[str, ...] | None = None) -> ArraySource | None:
    """MNIST's four files in `folder`, or None where they are not there."""
    found: dict[str, Path] = {}
    for stem in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
        kind = "idx3" if "images" in stem else "idx1"
        choices = [folder / f"{stem}{dash}{kind}-ubyte{end}" for dash in "-." for end in ("", ".gz")]
        found[stem] = next((p for p in choices if p.is_file()), folder)
    if any(p == folder for p in found.values()):
        return None
    called = name or folder.name
    return ArraySource(
        called, _files_key([*found.values()], called, classes), lambda: formats.read_idx_set(found, called, classes)
    )


def _cifar_in(folder: Path) -> ArraySource | None:
    """CIFAR-10's binary or Python version in `folder`, or None."""
    for ending in (".bin", ""):
        batches = [folder / f"data_batch_{i}{ending}" for i in range(1, 6)] + [folder / f"test_batch{ending}"]
        if all(p.is_file() for p in batches):
            return ArraySource("cifar10", _files_key(batches), partial(formats.read_cifar, batches))
    return None


def _amat_in(folder: Path) -> ArraySource | None:
    """MNIST as Salakhutdinov & Murray 2008 drew it black and white, in Larochelle's three files, or None."""
    files = [folder / f"binarized_mnist_{part}.amat" for part in ("train", "valid", "test")]
    if not all(p.is_file() for p in files):
        return None
    return ArraySource("binarized-mnist-2008", _files_key(files), partial(formats.read_amat_set, files), True)


def _digits(cache: Path) -> ArraySource:
    def read() -> Arrays:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        levels = np.rint(np.asarray(images) * (255 / 16)).astype(np.uint8)
        return Arrays(levels.reshape(-1, 8, 8, 1), np.asarray(labels, np.int64), formats.DIGIT_CLASSES)

    return ArraySource("digits", "digits-1", read)


def _named(name: str, find: Callable[[Path], ArraySource | None], advice: str) -> Callable[[Path], ArraySource]:
    def locate_it(cache: Path) -> ArraySource:
        places = [Path("/usr/share/datasets") / name, cache / name]
        if os.environ.get("MEZZOTINT_DATA"):
            places.insert(0, Path(os.environ["MEZZOTINT_DATA"]).expanduser() / name)
        for place in places:
            if place.is_dir() and (source := find(place)):
                return source
        looked = ", ".join(map(str, places))
        raise UserError(f"{name} is not on this machine (looked in {looked}): {advice}")

    return locate_it


def _place(name: str, cache: Path) -> Path | None:
    """Where a folder of that name lies, of the places for data."""
    places = [Path("/usr/share/datasets") / name, cache / name]
    if os.environ.get("MEZZOTINT_DATA"):
        places.insert(0, Path(os.environ["MEZZOTINT_DATA"]).expanduser() / name)
    return next((place for place in places if place.is_dir()), None)


def _sample_photographs() -> list[np.ndarray]:
    from sklearn.datasets import load_sample_images

    return [np.asarray(image) for image in load_sample_images()["images"]]


def _digit_scenes(cache: Path) -> ArraySource:
    """Digits on scikit-learn's two photographs, 64×64: what a detector can be tried on anywhere."""

    def read() -> Arrays:
        digits, photographs = _digits(cache).read(), _sample_photographs()
        assert digits.labels is not None
        stamps = scenes.glyphs(digits.images, seed=0)
        parts = [
            scenes.Parts([stamps[i] for i in rows], digits.labels[rows], photographs)
            for rows in scenes.shared_out(len(stamps), 0.15, seed=0)
        ]
        return scenes.sets(parts, (3000, 300, 500), formats.DIGIT_CLASSES, 64, (14, 30))

    return ArraySource("scenes-digits", "scenes-digits-1", read)


def _scenes(cache: Path) -> ArraySource:
    """Fashion-MNIST's things and emoji on photographs, 96×96."""
    fashion, place = NAMED["fashion-mnist"](cache), _place("emoji", cache)
    if place is None or not (place / "emoji.json").is_file():
        raise UserError(
            "scenes needs emoji: unpack the package emoji-datasource-google and name its folder `emoji`, "
            f"in {cache} or in $MEZZOTINT_DATA; scenes-digits needs no files"
        )
    behind = _place("photographs", cache) or Path("/usr/share/backgrounds")
    files = [place / "emoji.json", *sorted(p for p in behind.rglob("*") if p.is_file())]
    return ArraySource(
        "scenes", _files_key(files, "scenes-2", fashion.key), partial(_read_scenes, fashion, place, behind)
    )


def _read_scenes(fashion: ArraySource, emoji: Path, behind: Path) -> Arrays:
    """Garments, emoji and photographs of a split are in no other; few photographs are in all of them."""
    garments, drawn = fashion.read(), scenes.emoji(emoji)
    photographs = scenes.photographs(behind, picture_extensions()) or _sample_photographs()
    assert garments.labels is not None
    assert garments.given is not None
    train, test = (np.flatnonzero(garments.given == name) for name in ("train", "test"))
    of_garments = train[:-5000], train[-5000:], test
    things = (*formats.FASHION_CLASSES, *scenes.EMOJI)
    of_emoji = scenes.shared_out(len(drawn), 0.15, seed=1)
    enough = len(photographs) >= 10
    of_photographs = scenes.shared_out(len(photographs), 0.15, seed=2) if enough else [np.arange(len(photographs))] * 3
    parts: list[scenes.Parts] = []
    for seed, (g, e, p) in enumerate(zip(of_garments, of_emoji, of_photographs, strict=True)):
        stamps = scenes.glyphs(garments.images[g], seed) + [drawn[i][2] for i in e]
        kinds = np.concatenate([garments.labels[g], [things.index(drawn[i][0]) for i in e]])
        parts.append(scenes.Parts(stamps, kinds, [photographs[i] for i in p]))
    return scenes.sets(parts, (32_000, 500, 1_000), things, 96, (28, 48))


NAMED: dict[str, Callable[[Path], ArraySource]] = {
    "digits": _digits,
    "scenes": _scenes,
    "scenes-digits": _digit_scenes,
    "fashion-mnist": _named(
        "fashion-mnist",
        lambda place: _idx_in(place, "fashion-mnist", formats.FASHION_CLASSES),
        "on Debian and Ubuntu `apt install dataset-fashion-mnist`, or name the folder that holds its four files, "
        "or hub:zalando-datasets/fashion_mnist with the extra `data` and a network",
    ),
    "mnist": _named(
        "mnist",
        lambda place: _idx_in(place, "mnist", formats.DIGIT_CLASSES),
        "name the folder that holds its four files, or hub:ylecun/mnist with the extra `data` and a network",
    ),
    "cifar10": _named(
        "cifar10",
        _cifar_in,
        "name the folder that holds its batches, or hub:uoft-cs/cifar10 with the extra `data` and a network",
    ),
}


def _made(name: str, prefix: str, make: Callable[[Arrays], Arrays]) -> Callable[[Path], ArraySource]:
    """What is made of the pictures of a named grey set."""

    def locate_it(cache: Path) -> ArraySource:
        plain = NAMED[name](cache)
        called, key = f"{prefix}-{plain.name}", f"{prefix} 1 of {plain.key}"
        return ArraySource(called, key, lambda: make(plain.read()), prefix == "binarized")

    return locate_it


NAMED |= {
    f"{prefix}-{name}": _made(name, prefix, make)
    for prefix, make in (("stacked", stacks), ("binarized", binarized))
    for name in ("digits", "fashion-mnist", "mnist")
}


def _hub(name: str) -> ArraySource:
    """A labelled picture set of the Hugging Face hub, through their `datasets` library."""
    try:
        import datasets  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(
            "hub: data sets need the extra `data`: install it with `pip install 'mezzotint[data]'`"
        ) from None
    return ArraySource(name.replace("/", "-"), f"hub:{name}", lambda: _read_hub(datasets, name))


def _read_hub(datasets: Any, name: str) -> Arrays:
    try:
        splits = datasets.load_dataset(name)
    except Exception as error:
        raise UserError(f"hub:{name} could not be loaded: {error}") from None
    images: list[np.ndarray] = []
    labels: list[int] = []
    given: list[str] = []
    classes: tuple[str, ...] = ()
    for split, rows in splits.items():
        features = rows.features
        picture = next((k for k, f in features.items() if isinstance(f, datasets.Image)), None)
        label = next((k for k, f in features.items() if isinstance(f, datasets.ClassLabel)), None)
        if picture is None:
            raise UserError(f"hub:{name} has no column of pictures")
        classes = tuple(features[label].names) if label else ()
        for row in rows:
            pixels = np.asarray(row[picture].convert("RGB"))
            images.append(pixels)
            labels.append(row[label] if label else -1)
            given.append(SPLIT_FOLDERS.get(split, "train"))
    if len({i.shape for i in images}) != 1:
        raise UserError(f"hub:{name} has pictures of several sizes: save them into a folder and name that")
    stacked = np.stack(images)
    if (stacked[..., :1] == stacked).all():
        stacked = stacked[..., :1]
    return Arrays(stacked, np.asarray(labels, np.int64) if classes else None, classes, np.asarray(given))


def _files_key(paths: list[Path], *also: object) -> str:
    """Changes with the files, where they lie, and what else decides how they are read."""
    stats = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
    return hashlib.sha256(repr((stats, also)).encode(errors="surrogateescape")).hexdigest()
