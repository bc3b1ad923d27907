import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mezzotint.data import dataset
from mezzotint.data.dataset import SPLITS, load, split
from mezzotint.errors import UserError

hashes = st.lists(st.text("0123456789abcdef", min_size=32, max_size=32), min_size=3, max_size=60)


def splits_by_name(root: Path, cache: Path, content: bool = False) -> dict[str, str]:
    """Split of each picture, by its file's name."""
    found, origins = dataset.load_with_origins(root, 8, None, "center", cache, None)
    keys = origins.content if content else [Path(path).stem for path in origins.paths]
    return {str(keys[i]): name for name, rows in found.splits.items() for i in rows}


def test_splits_do_not_change_with_names_order_or_format(folder, tmp_path):
    before = splits_by_name(folder(range(120)), tmp_path / "c", content=True)
    renamed = folder(range(120), lambda i: f"deep/{119 - i:03d}.tiff", root="renamed")
    assert splits_by_name(renamed, tmp_path / "c", content=True) == before
    assert set(before.values()) == set(SPLITS)


def test_adding_and_removing_pictures_moves_none_of_the_others(folder, tmp_path):
    before = splits_by_name(folder(range(100)), tmp_path / "c")
    root = folder(range(100, 160))
    for i in range(0, 100, 3):
        (root / f"{i}.png").unlink()
    after = splits_by_name(root, tmp_path / "c")
    assert len(after) == 160 - 34
    both = before.keys() & after.keys()
    assert {name: before[name] for name in both} == {name: after[name] for name in both}


