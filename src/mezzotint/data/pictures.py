"""Between the house's floats and everybody's bytes: arrays, grids and PNG files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mezzotint.data.decode import MAX_PIXELS, Pixels, decode
from mezzotint.errors import UserError
from mezzotint.types import Images


def to_uint8(images: Images) -> Pixels:
    """Floats in [-1, 1], n c h w, as bytes, n h w c; values outside are clipped."""
    scaled = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).cpu().numpy())


def to_float(pixels: np.ndarray) -> Images:
    """Bytes, n h w c, as floats in [-1, 1], n c h w."""
    array = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32)
    return torch.from_numpy(array) / 127.5 - 1


def grid(pixels: Pixels, columns: int | None = None, pad: int = 2) -> Pixels:
    """Pictures n h w c side by side on white, row by row, as one h w c picture; square where `columns` is not given."""
    n, h, w, c = pixels.shape
    columns = columns or max(1, round(n**0.5 + 0.49))
    rows = -(-n // columns)
    sheet = np.full((rows * (h + pad) + pad, columns * (w + pad) + pad, c), 255, np.uint8)
    for i, picture in enumerate(pixels):
        top, left = pad + (i // columns) * (h + pad), pad + (i % columns) * (w + pad)
        sheet[top : top + h, left : left + w] = picture
    return sheet


def enlarged(pixels: Pixels, least: int) -> Pixels:
    """A small h w c picture repeated to whole multiples, so that its longer side has at least `least` pixels."""
    times = max(1, -(-least // max(pixels.shape[:2])))
    return pixels.repeat(times, 0).repeat(times, 1)


def to_image(pixels: Pixels) -> Image.Image:
    """An h w c array as a Pillow picture, grey or RGB."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def save_png(path: str | Path, pixels: Pixels) -> None:
    """Write an h w c picture so that the file is whole or not there."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        to_image(pixels).save(new, "PNG", optimize=True)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def read_pictures(paths: Sequence[str | Path], size: int, channels: int, crop: str = "center") -> Pixels:
    """Files as n × size × size × channels; raises UserError naming the first that cannot be read."""
    read: list[Pixels] = []
    for path in paths:
        if not Path(path).is_file():
            raise UserError(f"there is no picture {path}")
        try:
            read.append(decode(Path(path), size, channels, crop, MAX_PIXELS).pixels)
        except ValueError as error:
            raise UserError(f"{path} cannot be read as a picture: {error}") from None
    return np.stack(read)
