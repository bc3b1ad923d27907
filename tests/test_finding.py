"""What a detector found, as COCO numbers it."""

import json
from pathlib import Path

import pytest

from mezzotint.errors import UserError
from mezzotint.finding import Ids


def test_a_name_that_a_coco_file_has_in_two_folders_is_refused(tmp_path: Path) -> None:
    named = ["a/1.jpg", "b/1.jpg", "b/2.jpg"]
    images = [{"id": 10 + i, "file_name": name} for i, name in enumerate(named)]
    whole = {"images": images, "annotations": [], "categories": [{"id": 3, "name": "cat"}]}
    (tmp_path / "told.json").write_text(json.dumps(whole))
    assert Ids.read(tmp_path / "told.json", [Path("b/2.jpg")], ["cat"]).pictures["2.jpg"] == 12
    with pytest.raises(UserError, match=r"names 2 pictures 1\.jpg"):
        Ids.read(tmp_path / "told.json", [Path("b/2.jpg"), Path("b/1.jpg")], ["cat"])
