"""What a detector finds in picture files: in their own pixels, drawn, and as COCO lists it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mezzotint import drawing
from mezzotint.data import boxes, pictures
from mezzotint.data.decode import decode, fitted
from mezzotint.errors import UserError
from mezzotint.metrics.detection import coco_boxes
from mezzotint.model import Model


@dataclass(frozen=True)
class Found:
    """A picture's file and what was found in it."""

    path: Path
    width: int
    height: int
    """Of the upright picture, in pixels."""
    boxes: boxes.Rows
    """Class, left, top, right, bottom in its pixels, certainty; surest first."""

    def drawn(self, pixels: pictures.Pixels, things: Sequence[str], sure: float) -> pictures.Pixels:
        """The picture, h × w × 3, with the boxes that are sure enough; a small one is enlarged."""
        return drawing.boxed(pixels, torch.from_numpy(self.boxes), things, sure)

    def said(self, things: Sequence[str], sure: float) -> list[dict[str, Any]]:
        """What is found with that certainty, for people and programs."""
        return [
            {"thing": things[int(kind)], "box": [round(side, 1) for side in sides], "certainty": round(certainty, 4)}
            for kind, *sides, certainty in self.boxes.tolist()
            if certainty >= sure
        ]


def read(path: Path) -> pictures.Pixels:
    """A picture upright, in its own size, h × w × 3; raises UserError where it cannot be read."""
    if not path.is_file():
        raise UserError(f"there is no picture {path}")
    try:
        return decode(path, None, 3, "center").pixels
    except ValueError as error:
        raise UserError(f"{path} cannot be read as a picture: {error}") from None


def found_in(model: Model, path: Path, pixels: pictures.Pixels) -> Found:
    """What the model finds in the picture that `read` gave."""
    size, crop = model.spec.height, model.recipe.data.crop
    square = fitted(Image.fromarray(pixels), size, crop)
    seen = np.asarray(square.convert("L"))[..., None] if model.spec.channels == 1 else np.asarray(square)
    rows = model.detect(pictures.to_float(seen[None]))[0].double().numpy()
    height, width = pixels.shape[:2]
    return Found(path, width, height, boxes.unplaced(rows[rows[:, 0] >= 0], width, height, size, crop))


@dataclass(frozen=True)
class Ids:
    """The numbers by which a COCO file knows pictures and categories."""

    pictures: dict[str, int]
    """By the name of the file, without its folder."""
    categories: dict[str, int]

    @classmethod
    def read(cls, path: Path, paths: Sequence[Path], things: Sequence[str]) -> "Ids":
        """From an annotation file; raises UserError where it is none, or lacks one of the pictures or things.

        So it does where several of its pictures have the name of one of these.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            named = [(Path(str(image["file_name"])).name, int(image["id"])) for image in content["images"]]
            categories = {str(c["name"]): int(c["id"]) for c in content["categories"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not a whole COCO file ({type(error).__name__}: {error})") from None
        missing = [name for name in things if name not in categories]
        if missing:
            raise UserError(f"{path} has no category {missing[0]!r}, which the model finds")
        counts, files = Counter(name for name, _ in named), dict(named)
        for picture in paths:
            if picture.name not in files:
                raise UserError(f"the file of --ids does not name {picture.name}")
            if counts[picture.name] > 1:
                raise UserError(
                    f"the file of --ids names {counts[picture.name]} pictures {picture.name}, in several folders: "
                    "give it for one folder at a time"
                )
        return cls(files, categories)

    @classmethod
    def counted(cls, paths: Sequence[Path], things: Sequence[str]) -> "Ids":
        """From 1 on, in order."""
        return cls({path.name: i for i, path in enumerate(paths, 1)}, {name: i for i, name in enumerate(things, 1)})


def predictions(found: Sequence[Found], things: Sequence[str], ids: Ids) -> list[dict[str, Any]]:
    """COCO's list of results: image_id, category_id, bbox (left, top, width, height) and score of each box."""
    listed: list[dict[str, Any]] = []
    for one in found:
        rows = coco_boxes(torch.from_numpy(one.boxes[None]).float(), [ids.pictures[one.path.name]])
        for row in rows:
            name = things[int(row["category_id"]) - 1]
            listed.append({**row, "category_id": ids.categories[name]})
    return listed


def head(found: Sequence[Found], ids: Ids) -> dict[str, Any]:
    """What the results are about: a COCO file of these pictures and categories, without annotations."""
    images = [
        {
            "id": ids.pictures[f.path.name],
            "file_name": f.path.name,
            "width": f.width,
            "height": f.height,
        }
        for f in found
    ]
    return {
        "images": images,
        "categories": [{"id": i, "name": name} for name, i in ids.categories.items()],
        "annotations": [],
    }
