"""Files of pictures into an archive and back: what is kept of each, and which way of coding it is smallest."""

import base64
import io
import lzma
import math
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from mezzotint import archive, lossless, packing
from mezzotint.archive import Contents, Entry, Stored, Writer
from mezzotint.data.decode import MAX_PIXELS, PROGRAMS, Pixels
from mezzotint.data.folders import list_folder
from mezzotint.errors import UserError
from mezzotint.networks.causal import Causal

GROUP = 1 << 22
"""Pixels of pictures that are read, coded, decoded again and written before the next ones are read."""
TRUSTED = 0.8
"""A prediction below this share of a quick WebP is not tried against slow ones, which gain less than that on it."""
SAMPLED = 24
"""Pictures whose size as PNG, WebP and AVIF is told beside the archive's."""
PNG_MODES = ("1", "L", "P", "LA", "RGB", "RGBA", "I;16")
COLORS = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3}
"""Color planes of the modes that are predicted."""


@dataclass(frozen=True)
class Raster:
    """All of a picture that is brought back: its pixels as Pillow has them, and what they mean."""

    mode: str
    width: int
    height: int
    data: bytes
    """As `Image.tobytes` gives them."""
    meaning: dict[str, Any] = field(default_factory=dict[str, Any])
    """For the index: `palette`, `transparency`, `orientation`."""
    profile: bytes = b""
    """ICC profile."""
    lossy: bool = False
    """Whether the file may be smaller than its pixels allow: it is a JPEG or the like, or has several frames."""
    frames: int = 1

    @property
    def crc(self) -> int:
        """CRC-32 of mode, size and pixels."""
        return zlib.crc32(self.data, zlib.crc32(f"{self.mode} {self.width} {self.height}".encode()))

    @property
    def image(self) -> Image.Image:
        """The pixels as a Pillow picture."""
        return Image.frombytes(self.mode, (self.width, self.height), self.data)


@dataclass(frozen=True)
class Coded:
    """One way in which a picture can be written: facts for the index and bytes."""

    facts: dict[str, Any]
    data: bytes


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


# From files.


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


