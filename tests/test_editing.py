"""Pictures of any size around a model of one size."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint import editing
from mezzotint.errors import UserError
from mezzotint.types import DataSpec

GREY, COLOR = DataSpec(1, 8, 8), DataSpec(3, 8, 8)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (10, 6, 3), np.uint8)).save(tmp_path / "color.png")
    Image.fromarray(rng.integers(0, 256, (10, 6), np.uint8)).save(tmp_path / "grey.png")
    return tmp_path


def test_channels_are_the_models(picture: Path) -> None:
    assert editing.own_pixels(picture / "color.png", COLOR).shape == (10, 6, 3)
    assert editing.own_pixels(picture / "grey.png", COLOR).shape == (10, 6, 3)
    assert editing.own_pixels(picture / "grey.png", GREY).shape == (10, 6, 1)
    with pytest.raises(UserError, match="in color"):
        editing.own_pixels(picture / "color.png", GREY)


def test_margins_lie_around_the_picture(picture: Path) -> None:
    holed = editing.with_margins(picture / "grey.png", GREY, left=1, right=2, top=3, bottom=0)
    assert holed.hole.shape == (13, 9)
    inside = holed.hole[3:, 1:7]
    assert not inside.any()
    assert holed.hole.sum() == 13 * 9 - 60
    assert np.array_equal(holed.pixels[3:, 1:7], editing.own_pixels(picture / "grey.png", GREY))


def test_a_hole_in_a_large_picture_covers_all_that_it_touches() -> None:
    hole = np.zeros((16, 16), bool)
    hole[3, 3] = True
    small = editing._covering(hole, 8, 8)
    assert small.sum() == 1
    assert small[1, 1]


def test_a_hole_that_touches_everything_leaves_what_is_mostly_known() -> None:
    hole = np.indices((16, 16)).sum(0) % 2 == 0
    hole[:2, :2] = True
    small = editing._covering(hole, 8, 8)
    assert small[0, 0]
    assert not small.all()


def test_soft_edges_of_a_mask_are_allowed(tmp_path: Path) -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[5:10, 5:10] = 255
    mask[5, 5:9] = 128
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "picture.png")
    assert editing.with_mask(tmp_path / "picture.png", tmp_path / "mask.png", GREY).share == pytest.approx(25 / 400)
