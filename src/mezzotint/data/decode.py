"""Picture files to uint8 arrays, within limits; without torch, so that worker processes start fast.

Run as a script it is such a worker: `python decode.py JOB` decodes the files that a job lists into rows of a
memory-mapped array and prints a line of JSON for each block of them.
"""

import hashlib
import json
import math
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

MAX_PIXELS = 100_000_000
"""A larger picture is refused before it is decoded (a 100-megapixel RGB picture takes 300 MB)."""

BLOCK = 32
"""Files that a worker reports at once: who listens to it must not take its processor."""
PROGRAMS = ("EPS",)
"""Formats of Pillow that are not decoded but run, by an interpreter that knows no bounds (Ghostscript)."""
CUT = "cut"
"""The crop that leaves pixels as they are and takes several squares of a large picture."""
WINDOWS = 64
"""Squares that are cut from a picture at most."""
TRANSPARENT = " transparent"
"""Added to the mode of a picture that has a transparent color without an alpha channel."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Decoded:
    """A picture in the shape that was asked for, what it was, and the hash of its own pixels."""

    pixels: Pixels
    """h × w × c."""
    content: str
    """Hex hash of the full picture's pixels, whatever file format they came in."""
    grey: bool
    width: int
    """As the file says, before it is turned, cropped or scaled."""
    height: int
    mode: str
    """Pillow's name of the file's kind of pixels: `RGB`, `P`, `I;16`, `CMYK` and so on."""
    turned: bool
    """Whether its EXIF says that the camera was held sideways or upside down."""
    reduced: bool
    """See `is_reduced`."""


def picture_extensions() -> frozenset[str]:
    """Endings of the files that Pillow reads, in lower case with the dot."""
    Image.init()
    return frozenset(e for e, form in Image.registered_extensions().items() if form in Image.OPEN) - {".pdf", ".mpg"}


