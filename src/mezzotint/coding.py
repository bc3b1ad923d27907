"""The ways in which a picture can be coded, and which one is smallest: predicted, or as files of pictures are."""

import io
import lzma
import math
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from mezzotint import lossless, lossy
from mezzotint.data.decode import MAX_PIXELS, Pixels
from mezzotint.networks.causal import Causal
from mezzotint.networks.hyperprior import QUALITIES, Decoder
from mezzotint.raster import PNG_MODES, Raster

TRUSTED = 0.9
"""A prediction below this share of quick WebP and quick LZMA is not tried against slow ones."""
QUICK = 1
"""Method of a quick WebP: the first by which grey pictures are predicted, too; slower ones are not always smaller."""
REACH = 1 << 22
"""Bytes back as far as the quick LZMA finds what repeats."""
PATIENCE = ((1 << 20, 6), (1 << 22, 4), (math.inf, 2))
"""Pixels up to which WebP is written by a method: the slowest take minutes for what is large."""
WEBP_SIDE = 16384
"""Sides of a WebP are shorter than this."""
COLORS = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3}
"""Color planes of the modes that are predicted."""


@dataclass(frozen=True)
class Coded:
    """One way in which a picture can be written: facts for the index and bytes."""

    facts: dict[str, Any]
    data: bytes


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
            coded = alpha_coded(alpha)
    grey = colors.shape[2] == 1 or bool((colors == colors[..., :1]).all())
    if not grey and channels == 1:
        return None
    if grey and colors.shape[2] == 3 and channels == 1:
        facts["grey"] = True
    taken = colors[..., :channels] if not grey or channels == 1 else colors[..., :1].repeat(channels, 2)
    return np.ascontiguousarray(taken), Coded(facts, coded)


def alpha_coded(alpha: Pixels) -> bytes:
    """A letter and the smaller of what it names: z, bytes packed by zlib; w, WebP of a grey picture."""
    image = Image.fromarray(alpha)
    ways = [b"z" + zlib.compress(alpha.tobytes(), 9)]
    if max(alpha.shape) < WEBP_SIDE:
        ways.append(b"w" + _webp(image.convert("RGB"), method=4))
    return min(ways, key=len)


def _alpha_decoded(data: bytes, height: int, width: int) -> Pixels:
    """The inverse of `alpha_coded`; raises ValueError for damage."""
    if data[:1] == b"z":
        raw = zlib.decompressobj().decompress(data[1:], height * width + 1)
        return np.frombuffer(raw, np.uint8).reshape(height, width)
    return np.asarray(_opened(data[1:], (width, height), "webp").convert("RGB"))[..., 0]


def _webp(image: Image.Image, method: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, quality=100, method=method, exact=True)
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


def webp_takes(raster: Raster) -> bool:
    """Whether the pixels can be written as WebP at all."""
    return raster.mode in COLORS and 0 < max(raster.width, raster.height) < WEBP_SIDE


def as_webp(raster: Raster, method: int) -> bytes:
    """The pixels as WebP without loss, by a method from 0 (quick) to 6."""
    return _webp(raster.image.convert("RGBA" if raster.mode in ("LA", "RGBA") else "RGB"), method)


def quick(raster: Raster) -> int:
    """Bytes that WebP and LZMA take at quick settings, the fewer of both: these, too, see what repeats far away."""
    reach = min(REACH, max(4096, len(raster.data)))
    seeing = {"id": lzma.FILTER_LZMA1, "preset": 0, "dict_size": reach}
    packed = lzma.compress(raster.data, lzma.FORMAT_RAW, filters=[seeing])
    return min(len(as_webp(raster, QUICK)), len(packed))


def _patience(raster: Raster) -> int:
    return next(method for most, method in PATIENCE if raster.width * raster.height <= most)


def classic(raster: Raster) -> Coded:
    """The smallest of PNG, WebP and LZMA of the bytes."""
    ways = [Coded({"coding": "raw"}, lzma.compress(raster.data, lzma.FORMAT_ALONE))]
    if raster.mode in PNG_MODES:
        ways.append(Coded({"coding": "png"}, _as_png(raster)))
    if webp_takes(raster):
        ways += [Coded({"coding": "webp"}, as_webp(raster, method)) for method in (QUICK, _patience(raster))]
    return min(ways, key=lambda way: len(way.data))


