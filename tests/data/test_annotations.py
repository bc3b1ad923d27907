"""Boxes from three formats, as they should be and as they are found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mezzotint.data import annotations
from mezzotint.data import dataset as sets
from mezzotint.data.check import check
from mezzotint.data.dataset import Dataset
from mezzotint.errors import UserError

SIZE = 40
Boxes = list[list[float]]


def picture(path: Path, seed: int, size: tuple[int, int] = (SIZE, SIZE), orientation: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))
    exif = Image.Exif()
    if orientation != 1:
        exif[0x0112] = orientation
    image.save(path, quality=95, exif=exif)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Four pictures without annotations."""
    for i in range(4):
        picture(tmp_path / "set" / "images" / f"{i}.jpg", i)
    return tmp_path / "set"


@pytest.fixture
def read(cache_folder: Path) -> Callable[..., Dataset]:
    def load(source: Path, **how: Any) -> Dataset:
        return sets.load(source, cache_folder=cache_folder, **{"size": SIZE, **how})

    return load


def boxes_of(data: Dataset) -> list[Boxes]:
    """Boxes of the pictures in order, without padding."""
    return [[row.tolist() for row in rows if row[0] >= 0] for rows in data.targets["boxes"]]


def coco(boxes: list[tuple[int, int, list[float]]], **more: Any) -> dict[str, Any]:
    """Of four pictures with ids 7, 8, 19 and 30, and the categories 3 (cat) and 90 (dog)."""
    numbers = [7, 8, 19, 30]
    return {
        "images": [{"id": n, "file_name": f"{i}.jpg", "width": SIZE, "height": SIZE} for i, n in enumerate(numbers)],
        "categories": [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {"id": 100 + i, "image_id": numbers[p], "category_id": c, "bbox": b} for i, (p, c, b) in enumerate(boxes)
        ],
        **more,
    }


def write_coco(place: Path, content: Any, name: str = "annotations.json") -> None:
    (place / name).parent.mkdir(exist_ok=True)
    (place / name).write_text(content if isinstance(content, str) else json.dumps(content))


# COCO.


def test_coco_with_gaps_in_its_ids(place, read):
    write_coco(place, coco([(0, 90, [4, 6, 10, 20]), (2, 3, [0, 0, 8, 8]), (2, 90, [20, 10, 12.5, 4])]))
    data = read(place)
    assert data.things == ("cat", "dog")
    assert data.spec.things == data.things
    assert data.labels is None
    assert data.classes == ()
    assert data.remarks == ()
    assert boxes_of(data) == [[[1, 4, 6, 14, 26, 0]], [], [[0, 0, 0, 8, 8, 0], [1, 20, 10, 32.5, 14, 0]], []]


def test_a_coco_file_may_be_named_itself(place, read):
    write_coco(place / "images", coco([(0, 90, [4, 6, 10, 20])]), "chosen.json")
    write_coco(place / "images", coco([]), "other.json")
    assert boxes_of(read(place / "images" / "chosen.json"))[0] == [[1, 4, 6, 14, 26, 0]]


def test_a_change_of_the_annotations_is_a_change_of_the_data(place, read):
    write_coco(place, coco([(0, 90, [4, 6, 10, 20])]))
    before = read(place)
    write_coco(place, coco([(0, 90, [4, 6, 10, 21])]))
    assert read(place).digest != before.digest
    assert boxes_of(read(place))[0] == [[1, 4, 6, 14, 27, 0]]


def test_crowds_do_not_count(place, read):
    content = coco([(0, 90, [4, 6, 10, 20]), (1, 3, [4, 6, 10, 20])])
    content["annotations"][1]["iscrowd"] = 1
    write_coco(place, content)
    assert [rows[0][5] for rows in boxes_of(read(place))[:2]] == [0, 1]


def test_corners_in_the_place_of_widths_are_told_from_them(place, read):
    corners = [[25, 20, 39, 38], [30, 2, 36, 20], [1, 1, 5, 5]]
    write_coco(place, coco([(i, 90, box) for i, box in enumerate(corners)]))
    data = read(place)
    assert [rows[0][1:5] for rows in boxes_of(data)[:3]] == corners
    assert "corners rather than x, y, width and height" in data.remarks[0]


