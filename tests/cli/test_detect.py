"""From a folder of annotated pictures to found boxes, as a user types it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("faster_coco_eval")
Say = Callable[..., subprocess.CompletedProcess[str]]
FIXED = ["--set", "execution.threads=1", "--set", "execution.precision=fp32", "--set", "execution.channels_last=false"]
SMALL = ["--set", "batch=8", "--set", "milestones=1", "--set", "method.network.backbone.width=8", *FIXED]


@pytest.fixture
def folder(home: Path) -> Path:
    """Twenty pictures of 60×40, a bright square in each, with a COCO file whose ids have gaps; one box is odd."""
    place = home / "squares"
    place.mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for i in range(20):
        pixels = rng.integers(0, 60, (40, 60, 3), np.uint8)
        left, top = int(rng.integers(10, 34)), int(rng.integers(0, 24))
        pixels[top : top + 16, left : left + 16] = 255
        Image.fromarray(pixels).save(place / f"{i}.png")
        images.append({"id": 5 * i + 2, "file_name": f"{i}.png", "width": 60, "height": 40})
        annotations.append({"id": i, "image_id": 5 * i + 2, "category_id": 40, "bbox": [left, top, 16, 16]})
    annotations.append({"id": 99, "image_id": 2, "category_id": 40, "bbox": [500, 500, 5, 5]})
    whole = {"images": images, "annotations": annotations, "categories": [{"id": 40, "name": "square"}]}
    (place / "annotations.json").write_text(json.dumps(whole))
    return place


def test_from_annotations_to_found_boxes(say: Say, home: Path, folder: Path) -> None:
    done = say("train", "detector", folder, "--size", 32, "--images", 160, "--out", "run", *SMALL)
    assert "note: boxes outside of their picture were left out: 1 (the first: 0.png)" in done.stderr
    assert "average precision 50" in done.stdout
    assert "next      mezzotint detect run picture.png" in done.stdout
    assert (home / "run" / "samples" / "boxes.png").is_file()
    assert "what it finds in test pictures" in (home / "run" / "report.html").read_text()
    shown = say("show", "run").stdout
    assert "it finds: square" in shown
    assert "it can detect" in shown
    paths = [folder / "3.png", folder / "4.png"]
    words = ["detect", "run", *paths, "--sure", "0"]
    done = say(*words, "--out", "found", "--ids", folder / "annotations.json")
    assert done.stdout.count("square") >= 2
    results = json.loads((home / "found" / "predictions.json").read_text())
    assert {r["image_id"] for r in results} == {17, 22}
    assert {r["category_id"] for r in results} == {40}
    for left, top, width, height in (r["bbox"] for r in results):
        # The middle 40 of 60 pixels is what the crop shows.
        assert left >= 10 - 1e-3
        assert left + width <= 50 + 1e-3
        assert 0 <= top <= top + height <= 40 + 1e-3
    from faster_coco_eval import COCO

    assert len(COCO(str(home / "found" / "pictures.json")).loadRes(results).anns) == len(results)
    with Image.open(home / "found" / "3.png") as drawn:
        assert drawn.size[0] >= 256
    lines = [json.loads(line) for line in say(*words, "--json").stdout.splitlines()]
    assert [line["picture"] for line in lines] == [str(p) for p in paths]
    assert lines[0]["found"][0]["thing"] == "square"
    piped = say(*words, "--json", "--out", "piped")
    assert [json.loads(line) for line in piped.stdout.splitlines()] == lines
    assert "2 pictures and predictions.json in piped" in piped.stderr
    assert "is not empty" in say(*words, "--out", "found", code=2).stderr
    (home / "pile").mkdir()
    for path in paths:
        (home / "pile" / path.name).write_bytes(path.read_bytes())
    (home / "pile" / "broken.png").write_bytes(b"no picture")
    done = say("detect", "run", "pile", "--out", "piled", "--sure", "0")
    assert done.stderr.count("skipped: pile/broken.png") == 1
    assert "2 pictures and predictions.json" in done.stdout
    assert {p.name for p in (home / "piled").iterdir()} == {"3.png", "4.png", "predictions.json", "pictures.json"}
    assert [i["width"] for i in json.loads((home / "piled" / "pictures.json").read_text())["images"]] == [60, 60]
    assert "broken.png cannot be read" in say("detect", "run", home / "pile" / "broken.png", code=2).stderr
    assert "average precision" in say("measure", "run", "--split", "train").stdout
    assert "cannot classify" in say("classify", "run", paths[0], code=2).stderr
    Image.new("RGB", (9, 9)).save(home / "other.png")
    told = say("detect", "run", home / "other.png", "--out", "more", "--ids", folder / "annotations.json", code=2)
    assert "does not name other.png" in told.stderr


def test_mistakes_of_detectors_are_one_sentence(say: Say, home: Path, folder: Path) -> None:
    (folder / "annotations.json").write_text('{"images": [1, 2], "annotations": []}')
    told = say("train", "detector", folder, "--images", 16, code=2).stderr
    assert "not a whole COCO file" in told
    assert told.count("\n") == 1
    assert not (home / "runs").exists()
