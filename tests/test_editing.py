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


@pytest.mark.parametrize("side", [8, 11, 30, 64])
def test_nothing_of_the_hole_is_in_what_is_known(side: int) -> None:
    """A black picture whose hole is white is known as black, and a picture without a hole keeps its mean."""
    hole = np.zeros((24, 24), bool)
    hole[7:12, 3:22] = True
    holed = editing.Holed(np.where(hole, 255, 0).astype(np.uint8)[..., None].repeat(3, 2), hole)
    known = editing._known(holed, side, side)
    assert known.shape == (side, side, 3)
    assert not known[~editing._covering(hole, side, side)].any()
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 1), np.uint8)
    whole = editing._known(editing.Holed(noise, np.zeros((24, 24), bool)), side, side)
    assert whole.mean() == pytest.approx(noise.mean(), abs=2)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16", "I", "F", "CMYK", "sixteen", "transparent"])
def test_pictures_that_would_not_stay_as_they_are_are_refused(tmp_path: Path, mode: str) -> None:
    plain = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 6), np.uint8))
    path = tmp_path / "picture.tiff"
    if mode == "sixteen":
        path.write_bytes(b"P6 6 6 65535 " + bytes(range(216)))
    elif mode == "transparent":
        plain.save(path, "PNG", transparency=7)
    elif mode == "I;16":
        Image.fromarray(np.asarray(plain).astype(np.uint16)).save(path)
    else:
        plain.convert(mode).save(path)
    with pytest.raises(UserError, match="would not stay as they are"):
        editing.with_margins(path, COLOR, 1, 1, 1, 1)
    Image.fromarray(np.diag([255] * 6).astype(np.uint8)).convert("LA").save(tmp_path / "mask.png")
    plain.save(tmp_path / "plain.png")
    assert editing.with_mask(tmp_path / "plain.png", tmp_path / "mask.png", GREY).share == pytest.approx(1 / 6)


def test_soft_edges_of_a_mask_are_allowed(tmp_path: Path) -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[5:10, 5:10] = 255
    mask[5, 5:9] = 128
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "picture.png")
    assert editing.with_mask(tmp_path / "picture.png", tmp_path / "mask.png", GREY).share == pytest.approx(25 / 400)