def test_corners_are_told_by_the_pictures_themselves_where_the_file_has_no_sizes(place, read):
    corners = [[25, 20, 39, 38], [30, 2, 36, 20], [1, 1, 5, 5]]
    content = coco([(i, 90, box) for i, box in enumerate(corners)])
    for image in content["images"]:
        del image["width"], image["height"]
    write_coco(place, content)
    data = read(place)
    assert [rows[0][1:5] for rows in boxes_of(data)[:3]] == corners
    (place / "images" / "0.jpg").write_bytes(b"no picture")
    assert [rows[0][1:5] for rows in boxes_of(read(place))[:2]] == corners[1:]


def test_a_few_boxes_over_the_edge_are_no_corners(place, read):
    write_coco(place, coco([(0, 90, [30, 30, 35, 35]), *[(1, 3, [i, 2, 6, 6]) for i in range(9)]]))
    data = read(place)
    assert boxes_of(data)[0] == [[1, 30, 30, 40, 40, 0]]
    assert data.remarks == ("boxes that reach out of their picture were cut: 1 (the first: images/0.jpg)",)


def test_what_is_odd_is_told_in_a_sentence_each(place, read):
    content = coco(
        [
            (0, 90, [4, 6, 10, 20]),
            (0, 90, [50, 60, 10, 20]),
            (0, 90, [5, 5, 0, 9]),
            (0, 90, [5, 5, -3, 9]),
            (1, 17, [5, 5, 3, 9]),
            (1, 3, [5, 5, 3]),
            (1, 3, ["a", 5, 3, 9]),
        ]
    )
    content["annotations"].append({"id": 1, "image_id": 12345, "category_id": 3, "bbox": [1, 1, 2, 2]})
    content["images"].append({"id": 31, "file_name": "gone.jpg"})
    write_coco(place, content)
    picture(place / "images" / "unknown.jpg", 9)
    data = read(place)
    assert boxes_of(data) == [[[1, 4, 6, 14, 26, 0]], [], [], []]
    told = "\n".join(data.remarks)
    for words in (
        "outside of their picture",
        "without area",
        "negative width or height",
        "unknown category",
        "no box of four numbers",
        "are no numbers",
        "of pictures that are not there",
        "an annotation names are not there: 1 (the first: gone.jpg)",
        "in no annotation and were left out: 1 (the first: images/unknown.jpg)",
    ):
        assert words in told
    assert len(data.remarks) == 9


@pytest.mark.parametrize("told_upright", [True, False])
def test_a_turned_picture_is_annotated_as_shown_or_as_stored(place, read, told_upright):
    """Stored 60×40, shown 40×60: the size in the file tells which of them the boxes are in."""
    picture(place / "images" / "0.jpg", 5, (60, 40), orientation=6)
    shown, stored = [4, 6, 10, 20], [6, 26, 20, 10]
    content = coco([(0, 90, shown if told_upright else stored)])
    content["images"][0].update(zip(("width", "height"), (40, 60) if told_upright else (60, 40), strict=True))
    write_coco(place, content)
    data = read(place, size=60, crop="fit")
    assert boxes_of(data)[0] == [[1, 14, 6, 24, 26, 0]]
    assert [("stored" in s) for s in data.remarks] == ([] if told_upright else [True])


def test_boxes_of_a_picture_that_was_resized_are_scaled(place, read):
    content = coco([(0, 90, [8, 12, 20, 40])])
    content["images"][0].update(width=80, height=80)
    write_coco(place, content)
    data = read(place)
    assert boxes_of(data)[0] == [[1, 4, 6, 14, 26, 0]]
    assert "were scaled" in data.remarks[0]


