"""Sets of pictures stored as arrays: .npz, IDX (MNIST's), CIFAR-10's binary and Python versions, .amat (text)."""

import gzip
import io
import math
import pickle
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mezzotint.data.boxes import Rows
from mezzotint.data.decode import Pixels
from mezzotint.data.folders import SPLIT_FOLDERS
from mezzotint.errors import UserError

FASHION_CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
DIGIT_CLASSES = tuple("0123456789")
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Arrays:
    """Pictures in memory: n × h × w × c, with labels, classes and given splits where there are any."""

    images: Pixels
    labels: np.ndarray | None
    classes: tuple[str, ...]
    given: np.ndarray | None = None
    """Per picture `train`, `test` … where the set comes with its own splits."""
    boxes: tuple[Rows, ...] = ()
    """Per picture, where the set comes with boxes; they hold `things`."""
    things: tuple[str, ...] = ()
    made_from: Pixels | None = None
    """The pictures whose splits these have, where they were made from others."""


def read_npz(path: Path) -> Arrays:
    """`images` uint8 n×h×w or n×h×w×c, and where there are any `labels`, `classes` and `split`."""
    try:
        # Opened here, because numpy leaves a broken archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except Exception as error:  # a broken archive makes numpy and zipfile raise nearly anything
        raise UserError(f"{path} cannot be read as an .npz file of plain arrays: {error}") from None
    images = arrays.get("images")
    if images is None or images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise UserError(f"{path} must hold `images`, uint8 n×h×w or n×h×w×c")
    images = images[..., None] if images.ndim == 3 else images
    if images.shape[3] not in (1, 3) or images.size == 0:
        raise UserError(f"{path}: `images` must have 1 or 3 channels in their last axis and hold at least one pixel")
    labels, given = arrays.get("labels"), arrays.get("split")
    for name, array in (("labels", labels), ("split", given)):
        if array is not None and array.shape != (len(images),):
            raise UserError(
                f"{path}: `{name}` has {'×'.join(map(str, array.shape)) or 1} entries for {len(images)} pictures"
            )
    if given is not None:
        odd = sorted(set(map(str, given)) - set(SPLIT_FOLDERS))
        if odd:
            raise UserError(f"{path}: `split` says {odd[0]!r} where it must say train, validation or test")
        given = np.array([SPLIT_FOLDERS[str(name)] for name in given])
    if labels is None:
        return Arrays(images, None, (), given)
    found, numbers = np.unique(labels, return_inverse=True)
    names = tuple(map(str, arrays["classes"])) if "classes" in arrays else ()
    if len(set(names)) < len(names):
        raise UserError(f"{path}: `classes` names a class twice")
    if names and np.issubdtype(labels.dtype, np.integer) and labels.min() >= 0 and labels.max() < len(names):
        return Arrays(images, labels.astype(np.int64), names, given)
    return Arrays(images, numbers.astype(np.int64), tuple(map(str, found)), given)


def read_idx(path: Path) -> np.ndarray:
    """An IDX file of unsigned bytes (LeCun's format), gzipped or not."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        zero, kind, dimensions = struct.unpack(">HBB", data[:4])
        shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
        if zero != 0 or kind != 8:
            raise ValueError("it does not begin as an IDX file of bytes")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise UserError(f"{path} is damaged: {error}") from None


def read_idx_set(found: dict[str, Path], name: str, classes: tuple[str, ...] | None) -> Arrays:
    """MNIST's four files by their stems; the classes are numbered where they are not named."""
    images = [read_idx(found[f"{part}-images"]) for part in ("train", "t10k")]
    labels = [read_idx(found[f"{part}-labels"]) for part in ("train", "t10k")]
    for pictures, numbers in zip(images, labels, strict=True):
        if pictures.ndim != 3 or numbers.ndim != 1 or len(pictures) != len(numbers) or len(pictures) == 0:
            told = f"{pictures.shape} pictures, {numbers.shape} labels"
            raise UserError(f"the files of {name} do not belong together: {told}")
    if images[0].shape[1:] != images[1].shape[1:]:
        raise UserError(f"the files of {name} do not belong together: pictures of two sizes")
    if classes is None:
        classes = FASHION_CLASSES if "fashion" in name else tuple(map(str, range(int(max(map(np.max, labels))) + 1)))
    most = max(int(numbers.max()) for numbers in labels)
    if most >= len(classes):
        raise UserError(f"the files of {name} are damaged: label {most} where there are {len(classes)} classes")
    given = np.repeat(["train", "test"], [len(i) for i in images])
    return Arrays(np.concatenate(images)[..., None], np.concatenate(labels).astype(np.int64), classes, given)