def unclassic(coded: Coded, mode: str, size: tuple[int, int]) -> bytes:
    """Pixels of a file of a picture, or of what `classic` gave; raises ValueError and others for damage."""
    expected = len(Image.new(mode, (size[0], 1)).tobytes()) * size[1]
    data = _unpacked(coded, mode, size, expected)
    if len(data) != expected:
        raise ValueError("its bytes are damaged")
    return data


def _unpacked(coded: Coded, mode: str, size: tuple[int, int], expected: int) -> bytes:
    if coded.facts["coding"] == "raw":
        return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=1 << 28).decompress(coded.data, expected + 1)
    image = _opened(coded.data, size, coded.facts["coding"])
    if coded.facts["coding"] == "webp":
        image = image.convert("RGBA") if mode in ("LA", "RGBA") else image.convert("RGB")
        if mode in ("L", "LA"):
            pixels = np.asarray(image)
            return pixels[..., [0] if mode == "L" else [0, 3]].tobytes()
    if image.mode != mode:
        raise ValueError("its mode is another one")
    return image.tobytes()


def _opened(data: bytes, size: tuple[int, int], form: str) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=(form.upper(),))
    if image.size != size:
        raise ValueError("its size is another one")
    image.load()
    return image


def encode(network: Causal, rasters: Sequence[Raster], files: Sequence[bytes]) -> list[Coded]:
    """Each picture in its smallest way; `files` are the bytes that it came in, which may be the smallest themselves."""
    prepared = [None if r.more else _for_prediction(r, network.channels) for r in rasters]
    streams = iter(lossless.encode(network, [p[0] for p in prepared if p is not None]))
    predicted = [
        None if p is None else Coded(p[1].facts, joined([*next(streams), p[1].data] if p[1].data else next(streams)))
        for p in prepared
    ]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(smallest, rasters, predicted, files))


def smallest(raster: Raster, predicted: Coded | None, file: bytes) -> Coded:
    """The smallest way without loss, of which the prediction may be one."""
    whole = Coded({"coding": "file"}, file)
    if raster.more:
        return whole
    least = predicted
    if predicted is None or not webp_takes(raster) or len(predicted.data) > TRUSTED * quick(raster):
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


def crc_of(raster: Raster, coded: Coded) -> int:
    """What the index has for a picture: the CRC-32 of its pixels, or of bytes that the file's own reader decodes."""
    way = coded.facts["coding"]
    # Two readers of one JPEG, or of one WebP with loss, may differ by a level.
    as_bytes = way == "file" or (way in ("webp", "jpeg") and coded.facts.get("loss") is True)
    return zlib.crc32(coded.data) if as_bytes else raster.crc


@dataclass(frozen=True)
class Planes:
    """What a network gave back of a picture."""

    colors: Pixels | None
    """h × w × the network's channels; None where its streams are damaged."""
    alpha: bytes
    """As `alpha_coded` gives it, where it is coded."""
    reason: str = "its bytes are damaged"
    """Why there are no colors."""


def decode(network: Causal | Decoder | None, coded: Sequence[Coded], crcs: Sequence[int]) -> list[Raster | str]:
    """The pictures of entries, or in one sentence why there is none; `network` is None where there is no model."""
    planes = {} if network is None else _planes(network, coded)
    found: list[Raster | str] = []
    for i, (c, crc) in enumerate(zip(coded, crcs, strict=True)):
        try:
            raster = _restored(c, planes.get(i), network is not None)
            found.append(raster if crc_of(raster, c) == crc else "its pixels are not those that were compressed")
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


def _planes(network: Causal | Decoder, coded: Sequence[Coded]) -> dict[int, Planes]:
    """Of what the network decodes, by number; an error costs those that were decoded together."""
    planes: dict[int, Planes] = {}
    for shapes in _together(network, coded):
        try:
            if isinstance(network, Causal):
                planes |= _predicted(network, coded, shapes)
            else:
                planes |= _approximated(network, coded, shapes)
        except Exception as error:  # whatever it is, the others can be saved
            planes |= {i: Planes(None, b"", str(error) or type(error).__name__) for i in shapes}
    return planes


