"""`detect`: what is where in pictures."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mezzotint.cli.use import AsJson
from mezzotint.errors import UserError

if TYPE_CHECKING:
    from mezzotint.finding import Found, Ids


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
        Picture files.
    out:
        A new folder for the pictures with boxes drawn, and for predictions.json in COCO's form.
    sure:
        Certainty from which on a box is shown; predictions.json has all of them.
    ids:
        A COCO annotation file by whose numbers predictions.json names pictures and categories.
    as_json:
        One JSON object a line instead of a table.
    """
    from mezzotint import finding
    from mezzotint.model import load

    if not pictures:
        raise UserError("detect takes at least one picture")
    if len({path.name for path in pictures}) < len(pictures):
        raise UserError("two of the pictures have the same name: find things in one folder of pictures at a time")
    if out is not None and (out.is_file() or (out.is_dir() and any(out.iterdir()))):
        raise UserError(f"--out takes a new folder, and {out} is not empty: name another one")
    model = load(run)
    things = model.spec.things
    named = finding.Ids.read(ids, things) if ids else finding.Ids.counted(pictures, things)
    found: list[Found] = []
    for one in finding.in_files(model, pictures):
        found.append(one)
        said = one.said(things, sure)
        if as_json:
            print(json.dumps({"picture": str(one.path), "found": said}))
        else:
            print(f"{one.path}  " + ("  ".join(f"{s['thing']} {s['certainty']:.0%}" for s in said) or "nothing"))
    if out is not None:
        _write(found, things, named, out, sure)
        print(f"{len(found)} pictures and predictions.json in {out}")


def _write(found: "list[Found]", things: tuple[str, ...], ids: "Ids", out: Path, sure: float) -> None:
    from mezzotint import finding
    from mezzotint.data.pictures import save_png
    from mezzotint.files import write_whole

    results = finding.predictions(found, things, ids)
    out.mkdir(parents=True, exist_ok=True)
    stems = [one.path.stem for one in found]
    for one in found:
        name = one.path.stem if stems.count(one.path.stem) == 1 else one.path.name
        save_png(out / f"{name}.png", one.drawn(things, sure))
    write_whole(out / "predictions.json", json.dumps(results))
    write_whole(out / "pictures.json", json.dumps(finding.head(found, ids)))