def read_amat(path: Path) -> Pixels:
    """Larochelle's text of zeros and ones, a square picture a line: n × side × side × 1 of levels 0 and 255."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    codes = np.frombuffer(text, np.uint8)
    told = (codes == ord("0")) | (codes == ord("1"))
    width = len(text.split(b"\n", 1)[0].split())
    side, ends = math.isqrt(width), np.flatnonzero(codes == ord("\n"))
    counts = np.diff(np.cumsum(told)[ends], prepend=0) if len(ends) else np.zeros(0, int)
    rest = int(np.count_nonzero(told)) - int(counts.sum())  # of a last line without an end
    uneven = np.setdiff1d([*counts[counts > 0], *([rest] if rest else [])], [width]).size
    foreign = np.setdiff1d(codes[~told], np.frombuffer(b" \t\r\n", np.uint8))
    if not width or side * side != width or uneven or len(foreign) or (told[1:] & told[:-1]).any():
        raise UserError(f"{path} is damaged: it is no text of zeros and ones with as many in every line")
    return ((codes[told] - ord("0")) * np.uint8(255)).reshape(-1, side, side, 1)


def read_amat_set(paths: Sequence[Path]) -> Arrays:
    """The files of training, validation and test, in this order; without labels."""
    parts = [read_amat(path) for path in paths]
    if len({part.shape[1:] for part in parts}) > 1:
        raise UserError(f"the files in {paths[0].parent} do not belong together: pictures of two sizes")
    given = np.repeat(["train", "validation", "test"], [len(part) for part in parts])
    return Arrays(np.concatenate(parts), None, (), given)


class _PlainDtype:
    """Stands in for numpy's dtype while a pickle is read: numpy's own takes its flags from the file.

    With false flags an array of objects takes raw bytes as addresses.
    """

    def __init__(self, code: str | bytes, *_: object) -> None:
        self.numpy = np.dtype(_text(code))
        if self.numpy.kind not in "biuf":
            raise pickle.UnpicklingError(f"it holds an array of {self.numpy}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.numpy = self.numpy.newbyteorder(_text(state[1]))


class _PlainArray:
    """Stands in for numpy's array while a pickle is read; `values` is made from bytes and a type of numbers alone."""

    def __init__(self, *_: object) -> None:
        self.values = np.zeros(0, np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, raw = state
        self.values = _numbers(raw, kind, shape, "F" if fortran else "C")


def _numbers(raw: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(kind, _PlainDtype) or not isinstance(raw, bytes):
        raise pickle.UnpicklingError("it holds an array of something else than numbers")
    return np.frombuffer(raw, kind.numpy).reshape(shape, order=_text(order))


def _from_buffer(raw: Any, kind: Any, shape: Any, order: Any) -> _PlainArray:
    """Stands in for what protocol 5 makes arrays with."""
    array = _PlainArray()
    array.values = _numbers(bytes(raw) if isinstance(raw, bytearray) else raw, kind, shape, order)
    return array


def _latin1(text: str, *_: object) -> bytes:
    """Stands in for `_codecs.encode`, by which old protocols write bytes."""
    return text.encode("latin-1")


def _text(word: str | bytes) -> Any:
    return word.decode("ascii") if isinstance(word, bytes) else str(word)


class _PlainUnpickler(pickle.Unpickler):
    """Admits numbers, bytes, text, lists, dicts and arrays of numbers; all else is refused before it can run."""

    STAND_INS: ClassVar = {
        "multiarray._reconstruct": _PlainArray,
        "numeric._frombuffer": _from_buffer,
        "numpy.ndarray": "ndarray",
        "numpy.dtype": _PlainDtype,
        "_codecs.encode": _latin1,
    }

    def find_class(self, module: str, name: str) -> Any:
        known = f"{module.removeprefix('numpy.core.').removeprefix('numpy._core.')}.{name}"
        if known not in self.STAND_INS:
            raise pickle.UnpicklingError(f"it wants to run {module}.{name}")
        return self.STAND_INS[known]


def read_plain_pickle(path: Path) -> dict[bytes, Any]:
    """A CIFAR batch of the Python version; raises UserError where it holds anything but plain data."""
    try:
        batch = _PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        named = {k.encode() if isinstance(k, str) else k: v for k, v in batch.items() if isinstance(k, (str, bytes))}
        return {k: v.values if isinstance(v, _PlainArray) else v for k, v in named.items()}
    except Exception as error:  # a damaged pickle raises nearly anything
        raise UserError(f"{path} is not a plain CIFAR batch, and was not opened: {error}") from None


def _read_cifar_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    data = np.fromfile(path, np.uint8)
    if data.size == 0 or data.size % 3073:
        raise UserError(f"{path} is damaged: its length is no multiple of 3073 bytes")
    rows = data.reshape(-1, 3073)
    return rows[:, 1:], rows[:, 0]


def _read_cifar_python(path: Path) -> tuple[np.ndarray, np.ndarray]:
    batch = read_plain_pickle(path)
    rows, labels = np.asarray(batch.get(b"data")), np.asarray(batch.get(b"labels"))
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != 3072 or labels.shape != (len(rows),):
        raise UserError(f"{path} is damaged: it lacks data of 3072 bytes a picture with labels")
    return rows, labels


def read_cifar(paths: list[Path]) -> Arrays:
    """CIFAR-10's five training batches and its test batch, in this order; those that end in .bin are binary."""
    batches = [_read_cifar_binary(p) if p.suffix else _read_cifar_python(p) for p in paths]
    images = np.concatenate([rows for rows, _ in batches]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    labels = np.concatenate([labels for _, labels in batches]).astype(np.int64)
    if labels.min() < 0 or labels.max() > 9:
        raise UserError("the CIFAR-10 files are damaged: a label is outside 0 to 9")
    given = np.repeat(["train"] * 5 + ["test"], [len(rows) for rows, _ in batches])
    return Arrays(np.ascontiguousarray(images), labels, CIFAR_CLASSES, given)
