import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from mezzotint.data.check import check, near_groups
from mezzotint.data.dataset import load_with_origins
from mezzotint.errors import UserError


def where(root: Path, cache: Path) -> dict[str, str]:
    """Split of each file."""
    found, origins = load_with_origins(root, None, None, "center", cache, None)
    return {origins.paths[i]: name for name, rows in found.splits.items() for i in rows}


def test_a_plain_folder_is_told_plainly(folder, tmp_path):
    report = check(folder(range(40)), size=16, cache_folder=tmp_path / "c")
    assert report.pictures == 40
    assert report.shape == (16, 16, 3)
    assert sum(report.splits.values()) == 40
    assert report.classes == {}
    assert report.modes == {"RGB": 40}
    assert report.sides.least == report.sides.median == report.sides.most == (24, 20)
    assert report.changes == {"cropped to a square": 40, "scaled down": 40}
    assert report.groups == ()
    assert report.unreadable == ()
    lines = "\n".join(report.lines())
    assert "40 pictures" in lines
    assert "no duplicates" in lines
    assert "enough for a classifier: no (there are no classes" in lines


def test_the_findings_are_json_and_complete(folder, tmp_path):
    root = folder(range(10), lambda i: f"{'ab'[i % 2]}/{i}.png")
    (root / "b" / "copy.png").write_bytes((root / "a" / "0.png").read_bytes())
    (root / "a" / "junk.png").write_bytes(b"junk")
    (root / "notes.txt").write_text("hello")
    report = check(root, size=8, cache_folder=tmp_path / "c")
    found = json.loads(json.dumps(report.to_dict()))
    assert found["classes"] == {"a": 5, "b": 6}
    assert found["others"] == 1
    assert [s["path"] for s in found["unreadable"]] == ["a/junk.png"]
    (group,) = found["groups"]
    assert group == {
        "exact": True,
        "paths": ["a/0.png", "b/copy.png"],
        "splits": [group["splits"][0]] * 2,
        "classes": ["a", "b"],
        "leaks": False,
        "contradicts": True,
    }
    lines = "\n".join(report.lines())
    for told in ("a/junk.png: ", "a/0.png (a) = b/copy.png (b)", "contradictions", "other files, left alone: 1"):
        assert told in lines


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


ALTERATIONS = {
    "as JPEG": lambda p: jpeg(p, 60),
    "smaller": lambda p: p.resize((p.width * 2 // 3, p.height * 2 // 3), Image.Resampling.LANCZOS),
    "larger": lambda p: p.resize((p.width * 2, p.height * 2), Image.Resampling.BICUBIC),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.05),
    "of less contrast": lambda p: ImageEnhance.Contrast(p).enhance(0.9),
    "grey": lambda p: p.convert("L").convert("RGB"),
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_an_altered_copy_is_a_near_duplicate(tmp_path, draw, alteration):
    root = tmp_path / "pictures"
    root.mkdir()
    for seed in range(30):
        Image.fromarray(draw(seed, 96, 80)).save(root / f"{seed}.png")
    ALTERATIONS[alteration](Image.fromarray(draw(7, 96, 80))).save(root / "altered.png")
    report = check(root, size=64, cache_folder=tmp_path / "c")
    assert [(set(g.paths), g.exact) for g in report.groups] == [({"7.png", "altered.png"}, False)]


def test_near_copies_in_two_splits_are_leaks(tmp_path, draw):
    root = tmp_path / "pictures"
    root.mkdir()
    for seed in range(40):
        Image.fromarray(draw(seed, 64, 64)).save(root / f"{seed}.png")
        jpeg(Image.fromarray(draw(seed, 64, 64)), 80).save(root / f"{seed} again.png")
    report = check(root, cache_folder=tmp_path / "c")
    splits = where(root, tmp_path / "c")
    leaks = {f"{seed}.png" for seed in range(40) if splits[f"{seed}.png"] != splits[f"{seed} again.png"]}
    assert leaks
    assert {path for g in report.groups if g.leaks for path in g.paths if "again" not in path} == leaks
    assert len(report.groups) == 40
    assert f"leaks: (nearly) the same picture in two splits: {len(leaks)}" in report.lines()


def test_exact_copies_in_given_splits_are_leaks(folder, tmp_path):
    root = folder(range(20), lambda i: f"{'test' if i < 5 else 'train'}/{'ab'[i % 2]}/{i}.png")
    (root / "train" / "a" / "taken.png").write_bytes((root / "test" / "a" / "0.png").read_bytes())
    (group,) = check(root, size=8, cache_folder=tmp_path / "c").groups
    assert group.leaks
    assert not group.contradicts
    assert group.paths == ("test/a/0.png", "train/a/taken.png")


def test_a_black_and_a_white_picture_are_not_the_same(tmp_path):
    flat = np.stack([np.full((16, 16, 1), level, np.uint8) for level in (0, 255, 1, 254, 128)])
    assert len(set(near_groups(flat))) == 5
    faint = np.stack([np.full((16, 16, 1), level, np.uint8) for level in (10, 200)])
    faint[:, 4:8, 4:8] += 40
    assert len(set(near_groups(faint))) == 2


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 3), (5, 40, 1), (64, 64, 3)])
def test_near_groups_of_any_shape(shape):
    images = np.random.default_rng(0).integers(0, 256, (12, *shape), dtype=np.uint8)
    images[7] = images[3]
    groups = near_groups(images)
    assert len(groups) == 12
    if shape != (1, 1, 1):
        assert groups[7] == groups[3]
    if shape == (64, 64, 3):
        assert len(set(groups)) == 11


