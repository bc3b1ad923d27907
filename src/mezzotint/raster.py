"""All of a picture that an archive brings back, from its file and into a new one."""

import base64
import math
import warnings
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from mezzotint.data.decode import MAX_PIXELS, PROGRAMS, is_reduced, orientation_of

PNG_MODES = ("1", "L", "P", "LA", "RGB", "RGBA", "I;16")
"""What is written as PNG; all else is written as TIFF."""
EXACT = ("PNG", "BMP", "PPM", "TIFF", "TGA", "PCX", "SGI")
"""Formats whose file is always replaced by its pixels."""
KNOWN = (*EXACT, "JPEG", "GIF", "WEBP", "QOI")
"""Formats of one picture of at most 8 bits a color, or whose depth can be told. The files of all others are kept."""


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
    """Whether the file may be smaller than its pixels allow: it is a JPEG or the like."""
    more: bool = False
    """Whether the file holds more than these pixels: further frames, more bits of a color."""

    @property
    def crc(self) -> int:
        """CRC-32 of mode, size and pixels."""
        return zlib.crc32(self.data, zlib.crc32(f"{self.mode} {self.width} {self.height}".encode()))

    @property
    def image(self) -> Image.Image:
        """The pixels as a Pillow picture."""
        return Image.frombytes(self.mode, (self.width, self.height), self.data)


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
                more = is_reduced(image) or image.format not in KNOWN
                image.load()
                return _raster(image, more=more)
    except Exception as error:  # damaged files make Pillow's readers raise nearly anything
        raise ValueError(str(error).replace(str(path), "it") or type(error).__name__) from None


def _raster(image: Image.Image, *, more: bool = False) -> Raster:
    meaning: dict[str, Any] = {}
    if image.mode in ("P", "PA") and image.palette is not None:
        meaning["palette"] = [image.palette.mode, _text(bytes(image.getpalette(image.palette.mode) or []))]
    transparency = image.info.get("transparency")
    if transparency is not None:
        meaning["transparency"] = _text(transparency) if isinstance(transparency, bytes) else transparency
    if (orientation := orientation_of(image)) != 1:
        meaning["orientation"] = orientation
    more = more or int(getattr(image, "n_frames", 1)) > 1
    profile = image.info.get("icc_profile") or b""
    return Raster(image.mode, *image.size, image.tobytes(), meaning, profile, image.format not in EXACT, more)


def _text(data: bytes) -> str:
    return "base64:" + base64.b64encode(data).decode()


def untexted(text: str) -> bytes:
    """The bytes that the index holds as text."""
    return base64.b64decode(text.removeprefix("base64:"))


def ending(mode: object) -> str:
    """Of the file that a picture of this mode is written to."""
    return ".png" if mode in PNG_MODES else ".tiff"


def save(raster: Raster, path: Path) -> None:
    """Write the picture with all that is known of it, as PNG or TIFF by its mode."""
    image = raster.image
    options: dict[str, Any] = {}
    if "palette" in raster.meaning:
        mode, colors = raster.meaning["palette"]
        image.putpalette(untexted(colors), mode)
    transparency = raster.meaning.get("transparency")
    if transparency is not None:
        as_is = tuple(transparency) if isinstance(transparency, list) else transparency
        options["transparency"] = untexted(as_is) if isinstance(as_is, str) else as_is
    if raster.profile:
        options["icc_profile"] = raster.profile
    if "orientation" in raster.meaning:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = raster.meaning["orientation"]
        options["exif"] = exif
    if ending(raster.mode) == ".png":
        image.save(path, "PNG", **options)
    else:
        image.save(path, "TIFF", compression="tiff_lzw" if raster.mode not in ("F", "I") else None, **options)