def test_splits_of_several_coco_files(place, read):
    whole = coco([(0, 90, [4, 6, 10, 20]), (1, 3, [4, 6, 10, 20])])
    for split, which in (("train", slice(0, 2)), ("val", slice(2, 3)), ("test", slice(3, 4))):
        write_coco(
            place,
            {
                **whole,
                "images": whole["images"][which],
                "annotations": whole["annotations"] if split == "train" else [],
            },
            f"annotations/instances_{split}2017.json",
        )
    write_coco(
        place,
        {"images": whole["images"], "annotations": [{"image_id": 7, "caption": "a cat"}]},
        "annotations/captions_train2017.json",
    )
    data = read(place)
    assert {name: rows.tolist() for name, rows in data.splits.items()} == {
        "train": [0, 1],
        "validation": [2],
        "test": [3],
    }
    assert data.remarks == ()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"images": [], "annotations": [', "not a whole COCO file"),
        ({"images": [{"id": 1}], "annotations": []}, "not a whole COCO file"),
        ({"images": [], "annotations": [], "categories": []}, "name none of the pictures"),
        (coco([], categories=[]), "not one box"),
    ],
)
def test_a_coco_file_of_which_nothing_can_be_made(place, read, content, told):
    write_coco(place, content)
    with pytest.raises(UserError, match=told):
        read(place)


def test_check_tells_of_boxes(place, cache_folder):
    write_coco(place, coco([(0, 90, [4, 6, 10, 20]), (1, 90, [50, 6, 10, 20])]))
    lines = "\n".join(check(place, size=SIZE, cache_folder=cache_folder).lines())
    assert "boxes: cat 0, dog 1" in lines
    assert "odd annotations: 1" in lines


def test_a_folder_without_annotations_is_what_it_was(place, read):
    (place / "notes.json").write_text('{"images": "none"}')
    (place / "images" / "0.txt").write_text("a picture of a cat, 5 years old")
    data = read(place)
    assert data.targets == {}
    assert data.things == ()
    assert data.spec.things == ()


# YOLO.


def write_yolo(place: Path, lines: dict[int, str], folder: str = "labels") -> None:
    (place / folder).mkdir(exist_ok=True)
    for i, text in lines.items():
        (place / folder / f"{i}.txt").write_text(text)


@pytest.mark.parametrize(
    "yaml",
    [
        "path: .\nnames: ['cat', \"dog\", bird]\nnc: 3\n",
        "names:\n  - cat\n  - dog  # good\n  - bird\nnc: 3\n",
        "names:\n- cat\n- dog\n- bird\n",
        "train: images\nnames:\n  0: cat\n  1: dog\n  2: bird\n\nnc: 3\n",
    ],
)
def test_yolo_with_its_ways_of_naming(place, read, yaml):
    (place / "data.yaml").write_text(yaml)
    write_yolo(place, {0: "1 0.5 0.25 0.2 0.1\n2 0.1 0.1 0.2 0.2\n", 1: "", 2: "0 0.1 0.1 0.4 0.1 0.4 0.5\n"})
    data = read(place)
    assert data.things == ("cat", "dog", "bird")
    assert data.remarks == ()
    found = boxes_of(data)
    assert np.allclose(found[0], [[1, 16, 8, 24, 12, 0], [2, 0, 0, 8, 8, 0]], atol=1e-5)
    assert np.allclose(found[2], [[0, 4, 4, 16, 20, 0]], atol=1e-5)
    assert found[1] == found[3] == []


def test_yolo_beside_the_pictures_without_names_and_with_gaps(place, read):
    write_yolo(place, {0: "7 0.5 0.25 0.2 0.1", 1: "2 0.5 0.25 0.2 0.1"}, folder="images")
    data = read(place)
    assert data.things == ("2", "7")
    assert [rows[0][0] for rows in boxes_of(data)[:2]] == [1, 0]


def test_odd_yolo_is_told(place, read):
    (place / "classes.txt").write_text("cat\ndog\n")
    text = (
        "0 0.5 0.5 0.2 0.2\n5 0.5 0.5 0.2 0.2\n0 20 20 8 8\n0 0.5 zwei 0.1 0.1\n0 1.4 0.5 0.2 0.2\n0 0.5 0.5 -0.2 0.2\n"
    )
    write_yolo(place, {0: text})
    data = read(place)
    assert len(boxes_of(data)[0]) == 1
    told = "\n".join(data.remarks)
    for words in ("without a name", "in pixels", "no class and box", "outside", "negative"):
        assert words in told


