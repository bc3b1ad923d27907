"""Squares cut from pictures as they are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from mezzotint.data import cache, dataset
from mezzotint.data.check import check
from mezzotint.data.dataset import SPLITS, Dataset, Origins
from mezzotint.errors import UserError

SIDE = 16


def cut(root: Path | str, place: Path) -> tuple[Dataset, Origins]:
    return dataset.load_with_origins(root, SIDE, None, "cut", place, None)


@pytest.fixture
def photographs(tmp_path: Path, draw: Callable[..., np.ndarray]) -> Path:
    """Twelve pictures of 50×36 pixels, of which each has room for six squares; the last is the first again."""
    for i in range(12):
        path = tmp_path / "in" / f"{i:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(draw(i % 11, 50, 36)).save(path)
    return tmp_path / "in"


def upright(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def holds(whole: np.ndarray, square: np.ndarray) -> bool:
    """Whether a picture has a square somewhere, pixel by pixel."""
    places = np.lib.stride_tricks.sliding_window_view(whole, square.shape)
    return bool((places == square).all((-1, -2, -3)).any())


def test_squares_have_the_pixels_of_their_picture(photographs: Path, tmp_path: Path) -> None:
    found, origins = cut(photographs, tmp_path / "c")
    assert found.images.shape == (72, SIDE, SIDE, 3)
    assert origins.paths[:7] == [*(f"00.png#{k}" for k in range(6)), "01.png#0"]
    for square, name in zip(found.images, origins.paths, strict=True):
        assert holds(upright(photographs / name.partition("#")[0]), np.asarray(square))
    assert len(np.unique(origins.content)) == 66


def test_equal_squares_of_other_pictures_are_on_one_side(photographs: Path, tmp_path: Path) -> None:
    for path in photographs.iterdir():
        pixels = np.asarray(Image.open(path)).copy()
        pixels[:, :SIDE] = 255  # a white margin
        Image.fromarray(pixels).save(path)
    found, origins = cut(photographs, tmp_path / "c")
    of = [set(origins.content[found.splits[name]]) for name in SPLITS]
    assert all(of)
    assert len(set.union(*of)) == sum(map(len, of))
    assert sum(bool((square == 255).all()) for square in found.images) > 1


def test_a_picture_is_in_one_split_with_its_copies(photographs: Path, tmp_path: Path) -> None:
    found, origins = cut(photographs, tmp_path / "c")
    files = np.array([name.partition("#")[0] for name in origins.paths])
    where = [set(files[found.splits[name]]) for name in SPLITS]
    assert sum(map(len, where)) == 12
    assert set.union(*where) == {f"{i:02d}.png" for i in range(12)}
    assert sum({"00.png", "11.png"} <= names for names in where) == 1


def test_given_splits_and_classes_hold_for_every_square(tmp_path: Path, draw: Callable[..., np.ndarray]) -> None:
    for i in range(9):
        path = tmp_path / "in" / ("train", "val", "test")[i % 3] / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(i, 40, 20)).save(path)
    found, origins = cut(tmp_path / "in", tmp_path / "c")
    assert [len(found.splits[name]) for name in SPLITS] == [6, 6, 6]
    assert found.classes == ("a", "b")
    assert found.labels is not None
    assert [found.classes[k] for k in found.labels] == [name.split("/")[1] for name in origins.paths]


def test_a_large_jpeg_is_neither_read_smaller_nor_turned_away(tmp_path: Path, draw: Callable[..., np.ndarray]) -> None:
    (tmp_path / "in").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(3):
        Image.fromarray(draw(i, 1300, 1200)).save(tmp_path / "in" / f"{i}.jpg", quality=95, exif=exif)
    found, _ = dataset.load_with_origins(tmp_path / "in", 256, None, "cut", tmp_path / "c", None)
    assert len(found.images) == 3 * 20
    whole = upright(tmp_path / "in" / "1.jpg")
    assert whole.shape[:2] == (1300, 1200)
    assert np.array_equal(found.images[20], whole[:256, :256])
    assert np.array_equal(found.images[39], whole[-256:, -256:])


def test_a_picture_without_room_is_left_out_and_said(photographs: Path, tmp_path: Path) -> None:
    Image.new("RGB", (100, SIDE - 1)).save(photographs / "05a.png")
    (photographs / "05b.png").write_bytes(b"no picture")
    found, origins = cut(photographs, tmp_path / "c")
    assert [s.path for s in found.skipped] == ["05a.png", "05b.png"]
    assert found.skipped[0].reason == "it is smaller than the squares of 16 pixels that are cut (100×15)"
    assert (len(found.images), len(origins.paths)) == (72, 72)
    assert np.array_equal(found.images[36], upright(photographs / "06.png")[:SIDE, :SIDE])
    with pytest.raises(UserError, match=r"none of the 14.*smaller than the squares of 128 pixels"):
        dataset.load(photographs, size=128, crop="cut", cache_folder=tmp_path / "c")


def test_processes_cut_as_one_does(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (5, 5)).save(photographs / "05a.png")
    before, _ = cut(photographs, tmp_path / "one")
    monkeypatch.setattr(cache, "FEW", 2)
    after, _ = cut(photographs, tmp_path / "many")
    assert after.digest == before.digest


def test_grey_pictures_stay_grey(tmp_path: Path, draw: Callable[..., np.ndarray]) -> None:
    (tmp_path / "in").mkdir()
    for i in range(3):
        Image.fromarray(draw(i, 40, 40)[..., 0]).save(tmp_path / "in" / f"{i}.png")
    found, _ = cut(tmp_path / "in", tmp_path / "c")
    assert found.images.shape == (12, SIDE, SIDE, 1)
    assert np.array_equal(found.images[0, ..., 0], draw(0, 40, 40)[:SIDE, :SIDE, 0])


def test_check_tells_of_squares_and_of_no_scaling(photographs: Path, tmp_path: Path) -> None:
    Image.new("RGB", (SIDE, SIDE), "red").save(photographs / "small.png")
    report = check(photographs, size=SIDE, crop="cut", cache_folder=tmp_path / "c")
    assert report.changes == {"squares of a larger one": 72}
    assert report.pictures == 73
    assert not any(group.leaks for group in report.groups if group.exact)


def test_arrays_and_pictures_with_boxes_are_not_cut(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leave --crop cut out"):
        cut("digits", tmp_path / "c")
    with pytest.raises(UserError, match="--size 64"):
        dataset.load(photographs, crop="cut", cache_folder=tmp_path / "c")
    coco = '{"images": [{"id": 1, "file_name": "00.png"}], "annotations": [], "categories": [{"id": 1, "name": "a"}]}'
    (photographs / "notes.json").write_text(coco)
    with pytest.raises(UserError, match="without boxes"):
        cut(photographs / "notes.json", tmp_path / "c")
