"""Files of pictures into an archive and back."""

import errno
import math
import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

from mezzotint import archive, coding, packing, tradeoff
from mezzotint.archive import Contents, Entry, Stored, Writer
from mezzotint.coding import Coded
from mezzotint.data.folders import list_folder
from mezzotint.errors import UserError
from mezzotint.networks.causal import Causal
from mezzotint.networks.hyperprior import Decoder
from mezzotint.raster import Raster, ending, read_raster, save
from mezzotint.tradeoff import Kept, Lossy

GROUP = 1 << 22
"""Pixels of pictures that are read, coded, decoded again and written before the next ones are read."""
PADDED = 32
"""Sides of a picture are padded to multiples of this at most."""
SAMPLED = 24
"""Pictures at most whose size as PNG, WebP and AVIF is told beside the archive's,"""
SAMPLED_PIXELS = 1 << 20
"""and pixels of them altogether: slow settings of these take longer than all else."""
FOREIGN = frozenset('\\:*?"<>|') | {chr(n) for n in range(1, 32)}
"""What no name may have on Windows, where some of it leads elsewhere."""


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
    """Bytes of the sampled pictures coded here (`archive`) and, without loss, as `png`, `webp`, `avif` or `jxl`."""
    codings: dict[str, int]
    """How many pictures are coded in which way."""
    worse: int = 0
    """Pictures of which something was lost,"""
    visibly: int = 0
    """those of them that look otherwise over white,"""
    decibels: float = 0.0
    """and the sum of the peak signal-to-noise ratios of these."""


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
    model: Causal | Lossy,
    out: Path,
    *,
    inside: bool = True,
    verify: bool = True,
    show: Show | None = None,
) -> Compressed:
    """Write the pictures of files and folders into the archive `out`, whole or not at all.

    `model` is a predictor, for all to come back exactly, or says how it may come back with some loss.
    `inside` puts a copy of the model into it; `verify` decodes each picture once and compares. Raises UserError where
    there is no picture, and RuntimeError where a picture would come back otherwise (then nothing is written).
    """
    named = sources(paths)
    packed = packing.packed(model if isinstance(model, Causal) else model.network.decoder)
    network = packing.unpacked(packed)
    profiles: list[bytes] = []
    lost: list[Lost] = []
    at = Progress(0, len(named), 0, 0, {}, {})
    way = model if isinstance(model, Lossy) else _exact(network)
    every, most = max(1, -(-len(named) // SAMPLED)), SAMPLED_PIXELS // max(1, min(len(named), SAMPLED))
    with Writer(out) as writer:
        for group in _read_in_groups(named, lost):
            rasters, files = [raster for _, raster, _ in group], [file for _, _, file in group]
            kept = _encoded(way, rasters, files)
            if verify:
                _verify(network, [name for name, _, _ in group], kept)
            for number, ((name, raster, file), one) in enumerate(zip(group, kept, strict=True), len(writer.entries)):
                crc = coding.crc_of(one.raster, one.coded)
                writer.add(name, coding.facts_of(raster, one.coded, profiles), crc, one.coded.data)
                at = _further(at, raster, len(file), one)
                if number % every == 0:
                    at = replace(at, sampled=_added(at.sampled, _sizes(way, raster, one.coded, most)))
            if show is not None:
                show(at)
        if not writer.entries:
            reason = f": {lost[0].name}: {lost[0].reason}" if lost else ""
            raise UserError(f"there is no picture that could be compressed{reason}")
        size = writer.write(packing.digest(packed), packed if inside else b"", profiles)
    return Compressed(size, len(packed) if inside else 0, at, tuple(lost))


def _exact(network: Causal | Decoder) -> Causal:
    assert isinstance(network, Causal)
    return network


def _encoded(model: Causal | Lossy, rasters: Sequence[Raster], files: Sequence[bytes]) -> list[Kept]:
    if isinstance(model, Lossy):
        return tradeoff.encode(model, rasters, files)
    coded = coding.encode(model, rasters, files)
    return [Kept(way, raster, math.inf) for way, raster in zip(coded, rasters, strict=True)]


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


def _sizes(way: Causal | Lossy, raster: Raster, coded: Coded, most: int) -> dict[str, int]:
    """Bytes here and in other formats of a picture, or of the middle of one with more than `most` pixels.

    Nothing where other formats do not take it.
    """
    if raster.more or not coding.webp_takes(raster):
        return {}
    middle = coding.middle(raster, most)
    if middle is not raster:
        if coded.facts["coding"] == "file":
            return {}
        coded = _encoded(way, [middle], [b""])[0].coded
    as_now = coded.facts["coding"] in ("png", "webp") and not coded.facts.get("loss")
    known = {coded.facts["coding"]: len(coded.data)} if as_now else {}
    return {"archive": len(coded.data), **coding.others(middle, known)}


def _added(sampled: dict[str, float], sizes: dict[str, int]) -> dict[str, float]:
    """Sums over the same pictures: what one of them could not be written as is left out."""
    return {key: sampled.get(key, 0) + size for key, size in sizes.items() if not sampled or key in sampled} or sampled


def _further(at: Progress, raster: Raster, file: int, kept: Kept) -> Progress:
    coded, way, seen = kept.coded, kept.coded.facts["coding"], math.isfinite(kept.psnr)
    codings = {**at.codings, way: at.codings.get(way, 0) + 1}
    return Progress(
        *(at.pictures + 1, at.of, at.source_bytes + file, at.coded_bytes + len(coded.data), at.sampled, codings),
        *(at.worse + (kept.raster.data != raster.data), at.visibly + seen, at.decibels + (kept.psnr if seen else 0)),
    )


def _verify(network: Causal | Decoder, names: Sequence[str], kept: Sequence[Kept]) -> None:
    """Decode everything once and compare; raises RuntimeError naming the first picture that differs."""
    checked = {name: one for name, one in zip(names, kept, strict=True) if one.coded.facts["coding"] != "file"}
    facts = [
        Coded(coding.facts_of(replace(one.raster, profile=b""), one.coded, []), one.coded.data)
        for one in checked.values()
    ]
    decoded = coding.decode(network, facts, [coding.crc_of(one.raster, one.coded) for one in checked.values()])
    for (name, one), found in zip(checked.items(), decoded, strict=True):
        if not isinstance(found, Raster) or found.data != one.raster.data:
            raise RuntimeError(f"{name} would not come back as it is ({found if isinstance(found, str) else 'pixels'})")


@dataclass(frozen=True)
class Decompressed:
    """What came out of an archive."""

    saved: tuple[Path, ...]
    lost: tuple[Lost, ...]


def decompress(
    path: Path, out: Path, network: Causal | Decoder | None = None, names: Sequence[str] = ()
) -> Decompressed:
    """Write the pictures of an archive (or those named) into the folder `out`, never over a file that is there.

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
    # By the entry rather than its name, which another one may have as well.
    targets = dict(zip(map(id, contents.stored), _targets(contents), strict=True))
    with path.open("rb") as file:
        for group in _in_groups(stored):
            for one, result in zip(group, _decoded(file, group, network), strict=True):
                name = one.entry.name
                path_or_reason = (
                    result if isinstance(result, str) else _written(out, targets[id(one)], result, contents)
                )
                if isinstance(path_or_reason, str):
                    lost.append(Lost(name, path_or_reason))
                    continue
                saved.append(path_or_reason)
                if contents.shared is None and "profile" in one.entry.facts:
                    lost.append(Lost(name, "its color profile is damaged (its pixels are saved)"))
    return Decompressed(tuple(saved), tuple(lost))


def _model(path: Path, contents: Contents, network: Causal | Decoder | None) -> Causal | Decoder | None:
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
    """Entries by name (several may have one), or all; raises UserError for a name that is not there."""
    if not names:
        return list(contents.stored)
    known: dict[str, list[Stored]] = {}
    for stored in contents.stored:
        known.setdefault(stored.entry.name, []).append(stored)
    missing = next((name for name in names if name not in known), None)
    if missing is not None:
        raise UserError(f"there is no picture {missing!r} in the archive: `mezzotint inspect` lists them")
    return [stored for name in dict.fromkeys(names) for stored in known[name]]


def _in_groups(stored: Sequence[Stored]) -> Iterator[list[Stored]]:
    group, size = list[Stored](), 0
    for one in stored:
        pixels = _padded(one.entry.facts.get("size"))
        if group and size + pixels > GROUP:
            yield group
            group, size = [], 0
        group.append(one)
        size += pixels
    if group:
        yield group


def _padded(size: object) -> int:
    """Pixels with those by which a codec pads a picture; a size may be any fact, of which few are to be in a group."""
    if not isinstance(size, list) or not all(isinstance(side, int) for side in size):
        return PADDED**2
    return math.prod(-(-max(1, side) // PADDED) * PADDED for side in size)


Result = tuple[Entry, Raster | bytes]


def _decoded(file: IO[bytes], group: Sequence[Stored], network: Causal | Decoder | None) -> list[Result | str]:
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


def _targets(contents: Contents, *, windows: bool = os.name == "nt") -> list[str | None]:
    """Where each picture is written, relative to the folder: its own name with the ending of what it becomes.

    Names that lead out of the folder have no place; no two share one, not even two of one name.
    """
    targets: list[str | None] = []
    taken = set[str]()
    for stored in contents.stored:
        place = _place(stored.entry.name, windows=windows)
        spellings = () if place is None else _spellings(place, stored.entry.facts)
        target = next((spelling for spelling in spellings if _alike(spelling, windows=windows) not in taken), None)
        targets.append(target)
        if target is not None:
            taken.add(_alike(target, windows=windows))
    return targets


def _alike(target: str, *, windows: bool) -> str:
    """What two names have in common that are one to the disk."""
    return target.lower() if windows or sys.platform == "darwin" else target


def _place(name: str, *, windows: bool) -> PurePosixPath | None:
    """A name as a path within a folder, or None."""
    pure = PurePosixPath("".join("_" if c in FOREIGN else c for c in name) if windows else name)
    return None if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\0" in name else pure


def _spellings(place: PurePosixPath, facts: dict[str, Any]) -> Iterator[str]:
    """Where a picture can be written, best first: pictures of several formats may become one."""
    last = place.suffix if facts.get("coding") == "file" else ending(facts.get("mode"))
    yield str(place.with_suffix(last))
    yield f"{place}{last}"
    yield from (str(place.with_name(f"{place.stem}-{n}{last}")) for n in range(2, 100))


def _written(out: Path, target: str | None, result: Result, contents: Contents) -> Path | str:
    """The file that was written, or why there is none; raises OSError for a full disk alone."""
    if target is None:
        return "its name leads out of the folder, or is that of another one"
    try:
        if (out / target).is_file():
            return "a file of that name is there already"
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
    # Of its own length, since the longest names leave no room for more.
    new = path.with_name(f".{zlib.crc32(path.name.encode('utf-8', 'surrogatepass')):08x}.new")
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