def decode(path: str | Path, size: int | None, channels: int, crop: str, max_pixels: int = MAX_PIXELS) -> Decoded:
    """The picture in `path` as a size × size × channels array (own size where it is None).

    Raises ValueError with the reason where it cannot be read: too large, truncated, not a picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                if image.format in PROGRAMS:
                    raise ValueError("PostScript is a program rather than a picture: save it as PNG")
                (width, height), mode = image.size, image.mode + TRANSPARENT * ("transparency" in image.info)
                if width * height > max_pixels:
                    raise ValueError(f"{width}×{height} is over the bound of {max_pixels} pixels")
                reduced = is_reduced(image)
                orientation = orientation_of(image)
                full = upright_rgb(image if crop == CUT else _drafted(image, size), orientation)
            shaped = full if size is None else fitted(full, size, crop)
    except Exception as error:  # damaged files make Pillow's readers raise nearly anything
        raise ValueError(str(error).replace(str(path), "it") or type(error).__name__) from None
    pixels = np.asarray(full)
    content = hashlib.sha256(repr(pixels.shape).encode())
    content.update(pixels.data)
    if channels == 1:
        shown = np.asarray(shaped.convert("L"))[..., None]
    else:
        shown = pixels if shaped is full else np.asarray(shaped)
    return Decoded(shown, content.hexdigest()[:32], _grey(pixels), width, height, mode, orientation != 1, reduced)


def _grey(pixels: Pixels) -> bool:
    red, green, blue = (pixels[..., i] for i in range(3))
    return np.array_equal(red[0], green[0]) and np.array_equal(red, green) and np.array_equal(red, blue)


def _drafted(image: Image.Image, size: int | None) -> Image.Image:
    """A large JPEG decoded at a half, quarter or eighth: 512 pixels, so that its hash is one for all usual sizes."""
    if size is not None and image.format == "JPEG":
        least = max(512, 2 * size)
        image.draft(None, (least, least))
    return image


def is_reduced(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow reads 16 bits of a color as 8, as it does but for grey alone; to be asked before it is loaded."""
    if image.mode.startswith(("I", "F")) or not image.tile:
        return False
    coder, _, _, args = image.tile[0]
    if image.format == "TIFF":
        return max(getattr(image, "tag_v2", {}).get(258, (1,))) > 8  # BitsPerSample
    if image.format == "PPM":
        return isinstance(args, tuple) and isinstance(args[-1], int) and args[-1] > 255
    if image.format == "SGI":
        return coder == "SGI16" or ";16" in str(args)
    return image.format == "PNG" and ";16" in str(args)


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 is upright, and what a damaged EXIF counts as."""
    if image.format == "PNG":
        image.load()  # its EXIF may come behind the pixels
        if not any("exif" in key or "xmp" in key for key in map(str, image.info)):
            return 1
    try:
        found = image.getexif().get(0x0112, 1)
    except Exception:  # the pixels may be whole where the EXIF is not
        return 1
    return found if found in range(1, 9) else 1


def upright_rgb(image: Image.Image, orientation: int) -> Image.Image:
    """Any Pillow picture as RGB: turned upright by its EXIF, 16 bits scaled to 8, alpha laid over white."""
    image.load()
    if orientation != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image), image.mode)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        above = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), above).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(values: NDArray[np.generic], mode: str) -> Pixels:
    """Sixteen-bit values by 257, floats up to 1 by 255; others by their own range where they leave [0, 255]."""
    numbers = np.nan_to_num(values.astype(np.float64)).clip(-3e38, 3e38)
    if mode.startswith("I;16") or (mode == "I" and 255 < numbers.max() <= 65535 and numbers.min() >= 0):
        numbers = numbers / 257
    elif mode == "F" and numbers.min() >= 0 and numbers.max() <= 1:
        numbers = numbers * 255
    elif numbers.min() < 0 or numbers.max() > 255:
        low, high = numbers.min(), numbers.max()
        numbers = (numbers - low) * (255 / max(high - low, 1e-12))
    return np.rint(numbers).clip(0, 255).astype(np.uint8)


def fitted(image: Image.Image, size: int, crop: str) -> Image.Image:
    """The RGB picture as a square: its middle (`center`), all of it on white (`fit`), or distorted (`stretch`).

    By `cut` it is the middle as it is, neither larger nor smaller, where the picture has room for it.
    """
    if image.size == (size, size):
        return image
    if crop == CUT and min(image.size) >= size:
        left, top = (image.width - size) // 2, (image.height - size) // 2
        return image.crop((left, top, left + size, top + size))
    smooth = Image.Resampling.LANCZOS if max(image.size) > size else Image.Resampling.BICUBIC
    if crop == "stretch":
        return image.resize((size, size), smooth)
    if crop == "fit":
        return _padded(image, size, smooth)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.resize((size, size), smooth, box=(left, top, left + side, top + side))


def _padded(image: Image.Image, size: int, smooth: Image.Resampling) -> Image.Image:
    """The whole picture in the middle of a white square; a sliver keeps at least one pixel of width."""
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    square = Image.new("RGB", (size, size), "white")
    square.paste(image.resize((width, height), smooth), ((size - width) // 2, (size - height) // 2))
    return square


def windows(width: int, height: int, size: int) -> list[tuple[int, int]]:
    """Left and top of the squares that `cut` takes: spread evenly from edge to edge, none over another.

    There are `WINDOWS` at most, and none where the picture has no room for one. As many are taken of a picture that
    lies on its side.
    """
    if width > height:
        return [(left, top) for top, left in windows(height, width, size)]
    columns, rows = width // size, height // size
    if not columns:
        return []
    columns = min(columns, max(1, WINDOWS // rows, math.isqrt(WINDOWS * columns // rows)))
    rows = min(rows, WINDOWS // columns)
    return [(left, top) for top in _spread(height - size, rows) for left in _spread(width - size, columns)]


def _spread(room: int, count: int) -> list[int]:
    return [room // 2] if count == 1 else [i * room // (count - 1) for i in range(count)]


def windows_of(path: str, size: int) -> int:
    """How many squares `cut` takes of a file, by its first bytes alone; none where they tell of no picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                width, height = image.size
                return len(windows(width, height, size))
    except Exception:  # what cannot be opened is named when it is decoded
        return 0


def decode_into(rows: Pixels, job: dict[str, Any], index: int, path: str) -> dict[str, Any]:
    """Decode one file of a job into its row, or by `cut` into rows from its own on; what there is to say about it."""
    size, crop = job["size"], job["crop"]
    try:
        done = decode(path, None if crop == CUT else size, rows.shape[3], crop, job["max_pixels"])
        squares = _squares(done.pixels, size, windows_of(path, size)) if crop == CUT else [done.pixels]
    except ValueError as error:
        return {"i": index, "error": str(error)}
    for row, square in enumerate(squares, index):
        rows[row] = square
    told: dict[str, Any] = {"width": done.width, "height": done.height, "mode": done.mode, "turned": done.turned}
    if crop == CUT:
        told["squares"] = [hashlib.sha256(np.ascontiguousarray(square).data).hexdigest()[:32] for square in squares]
    return {"i": index, "content": done.content, "grey": done.grey, **told}


def _squares(pixels: Pixels, size: int, count: int) -> list[Pixels]:
    """What `cut` takes of a picture; raises ValueError where it is too small or not what its first bytes tell of."""
    height, width, _ = pixels.shape
    places = windows(width, height, size)
    if not places:
        raise ValueError(f"it is smaller than the squares of {size} pixels that are cut ({width}×{height})")
    if len(places) != count:
        raise ValueError("it has another size than its first bytes tell of")
    return [pixels[top : top + size, left : left + size] for left, top in places]


def _work(job_file: str) -> None:
    job = json.loads(Path(job_file).read_text())
    rows = np.load(job["out"], mmap_mode="r+")
    for start in range(0, len(job["files"]), job["block"]):
        block = [decode_into(rows, job, index, path) for index, path in job["files"][start : start + job["block"]]]
        sys.stdout.write(json.dumps(block) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _work(sys.argv[1])
