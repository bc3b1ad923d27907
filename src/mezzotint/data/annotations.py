"""What is where in pictures, as three common formats tell it: COCO's JSON, YOLO's text files, VOC's XML.

A folder is told by its files' names and read when its pictures are decoded. Nothing odd in an annotation stops the
reading: it is put right or left out, and told in one sentence a kind.
"""

import json
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from mezzotint.data.boxes import Oddities, Rows
from mezzotint.data.folders import SPLIT_FOLDERS, Notes
from mezzotint.errors import UserError

BY_CORNERS = 0.2
"""Share of boxes that would leave their pictures as x, y, width, height, from which on a COCO file is taken to hold
corners instead, if as corners none leaves its picture."""
HEADERS = 200
"""Pictures of a COCO file without sizes whose own headers are read for that."""
LOOKED_AT = 20
"""Text files beside pictures that are looked into, to see whether they are YOLO's."""
NAMES = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names")
"""Files in which YOLO's classes are named."""


@dataclass
class Marked:
    """What the annotations say, by picture (path relative to the folder)."""

    things: tuple[str, ...]
    boxes: dict[str, Rows]
    """In pixels of the picture as it is shown or stored (see `sizes`), or in shares of its sides where `shares`."""
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """Width and height as the annotation has them, where it does: for turned pictures they tell which way is up."""
    splits: dict[str, str] = field(default_factory=dict[str, str])
    shares: bool = False
    odd: Oddities = field(default_factory=Oddities)


def find(root: Path, files: Iterable[str], pictures: Sequence[str]) -> Notes | None:
    """The annotations of `pictures` among the other `files` of a folder (all relative to it), or None."""
    others = sorted(files)
    shallow = [f for f in others if f.lower().endswith(".json") and f.count("/") <= 1]
    coco = [f for f in shallow if _is_coco(root / f)]
    instances = [f for f in coco if PurePosixPath(f).name.startswith("instances")]
    if coco:
        return Notes("coco", tuple(instances or coco))
    stems = {_stem(p) for p in pictures}
    voc = [f for f in others if f.endswith(".xml") and ("Annotations" in f.split("/")[:-1] or _stem(f) in stems)]
    if voc and b"<annotation" in (root / voc[0]).read_bytes()[:1000]:
        sets = [f for f in others if re.search(r"(^|/)ImageSets/Main/(train|val|test)\.txt$", f)]
        return Notes("voc", (*voc, *sets))
    expected = {_label_file(p) for p in pictures} | {f"{_stem(p)}.txt" for p in pictures}
    yolo = [f for f in others if f in expected and PurePosixPath(f).name not in NAMES]
    if yolo and all(_is_yolo(root / f) for f in yolo[:LOOKED_AT]):
        named = [f for f in others if PurePosixPath(f).name in NAMES]
        return Notes("yolo", (*yolo, *named))
    return None


def read(root: Path, notes: Notes, pictures: Sequence[str]) -> Marked:
    """What the annotations say of `pictures` (relative to `root`); those that they do not know are not in it.

    Raises UserError where nothing can be made of them.
    """
    reader = {"coco": _read_coco, "yolo": _read_yolo, "voc": _read_voc}[notes.kind]
    marked = reader(root, notes.files, pictures)
    unknown = [p for p in pictures if p not in marked.boxes]
    marked.odd.add("pictures are in no annotation and were left out", unknown[0] if unknown else "", len(unknown))
    if not marked.boxes:
        raise UserError(f"the annotations in {root} name none of the pictures there: put both into one folder")
    if not marked.things:
        raise UserError(f"the annotations in {root} name nothing that is in the pictures: there is not one box")
    return marked


def _stem(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))