def test_thousands_of_nearly_equal_pictures_are_one_group():
    frame = np.asarray(Image.linear_gradient("L").resize((16, 16)))[..., None]
    film = frame + np.random.default_rng(0).integers(0, 3, (3000, 16, 16, 1), dtype=np.uint8) // 2
    assert len(set(near_groups(film.astype(np.uint8)))) == 1


def test_what_will_be_changed_is_counted(tmp_path, draw):
    root = tmp_path / "pictures"
    root.mkdir()
    color = Image.fromarray(draw(1, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    color.save(root / "a.jpg", exif=exif)
    color.convert("CMYK").save(root / "b.tif")
    color.convert("RGBA").rotate(10).save(root / "c.png")
    indexed = color.convert("P")
    indexed.putpixel((0, 0), 3)
    indexed.save(root / "d.gif", transparency=3)
    Image.fromarray((draw(2, 32, 32)[..., 0].astype(np.uint16)) * 257).save(root / "e.png")
    color.convert("L").rotate(90).save(root / "f.png")
    Image.fromarray(draw(3, 64, 32)).save(root / "g.png")
    Image.fromarray(draw(4, 16, 16)).save(root / "h.png")
    report = check(root, size=32, cache_folder=tmp_path / "c")
    assert report.changes == {
        "cropped to a square": 1,
        "scaled up": 1,
        "turned upright by EXIF": 1,
        "transparency laid over white": 2,
        "brought from 16 or 32 bits to 8": 1,
        "converted from CMYK": 1,
        "grey repeated as RGB": 2,
    }
    padded = check(root, size=32, crop="fit", channels=1, cache_folder=tmp_path / "c").changes
    assert padded["padded to a square"] == 1
    assert padded["scaled down"] == 1
    assert padded["colors dropped (if there are any)"] == 6


def test_unbalanced_classes_are_told(folder, tmp_path):
    root = folder(range(30), lambda i: f"{'a' if i % 10 else 'b'}/{i}.png")
    report = check(root, size=8, cache_folder=tmp_path / "c")
    assert report.classes == {"a": 27, "b": 3}
    assert any(line.startswith("2 classes, unbalanced, 3 to 27 pictures each: a 27, b 3") for line in report.lines())


@pytest.mark.parametrize(("count", "enough"), [(10, "no"), (150, "barely"), (600, "yes")])
def test_the_verdict_on_a_classifier_follows_its_smallest_class(tmp_path, count, enough):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count + 600, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=[0] * 600 + [1] * count)
    verdicts = {v.kind: v for v in check(tmp_path / "x.npz", cache_folder=tmp_path / "c").verdicts}
    assert verdicts["classifier"].enough == enough
    assert "the smallest class" in verdicts["classifier"].reason
    assert verdicts["GAN"].enough == "no"  # fewer than 1,000 training pictures in each case


def test_copies_do_not_count_as_enough(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8).repeat(100, 0)
    np.savez(tmp_path / "x.npz", images=images)
    assert {v.enough for v in check(tmp_path / "x.npz", cache_folder=tmp_path / "c").verdicts} == {"no"}


@pytest.mark.fashion
def test_near_duplicates_are_rare_where_pictures_are_alike(cache_folder):
    found, _ = load_with_origins("fashion-mnist", None, None, "center", None, None)
    groups = near_groups(found.images[:10_000])
    # Shirts and trousers differ in little: the counts of another size would double or vanish on a slip in the measure.
    assert 0 < 10_000 - len(set(groups)) < 50


def test_nothing_there_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        check(tmp_path / "absent")


def test_a_picture_that_costs_all_classes_is_named(folder, tmp_path):
    root = folder(range(9), lambda i: f"{'ab'[i % 2]}/{i}.png" if i else "cover.png")
    lines = "\n".join(check(root, size=8, cache_folder=tmp_path / "c").lines())
    assert "no classes: one of the pictures lies outside of the sub-folders (cover.png)" in lines
