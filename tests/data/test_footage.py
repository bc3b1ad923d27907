from pathlib import Path

import numpy as np
import pytest

from mezzotint.data import clips, dataset
from mezzotint.data.footage import STEP, Bouncing, bounced
from mezzotint.data.loader import Batches, ordered
from mezzotint.errors import UserError


def paths(count: int = 200, length: int = 40) -> np.ndarray:
    return bounced(np.random.default_rng(0).random((count, 3)), length)


def test_paths_stay_within_the_walls_and_touch_them():
    places = paths()
    assert places.min() == 0
    assert places.max() == 1


def test_a_path_is_straight_and_steady_but_for_the_walls():
    """The pace is a tenth a frame in a direction that only walls change, each its own side of it."""
    pace = np.diff(paths(), axis=1)
    places = paths()
    free = ((places[:, 1:] > 0) & (places[:, 1:] < 1) & (places[:, :-1] > 0) & (places[:, :-1] < 1)).all(-1)
    np.testing.assert_allclose(np.hypot(*pace[free].T), STEP)
    first = np.abs(pace).max(1)
    for axis in (0, 1):
        np.testing.assert_allclose(
            np.abs(pace[free][:, axis]), np.broadcast_to(first[:, None], pace.shape)[free][:, axis]
        )


def test_at_a_wall_it_goes_back():
    places = bounced(np.array([[0.5, 0.93, 0.0]]), 4)[0]  # to the right
    np.testing.assert_allclose(places[:, 1], [1, 0.9, 0.8, 0.7])
    np.testing.assert_allclose(places[:, 0], 0.5)


def footage(side: int = 12, length: int = 6) -> Bouncing:
    items = np.zeros((6, 4, 4, 1), np.uint8)
    items[:] = np.arange(40, 240, 40)[:5].repeat(2)[:6, None, None, None]
    return Bouncing(items, ((10, np.array([0, 1])), (30, np.arange(2, 6))), side, length)


def test_each_frame_shows_two_whole_items():
    found = footage().at(np.arange(30))
    assert found.shape == (30, 6, 12, 12, 1)
    lit = (found > 0).sum((2, 3, 4))
    assert ((lit >= 16) & (lit <= 32)).all()


def test_the_brighter_of_two_items_is_seen():
    """On a square hardly larger than the items they always meet, and the brighter one is whole."""
    for clip in footage(side=5, length=3).at(np.arange(10, 30)):
        for frame in clip:
            assert (frame == frame.max()).sum() == 16 or len(np.unique(frame)) == 2


def test_a_clip_is_a_function_of_its_number():
    some = footage()
    alone, among = some.at(np.array([7])), some.at(np.arange(5, 9))
    np.testing.assert_array_equal(alone[0], among[2])
    assert not np.array_equal(among[0], among[1])


def test_splits_show_their_own_items(cache_folder: Path):
    data = clips.load("moving-digits", cache_folder=cache_folder)
    still = dataset.load("digits", cache_folder=cache_folder)
    assert isinstance(data.footage, Bouncing)
    start = 0
    for (end, items), split in zip(data.footage.bounds, ("test", "validation", "train"), strict=True):
        assert data.splits[split].tolist()[:2] == [start, start + 1]
        assert data.splits[split][-1] == end - 1
        assert set(items) == set(still.splits[split])
        start = end


def test_moving_digits(cache_folder: Path):
    data = clips.load("moving-digits", cache_folder=cache_folder)
    assert (data.spec.shape, data.spec.frames) == ((1, 16, 16), 20)
    again = clips.load("moving-digits", frames=10, cache_folder=cache_folder)
    assert data.digest == clips.load("moving-digits", cache_folder=cache_folder).digest != again.digest
    rows = np.array([3, 11_000])
    np.testing.assert_array_equal(again.at(rows), data.at(rows)[:, :10])
    with pytest.raises(UserError, match="--size 16"):
        clips.load("moving-digits", size=8, cache_folder=cache_folder)


@pytest.mark.fashion
def test_moving_fashion_is_the_protocols(cache_folder: Path):
    data = clips.load("moving-fashion", cache_folder=cache_folder)
    assert (data.spec.shape, data.spec.frames) == ((1, 64, 64), 20)
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "train": 1_000_000,
        "validation": 1_000,
        "test": 10_000,
    }


def test_batches_of_clips_are_a_function_of_their_position(moving):
    first = Batches(moving, "train", 4, seed=1).at(8)[0]
    assert first.shape == (4, 6, 1, 16, 16)
    assert first.min() == -1
    np.testing.assert_array_equal(first, Batches(moving, "train", 4, seed=1).at(8)[0])
    shown = [x for x, _ in ordered(moving, "test", 3, limit=7)]
    assert [len(x) for x in shown] == [3, 3, 1]
