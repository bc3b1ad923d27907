"""A user's pictures edited by a model: files in, pixels of the files' own size out, what is known of them untouched."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from mezzotint.data import pictures
from mezzotint.data.decode import MAX_PIXELS, Pixels, decode
from mezzotint.errors import UserError
from mezzotint.model import Model
from mezzotint.ops.degrade import Grey, Shrunk
from mezzotint.types import DataSpec, Images

MOSTLY = 0.75
"""A hole of a larger share than this may well be a mask the wrong way round."""
EXACT = ("1", "L", "P", "RGB")
"""Modes of Pillow whose pixels come back as they are: the others become RGB."""


@dataclass(frozen=True)
class Holed:
    """A picture and where something is to be drawn in it, of one size."""

    pixels: Pixels
    """H w c, of the model's channels."""
    hole: np.ndarray
    """H w, bool."""

    @property
    def share(self) -> float:
        """Of the picture that is hole."""
        return float(self.hole.mean())


def own_pixels(path: Path, spec: DataSpec, *, exact: bool = False) -> Pixels:
    """The picture in its own size, h w c, in grey or color as the model's; raises UserError for colors it has not.

    Where they must be `exact`, also for a picture whose pixels are not kept: with alpha, 16 bits and the like.
    """
    if not path.is_file():
        raise UserError(f"there is no picture {path}")
    try:
        found = decode(path, None, 3, "center", MAX_PIXELS)
    except ValueError as error:
        raise UserError(f"{path} cannot be read as a picture: {error}") from None
    if exact and (found.mode not in EXACT or found.reduced):
        raise UserError(
            f"{path} has transparency, 16 bits or other colors than RGB, which would not stay as they are: "
            "save it as RGB or grey of 8 bits without transparency first"
        )
    if spec.channels == 3:
        return found.pixels
    if not found.grey:
        raise UserError(f"{path} is in color and the model knows grey pictures alone: save it in grey first")
    return found.pixels[..., :1]


def with_mask(picture: Path, mask: Path, spec: DataSpec, hole: str = "white") -> Holed:
    """A picture and the hole that a mask of its size marks, in white (or in black, where `hole` says so).

    Raises UserError for a mask of another size, one that is not black and white, and one with nothing to draw or keep.
    """
    pixels = own_pixels(picture, spec, exact=True)
    shades = own_pixels(mask, DataSpec(3, 0, 0))[..., 0].astype(int)
    if shades.shape != pixels.shape[:2]:
        sizes = [f"{shape[1]}×{shape[0]}" for shape in (shades.shape, pixels.shape)]
        raise UserError(f"the mask {mask} is {sizes[0]} and the picture {picture} {sizes[1]}: make them of one size")
    if ((shades > 63) & (shades < 192)).mean() > 0.05:
        raise UserError(f"{mask} is not a mask: it must be black and white, the hole in {hole}")
    found = shades >= 128 if hole == "white" else shades < 128
    if not found.any():
        raise UserError(
            f"the mask {mask} has no hole, which must be {hole}; the other way round say --hole {other(hole)}"
        )
    if found.all():
        raise UserError(f"the mask {mask} is all hole ({hole}): nothing of the picture would stay")
    return Holed(pixels, found)


def other(color: str) -> str:
    """The other color of a mask."""
    return "black" if color == "white" else "white"


def with_margins(picture: Path, spec: DataSpec, left: int, right: int, top: int, bottom: int) -> Holed:
    """A picture with empty margins of so many pixels; raises UserError for none or less."""
    if min(left, right, top, bottom) < 0 or not any((left, right, top, bottom)):
        raise UserError("outpaint takes margins in pixels: --left, --right, --top and --bottom, at least one above 0")
    pixels = own_pixels(picture, spec, exact=True)
    sides = ((top, bottom), (left, right))
    return Holed(
        np.pad(pixels, (*sides, (0, 0)), mode="edge"),
        np.pad(np.zeros(pixels.shape[:2], bool), sides, constant_values=True),
    )


