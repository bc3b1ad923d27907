"""`detect`: what is where in pictures."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mezzotint.cli.use import AsJson, all_files
from mezzotint.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mezzotint.data.decode import Pixels
    from mezzotint.finding import Found


def detect(
    run: Path,
    pictures: Annotated[tuple[Path, ...], Parameter(show=True)],
    /,
    *,
    out: Path | None = None,
    sure: float = 0.3,
    ids: Path | None = None,
    as_json: AsJson = False,
) -> None:
    """Find things in each of PICTURES.

    Parameters
    ----------
    run:
        A run's folder or a model's; it must be a detector.
    pictures:
        Picture files, and folders of them.
    out:
        A new folder for the pictures with boxes drawn, and for predictions.json in COCO's form.
    sure:
        Certainty from which on a box is shown; predictions.json has all of them.
    ids:
        A COCO annotation file by whose numbers predictions.json names pictures and categories.
    as_json:
        One JSON object a line instead of a table.
    """
    from collections import Counter

    from mezzotint import finding
    from mezzotint.data.pictures import save_png
    from mezzotint.files import write_whole
    from mezzotint.model import load

    if not 0 <= sure <= 1:
        raise UserError(f"--sure is a certainty from 0 to 1, not {sure:g}")
    paths = all_files(pictures)
    if len({path.name for path in paths}) < len(paths):
        raise UserError("two of the pictures have the same name: find things in one folder of pictures at a time")
    if out is not None and (out.is_file() or (out.is_dir() and any(out.iterdir()))):
        raise UserError(f"--out takes a new folder, and {out} is not empty: name another one")
    model = load(run)
    things = model.spec.things
    named = finding.Ids.read(ids, paths, things) if ids else finding.Ids.counted(paths, things)
    stems = Counter(path.stem for path in paths)
    found: list[Found] = []
    for path, pixels in _read(paths):
        one = finding.found_in(model, path, pixels)
        found.append(one)
        _say(one, things, sure, as_json)
        if out is not None:
            name = path.stem if stems[path.stem] == 1 else path.name
            save_png(out / f"{name}.png", one.drawn(pixels, things, sure))
    if not found:
        raise UserError("none of these pictures can be read")
    if out is not None:
        write_whole(out / "predictions.json", json.dumps(finding.predictions(found, things, named)))
        write_whole(out / "pictures.json", json.dumps(finding.head(found, named)))
        print(f"{len(found)} pictures and predictions.json in {out}", file=sys.stderr if as_json else sys.stdout)


def _read(paths: list[Path]) -> "Iterator[tuple[Path, Pixels]]":
    """Those that can be read, one by one; of a single one that cannot, the error itself."""
    from mezzotint import finding

    for path in paths:
        try:
            yield path, finding.read(path)
        except UserError as error:
            if len(paths) == 1:
                raise
            print(f"skipped: {error}", file=sys.stderr)


def _say(one: "Found", things: tuple[str, ...], sure: float, as_json: bool) -> None:
    said = one.said(things, sure)
    if as_json:
        print(json.dumps({"picture": str(one.path), "found": said}))
    else:
        print(f"{one.path}  " + ("  ".join(f"{s['thing']} {s['certainty']:.0%}" for s in said) or "nothing"))