def test_yolo_splits_by_folder(tmp_path, read):
    for i, split in enumerate(("train", "train", "val", "test")):
        picture(tmp_path / "set" / "images" / split / f"{i}.jpg", i)
        (tmp_path / "set" / "labels" / split).mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / "labels" / split / f"{i}.txt").write_text("0 0.5 0.5 0.5 0.5")
    data = read(tmp_path / "set")
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 2, "validation": 1, "test": 1}
    assert boxes_of(data) == [[[0, 10, 10, 30, 30, 0]]] * 4


# VOC.


def voc(name: str, boxes: list[tuple[str, list[Any], int]], size: tuple[int, int] = (SIZE, SIZE)) -> str:
    things = "".join(
        f"<object><name>{thing}</name><difficult>{hard}</difficult><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
        f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for thing, (a, b, c, d), hard in boxes
    )
    shape = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><folder>x</folder><filename>{name}</filename>{shape}{things}</annotation>"


def write_voc(place: Path, files: dict[int, str]) -> None:
    (place / "Annotations").mkdir(exist_ok=True)
    for i, text in files.items():
        (place / "Annotations" / f"{i}.xml").write_text(text)


def test_voc_counts_pixels_from_one(place, read):
    write_voc(place, {0: voc("0.jpg", [("dog", [5, 7, 14, 26], 0), ("cat", [1, 1, 40, 40], 1)]), 1: voc("1.jpg", [])})
    data = read(place)
    assert data.things == ("cat", "dog")
    assert boxes_of(data) == [[[1, 4, 6, 14, 26, 0], [0, 0, 0, 40, 40, 1]], []]
    assert data.remarks == ("pictures are in no annotation and were left out: 2 (the first: images/2.jpg)",)


def test_voc_that_counts_from_zero(place, read):
    write_voc(place, {0: voc("0.jpg", [("dog", [0, 7, 14, 26], 0)])})
    assert boxes_of(read(place))[0] == [[0, 0, 7, 14, 26, 0]]


def test_odd_voc_is_told(place, read):
    odd = [("dog", [14, 26, 5, 7], 0), ("", [1, 1, 5, 5], 0), ("dog", ["", 1, 5, 5], 0), ("dog", [90, 90, 95, 95], 0)]
    write_voc(place, {0: voc("0.jpg", odd), 1: "<annotation>", 2: voc("gone.jpg", []), 7: voc("gone.jpg", [])})
    data = read(place)
    assert boxes_of(data) == [[[0, 4, 6, 14, 26, 0]], []]
    told = "\n".join(data.remarks)
    for words in ("reversed corners", "nothing named", "are no numbers", "outside", "cannot be read", "not there"):
        assert words in told


def test_voc_splits(place, read):
    write_voc(place, {i: voc(f"{i}.jpg", [("dog", [5, 7, 14, 26], 0)]) for i in range(4)})
    (place / "ImageSets" / "Main").mkdir(parents=True)
    for split, names in (("train", "0\n1\n"), ("val", "2\n"), ("test", "3 1\n")):
        (place / "ImageSets" / "Main" / f"{split}.txt").write_text(names)
    data = read(place)
    assert {name: rows.tolist() for name, rows in data.splits.items()} == {
        "train": [0, 1],
        "validation": [2],
        "test": [3],
    }


@pytest.mark.parametrize(
    ("file", "split"),
    [
        ("annotations/instances_train2017.json", "train"),
        ("valid/_annotations.coco.json", "validation"),
        ("latest.json", ""),
        ("latest_test.json", "test"),
        ("images/val/a.jpg", "validation"),
        ("train.jpg", ""),
    ],
)
def test_splits_are_told_by_folders_and_by_words_in_the_names_of_files(file, split):
    assert annotations._split_of(file) == split