def completed(model: Model, holed: Holed, seeds: list[int], classes: tuple[str, ...] = ()) -> Pixels:
    """A candidate for each seed, n h w c; outside the hole the picture's own bytes.

    A picture of another size than the model's is shrunk or enlarged for it, and what was drawn is brought back.
    Raises UserError where the proportions are not the model's.
    """
    height, width = holed.hole.shape
    spec = model.spec
    if height * spec.width != width * spec.height:
        raise UserError(
            f"the picture (with its margins) is {width}×{height} and the model draws {spec.width}×{spec.height}: "
            "cut it to these proportions first"
        )
    images = pictures.to_float(_known(holed, spec.width, spec.height)[None])
    hole = torch.from_numpy(_covering(holed.hole, spec.width, spec.height))[None, None].float()
    n = len(seeds)
    drawn = model.complete(images.expand(n, -1, -1, -1), hole.expand(n, -1, -1, -1), seeds, classes)
    found = [_scaled(each, width, height) for each in pictures.to_uint8(drawn)]
    return np.stack([np.where(holed.hole[..., None], each, holed.pixels) for each in found])


def _known(holed: Holed, width: int, height: int) -> Pixels:
    """The picture at another size, each pixel the mean of what is known around it; grey where that is nothing.

    By filters without negative weights, so that what lies in the hole has no part in what is known.
    """
    if holed.hole.shape == (height, width):
        return holed.pixels
    known = ~holed.hole
    smooth = Image.Resampling.BOX if height < len(known) else Image.Resampling.BILINEAR

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(values.astype(np.float32)).resize((width, height), smooth))

    share = mean(known)
    means = [mean(holed.pixels[..., c] * known) / share.clip(1e-3) for c in range(holed.pixels.shape[2])]
    return np.where(share[..., None] > 1e-3, np.stack(means, 2), 128).round().clip(0, 255).astype(np.uint8)


def _scaled(pixels: Pixels, width: int, height: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    smooth = Image.Resampling.LANCZOS if height < pixels.shape[0] else Image.Resampling.BICUBIC
    scaled = np.asarray(pictures.to_image(pixels).resize((width, height), smooth))
    return scaled if scaled.ndim == 3 else scaled[..., None]


def _covering(hole: np.ndarray, width: int, height: int) -> np.ndarray:
    """The hole at another size, with every pixel that it touches; never all of the picture."""
    if hole.shape == (height, width):
        return hole
    touched = np.asarray(Image.fromarray(hole.astype(np.float32)).resize((width, height), Image.Resampling.BOX)) > 0
    mostly = np.asarray(Image.fromarray(hole.astype(np.float32)).resize((width, height), Image.Resampling.BOX)) > 0.5
    return mostly if touched.all() else touched


def small_pictures(model: Model, paths: tuple[Path, ...], factor: int) -> Images:
    """Pictures that the model is to enlarge by `factor`; raises UserError for those of another size than that asks."""
    spec = model.spec
    height, width = Shrunk(factor=factor)(torch.zeros(1, *spec.shape)).shape[2:]
    sizes = f"{width}×{height} to {spec.width}×{spec.height}"
    return _of_size(paths, spec, height, width, f"with --down {factor} this model brings {sizes}")


def blurred_pictures(model: Model, paths: tuple[Path, ...]) -> Images:
    """Pictures whose blur is known in the model's pixels; raises UserError for those of another size than it draws."""
    spec = model.spec
    asked = f"--blur counts pixels of {spec.width}×{spec.height} pictures, which the model draws"
    return _of_size(paths, spec, spec.height, spec.width, f"{asked}: bring the picture to that size and S with it")


def _of_size(paths: tuple[Path, ...], spec: DataSpec, height: int, width: int, asked: str) -> Images:
    """Pictures in their own size; raises UserError with what was `asked` for those of another than height and width."""
    read = [own_pixels(path, spec) for path in paths]
    for path, pixels in zip(paths, read, strict=True):
        if pixels.shape[:2] != (height, width):
            raise UserError(f"{asked}; {path} is {pixels.shape[1]}×{pixels.shape[0]}")
    return pictures.to_float(np.stack(read))


def grey_pictures(model: Model, images: Images) -> Float[Tensor, "n 1 h w"]:
    """What is left of pictures without their colors; raises UserError for a model that knows none."""
    if model.spec.channels == 1:
        raise UserError("--grey brings back colors, and this model draws grey pictures: name one that knows colors")
    return Grey()(images)
