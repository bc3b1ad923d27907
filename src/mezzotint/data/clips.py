"""Clips to train forecasters on: named sets of moving things, films, folders of films, .npz files of frames."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mezzotint.data import cache, decode, film, moving
from mezzotint.data.dataset import CROPS, SPLITS, Dataset, Skipped, split
from mezzotint.data.decode import Pixels, fitted
from mezzotint.data.film import Film
from mezzotint.data.folders import SPLIT_FOLDERS
from mezzotint.data.footage import FRAMES, Cut
from mezzotint.errors import UserError

FORMAT = 3
"""Part of every cache key: raised when the same files would be decoded or cut otherwise."""
CUT, CUT_RATIO = 30.0, 3.0
"""A frame whose coarse picture differs so much (of 255) from the one before, and so many times as much as frames did
lately, begins another scene."""
LATELY = 12
"""Frames."""
LONG_PIECE, PIECES = 5, 10
"""A piece, which lies in one split as a whole, has the frames of up to five clips, and where it can a tenth of all."""
MANY = 10
"""Films, of which each lies in one split as a whole: the pieces of one are much alike."""


def load(
    source: str | Path,
    *,
    size: int | None = None,
    channels: int | None = None,
    crop: str = "center",
    frames: int | None = None,
    stride: int | None = None,
    cache_folder: Path | None = None,
    progress: cache.Progress | None = None,
) -> Dataset:
    """Clips of `frames` frames (20), one beginning every `stride` frames (half a clip); none goes over a cut of scenes.

    `source` is a named moving set, a film, a folder of films or of numbered frames, or an .npz with `frames` (uint8
    t×h×w(×c), or n×t×h×w×c). Films keep their rate; frames are brought to squares of `size` (the power of two up to 64
    at or below the first film's shorter side) by `crop`. Raises UserError where nothing can be cut.
    """
    _refuse_odd(size, channels, crop, frames, stride)
    if str(source) in moving.MOVING and not Path(source).is_dir():
        return moving.load(
            str(source), size=size, channels=channels, frames=frames, cache_folder=cache_folder, progress=progress
        )
    path = Path(source).expanduser()
    found = _films_in(path)
    length = frames or FRAMES
    asked = _Asked(size, channels, crop, length, stride or max(1, length // 2))
    told = [(str(p.resolve()), _stamp(p)) for p, _ in found]
    key = hashlib.sha256(repr((FORMAT, told, asked)).encode(errors="surrogateescape")).hexdigest()[:32]
    entry = (cache_folder or cache.folder()) / "clips" / key
    stored = cache.load(entry) or cache.store(entry, partial(_fill, found=found, asked=asked, progress=progress))
    splits = {name: stored.arrays[name] for name in SPLITS}
    skipped = (*([] if path.is_file() else _thumbnails(found)), *(Skipped(*pair) for pair in stored.facts["skipped"]))
    digest = hashlib.sha256(repr((stored.facts["file"]["sha256"], length, stored.facts["rate"])).encode())
    for name in SPLITS:
        digest.update(np.ascontiguousarray(splits[name]).data)
    footage = Cut(stored.pixels, length, stored.facts["rate"])
    name = path.resolve().stem or "clips"
    remarks = tuple(stored.facts["remarks"])
    return Dataset(name, stored.pixels, None, (), splits, digest.hexdigest(), skipped, footage=footage, remarks=remarks)


@dataclass(frozen=True)
class _Asked:
    size: int | None
    channels: int | None
    crop: str
    length: int
    stride: int


def _refuse_odd(size: int | None, channels: int | None, crop: str, frames: int | None, stride: int | None) -> None:
    if size is not None and not 8 <= size <= 1024:
        raise UserError(f"frames cannot be brought to a size of {size}: name a number of pixels from 8 to 1024")
    if channels not in (None, 1, 3):
        raise UserError(f"frames cannot have {channels} channels here: name 1 (grey) or 3 (RGB)")
    if crop not in CROPS or crop == decode.CUT:
        raise UserError(f"frames have no crop {crop!r}: name one of {', '.join(c for c in CROPS if c != decode.CUT)}")
    if frames is not None and not 2 <= frames <= 1000:
        raise UserError(f"a clip cannot have {frames} frames: name a number from 2 to 1000")
    if stride is not None and stride < 1:
        raise UserError(f"clips cannot begin every {stride} frames: name a number from 1 on")


def _films_in(path: Path) -> list[tuple[Path, str]]:
    """Films with the split that their folder gives them, or nothing; raises UserError where there are none."""
    if path.suffix.lower() == ".npz" and path.is_file():
        return [(path, "")]
    if not path.exists():
        raise UserError(
            f"there is no film, folder or moving set {path}: name a film, a folder of films or of numbered frames, an "
            f".npz with `frames`, or {', '.join(moving.MOVING)}"
        )
    if film.is_film(path):
        return [(path, "")]
    if not path.is_dir():
        raise UserError(f"{path} is no moving picture: clips come from .gif, .webp, .mp4, .webm, .mov and folders")
    found = sorted(p for p in path.rglob("*") if not p.name.startswith(".") and (film.is_film(p) or _is_npz(p)))
    inside = {p for p in found if p.is_dir()}
    found = [p for p in found if p.parent not in inside]
    if not found:
        raise UserError(f"{path} holds no films and no folders of numbered frames")
    tops = [p.relative_to(path).parts[0].lower() for p in found]
    given = set(tops) <= set(SPLIT_FOLDERS) and len(set(tops)) > 1
    return [(p, SPLIT_FOLDERS[top] if given else "") for p, top in zip(found, tops, strict=True)]


def _thumbnails(found: Sequence[tuple[Path, str]]) -> list[Skipped]:
    """Folders whose numbered pictures are left out, and why."""
    folders = sorted({path.parent for path, _ in found if path.is_file() and not _is_npz(path)})
    told = "its numbered pictures are left out, since films lie beside them"
    return [Skipped(str(folder), told) for folder in folders if len(film.numbered(folder)) > 1]


def _is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz" and path.is_file()


def _stamp(path: Path) -> list[tuple[str, int, int]]:
    files = film.numbered(path) if path.is_dir() else [path]
    return [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]


# Decoding.


def _fill(
    new: Path, *, found: Sequence[tuple[Path, str]], asked: _Asked, progress: cache.Progress | None
) -> dict[str, Any]:
    """Decode all films into one array of frames, and cut it."""
    size, rates, skipped, remarks = asked.size, list[float](), list[list[str]](), list[str]()
    pieces, count, colored = list[_Piece](), 0, False
    with (new / "frames.raw").open("wb") as raw:
        for done, (path, given) in enumerate(found, 1):
            try:
                shots = _shots(path)
            except ValueError as error:
                skipped.append([str(path), str(error)])
                continue
            rates.append(shots.rate)
            begun, shot = count, list[int]()
            try:
                for number, frame in shots.frames():
                    size = size or _usual_size(frame)
                    small = np.asarray(fitted(Image.fromarray(frame), size, asked.crop))
                    colored = colored or not (small[..., :1] == small).all()
                    raw.write(small.tobytes())
                    shot.append(number)
                    count += 1
            except ValueError as error:
                skipped.append([str(path), f"{error} (its {count - begun} frames before that are used)"])
            remarks += [f"{path}: {remark}" for remark in shots.remarks]
            own = _pieces(np.array(shot), begun, asked.length, apart=_is_npz(path), given=given)
            if not own:
                told = f"has {count - begun} frames, and no scene of the {asked.length} that a clip takes"
                skipped.append([str(path), told])
            pieces += own
            if progress is not None:
                progress(done, len(found))
    if not pieces:
        reason = f"{Path(skipped[0][0]).name}: {skipped[0][1]}" if skipped else "they are empty"
        raise UserError(f"no clip of {asked.length} frames can be cut: {reason}; give fewer --frames or other films")
    assert size is not None
    channels = asked.channels or (3 if colored else 1)
    frames = _written(new, count, size, channels)
    _split(new, frames, pieces, asked)
    return {"shape": list(frames.shape), "rate": float(np.median(rates)), "skipped": skipped, "remarks": remarks}


@dataclass(frozen=True)
class _Piece:
    """Frames of one scene, as far as they lie in one split together."""

    start: int
    stop: int
    film: int
    """The first frame of its film."""
    given: str


@dataclass(frozen=True)
class _Shots:
    rate: float
    frames: Any
    """Gives pairs of a scene's number and a frame h × w × 3."""
    remarks: Sequence[str] = ()
    """What was odd, when all frames were read."""


def _shots(path: Path) -> _Shots:
    """A film's frames with the numbers of their scenes; raises ValueError where it cannot be read."""
    if _is_npz(path):
        films, rate = film.arrays(path)
        return _Shots(rate, lambda: ((i, np.ascontiguousarray(f)) for i, clip in enumerate(films) for f in clip))
    opened: Film = film.open_film(path)
    return _Shots(opened.rate, lambda: scenes(opened.frames()), opened.remarks)


def scenes(frames: Iterator[Pixels]) -> Iterator[tuple[int, Pixels]]:
    """Frames with the number of their scene, which rises at a cut."""
    number, before, lately = 0, None, list[float]()
    for frame in frames:
        coarse = np.asarray(Image.fromarray(frame).resize((16, 16), Image.Resampling.BOX), np.float32)
        if before is not None:
            change = float(np.abs(coarse - before).mean())
            if change > CUT and change > CUT_RATIO * (float(np.median(lately)) if lately else 0.0):
                number += 1
            lately = [*lately[1 - LATELY :], change]
        before = coarse
        yield number, frame


def _usual_size(frame: Pixels) -> int:
    return int(2 ** min(6, max(3, int(np.log2(min(frame.shape[:2]))))))


def _pieces(shot: np.ndarray, begun: int, length: int, *, apart: bool, given: str) -> list[_Piece]:
    """A file's scenes (`apart`: each a film) in pieces; a rest too short for a clip goes to the piece before."""
    aim = int(np.clip(len(shot) // PIECES, length, LONG_PIECE * length))
    ends = [*(np.flatnonzero(np.diff(shot)) + 1).tolist(), len(shot)] if len(shot) else []
    found: list[_Piece] = []
    for start, end in zip([0, *ends], ends, strict=False):
        starts = list(range(start, end - length + 1, aim))
        stops = [*starts[1:], end] if starts else []
        film = begun + (start if apart else 0)
        found += [_Piece(begun + a, begun + b, film, given) for a, b in zip(starts, stops, strict=True)]
    return found


def _written(new: Path, count: int, size: int, channels: int) -> Pixels:
    """The frames as pixels.npy, in the channels that they need."""
    raw = np.memmap(new / "frames.raw", np.uint8, "r", shape=(count, size, size, 3))
    out = np.lib.format.open_memmap(new / "pixels.npy", "w+", np.uint8, (count, size, size, channels))
    for start in range(0, count, 256):
        block = raw[start : start + 256]
        if channels == 3:
            out[start : start + 256] = block
        else:
            out[start : start + 256] = np.stack([np.asarray(Image.fromarray(f).convert("L"))[..., None] for f in block])
    out.flush()
    del raw
    (new / "frames.raw").unlink()
    return out


def _split(new: Path, frames: Pixels, pieces: Sequence[_Piece], asked: _Asked) -> None:
    """Put the first frames of all clips into arrays.npz, by the split of their piece."""
    hashes = [hashlib.blake2b(frames[p.start : p.stop].tobytes(), digest_size=16).hexdigest() for p in pieces]
    films = np.array([p.film for p in pieces])
    if len(np.unique(films)) >= MANY:
        hashes = _of_films(hashes, films)
    given = np.array([p.given for p in pieces]) if pieces[0].given else None
    where = split(hashes, given)
    starts = [np.arange(p.start, p.stop - asked.length + 1, asked.stride) for p in pieces]
    none = np.zeros(0, np.int64)
    arrays: dict[str, Any] = {s: np.concatenate([none, *(starts[i] for i in rows)]) for s, rows in where.items()}
    if len(arrays["train"]) == 0:
        raise UserError("there are no clips to train on: give longer films or fewer --frames")
    np.savez(new / "arrays.npz", **arrays)


def _of_films(hashes: Sequence[str], films: np.ndarray) -> list[str]:
    """For each piece the hash of its whole film, so that films go to splits undivided, and equal ones to the same."""
    whole = {n: hashlib.blake2b(digest_size=16) for n in films.tolist()}
    for each, number in zip(hashes, films.tolist(), strict=True):
        whole[number].update(each.encode())
    return [whole[number].hexdigest() for number in films.tolist()]