Shapes = dict[int, tuple[int, int]]
"""Height and width by number."""


def _together(network: Causal | Decoder, coded: Sequence[Coded]) -> list[Shapes]:
    """What is decoded at once: all that is predicted, or what is lossy of one quality; without what is damaged."""
    if isinstance(network, Causal):
        return [_shapes(coded, "predicted")]
    latents, groups = network.config.latents, dict[int, Shapes]()
    for i, shape in _shapes(coded, "lossy").items():
        if _quality(coded[i]) and lossy.takes(latents, *shape):
            groups.setdefault(_quality(coded[i]), {})[i] = shape
    return list(groups.values())


def _predicted(network: Causal, coded: Sequence[Coded], shapes: Shapes) -> dict[int, Planes]:
    streams = [parted(coded[i].data, _parts(coded[i], shape)) for i, shape in shapes.items()]
    colors = lossless.decode(network, list(shapes.values()), streams)
    return {i: Planes(pixels, own[-1]) for i, pixels, own in zip(shapes, colors, streams, strict=True)}


def _approximated(decoder: Decoder, coded: Sequence[Coded], shapes: Shapes) -> dict[int, Planes]:
    """All of them have one quality."""
    (quality,) = {_quality(coded[i]) for i in shapes}
    parts = [lossy_parts(coded[i], decoder, shape) for i, shape in shapes.items()]
    streams, beyond = [part.streams for part in parts], [part.beyond for part in parts]
    colors = lossy.restore(decoder, list(shapes.values()), streams, beyond, quality)
    return {i: Planes(pixels, part.alpha) for i, pixels, part in zip(shapes, colors, parts, strict=True)}


def _shapes(coded: Sequence[Coded], way: str) -> Shapes:
    """Height and width of what is coded in a way, by number, without what is damaged."""
    found = ((i, _shape(c)) for i, c in enumerate(coded) if c.facts.get("coding") == way)
    return {i: shape for i, shape in found if shape is not None}


def _shape(coded: Coded) -> tuple[int, int] | None:
    try:
        width, height = _size(coded)
    except (ValueError, KeyError, TypeError):
        return None
    return (height, width) if width * height else None


def _quality(coded: Coded) -> int:
    """1 … 100; 0 for damage."""
    quality = coded.facts.get("quality")
    return quality if type(quality) is int and 1 <= quality <= QUALITIES else 0  # True is an int, too


def _has_alpha_part(facts: dict[str, Any]) -> bool:
    return facts.get("mode") in ("LA", "RGBA") and "alpha" not in facts


def _parts(coded: Coded, shape: tuple[int, int]) -> int:
    return lossless.lanes_of(*shape) + _has_alpha_part(coded.facts)


def _restored(coded: Coded, planes: Planes | None, model: bool) -> Raster:
    facts = coded.facts
    mode, (width, height) = facts["mode"], _size(coded)
    if facts["coding"] in ("predicted", "lossy"):
        if not model:
            raise ValueError("the model that it was compressed with is missing or damaged")
        if planes is None or planes.colors is None:
            raise ValueError("its facts are damaged" if planes is None else planes.reason)
        again = _pixels if facts["coding"] == "predicted" else seen
        data = again(facts, planes.colors, planes.alpha)
    else:
        data = unclassic(coded, mode, (width, height))
    meaning = {key: facts[key] for key in ("palette", "transparency", "orientation") if key in facts}
    return Raster(mode, width, height, data, meaning)


def _pixels(facts: dict[str, Any], planes: Pixels, alpha_part: bytes) -> bytes:
    """Predicted planes and alpha as Pillow has them."""
    mode = facts["mode"]
    colors = planes[..., : COLORS[mode]]
    if facts.get("grey"):
        colors = colors[..., :1].repeat(3, 2)
    if mode not in ("LA", "RGBA"):
        return colors.tobytes()
    alpha = _alpha(facts, alpha_part, planes)
    if "hidden" in facts:
        colors = np.where(alpha[..., None] == 0, np.array(facts["hidden"], np.uint8), colors)
    return np.concatenate([colors, alpha[..., None]], 2).tobytes()


