from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint.data import clips
from mezzotint.data.clips import scenes
from mezzotint.data.film import save_film
from mezzotint.errors import UserError


def noise(count: int, seed: int = 0, side: int = 16, brightness: int = 0) -> np.ndarray:
    """Frames that change little by little, dark or bright."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-6, 7, (count, side, side, 1)).cumsum(0)
    return np.clip(60 + brightness + steps, 0, 255).astype(np.uint8)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for number in range(4):
        save_film(tmp_path / "films" / f"{number}.gif", iter(noise(30, number)), 20)
    return tmp_path / "films"


def test_a_folder_of_films(films: Path, tmp_path: Path):
    data = clips.load(films, frames=6, stride=2, cache_folder=tmp_path)
    assert data.spec.shape == (1, 16, 16)
    assert data.spec.frames == 6
    assert data.footage is not None
    assert data.footage.rate == pytest.approx(20)
    every = np.concatenate(list(data.splits.values()))
    assert len(np.unique(every)) == len(every)
    assert all(len(rows) for rows in data.splits.values())
    assert data.at(data.splits["train"][:2]).shape == (2, 6, 16, 16, 1)


def test_no_frame_lies_in_two_splits(films: Path, tmp_path: Path):
    data = clips.load(films, frames=6, stride=1, cache_folder=tmp_path)
    used = [set((rows[:, None] + np.arange(6)).ravel()) for rows in data.splits.values()]
    assert not used[0] & used[1]
    assert not used[0] & used[2]
    assert not used[1] & used[2]


@pytest.mark.parametrize("together", [False, True])
def test_many_films_are_not_divided_among_splits(tmp_path: Path, together: bool):
    shown = [noise(40, number)[..., 0] for number in range(12)]
    for number, frames in enumerate(() if together else shown):
        np.savez(tmp_path / f"{number}.npz", frames=frames)
    if together:
        np.savez(tmp_path / "all.npz", frames=np.stack(shown)[..., None])
    data = clips.load(tmp_path, frames=5, stride=1, cache_folder=tmp_path / "cache")
    films = [set((rows // 40).tolist()) for rows in data.splits.values()]
    assert all(films)
    assert sum(len(own) for own in films) == len(set.union(*films)) == 12


def test_numbered_pictures_beside_films_are_left_out_and_named(films: Path, tmp_path: Path):
    for number in range(4):
        Image.fromarray(noise(1)[0, ..., 0]).save(films / f"{number}.png")
    data = clips.load(films, frames=6, cache_folder=tmp_path)
    assert len(data.images) == 4 * 30
    assert [(s.path, "films lie beside them" in s.reason) for s in data.skipped] == [(str(films), True)]


def test_what_was_decoded_once_is_read_again(films: Path, tmp_path: Path):
    first = clips.load(films, frames=6, cache_folder=tmp_path)
    (entry,) = (tmp_path / "clips").iterdir()
    changed = (entry / "pixels.npy").stat().st_mtime_ns
    again = clips.load(films, frames=6, cache_folder=tmp_path)
    assert again.digest == first.digest
    assert (entry / "pixels.npy").stat().st_mtime_ns == changed


def test_a_cut_begins_a_scene_and_motion_does_not():
    dark, bright = noise(20), noise(20, 1, brightness=120)
    rgb = np.broadcast_to(np.concatenate([dark, bright]), (40, 16, 16, 3))
    numbers = [number for number, _ in scenes(iter(np.ascontiguousarray(rgb)))]
    assert numbers == [0] * 20 + [1] * 20
    flicker = [np.full((16, 16, 3), 100 + 40 * (t % 2), np.uint8) for t in range(20)]
    assert [number for number, _ in scenes(iter(flicker))][-1] <= 1  # all changes are alike: at most the first counts


def test_no_clip_goes_over_a_cut(tmp_path: Path):
    save_film(tmp_path / "cut.gif", iter(np.concatenate([noise(25), noise(25, 1, brightness=120)])), 10)
    data = clips.load(tmp_path / "cut.gif", frames=5, stride=1, cache_folder=tmp_path)
    starts = np.concatenate(list(data.splits.values()))
    assert not any(start < 25 < start + 5 for start in starts)
    assert {start for start in starts if start >= 25}


def test_npz_files_of_one_film_and_of_many(tmp_path: Path):
    np.savez(tmp_path / "one.npz", frames=noise(60)[..., 0], rate=15.0)
    one = clips.load(tmp_path / "one.npz", frames=5, cache_folder=tmp_path)
    assert one.footage is not None
    assert one.footage.rate == 15
    many = np.stack([noise(8, seed) for seed in range(6)])
    np.savez(tmp_path / "many.npz", frames=many)
    data = clips.load(tmp_path / "many.npz", frames=8, cache_folder=tmp_path)
    starts = np.sort(np.concatenate(list(data.splits.values())))
    assert starts.tolist() == [0, 8, 16, 24, 32, 40]
    np.testing.assert_array_equal(data.at(starts), many)


def test_folders_of_numbered_frames_with_given_splits(tmp_path: Path):
    for split, seed in (("train", 0), ("train", 1), ("test", 2)):
        place = tmp_path / "sets" / split / f"film-{seed}"
        place.mkdir(parents=True)
        for number, frame in enumerate(noise(12, seed)):
            Image.fromarray(frame[..., 0]).save(place / f"{number:03}.png")
    data = clips.load(tmp_path / "sets", frames=12, cache_folder=tmp_path)
    assert len(data.splits["test"]) == 1
    np.testing.assert_array_equal(data.at(data.splits["test"])[0], noise(12, 2))


def test_damaged_packets_are_named(damaged_film: Path, tmp_path: Path):
    data = clips.load(damaged_film, frames=4, cache_folder=tmp_path)
    assert ["damaged packet" in remark for remark in data.remarks] == [True]
    assert data.skipped == ()


def test_short_and_damaged_films_are_named_and_passed_over(films: Path, tmp_path: Path):
    save_film(films / "short.gif", iter(noise(3)), 10)
    (films / "damaged.gif").write_text("text")
    data = clips.load(films, frames=6, cache_folder=tmp_path)
    told = {Path(s.path).name: s.reason for s in data.skipped}
    assert "has 3 frames" in told["short.gif"]
    assert "damaged.gif" in told
    assert len(told) == 2


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"frames": 1}, "from 2 to 1000"),
        ({"frames": 31}, "no clip of 31 frames"),
        ({"size": 4}, "from 8"),
        ({"stride": 0}, "from 1"),
    ],
)
def test_what_cannot_be_cut_is_said(films: Path, tmp_path: Path, settings: dict[str, int], told: str):
    with pytest.raises(UserError, match=told):
        clips.load(films, cache_folder=tmp_path, **settings)


def test_what_is_no_film_is_said(tmp_path: Path):
    (tmp_path / "note.txt").write_text("text")
    np.savez(tmp_path / "odd.npz", images=noise(3))
    for name, told in (("nowhere", "moving-digits"), ("note.txt", "no moving picture"), ("odd.npz", "`frames`")):
        with pytest.raises(UserError, match=told):
            clips.load(tmp_path / name, cache_folder=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no films"):
        clips.load(tmp_path / "empty", cache_folder=tmp_path)


@pytest.mark.parametrize("rate", [[1.0, 2.0], 0.0, -3.0, float("nan"), float("inf"), "10"])
def test_an_odd_rate_is_a_sentence(tmp_path: Path, rate: object):
    np.savez(tmp_path / "odd.npz", frames=noise(60)[..., 0], rate=np.array(rate))
    with pytest.raises(UserError, match="`rate` must be one positive number"):
        clips.load(tmp_path / "odd.npz", frames=5, cache_folder=tmp_path)
