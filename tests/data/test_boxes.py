import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mezzotint.data import boxes
from mezzotint.data.boxes import Oddities
from mezzotint.data.decode import fitted

FEW = settings(deadline=None, max_examples=40)


def rows(*given: list[float]) -> np.ndarray:
    return np.array(given, np.float64).reshape(-1, 6)


def marked(width: int, height: int, box: list[int]) -> Image.Image:
    """Black, red in the box: what is padded is white."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2], 0] = 255
    return Image.fromarray(pixels)


def around_red(image: Image.Image) -> list[int]:
    pixels = np.asarray(image)
    red = (pixels[..., 0] > 127) & (pixels[..., 1] < 128)
    down, across = (np.flatnonzero(red.any(axis)) for axis in (1, 0))
    return [across[0], down[0], across[-1] + 1, down[-1] + 1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_as_the_picture_does(orientation):
    box = [3, 5, 11, 9]
    image = marked(20, 14, box)
    image.getexif()[0x0112] = orientation
    turned = ImageOps.exif_transpose(image)
    found = boxes.upright(rows([2, *box, 0]), 20, 14, orientation)
    assert found.tolist() == [[2, *around_red(turned), 0]]


@pytest.mark.parametrize("crop", ["center", "fit", "stretch"])
@pytest.mark.parametrize("shape", [(160, 160), (200, 100), (90, 240), (64, 64)])
def test_boxes_are_brought_where_the_picture_is(crop, shape):
    width, height = shape
    box = [width // 2 - 20, height // 2 - 12, width // 2 + 24, height // 2 + 16]
    found = boxes.placed(rows([1, *box, 0]), width, height, 64, crop)
    # Red is where at least half of the light is: within a pixel of the edge.
    assert np.abs(found[0, 1:5] - around_red(fitted(marked(width, height, box), 64, crop))).max() <= 1
    assert np.allclose(boxes.unplaced(found, width, height, 64, crop)[0, 1:5], box, atol=1e-9)


def test_what_the_crop_leaves_little_of_does_not_count_and_what_it_leaves_nothing_of_is_gone():
    inside, half, edge, out = [0, 60, 20, 90, 50, 0], [0, 40, 0, 60, 50, 0], [0, 10, 0, 55, 50, 0], [0, 0, 0, 40, 50, 0]
    found = boxes.placed(rows(inside, half, edge, out), 200, 100, 100, "center")
    assert found[:, 5].tolist() == [0, 0, 1]
    assert found[1].tolist() == [0, 0, 0, 10, 50, 0]


def test_a_thing_that_comes_out_thinner_than_a_pixel_does_not_count():
    assert boxes.placed(rows([0, 10, 10, 14, 90, 0]), 640, 640, 64, "center")[0, 5] == 1


def test_odd_boxes_are_put_right_or_left_out_and_told():
    odd = Oddities()
    given_boxes = rows(
        [0, 10, 10, 20, 20, 0],
        [0, 20, 20, 10, 10, 1],
        [0, 5, 5, 5, 30, 0],
        [0, 120, 10, 140, 20, 0],
        [0, -10, 10, 20, 20, 0],
        [0, np.nan, 10, 20, 20, 0],
        [0, 10, 10, 20, 20, 0],
        [1, 0, 0, 100.5, 80, 0],
    )
    found = boxes.sound(given_boxes, 100, 80, odd, "a.png")
    assert found.tolist() == [
        [0, 10, 10, 20, 20, 0],
        [0, 10, 10, 20, 20, 1],
        [0, 0, 10, 20, 20, 0],
        [1, 0, 0, 100, 80, 0],
    ]
    assert {" ".join(s.split()[:3]) for s in odd.sentences()} == {
        "1 boxes that",
        "1 boxes with",
        "1 boxes without",
        "1 boxes outside",
    }
    assert all(s.endswith("(the first: a.png)") for s in odd.sentences())
    assert len(odd.sentences()) == 6


def test_nothing_odd_is_nothing_told():
    odd = Oddities()
    assert len(boxes.sound(rows(), 10, 10, odd, "a")) == 0
    boxes.sound(rows([0, 0, 0, 10, 10, 0], [0, 1, 1, 2, 2, 0]), 10, 10, odd, "a")
    assert odd.sentences() == ()


@given(st.lists(st.integers(0, 4), max_size=6))
@FEW
def test_padding_is_of_class_minus_one(counts):
    table = boxes.padded([rows(*[[3, 0, 0, 1, 1, 0]] * n) for n in counts])
    assert table.shape == (len(counts), max([1, *counts]), 6)
    assert table.dtype == np.float32
    assert [int((row[:, 0] >= 0).sum()) for row in table] == counts