def read_raster(path: Path) -> Raster:
    """The picture of a file; raises ValueError with the reason where there is none that can be brought back."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                if image.format in PROGRAMS:
                    raise ValueError("PostScript is a program rather than a picture")
                if math.prod(image.size) > MAX_PIXELS:
                    raise ValueError(f"{image.width}×{image.height} is over the bound of {MAX_PIXELS} pixels")
                image.load()
                return _raster(image)
    except Exception as error:  # damaged files make Pillow's readers raise nearly anything
        raise ValueError(str(error).replace(str(path), "it") or type(error).__name__) from None


def _raster(image: Image.Image) -> Raster:
    meaning: dict[str, Any] = {}
    if image.mode in ("P", "PA") and image.palette is not None:
        meaning["palette"] = [image.palette.mode, _text(bytes(image.getpalette(image.palette.mode) or []))]
    transparency = image.info.get("transparency")
    if transparency is not None:
        meaning["transparency"] = _text(transparency) if isinstance(transparency, bytes) else transparency
    if (orientation := _orientation(image)) != 1:
        meaning["orientation"] = orientation
    frames = int(getattr(image, "n_frames", 1))
    profile = image.info.get("icc_profile") or b""
    lossy = frames > 1 or image.format not in ("PNG", "BMP", "PPM", "TIFF", "TGA", "PCX", "SGI")
    return Raster(image.mode, *image.size, image.tobytes(), meaning, profile, lossy, frames)


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # the pixels may be whole where the EXIF is not
        return 1
    return found if found in range(2, 9) else 1


def _text(data: bytes) -> str:
    return "base64:" + base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.removeprefix("base64:"))


# Ways of coding.


def joined(parts: Sequence[bytes]) -> bytes:
    """Parts one after another, the lengths of all but the last before them (LEB128)."""
    return b"".join(_varint(len(part)) for part in parts[:-1]) + b"".join(parts)


def parted(data: bytes, count: int) -> list[bytes]:
    """The inverse of `joined`; missing bytes are missing from the last parts."""
    lengths, at = list[int](), 0
    for _ in range(count - 1):
        length, shift = 0, 0
        while at < len(data):
            byte = data[at]
            at, length, shift = at + 1, length | (byte & 127) << shift, shift + 7
            if byte < 128 or shift > 63:
                break
        lengths.append(length)
    parts = list[bytes]()
    for length in lengths:
        parts.append(data[at : at + length])
        at = min(len(data), at + length)
    return [*parts, data[at:]]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def planes_of(raster: Raster) -> tuple[Pixels, Pixels | None] | None:
    """Color planes h × w × 1 or 3 and alpha h × w, or None where the mode is none that is predicted."""
    if raster.mode not in COLORS or not raster.width * raster.height:
        return None
    pixels = np.frombuffer(raster.data, np.uint8).reshape(raster.height, raster.width, -1)
    colors = COLORS[raster.mode]
    return pixels[..., :colors], pixels[..., colors] if pixels.shape[2] > colors else None


def _for_prediction(raster: Raster, channels: int) -> tuple[Pixels, Coded] | None:
    """The planes as the network takes them, and facts and alpha by which they are brought back."""
    planes = planes_of(raster)
    if planes is None:
        return None
    colors, alpha = planes
    facts: dict[str, Any] = {"coding": "predicted"}
    coded = b""
    if alpha is not None:
        hidden = colors[alpha == 0]
        if len(hidden) and (hidden == hidden[0]).all():
            facts["hidden"] = hidden[0].tolist()
            colors = np.where(alpha[..., None] == 0, np.uint8(255), colors)
        if (alpha == alpha[0, 0]).all():
            facts["alpha"] = int(alpha[0, 0])
        else:
            coded = _alpha_coded(alpha)
    grey = colors.shape[2] == 1 or bool((colors == colors[..., :1]).all())
    if not grey and channels == 1:
        return None
    if grey and colors.shape[2] == 3 and channels == 1:
        facts["grey"] = True
    taken = colors[..., :channels] if not grey or channels == 1 else colors[..., :1].repeat(channels, 2)
    return np.ascontiguousarray(taken), Coded(facts, coded)


def _alpha_coded(alpha: Pixels) -> bytes:
    """A letter and the smaller of what it names: z, bytes packed by zlib; w, WebP of a grey picture."""
    image = Image.fromarray(alpha)
    ways = [b"z" + zlib.compress(alpha.tobytes(), 9)]
    if max(alpha.shape) < 16384:
        ways.append(b"w" + _webp(image.convert("RGB"), method=4))
    return min(ways, key=len)


def _alpha_decoded(data: bytes, height: int, width: int) -> Pixels:
    """The inverse of `_alpha_coded`; raises ValueError for damage."""
    if data[:1] == b"z":
        raw = zlib.decompressobj().decompress(data[1:], height * width + 1)
        return np.frombuffer(raw, np.uint8).reshape(height, width)
    return np.asarray(_opened(data[1:], (width, height)).convert("RGB"))[..., 0]


def _webp(image: Image.Image, method: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, quality=100 if method > 0 else 0, method=method, exact=True)
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _as_png(raster: Raster) -> bytes:
    image = raster.image
    if raster.mode == "P":  # the palette is in the index; here only as many greys as need be
        count = max(raster.data, default=0) + 1
        image.putpalette([grey for grey in range(count) for _ in range(3)])
    return _png(image)


def _as_webp(raster: Raster, method: int) -> bytes:
    return _webp(raster.image.convert("RGBA" if raster.mode in ("LA", "RGBA") else "RGB"), method)


def classic(raster: Raster, method: int = 6) -> Coded:
    """The smallest of PNG, WebP and LZMA of the bytes."""
    ways = [Coded({"coding": "raw"}, lzma.compress(raster.data, lzma.FORMAT_ALONE))]
    if raster.mode in PNG_MODES:
        ways.append(Coded({"coding": "png"}, _as_png(raster)))
    if raster.mode in COLORS and max(raster.width, raster.height) < 16384:
        ways.append(Coded({"coding": "webp"}, _as_webp(raster, method)))
    return min(ways, key=lambda way: len(way.data))


def _unclassic(coded: Coded, mode: str, size: tuple[int, int], expected: int) -> bytes:
    """Pixels of what `classic` gave; raises ValueError and others for damage."""
    if coded.facts["coding"] == "raw":
        return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=1 << 28).decompress(coded.data, expected + 1)
    image = _opened(coded.data, size)
    if coded.facts["coding"] == "webp":
        image = image.convert("RGBA") if mode in ("LA", "RGBA") else image.convert("RGB")
        if mode in ("L", "LA"):
            pixels = np.asarray(image)
            return pixels[..., [0] if mode == "L" else [0, 3]].tobytes()
    if image.mode != mode:
        raise ValueError("its mode is another one")
    return image.tobytes()


def _opened(data: bytes, size: tuple[int, int]) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=("PNG", "WEBP"))
    if image.size != size:
        raise ValueError("its size is another one")
    image.load()
    return image


# Many at once.


def encode(network: Causal, rasters: Sequence[Raster], files: Sequence[bytes]) -> list[Coded]:
    """Each picture in its smallest way; `files` are the bytes that it came in, which may be the smallest themselves."""
    prepared = [None if r.frames > 1 else _for_prediction(r, network.channels) for r in rasters]
    streams = iter(lossless.encode(network, [p[0] for p in prepared if p is not None]))
    predicted = [
        None if p is None else Coded(p[1].facts, joined([*next(streams), p[1].data] if p[1].data else next(streams)))
        for p in prepared
    ]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_smallest, rasters, predicted, files))


def _smallest(raster: Raster, predicted: Coded | None, file: bytes) -> Coded:
    whole = Coded({"coding": "file"}, file)
    if raster.frames > 1:
        return whole
    least = predicted
    if predicted is None or len(predicted.data) > TRUSTED * len(_as_webp(raster, 0)):
        other = classic(raster)
        least = min(filter(None, (predicted, other)), key=lambda way: len(way.data))
    assert least is not None
    return whole if raster.lossy and len(file) < len(least.data) else least


def facts_of(raster: Raster, coded: Coded, profiles: list[bytes]) -> dict[str, Any]:
    """All that the index says of a picture; a new profile is added to `profiles`."""
    facts = {"mode": raster.mode, "size": [raster.width, raster.height], **raster.meaning, **coded.facts}
    if raster.profile:
        if raster.profile not in profiles:
            profiles.append(raster.profile)
        facts["profile"] = profiles.index(raster.profile)
    return facts


def decode(network: Causal | None, coded: Sequence[Coded], crcs: Sequence[int]) -> list[Raster | str]:
    """The pictures of entries, or in one sentence why there is none; `network` is None where there is no model."""
    shapes = [_shape(c, network) for c in coded]
    predicted = [i for i, shape in enumerate(shapes) if shape is not None and network is not None]
    planes: dict[int, Pixels | None] = {}
    if network is not None and predicted:
        sizes = [size for i in predicted if (size := shapes[i]) is not None]
        streams = [parted(coded[i].data, _parts(coded[i], size)) for i, size in zip(predicted, sizes, strict=True)]
        planes = dict(zip(predicted, lossless.decode(network, sizes, streams), strict=True))
    found: list[Raster | str] = []
    for i, (c, crc) in enumerate(zip(coded, crcs, strict=True)):
        try:
            raster = _restored(c, planes.get(i), network is not None)
            found.append(raster if raster.crc == crc else "its pixels are not those that were compressed")
        except Exception as error:  # damaged bytes make readers raise nearly anything
            found.append(str(error) or type(error).__name__)
    return found


def _size(coded: Coded) -> tuple[int, int]:
    """Width and height; raises ValueError for what no picture has."""
    width, height = coded.facts["size"]
    if not (isinstance(width, int) and isinstance(height, int) and width >= 0 and height >= 0):
        raise ValueError("its size is damaged")
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width}×{height} is over the bound of {MAX_PIXELS} pixels")
    return width, height


def _shape(coded: Coded, network: Causal | None) -> tuple[int, int] | None:
    """Height and width of what is predicted; None for all else and for what is damaged."""
    try:
        width, height = _size(coded)
    except (ValueError, KeyError, TypeError):
        return None
    return (height, width) if coded.facts.get("coding") == "predicted" and width * height else None


def _has_alpha_part(facts: dict[str, Any]) -> bool:
    return facts["mode"] in ("LA", "RGBA") and "alpha" not in facts


def _parts(coded: Coded, shape: tuple[int, int]) -> int:
    return lossless.lanes_of(*shape) + _has_alpha_part(coded.facts)


def _restored(coded: Coded, planes: Pixels | None, model: bool) -> Raster:
    facts = coded.facts
    mode, (width, height) = facts["mode"], _size(coded)
    if facts["coding"] == "predicted":
        if not model:
            raise ValueError("the model that it was compressed with is missing")
        if planes is None:
            raise ValueError("its bytes are damaged")
        data = _pixels(coded, planes, mode, width, height)
    else:
        expected = len(Image.new(mode, (width, 1)).tobytes()) * height
        data = _unclassic(coded, mode, (width, height), expected)
        if len(data) != expected:
            raise ValueError("its bytes are damaged")
    meaning = {key: facts[key] for key in ("palette", "transparency", "orientation") if key in facts}
    return Raster(mode, width, height, data, meaning)


def _pixels(coded: Coded, planes: Pixels, mode: str, width: int, height: int) -> bytes:
    """Predicted planes and alpha as Pillow has them."""
    facts = coded.facts
    colors = planes[..., : COLORS[mode]]
    if facts.get("grey"):
        colors = colors[..., :1].repeat(3, 2)
    if mode not in ("LA", "RGBA"):
        return colors.tobytes()
    if "alpha" in facts:
        alpha = np.full((height, width), facts["alpha"], np.uint8)
    else:
        alpha = _alpha_decoded(parted(coded.data, _parts(coded, (height, width)))[-1], height, width)
    if "hidden" in facts:
        colors = np.where(alpha[..., None] == 0, np.array(facts["hidden"], np.uint8), colors)
    return np.concatenate([colors, alpha[..., None]], 2).tobytes()


# Whole archives.

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
            coded = encode(network, rasters, files)
            if verify:
                _verify(network, [name for name, _, _ in group], rasters, coded)
            for (name, raster, file), c in zip(group, coded, strict=True):
                crc = zlib.crc32(file) if c.facts["coding"] == "file" else raster.crc
                writer.add(name, facts_of(raster, c, profiles), crc, c.data)
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
    if sample and raster.mode in COLORS and raster.frames == 1:
        sizes = {"archive": len(coded.data), **others(raster)}
        sampled = {key: sampled.get(key, 0) + size for key, size in sizes.items()}
    return Progress(
        at.pictures + 1, at.of, at.source_bytes + file, at.coded_bytes + len(coded.data), sampled, codings
    )


def others(raster: Raster) -> dict[str, int]:
    """Bytes of the pixels as optimized PNG, WebP, and AVIF and JPEG XL without loss where this Pillow writes them."""
    sizes = {"png": len(_as_png(raster)), "webp": len(_as_webp(raster, 6))}
    for name, form, options in (
        ("avif", "AVIF", {"quality": 100, "subsampling": "4:4:4", "speed": 6, "advanced": {"lossless": "1"}}),
        ("jxl", "JXL", {"lossless": True}),
    ):
        Image.init()
        if form in Image.SAVE:
            buffer = io.BytesIO()
            try:
                raster.image.save(buffer, form, **options)
            except (OSError, ValueError, TypeError, KeyError):  # what this codec does not take is not compared
                continue
            sizes[name] = buffer.tell()
    return sizes


def _verify(network: Causal, names: Sequence[str], rasters: Sequence[Raster], coded: Sequence[Coded]) -> None:
    """Decode everything once and compare; raises RuntimeError naming the first picture that differs."""
    checked = [i for i, c in enumerate(coded) if c.facts["coding"] != "file"]
    facts = [Coded(facts_of(replace(rasters[i], profile=b""), coded[i], []), coded[i].data) for i in checked]
    decoded = decode(network, facts, [rasters[i].crc for i in checked])
    for i, found in zip(checked, decoded, strict=True):
        if not isinstance(found, Raster) or found.data != rasters[i].data:
            raise RuntimeError(f"{names[i]} would not come back as it is ({found if isinstance(found, str) else 'pixels'})")


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
        lost.append(Lost(f"{contents.nameless} pictures", "their part of the index is damaged, and their names with it"))
    targets = _targets(contents)
    with path.open("rb") as file:
        for group in _in_groups(stored):
            for entry, result in zip(group, _decoded(file, group, network), strict=True):
                target = targets.get(entry.entry.name)
                if isinstance(result, str):
                    lost.append(Lost(entry.entry.name, result))
                elif target is None:
                    lost.append(Lost(entry.entry.name, "its name leads out of the folder, or is that of another one"))
                else:
                    saved.append(_write(out / target, result, contents))
                    if contents.shared is None and "profile" in entry.entry.facts:
                        lost.append(Lost(entry.entry.name, "its color profile is damaged (its pixels are saved)"))
    return Decompressed(tuple(saved), tuple(lost))


def _model(path: Path, contents: Contents, network: Causal | None) -> Causal | None:
    """The model inside, else the given one if it is the right one, else None."""
    inside = archive.model_of(path, contents)
    if inside is not None:
        try:
            return packing.unpacked(inside)
        except ValueError:
            raise UserError(f"{path}: its model is of a kind that this version does not know; update mezzotint") from None
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


def _decoded(file: Any, group: Sequence[Stored], network: Causal | None) -> list[Result | str]:
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
    decoded = decode(network, list(coded.values()), [group[i].entry.crc for i in coded])
    for i, raster in zip(coded, decoded, strict=True):
        results[i] = raster if isinstance(raster, str) else (group[i].entry, raster)
    return [results[i] for i in range(len(group))]


def _targets(contents: Contents) -> dict[str, str]:
    """Where each picture is written, relative to the folder: its own name, ending in .png or .tiff where that fits it."""
    targets: dict[str, str] = {}
    taken = set[str]()
    for stored in contents.stored:
        name, facts = stored.entry.name, stored.entry.facts
        pure = PurePosixPath(name)
        if pure.is_absolute() or not pure.parts or ".." in pure.parts or any(c in name for c in "\\:\0"):
            continue
        target = name if facts.get("coding") == "file" else str(pure.with_suffix(_ending(facts.get("mode"))))
        if target in taken:
            target = f"{name}{_ending(facts.get('mode'))}"
        if target not in taken:
            taken.add(target)
            targets[name] = target
    return targets


def _ending(mode: Any) -> str:
    return ".png" if mode in PNG_MODES else ".tiff"


def _write(path: Path, result: Result, contents: Contents) -> Path:
    """The picture as a PNG or, in modes that PNG has not, a TIFF; files that were kept as they were."""
    entry, content = result
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        if isinstance(content, bytes):
            new.write_bytes(content)
        else:
            _saved(content, entry, contents.shared or (), new, path.suffix)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return path


def _saved(raster: Raster, entry: Entry, profiles: Sequence[bytes], path: Path, suffix: str) -> None:
    image = raster.image
    options: dict[str, Any] = {}
    if "palette" in raster.meaning:
        mode, colors = raster.meaning["palette"]
        image.putpalette(_bytes(colors), mode)
    transparency = raster.meaning.get("transparency")
    if transparency is not None:
        as_is = tuple(transparency) if isinstance(transparency, list) else transparency
        options["transparency"] = _bytes(as_is) if isinstance(as_is, str) else as_is
    number = entry.facts.get("profile")
    if isinstance(number, int) and number < len(profiles):
        options["icc_profile"] = profiles[number]
    if "orientation" in raster.meaning:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = raster.meaning["orientation"]
        options["exif"] = exif
    if suffix == ".png":
        image.save(path, "PNG", **options)
    else:
        image.save(path, "TIFF", compression="tiff_lzw" if raster.mode not in ("F", "I") else None, **options)
