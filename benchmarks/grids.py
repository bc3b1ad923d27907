"""Brings the last sample grids of runs into docs/img, as PNG files of at most 60 kB.

python benchmarks/grids.py flow-plain=runs/flow flow-inpaint=runs/inpaint/samples/redrawn.png

Each NAME=PLACE becomes docs/img/NAME.png: PLACE is a picture file, or a run, of which the last grid is taken, or a
model alone, which draws one. Where the file is too large its colors become fewer, nothing else is changed.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

import mezzotint
from mezzotint import drawing
from mezzotint.data import pictures

IMG = Path(__file__).parent.parent / "docs" / "img"
MOST = 60_000
"""Bytes of a file."""
COLORS = 256, 64, 32, 16, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grids", nargs="+", help="NAME=PLACE")
    parser.add_argument("--out", type=Path, default=IMG)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name, place in (given.split("=", 1) for given in asked.grids):
        found = small(grid_of(Path(place)))
        (asked.out / f"{name}.png").write_bytes(found)
        print(f"{name}.png: {len(found) / 1000:.1f} kB")


def grid_of(place: Path) -> Image.Image:
    """Raises ValueError for a model that draws nothing."""
    if place.is_file():
        return Image.open(place)
    grids = sorted(path for path in (place / "samples").glob("*.png") if path.stem.isdigit())
    if grids:
        return Image.open(grids[-1])
    drawn = drawing.sample_grid(mezzotint.load(place).method)
    if drawn is None:
        raise ValueError(f"{place} has no sample grid, and its model draws none")
    return pictures.to_image(drawn)


def small(picture: Image.Image) -> bytes:
    """A PNG file of at most MOST bytes, in as many colors as these hold; raises ValueError where they hold none."""
    for colors in COLORS:
        file = io.BytesIO()
        (picture if colors == 256 else fewer(picture, colors)).save(file, "PNG", optimize=True)
        if file.tell() <= MOST:
            return file.getvalue()
    raise ValueError(f"a picture of {picture.width}×{picture.height} is too large in {COLORS[-1]} colors too")


def fewer(picture: Image.Image, colors: int) -> Image.Image:
    """Grey in even levels, color by a palette."""
    if picture.mode != "L":
        return picture.convert("RGB").quantize(colors)
    levels = np.round(np.asarray(picture) / 255 * (colors - 1)) * (255 / (colors - 1))
    return Image.fromarray(levels.round().astype(np.uint8)).quantize(colors)


if __name__ == "__main__":
    main()
