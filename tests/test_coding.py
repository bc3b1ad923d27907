"""Which ways of coding a picture are tried, and on how much of it."""

import io

import numpy as np
import pytest
from PIL import Image

from mezzotint import coding
from mezzotint.coding import Coded
from mezzotint.raster import Raster


def raster(pixels: np.ndarray) -> Raster:
    mode = {1: "L", 3: "RGB"}[pixels.shape[2]]
    return Raster(mode, pixels.shape[1], pixels.shape[0], pixels.tobytes())


def noise(height: int, width: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def test_what_repeats_is_found_however_good_the_prediction_seems() -> None:
    """Of a sprite sheet the quickest WebP of all sees only that rows repeat; against that a prediction seems good."""
    tile = noise(32, 32)
    sheet = raster(np.tile(tile, (8, 8, 1)))
    blind = io.BytesIO()
    sheet.image.convert("RGB").save(blind, "WEBP", lossless=True, quality=0, method=0)
    predicted = Coded({"coding": "predicted"}, bytes(int(0.79 * blind.tell())))
    assert len(predicted.data) > 4 * tile.size
    found = coding.smallest(sheet, predicted, b"")
    assert found.facts["coding"] != "predicted"
    assert len(found.data) < 1.5 * tile.size


@pytest.mark.parametrize("channels", [1, 3])
def test_quick_ways_are_near_slow_ones(channels: int) -> None:
    """On a slope with noise, and on what repeats in the farthest corners."""
    y, x = np.mgrid[:90, :70]
    slope = (2 * x + y)[..., None] + noise(90, 70, channels) // 64
    for pixels in (slope.astype(np.uint8), np.concatenate([noise(9, 70, channels)] * 10)):
        slow, quick = coding.classic(raster(pixels)), coding.quick(raster(pixels))
        assert len(slow.data) <= quick + 20
        assert coding.TRUSTED * quick < len(slow.data)


def test_large_pictures_are_not_written_at_the_slowest_setting() -> None:
    sides = (1, 1024, 1025, 2048, 2049, 10**4)
    assert [coding._patience(Raster("L", side, side, b"")) for side in sides] == [6, 6, 4, 4, 2, 2]


def test_the_middle_of_a_picture() -> None:
    pixels = noise(30, 40, 3)
    whole = raster(pixels)
    assert coding.middle(whole, 1200) is whole
    part = coding.middle(whole, 300)
    assert np.array_equal(np.asarray(part.image), pixels[7:22, 10:30])
    assert coding.middle(raster(noise(1, 900)), 300).image.size == (300, 1)
    assert coding.middle(raster(noise(900, 1)), 1).image.size == (1, 1)


def test_sizes_that_are_known_are_not_found_again() -> None:
    some = raster(noise(8, 9, 3))
    sizes = coding.others(some)
    assert coding.others(some, {"webp": 1}) == {**sizes, "webp": 1}
    buffer = io.BytesIO()
    Image.fromarray(noise(8, 9, 3)).save(buffer, "PNG", optimize=True)
    assert sizes["png"] == buffer.tell()
