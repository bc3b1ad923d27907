import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mezzotint.data import pictures
from mezzotint.errors import UserError


def test_every_level_goes_there_and_back():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert np.array_equal(pictures.to_uint8(pictures.to_float(levels)), levels)
    half = pictures.to_float(levels).to(torch.float64).to(torch.float32)
    assert float(half.min()) == -1
    assert float(half.max()) == 1


def test_rounding_is_to_the_nearest_level_and_clips():
    values = torch.tensor([-9.0, -1.0, 0.4 / 127.5 - 1, 0.6 / 127.5 - 1, 1.0, 9.0]).view(1, 1, 1, 6)
    assert pictures.to_uint8(values).reshape(-1).tolist() == [0, 0, 0, 1, 255, 255]


def test_channels_change_places():
    images = torch.zeros(2, 3, 4, 5)
    images[1, 2, 3, 4] = 1
    assert pictures.to_uint8(images)[1, 3, 4].tolist() == [128, 128, 255]


@given(n=st.integers(1, 20), side=st.integers(1, 4), columns=st.none() | st.integers(1, 25), pad=st.integers(0, 3))
@settings(deadline=None, max_examples=30)
def test_every_picture_is_once_in_a_grid(n, side, columns, pad):
    made = np.arange(n, dtype=np.uint8)[:, None, None, None].repeat(side, 1).repeat(side + 1, 2)
    sheet = pictures.grid(made, columns, pad)
    levels, counts = np.unique(sheet[sheet < 255], return_counts=True)
    assert levels.tolist() == list(range(n))
    assert set(counts.tolist()) == {side * (side + 1)}
    across = columns or -(-sheet.shape[1] // (side + 1 + pad)) - (1 if pad == 0 else 0) or 1
    first = sheet[pad : pad + side, pad : pad + side + 1]
    assert (first == 0).all()
    if columns:
        assert sheet.shape == (-(-n // across) * (side + pad) + pad, across * (side + 1 + pad) + pad, 1)


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (9, 3), (10, 4), (64, 8)])
def test_a_grid_is_about_square(n, columns):
    sheet = pictures.grid(np.zeros((n, 1, 1, 1), np.uint8), pad=1)
    assert (sheet.shape[1] - 1) // 2 == columns


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_is_what_was_saved(tmp_path, channels):
    made = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    path = tmp_path / "new folder" / "x.png"
    pictures.save_png(path, made)
    with Image.open(path) as image:
        assert image.mode == ("L" if channels == 1 else "RGB")
    assert np.array_equal(pictures.read_pictures([path], 5, channels, "stretch").shape, (1, 5, 5, channels))
    pictures.save_png(tmp_path / "square.png", made[:, :5])
    assert np.array_equal(pictures.read_pictures([tmp_path / "square.png"], 5, channels)[0], made[:, :5])


def test_a_failed_save_leaves_the_old_picture_and_nothing_else(tmp_path, monkeypatch):
    old = np.zeros((4, 4, 3), np.uint8)
    pictures.save_png(tmp_path / "x.png", old)

    def full(self: Image.Image, file: object, *_: object, **__: object) -> None:
        open(str(file), "wb").close()  # noqa: PTH123
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises((OSError, UserError), match=r"space|full"):
        pictures.save_png(tmp_path / "x.png", old + 255)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    assert pictures.read_pictures([tmp_path / "x.png"], 4, 3).max() == 0


def test_an_unreadable_picture_is_named(tmp_path):
    (tmp_path / "x.png").write_bytes(b"junk")
    with pytest.raises(UserError, match=r"x\.png cannot be read as a picture"):
        pictures.read_pictures([tmp_path / "x.png"], 4, 3)
    with pytest.raises(UserError, match=r"absent\.png"):
        pictures.read_pictures([tmp_path / "absent.png"], 4, 3)


def test_small_pictures_are_enlarged_by_whole_multiples():
    made = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    large = pictures.enlarged(made, 7)
    assert large.shape == (6, 9, 1)
    assert np.array_equal(large[::3, ::3], made)
    assert pictures.enlarged(large, 7).shape == large.shape
