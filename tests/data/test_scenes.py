import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint.data import scenes, sources
from mezzotint.data.formats import Arrays
from mezzotint.data.scenes import Parts
from mezzotint.errors import UserError


def stamp(color: tuple[int, int, int], height: int, width: int, margin: int = 3) -> np.ndarray:
    """A solid rectangle in a clear margin."""
    pixels = np.zeros((height + 2 * margin, width + 2 * margin, 4), np.uint8)
    pixels[margin : margin + height, margin : margin + width] = [*color, 255]
    return pixels


@pytest.fixture
def parts() -> Parts:
    """Red and blue things on black."""
    stamps = [stamp((255, 0, 0), 20, 10), stamp((255, 0, 0), 12, 24), stamp((0, 0, 255), 16, 16)]
    return Parts(stamps, np.array([0, 0, 1]), [np.zeros((90, 120, 3), np.uint8)])


def test_boxes_are_tight_around_what_was_put(parts):
    images, boxes = scenes.compose(parts, 60, 0, 48, (10, 20))
    alone = [(image, rows[0]) for image, rows in zip(images, boxes, strict=True) if len(rows) == 1]
    assert len(alone) > 3
    for image, row in alone:
        bright = image[..., 2 if row[0] else 0] > 127
        down, across = (np.flatnonzero(bright.any(axis)) for axis in (1, 0))
        assert row[1:5].tolist() == [across[0], down[0], across[-1] + 1, down[-1] + 1]
        assert 8 <= max(row[3] - row[1], row[4] - row[2]) <= 20


def test_things_lie_inside_and_hide_little_of_one_another(parts):
    _, boxes = scenes.compose(parts, 80, 1, 48, (10, 20))
    counts = [len(rows) for rows in boxes]
    assert {0, 1, 2} <= set(counts)
    assert max(counts) <= scenes.MOST
    for rows in boxes:
        assert (rows[:, 1:3] >= 0).all()
        assert (rows[:, 3:5] <= 48).all()
        assert (rows[:, 5] == 0).all()
        for i, one in enumerate(rows):
            for other in rows[i + 1 :]:
                common = np.prod(np.maximum(np.minimum(one[3:5], other[3:5]) - np.maximum(one[1:3], other[1:3]), 0))
                smaller = min(np.prod(b[3:5] - b[1:3]) for b in (one, other))
                assert common <= scenes.OVERLAP * smaller
    both = np.concatenate(boxes)[:, 0]
    assert 0.35 < both.mean() < 0.65


def test_a_scene_is_the_same_in_any_company(parts):
    images, boxes = scenes.compose(parts, 9, 3, 40, (10, 20))
    fewer, theirs = scenes.compose(parts, 4, 3, 40, (10, 20))
    assert np.array_equal(images[:4], fewer)
    assert all(map(np.array_equal, boxes[:4], theirs))
    assert not np.array_equal(scenes.compose(parts, 4, 4, 40, (10, 20))[0], fewer)


def test_nothing_is_shared_between_splits():
    for count in (3, 20, 500):
        train, validation, test = scenes.shared_out(count, 0.15, seed=0)
        assert sorted([*train, *validation, *test]) == list(range(count))
        assert min(len(train), len(validation), len(test)) >= 1


def test_scenes_of_digits_need_no_files(monkeypatch, tmp_path):
    made: list[tuple[int, ...]] = []
    whole = scenes.sets

    def few(parts, counts, things, side, sizes) -> Arrays:
        made.append(counts)
        return whole(parts, (12, 4, 5), things, side, sizes)

    monkeypatch.setattr(scenes, "sets", few)
    found = sources.locate("scenes-digits", tmp_path)
    assert isinstance(found, sources.ArraySource)
    arrays = found.read()
    assert made == [(3000, 300, 500)]
    assert arrays.images.shape == (21, 64, 64, 3)
    assert len(arrays.boxes) == 21
    assert arrays.given is not None
    assert arrays.given.tolist() == ["train"] * 12 + ["validation"] * 4 + ["test"] * 5


def test_emoji_are_found_by_their_subcategories(tmp_path: Path):
    place = tmp_path / "emoji"
    (place / "img" / "vendor" / "64").mkdir(parents=True)
    listed = [("1f600", "face-smiling"), ("1f1e8", "country-flag"), ("231a", "time"), ("1f415", "animal-mammal")]
    entries = [{"unified": u, "image": f"{u}.png", "subcategory": s} for u, s in [*listed, ("1f354", "food-prepared")]]
    entries.append({"unified": "1f601", "image": "missing.png", "subcategory": "face-smiling"})
    (place / "emoji.json").write_text(json.dumps(entries))
    for entry in entries[:-1]:
        Image.fromarray(stamp((9, 200, 9), 30, 40, 6)).save(place / "img" / "vendor" / "64" / entry["image"])
    found = scenes.emoji(place)
    assert sorted(thing for thing, _, _ in found) == ["animal", "clock", "face", "flag"]
    assert all(pixels.shape == (30, 40, 4) for _, _, pixels in found)


def test_scenes_say_what_they_lack(tmp_path, monkeypatch):
    monkeypatch.delenv("MEZZOTINT_DATA", raising=False)
    monkeypatch.setitem(sources.NAMED, "fashion-mnist", sources.NAMED["digits"])
    with pytest.raises(UserError, match="scenes-digits needs no files"):
        sources.locate("scenes", tmp_path)


def test_large_photographs_are_made_smaller_and_what_is_none_is_passed_over(tmp_path: Path):
    Image.fromarray(np.zeros((900, 1200, 3), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "tiny.png")
    (tmp_path / "broken.png").write_text("no picture")
    found = scenes.photographs(tmp_path, frozenset({".png"}))
    assert [pixels.shape for pixels in found] == [(512, 683, 3)]
