"""Files of pictures into an archive and back."""

import errno
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

from mezzotint import archive, coding, packing
from mezzotint.archive import Contents, Entry, Stored, Writer
from mezzotint.coding import Coded
from mezzotint.data.folders import list_folder
from mezzotint.errors import UserError
from mezzotint.networks.causal import Causal
from mezzotint.raster import Raster, ending, read_raster, save

GROUP = 1 << 22
"""Pixels of pictures that are read, coded, decoded again and written before the next ones are read."""
SAMPLED = 24
"""Pictures whose size as PNG, WebP and AVIF is told beside the archive's."""


@dataclass(frozen=True)
class Progress:
    """How far a compression is."""

    pictures: int
    of: int
    source_bytes: int
    """Of the files that are done."""
    coded_bytes: int
    """What they take in the archive, without its index and model."""
    sampled: dict[str, float]
    """Bytes of the sampled pictures coded here (`archive`) and as `png`, `webp`, `avif` or `jxl` by this Pillow."""
    codings: dict[str, int]
    """How many pictures are coded in which way."""


@dataclass(frozen=True)
class Lost:
    """What could not be brought back, and why."""

    name: str
    reason: str


def sources(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Names in the archive and files: of a folder all pictures under it, with their paths."""
    found: list[tuple[str, Path]] = []
    for path in paths:
        if path.is_dir():
            listing = list_folder(path)
            found += [(file.path, listing.root / file.path) for file in listing.files]
        elif path.is_file():
            found.append((path.name, path))
        else:
            raise UserError(f"there is no picture or folder {path}")
    names = [name for name, _ in found]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise UserError(f"two pictures would be called {twice!r} in the archive: rename one, or put them into a folder")
    return found


Show = Callable[[Progress], None]


@dataclass(frozen=True)
class Compressed:
    """What a compression made."""

    size: int
    """Bytes of the archive."""
    model_bytes: int
    """Of which the model's."""
    progress: Progress
    lost: tuple[Lost, ...]
    """Files that could not be read, and so are not in the archive."""


def compress(
    paths: Sequence[Path],
    network: Causal,
    out: Path,
    *,
    inside: bool = True,
    verify: bool = True,
    show: Show | None = None,
) -> Compressed:
    """Write the pictures of files and folders into the archive `out`, whole or not at all.

    `inside` puts a copy of the model into it; `verify` decodes each picture once and compares. Raises UserError where
    there is no picture, and RuntimeError where a picture would come back otherwise (then nothing is written).
    """
    named = sources(paths)
    model = packing.packed(network)
    network = packing.unpacked(model)
    profiles: list[bytes] = []
    lost: list[Lost] = []
    at = Progress(0, len(named), 0, 0, {}, {})
    every = max(1, len(named) // SAMPLED)
    with Writer(out) as writer:
        for group in _read_in_groups(named, lost):
            rasters, files = [raster for _, raster, _ in group], [file for _, _, file in group]
            coded = coding.encode(network, rasters, files)
            if verify:
                _verify(network, [name for name, _, _ in group], rasters, coded)
            for (name, raster, file), c in zip(group, coded, strict=True):
                crc = zlib.crc32(file) if c.facts["coding"] == "file" else raster.crc
                writer.add(name, coding.facts_of(raster, c, profiles), crc, c.data)
                at = _further(at, raster, len(file), c, sample=(len(writer.entries) - 1) % every == 0)
            if show is not None:
                show(at)
        if not writer.entries:
            reason = f": {lost[0].name}: {lost[0].reason}" if lost else ""
            raise UserError(f"there is no picture that could be compressed{reason}")
        size = writer.write(packing.digest(model), model if inside else b"", profiles)
    return Compressed(size, len(model) if inside else 0, at, tuple(lost))


Read = tuple[str, Raster, bytes]


def _read_in_groups(named: Sequence[tuple[str, Path]], lost: list[Lost]) -> Iterator[list[Read]]:
    group, size = list[Read](), 0
    for name, path in named:
        try:
            raster, file = read_raster(path), path.read_bytes()
        except (ValueError, OSError) as error:
            lost.append(Lost(name, str(error)))
            continue
        group.append((name, raster, file))
        size += raster.width * raster.height
        if size >= GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def _further(at: Progress, raster: Raster, file: int, coded: Coded, *, sample: bool) -> Progress:
    way = coded.facts["coding"]
    codings = {**at.codings, way: at.codings.get(way, 0) + 1}
    sampled = at.sampled
    if sample and raster.mode in coding.COLORS and not raster.more:
        sizes = {"archive": len(coded.data), **coding.others(raster)}
        sampled = {key: sampled.get(key, 0) + size for key, size in sizes.items()}
    return Progress(at.pictures + 1, at.of, at.source_bytes + file, at.coded_bytes + len(coded.data), sampled, codings)


def _verify(network: Causal, names: Sequence[str], rasters: Sequence[Raster], coded: Sequence[Coded]) -> None:
    """Decode everything once and compare; raises RuntimeError naming the first picture that differs."""
    checked = [i for i, c in enumerate(coded) if c.facts["coding"] != "file"]
    facts = [Coded(coding.facts_of(replace(rasters[i], profile=b""), coded[i], []), coded[i].data) for i in checked]
    decoded = coding.decode(network, facts, [rasters[i].crc for i in checked])
    for i, found in zip(checked, decoded, strict=True):
        if not isinstance(found, Raster) or found.data != rasters[i].data:
            raise RuntimeError(
                f"{names[i]} would not come back as it is ({found if isinstance(found, str) else 'pixels'})"
            )


@dataclass(frozen=True)
class Decompressed:
    """What came out of an archive."""

    saved: tuple[Path, ...]
    lost: tuple[Lost, ...]


def decompress(path: Path, out: Path, network: Causal | None = None, names: Sequence[str] = ()) -> Decompressed:
    """Write the pictures of an archive (or those named) into the folder `out`.

    `network` is needed where no copy of the model is inside. What is damaged is told in `lost`, all else is saved.
    Raises UserError for what is no archive, for a model that is another one and for names that are not in it.
    """
    contents = archive.read(path)
    network = _model(path, contents, network)
    stored = chosen(contents, names)
    saved, lost = list[Path](), list[Lost]()
    if contents.nameless and not names:
        lost.append(
            Lost(f"{contents.nameless} pictures", "their part of the index is damaged, and their names with it")
        )
    targets = _targets(contents)
    with path.open("rb") as file:
        for group in _in_groups(stored):
            for one, result in zip(group, _decoded(file, group, network), strict=True):
                name = one.entry.name
                path_or_reason = (
                    result if isinstance(result, str) else _written(out, targets.get(name), result, contents)
                )
                if isinstance(path_or_reason, str):
                    lost.append(Lost(name, path_or_reason))
                    continue
                saved.append(path_or_reason)
                if contents.shared is None and "profile" in one.entry.facts:
                    lost.append(Lost(name, "its color profile is damaged (its pixels are saved)"))
    return Decompressed(tuple(saved), tuple(lost))


def _model(path: Path, contents: Contents, network: Causal | None) -> Causal | None:
    """The model inside, else the given one if it is the right one, else None."""
    inside = archive.model_of(path, contents)
    if inside is not None:
        try:
            return packing.unpacked(inside)
        except ValueError:
            raise UserError(
                f"{path}: its model is of a kind that this version does not know; update mezzotint"
            ) from None
    if network is not None and packing.digest(packing.packed(network)) != contents.model:
        raise UserError(f"{path} was compressed with another model ({contents.model[:12]}): give that one with --model")
    return network


def chosen(contents: Contents, names: Sequence[str]) -> list[Stored]:
    """Entries by name, or all; raises UserError for a name that is not there."""
    if not names:
        return list(contents.stored)
    known = {stored.entry.name: stored for stored in contents.stored}
    missing = next((name for name in names if name not in known), None)
    if missing is not None:
        raise UserError(f"there is no picture {missing!r} in the archive: `mezzotint inspect` lists them")
    return [known[name] for name in names]


def _in_groups(stored: Sequence[Stored]) -> Iterator[list[Stored]]:
    group, size = list[Stored](), 0
    for one in stored:
        shape = one.entry.facts.get("size")
        pixels = math.prod(shape) if isinstance(shape, list) and all(isinstance(s, int) for s in shape) else 0
        if group and size + pixels > GROUP:
            yield group
            group, size = [], 0
        group.append(one)
        size += pixels
    if group:
        yield group


Result = tuple[Entry, Raster | bytes]


def _decoded(file: IO[bytes], group: Sequence[Stored], network: Causal | None) -> list[Result | str]:
    """Of each entry its picture, or the bytes of its file, or why there is neither."""
    results: dict[int, Result | str] = {}
    coded: dict[int, Coded] = {}
    for i, stored in enumerate(group):
        data, entry = archive.bytes_of(file, stored), stored.entry
        if data is None:
            results[i] = "the archive ends before it"
        elif entry.facts.get("coding") == "file":
            results[i] = (entry, data) if zlib.crc32(data) == entry.crc else "its bytes are damaged"
        else:
            coded[i] = Coded(entry.facts, data)
    decoded = coding.decode(network, list(coded.values()), [group[i].entry.crc for i in coded])
    for i, raster in zip(coded, decoded, strict=True):
        results[i] = raster if isinstance(raster, str) else (group[i].entry, raster)
    return [results[i] for i in range(len(group))]


def _targets(contents: Contents) -> dict[str, str]:
    """Where each picture is written, relative to the folder: its own name with the ending of what it becomes."""
    targets: dict[str, str] = {}
    taken = set[str]()
    for stored in contents.stored:
        name, facts = stored.entry.name, stored.entry.facts
        pure = PurePosixPath(name)
        if pure.is_absolute() or not pure.parts or ".." in pure.parts or any(c in name for c in "\\:\0"):
            continue
        target = name if facts.get("coding") == "file" else str(pure.with_suffix(ending(facts.get("mode"))))
        if target in taken:
            target = f"{name}{ending(facts.get('mode'))}"
        if target not in taken:
            taken.add(target)
            targets[name] = target
    return targets


def _written(out: Path, target: str | None, result: Result, contents: Contents) -> Path | str:
    """The file that was written, or why there is none; raises OSError for a full disk alone."""
    if target is None:
        return "its name leads out of the folder, or is that of another one"
    try:
        return _write(out / target, result, contents)
    except (NotADirectoryError, FileExistsError, IsADirectoryError):
        return "a file of the archive has the name of its folder"
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return f"it cannot be written ({error.strerror or error})"
    except (ValueError, TypeError, KeyError, AttributeError, SyntaxError, struct.error) as error:
        return f"its facts cannot be written ({error})"


def _write(path: Path, result: Result, contents: Contents) -> Path:
    """The picture as a PNG or, in modes that PNG has not, a TIFF; files that were kept as they were."""
    entry, content = result
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        if isinstance(content, bytes):
            new.write_bytes(content)
        else:
            save(replace(content, profile=_profile(entry, contents.shared or ())), new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return path


def _profile(entry: Entry, profiles: Sequence[bytes]) -> bytes:
    number = entry.facts.get("profile")
    return profiles[number] if isinstance(number, int) and 0 <= number < len(profiles) else b""