def _numbers(values: Sequence[Any]) -> list[float]:
    """Floats, not a number for what is none."""

    def number(value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            return math.nan

    return [number(value) for value in values]


def _rows(boxes: Sequence[Sequence[float]]) -> Rows:
    return np.array(boxes, np.float64).reshape(-1, 6)


def _split_of(path: str) -> str:
    """The split that a folder or the file's own name tells (train, val …), or nothing."""
    words = [SPLIT_FOLDERS.get(part.lower(), "") for part in path.split("/")[:-1]]
    stem = PurePosixPath(path).stem.lower() if path.endswith(".json") else ""
    found = re.search(r"(?<![a-z])(train|val|test)", stem)
    return next((w for w in words if w), SPLIT_FOLDERS[found[1]] if found else "")


# COCO.


def _is_coco(path: Path) -> bool:
    content = path.read_bytes()
    return b'"images"' in content and b'"annotations"' in content


def _read_coco(root: Path, files: Sequence[str], pictures: Sequence[str]) -> Marked:
    sets = [(file, _coco_file(root, file)) for file in files]
    names: dict[str, int] = {}
    for _, content in sets:
        for category in sorted(content["categories"], key=lambda c: c["id"]):
            names.setdefault(str(category["name"]), len(names))
    marked = Marked(tuple(names), {})
    known = _by_ending(pictures)
    for file, content in sets:
        _read_coco_set(root, file, content, names, known, marked)
    return marked


def _coco_file(root: Path, file: str) -> dict[str, Any]:
    try:
        content = json.loads((root / file).read_text(encoding="utf-8"))
        for image in content["images"]:
            image["id"], image["file_name"]
        used = {a["category_id"] for a in content["annotations"]}
        content.setdefault("categories", [{"id": i, "name": str(i)} for i in sorted(used)])
        for category in content["categories"]:
            category["id"], category["name"]
        return content
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{root / file} is not a whole COCO file ({type(error).__name__}: {error})") from None


def _by_ending(pictures: Sequence[str]) -> dict[str, str]:
    """Pictures by their whole path and by their name alone, where it is of one picture."""
    found: dict[str, str] = {}
    several: set[str] = set()
    for path in pictures:
        name = path.rpartition("/")[2]
        several |= {name} & set(found)
        found[name] = path
    return {name: path for name, path in found.items() if name not in several} | {path: path for path in pictures}


def _read_coco_set(
    root: Path,
    file: str,
    content: Mapping[str, Any],
    names: Mapping[str, int],
    known: Mapping[str, str],
    marked: Marked,
) -> None:
    ids = {category["id"]: names[str(category["name"])] for category in content["categories"]}
    paths: dict[Any, str] = {}
    folder = file.rpartition("/")[0]
    for image in content["images"]:
        named = str(image["file_name"]).replace("\\", "/").removeprefix("./")
        path = known.get(f"{folder}/{named}") or known.get(named) or known.get(named.rpartition("/")[2])
        if path is None:
            marked.odd.add("pictures that an annotation names are not there", named)
            continue
        paths[image["id"]] = path
        marked.boxes[path] = _rows([])
        width, height = _numbers([image.get("width"), image.get("height")])
        if width > 0 and height > 0:
            marked.sizes[path] = int(width), int(height)
        if _split_of(file):
            marked.splits[path] = _split_of(file)
    _add_coco_boxes(root, file, content["annotations"], ids, paths, marked)


def _add_coco_boxes(
    root: Path,
    file: str,
    annotations: Sequence[Mapping[str, Any]],
    ids: Mapping[Any, int],
    paths: Mapping[Any, str],
    marked: Marked,
) -> None:
    read: list[tuple[str, list[float]]] = []
    for annotation in annotations:
        path, box = paths.get(annotation.get("image_id")), annotation.get("bbox")
        if path is None:
            marked.odd.add("boxes are of pictures that are not there", file)
        elif annotation["category_id"] not in ids:
            marked.odd.add("boxes of an unknown category were left out", path)
        elif not isinstance(box, list) or len(box) != 4:
            marked.odd.add("annotations have no box of four numbers and were left out", path)
        else:
            crowd = float(bool(annotation.get("iscrowd", 0)))
            read.append((path, [ids[annotation["category_id"]], *_numbers(box), crowd]))
    sizes = marked.sizes | _sizes_in(root, {path: None for path, _ in read if path not in marked.sizes})
    corners = _are_corners([(sizes[path], row) for path, row in read if path in sizes])
    if corners:
        marked.odd.add(f"boxes are corners rather than x, y, width and height in {file}", read[0][0], len(read))
    found: dict[str, list[list[float]]] = {}
    for path, (kind, x, y, a, b, crowd) in read:
        if not corners and (a < 0 or b < 0):
            marked.odd.add("boxes of negative width or height were left out", path)
            continue
        found.setdefault(path, []).append([kind, x, y, a if corners else x + a, b if corners else y + b, crowd])
    for path, rows in found.items():
        marked.boxes[path] = _rows(rows)


def _sizes_in(root: Path, paths: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Width and height, as it is shown, of the first `HEADERS` pictures, by what their files begin with."""
    found: dict[str, tuple[int, int]] = {}
    for path in islice(paths, HEADERS):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(root / path) as image:
                    sideways = image.getexif().get(0x0112, 1) in range(5, 9)
                    found[path] = (image.height, image.width) if sideways else (image.width, image.height)
        except Exception:  # damaged files make Pillow's readers raise nearly anything; they are told of when decoded
            continue
    return found


def _are_corners(boxes: Sequence[tuple[tuple[int, int], Sequence[float]]]) -> bool:
    """Whether boxes that are told as x, y, width, height are x, y, x, y: many would leave their pictures otherwise."""
    if not boxes:
        return False
    sides = np.array([size for size, _ in boxes], np.float64)
    rows = np.array([row for _, row in boxes], np.float64)
    ends, sizes = rows[:, 3:5], rows[:, 1:3] + rows[:, 3:5]
    leaving = (sizes > sides + 2).any(1).mean()
    fitting = ((ends <= sides + 2).all(1) & (ends > rows[:, 1:3]).all(1)).all()
    return bool(leaving >= BY_CORNERS and fitting)


# YOLO.


def _label_file(picture: str) -> str:
    """`labels/a/b.txt` for `images/a/b.jpg`, wherever `images` stands in it."""
    before, found, after = f"/{picture}".rpartition("/images/")
    return _stem(f"{before}/labels/{after}".lstrip("/")) + ".txt" if found else f"{_stem(picture)}.txt"


def _is_yolo(path: Path) -> bool:
    lines = [line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return not lines or (len(lines[0]) >= 5 and not any(math.isnan(x) for x in _numbers(lines[0])))


def _read_yolo(root: Path, files: Sequence[str], pictures: Sequence[str]) -> Marked:
    marked = Marked((), {}, shares=True)
    known = set(files)
    for picture in pictures:
        file = next((f for f in (_label_file(picture), f"{_stem(picture)}.txt") if f in known), None)
        lines = [] if file is None else (root / file).read_text(encoding="utf-8", errors="replace").splitlines()
        read = (_yolo_box(line, marked.odd, file or "") for line in lines if line.strip())
        marked.boxes[picture] = _rows([row for row in read if row is not None])
        if split := _split_of(picture):
            marked.splits[picture] = split
    named = [f for f in files if PurePosixPath(f).name in NAMES]
    names = _yolo_names((root / named[0]).read_text(encoding="utf-8", errors="replace"), named[0]) if named else {}
    _name_yolo_classes(marked, names)
    return marked


def _yolo_box(line: str, odd: Oddities, where: str) -> list[float] | None:
    """Class and corners in shares of the sides: of a center and a size, or of the outline of a polygon."""
    numbers = _numbers(line.split())
    if len(numbers) < 5 or any(math.isnan(x) for x in numbers) or numbers[0] < 0 or numbers[0] % 1:
        odd.add("lines are no class and box of shares and were left out", where)
        return None
    if max(numbers[1:5]) > 1.5:
        odd.add("boxes are in pixels where YOLO has shares of the sides, and were left out", where)
        return None
    if len(numbers) >= 7 and len(numbers) % 2:
        xs, ys = numbers[1::2], numbers[2::2]
        return [numbers[0], min(xs), min(ys), max(xs), max(ys), 0.0]
    kind, x, y, w, h = numbers[:5]
    if w < 0 or h < 0:
        odd.add("boxes of negative width or height were left out", where)
        return None
    return [kind, x - w / 2, y - h / 2, x + w / 2, y + h / 2, 0.0]


def _yolo_names(text: str, file: str) -> dict[int, str]:
    """Names by number: a line each, or in a YAML file what `names:` lists or maps, in plain words."""
    if not file.endswith(".yaml"):
        return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    found = re.search(r"^names:[ \t]*(.*(?:\n(?:[ \t]+|- ?).*)*)", text, re.MULTILINE)
    body = found[1] if found else ""
    listed = body.strip()
    if listed.startswith("["):
        return dict(enumerate(_plain(word) for word in listed[1 : listed.find("]")].split(",")))
    if listed.startswith("{"):
        listed = listed[1 : listed.find("}")].replace(",", "\n")
    lines = [line.strip() for line in listed.splitlines() if line.strip() and not line.strip().startswith("#")]
    if lines and lines[0].startswith("-"):
        return dict(enumerate(_plain(line.removeprefix("-")) for line in lines))
    pairs = (re.match(r"(\d+)\s*:\s*(.*)", line) for line in lines)
    return {int(pair[1]): _plain(pair[2]) for pair in pairs if pair}


def _plain(word: str) -> str:
    return word.split(" #")[0].strip().strip("'\"")


def _name_yolo_classes(marked: Marked, names: Mapping[int, str]) -> None:
    """Number the classes from 0 without gaps: the named ones, or those that occur, named by their numbers."""
    occurring = {int(kind) for rows in marked.boxes.values() for kind in rows[:, 0]}
    chosen = dict(sorted(names.items())) or {number: str(number) for number in sorted(occurring)}
    order = {number: i for i, number in enumerate(chosen)}
    for path, rows in marked.boxes.items():
        known = np.array([int(kind) in order for kind in rows[:, 0]], bool)
        marked.odd.add("boxes of a class without a name were left out", path, int((~known).sum()))
        rows = rows[known]
        rows[:, 0] = [order[int(kind)] for kind in rows[:, 0]]
        marked.boxes[path] = rows
    marked.things = tuple(chosen.values()) if occurring else ()


# VOC.


def _read_voc(root: Path, files: Sequence[str], pictures: Sequence[str]) -> Marked:
    marked = Marked((), {})
    known = {**{_stem(p).rpartition("/")[2]: p for p in pictures}, **_by_ending(pictures)}
    read: dict[str, list[tuple[str, list[float], float]]] = {}
    for file in files:
        if not file.endswith(".xml"):
            continue
        tree = _xml(root / file, marked.odd, file)
        if tree is None:
            continue
        named = (tree.findtext("filename") or "").strip()
        path = known.get(_stem(file).rpartition("/")[2]) or known.get(named) or known.get(_stem(named))
        if path is None:
            marked.odd.add("pictures that an annotation names are not there", file)
            continue
        read[path] = list(_voc_objects(tree, marked.odd, file))
        width, height = _numbers([tree.findtext("size/width"), tree.findtext("size/height")])
        if width > 0 and height > 0:
            marked.sizes[path] = int(width), int(height)
    marked.things = tuple(sorted({name for boxes in read.values() for name, _, _ in boxes}))
    corners = [box for boxes in read.values() for _, box, _ in boxes]
    # The format counts pixels from 1; most tools that write it count from 0.
    first = 1.0 if corners and np.nanmin(np.array(corners), initial=np.inf) >= 1 else 0.0
    for path, boxes in read.items():
        kinds = [marked.things.index(name) for name, _, _ in boxes]
        rows = _rows([[k, *box, hard] for k, (_, box, hard) in zip(kinds, boxes, strict=True)])
        # The lower one of two sides is where the first pixel begins, whichever is called so.
        for low, high in ((1, 3), (2, 4)):
            swapped = rows[:, high] < rows[:, low]
            rows[swapped, high] -= first
            rows[~swapped, low] -= first
        marked.boxes[path] = rows
    _voc_splits(root, [f for f in files if f.endswith(".txt")], known, marked)
    return marked


def _xml(path: Path, odd: Oddities, where: str) -> ElementTree.Element | None:
    content = path.read_bytes()
    try:
        if b"<!ENTITY" in content:
            raise ElementTree.ParseError
        return ElementTree.fromstring(content)
    except ElementTree.ParseError:
        odd.add("XML files cannot be read and were left out", where)
        return None


def _voc_objects(tree: ElementTree.Element, odd: Oddities, where: str) -> Iterator[tuple[str, list[float], float]]:
    """Name, corners, and 1 for what VOC calls difficult, which does not count."""
    for thing in tree.findall("object"):
        name = (thing.findtext("name") or "").strip()
        corners = _numbers([thing.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")])
        if not name:
            odd.add("boxes of nothing named were left out", where)
        else:
            yield name, corners, float((thing.findtext("difficult") or "0").strip() == "1")


def _voc_splits(root: Path, files: Sequence[str], known: Mapping[str, str], marked: Marked) -> None:
    for file in files:
        split = SPLIT_FOLDERS[PurePosixPath(file).stem]
        for line in (root / file).read_text(encoding="utf-8", errors="replace").split("\n"):
            path = known.get(line.split()[0]) if line.split() else None
            if path in marked.boxes:
                marked.splits[path] = split