@given(hashes, st.randoms())
@settings(deadline=None, max_examples=50)
def test_a_split_is_a_partition_in_order_that_copies_do_not_cross(names, random):
    names = [*names, *names[: len(names) // 2]]
    random.shuffle(names)
    found = split(names, None)
    assert sorted(np.concatenate(list(found.values())).tolist()) == list(range(len(names)))
    assert all((np.diff(rows) > 0).all() for rows in found.values())
    where = {name: {names[i] for i in rows} for name, rows in found.items()}
    assert (
        not where["train"] & where["validation"] | where["train"] & where["test"] | where["validation"] & where["test"]
    )
    if len(set(names)) >= 3:
        assert all(len(rows) for rows in found.values())


@given(hashes, st.randoms())
@settings(deadline=None, max_examples=50)
def test_a_split_does_not_depend_on_order(names, random):
    def by_hash(order: list[str]) -> dict[str, set[str]]:
        return {name: {order[i] for i in rows} for name, rows in split(order, None).items()}

    other = list(names)
    random.shuffle(other)
    assert by_hash(names) == by_hash(other)


def test_shares_are_a_tenth_each():
    found = split(
        [row.tobytes().hex() for row in np.random.default_rng(0).integers(0, 256, (20_000, 16), dtype=np.uint8)], None
    )
    # 5 standard deviations of a binomial of 20,000 at 0.1 are 212.
    assert len(found["test"]) == pytest.approx(2000, abs=212)
    assert len(found["validation"]) == pytest.approx(2000, abs=212)


def test_given_test_pictures_stay_and_are_never_taken():
    given = np.array(["test"] * 5 + ["train"] * 3)
    found = split([f"{i:x}" * 32 for i in range(7, 15)], given)
    assert found["test"].tolist() == [0, 1, 2, 3, 4]
    assert len(found["validation"]) == 1
    assert len(found["train"]) == 2


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_different_pictures_are_not_a_crash(folder, tmp_path, count):
    try:
        found = load(folder(range(count)), cache_folder=tmp_path / "c")
    except UserError as error:
        assert "at least three" in str(error)
    else:
        assert len(found.splits["train"]) >= 1


def test_three_pictures_fill_three_splits(folder, tmp_path):
    found = load(folder(range(3)), cache_folder=tmp_path / "c")
    assert [len(found.splits[name]) for name in SPLITS] == [1, 1, 1]


def test_unreadable_files_are_skipped_and_named(folder, tmp_path):
    root = folder(range(8), lambda i: f"{'ab'[i % 2]}/{i}.png")
    (root / "a" / "empty.png").write_bytes(b"")
    (root / "b" / "cut.png").write_bytes((root / "b" / "1.png").read_bytes()[:60])
    found = load(root, size=8, cache_folder=tmp_path / "c")
    assert [s.path for s in found.skipped] == ["a/empty.png", "b/cut.png"]
    assert all(s.reason for s in found.skipped)
    assert found.images.shape == (8, 8, 8, 3)
    assert found.labels.tolist() == [0] * 4 + [1] * 4
    expected = np.asarray(
        Image.open(root / "b" / "7.png").crop((2, 0, 22, 20)).resize((8, 8), Image.Resampling.LANCZOS)
    )
    assert np.abs(found.images[7].astype(int) - expected).mean() < 3  # a crop lacks what lies just outside


def test_nothing_readable_is_one_sentence(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.png").write_bytes(b"junk")
    with pytest.raises(UserError, match="none of the 1 pictures"):
        load(tmp_path / "x", cache_folder=tmp_path / "c")
    assert not list((tmp_path / "c").rglob("*.npy"))


def test_too_large_pictures_are_skipped_with_the_bound(folder, tmp_path):
    root = folder(range(4))
    Image.new("L", (100, 100)).save(root / "huge.png")
    found = load(root, size=8, cache_folder=tmp_path / "c", max_pixels=9_999)
    assert [s.path for s in found.skipped] == ["huge.png"]
    assert "9999 pixels" in found.skipped[0].reason
    assert not load(root, size=8, cache_folder=tmp_path / "c", max_pixels=10_000).skipped


@pytest.mark.parametrize(("side", "expected"), [(5, 8), (8, 8), (63, 32), (64, 64), (300, 128)])
def test_the_usual_size_is_a_power_of_two_at_or_below_the_median_short_side(tmp_path, side, expected):
    for i, (width, height) in enumerate([(side, side * 2), (side * 2, side), (1, 1), (999, 999), (side, side)]):
        Image.new("L", (width, height)).save(tmp_path / f"{i}.png")
    assert dataset.usual_size([str(path) for path in sorted(tmp_path.iterdir())]) == expected


def test_grey_is_found_and_channels_are_obeyed(folder, tmp_path, draw):
    root = tmp_path / "grey"
    root.mkdir()
    for i in range(4):
        Image.fromarray(draw(i)).convert("L").convert("RGB").save(root / f"{i}.png")
    assert load(root, size=8, cache_folder=tmp_path / "c").images.shape == (4, 8, 8, 1)
    as_rgb = load(root, size=8, channels=3, cache_folder=tmp_path / "c").images
    assert as_rgb.shape == (4, 8, 8, 3)
    Image.fromarray(draw(9)).save(root / "color.png")
    assert load(root, size=8, cache_folder=tmp_path / "c").images.shape == (5, 8, 8, 3)
    assert load(root, size=8, channels=1, cache_folder=tmp_path / "c").images.shape == (5, 8, 8, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [None, 8, 16, 5])
@pytest.mark.parametrize("stored", [1, 3])
def test_arrays_are_brought_to_a_shape_as_files_are(tmp_path, stored, size, channels, draw):
    images = np.stack([draw(i, 8, 8) for i in range(5)])[..., :stored]
    np.savez(tmp_path / "x.npz", images=images)
    found = load(tmp_path / "x.npz", size=size, channels=channels, cache_folder=tmp_path / "c").images
    assert found.shape == (5, size or 8, size or 8, channels)
    folder = tmp_path / "files"
    folder.mkdir()
    for i, picture in enumerate(images):
        Image.fromarray(picture[..., 0] if stored == 1 else picture).save(folder / f"{i}.png")
    files = load(folder, size=size or 8, channels=channels, cache_folder=tmp_path / "c").images
    assert np.array_equal(found, files)


@pytest.mark.parametrize(
    ("asked", "told"),
    [({"size": 0}, "size"), ({"size": -3}, "size"), ({"channels": 2}, "channels"), ({"crop": "x"}, "crop")],
)
def test_impossible_shapes_are_one_sentence(asked, told):
    with pytest.raises(UserError, match=told):
        load("digits", **asked)


def test_the_digest_is_of_what_is_learned_from(folder, tmp_path):
    root = folder(range(6), lambda i: f"{'ab'[i % 2]}/{i}.png")
    first = load(root, size=8, cache_folder=tmp_path / "c").digest
    shutil.copytree(root, tmp_path / "copy")
    assert load(tmp_path / "copy", size=8, cache_folder=tmp_path / "c").digest == first
    assert load(root, size=16, cache_folder=tmp_path / "c").digest != first
    (root / "a" / "0.png").rename(root / "b" / "0.png")
    assert load(root, size=8, cache_folder=tmp_path / "c").digest != first


def test_spec_counts_what_is_trained_on(folder, tmp_path):
    found = load(folder(range(30)), size=8, cache_folder=tmp_path / "c")
    assert found.spec.shape == (3, 8, 8)
    assert found.spec.count == len(found.splits["train"]) < 30
    assert found.spec.classes == ()


def test_pictures_are_narrowed_block_by_block_to_the_same(folder, tmp_path, monkeypatch):
    root = folder(range(10))
    (root / "4.png").write_bytes(b"junk")
    at_once = dataset.load(root, size=8, cache_folder=tmp_path / "a")
    monkeypatch.setattr(dataset, "ROWS", 4)
    assert np.array_equal(dataset.load(root, size=8, cache_folder=tmp_path / "b").images, at_once.images)


def test_a_shape_spelled_out_finds_what_was_decoded_without(folder, tmp_path, monkeypatch):
    root = folder(range(12))
    first = load(root, cache_folder=tmp_path / "c")
    monkeypatch.setattr(dataset.cache, "store", None)  # nothing may be decoded again
    side = first.images.shape[1]
    again = load(root, size=side, channels=3, cache_folder=tmp_path / "c")
    assert again.digest == first.digest