@dataclass(frozen=True)
class LossyParts:
    """What the bytes of a lossy picture consist of."""

    streams: list[bytes]
    beyond: bytes
    alpha: bytes


def lossy_joined(parts: LossyParts) -> bytes:
    """The inverse of `lossy_parts`; where there is nothing beyond and no alpha, they take no bytes."""
    return joined([*parts.streams, *filter(None, (parts.beyond, parts.alpha))])


def lossy_parts(coded: Coded, decoder: Decoder, shape: tuple[int, int]) -> LossyParts:
    """Streams, what is beyond the tables, alpha; `beyond` among the facts says that there is such a part."""
    count = lossy.lanes_of(decoder.config.latents, *shape)
    beyond, alpha = bool(coded.facts.get("beyond")), _has_alpha_part(coded.facts)
    parts = parted(coded.data, count + beyond + alpha)
    return LossyParts(parts[:count], parts[count] if beyond else b"", parts[-1] if alpha else b"")


def _alpha(facts: dict[str, Any], part: bytes, planes: Pixels) -> Pixels:
    if "alpha" in facts:
        return np.full(planes.shape[:2], facts["alpha"], np.uint8)
    return _alpha_decoded(part, planes.shape[0], planes.shape[1])


def seen(facts: dict[str, Any], planes: Pixels, alpha_part: bytes) -> bytes:
    """A picture as Pillow has it, of planes that show it laid over white."""
    mode = facts["mode"]
    if facts.get("grey") or COLORS[mode] == 1:
        mean = planes.astype(np.int32).sum(2, keepdims=True) + planes.shape[2] // 2
        planes = (mean // planes.shape[2]).astype(np.uint8)
    colors = planes if planes.shape[2] == COLORS[mode] else planes.repeat(COLORS[mode], 2)
    if mode not in ("LA", "RGBA"):
        return colors.tobytes()
    alpha = _alpha(facts, alpha_part, planes)
    return np.concatenate([off_white(colors, alpha), alpha[..., None]], 2).tobytes()


def over_white(colors: Pixels, alpha: Pixels) -> Pixels:
    """A picture as it looks laid over white."""
    share = alpha[..., None].astype(np.int32)
    return ((colors * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)


def off_white(seen: Pixels, alpha: Pixels) -> Pixels:
    """The colors that look so over white; white where nothing is seen."""
    share = alpha[..., None].astype(np.int32)
    colors = (255 * (seen.astype(np.int32) - 255 + share) + share // 2) // np.maximum(share, 1)
    return np.where(share == 0, 255, np.clip(colors, 0, 255)).astype(np.uint8)


def middle(raster: Raster, pixels: int) -> Raster:
    """The picture itself, or of one with more pixels than that the middle, as many and in its proportions."""
    share = math.sqrt(pixels / max(1, raster.width * raster.height))
    if share >= 1:
        return raster
    width = max(1, int(raster.width * share))
    height = max(1, min(int(raster.height * share), pixels // width))
    width = min(width, pixels // height)
    left, top = (raster.width - width) // 2, (raster.height - height) // 2
    cut = raster.image.crop((left, top, left + width, top + height))
    return Raster(raster.mode, width, height, cut.tobytes(), raster.meaning, raster.profile)


def others(raster: Raster, known: Mapping[str, int] = MappingProxyType({})) -> dict[str, int]:
    """Bytes of the pixels as optimized PNG, WebP, and AVIF and JPEG XL without loss where this Pillow writes them.

    `known` are bytes of `png` and `webp` that have been written already.
    """
    sizes = {
        "png": known.get("png") or len(_as_png(raster)),
        "webp": known.get("webp") or len(as_webp(raster, 6)),
    }
    for name, form, options in (
        ("avif", "AVIF", {"quality": 100, "subsampling": "4:4:4", "speed": 8, "advanced": {"lossless": "1"}}),
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
