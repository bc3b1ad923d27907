"""The ways in which a picture can be coded, and which one is smallest: predicted, or as files of pictures are."""

import io
import lzma
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from mezzotint import lossless
from mezzotint.data.decode import MAX_PIXELS, Pixels
from mezzotint.networks.causal import Causal
from mezzotint.raster import PNG_MODES, Raster

TRUSTED = 0.8
"""A prediction below this share of a quick WebP is not tried against slow ones, which gain less than that on it."""
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


def encode(network: Causal, rasters: Sequence[Raster], files: Sequence[bytes]) -> list[Coded]:
    """Each picture in its smallest way; `files` are the bytes that it came in, which may be the smallest themselves."""
    prepared = [None if r.more else _for_prediction(r, network.channels) for r in rasters]
    streams = iter(lossless.encode(network, [p[0] for p in prepared if p is not None]))
    predicted = [
        None if p is None else Coded(p[1].facts, joined([*next(streams), p[1].data] if p[1].data else next(streams)))
        for p in prepared
    ]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_smallest, rasters, predicted, files))


def _smallest(raster: Raster, predicted: Coded | None, file: bytes) -> Coded:
    whole = Coded({"coding": "file"}, file)
    if raster.more:
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
    return facts.get("mode") in ("LA", "RGBA") and "alpha" not in facts


def _parts(coded: Coded, shape: tuple[int, int]) -> int:
    return lossless.lanes_of(*shape) + _has_alpha_part(coded.facts)


def _restored(coded: Coded, planes: Pixels | None, model: bool) -> Raster:
    facts = coded.facts
    mode, (width, height) = facts["mode"], _size(coded)
    if facts["coding"] == "predicted":
        if not model:
            raise ValueError("the model that it was compressed with is missing or damaged")
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


def others(raster: Raster) -> dict[str, int]:
    """Bytes of the pixels as optimized PNG, WebP, and AVIF and JPEG XL without loss where this Pillow writes them."""
    sizes = {"png": len(_as_png(raster)), "webp": len(_as_webp(raster, 6))}
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
