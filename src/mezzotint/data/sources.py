"""Where pictures come from: named sets, folders, files of arrays, the hub."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint.codec import nearest
from mezzotint.data import formats
from mezzotint.data.folders import SPLIT_FOLDERS, Listing, list_folder
from mezzotint.data.formats import Arrays
from mezzotint.data.stacked import stacks
from mezzotint.errors import UserError


@dataclass(frozen=True)
class ArraySource:
    """A source that is read as arrays from a few files; `key` changes when they do."""

    name: str
    key: str
    read: Callable[[], Arrays]


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
        return _idx_in(path) or _cifar_in(path) or list_folder(path)
    if path.exists():
        raise UserError(f"{path} is neither a folder of pictures nor an .npz file")
    if "/" in name or "\\" in name or path.suffix:
        raise UserError(f"there is no folder or file {path}")
    raise UserError(f"there is no data set or folder {name!r}: {nearest(name, NAMED)}")


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


NAMED: dict[str, Callable[[Path], ArraySource]] = {
    "digits": _digits,
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


def _stacked(name: str) -> Callable[[Path], ArraySource]:
    """Stacks of three pictures of a named grey set."""

    def locate_it(cache: Path) -> ArraySource:
        plain = NAMED[name](cache)
        return ArraySource(f"stacked-{plain.name}", f"stacks 1 of {plain.key}", lambda: stacks(plain.read()))

    return locate_it


NAMED |= {f"stacked-{name}": _stacked(name) for name in ("digits", "fashion-mnist", "mnist")}


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
