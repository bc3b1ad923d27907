"""Verbs for recognisers: classify, explain, labels."""

import csv
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from mezzotint.cli.use import AsJson, all_files
from mezzotint.errors import UserError

if TYPE_CHECKING:
    from mezzotint.model import Model
    from mezzotint.types import Images

AT_ONCE = 200
"""Pictures that are read and classified at a time, so that a folder of any size fits in memory."""
EXPLAINED = 64
"""Pictures on a sheet of what a model looks at."""
UNKNOWN = "unknown"
"""Folder, and word in tables, for pictures of which the model does not know."""


def classify(
    run: Path,
    pictures: Annotated[tuple[Path, ...], Parameter(show=True)],
    /,
    *,
    as_json: AsJson = False,
    top: int = 3,
    precision: float | None = None,
    strange: float | None = None,
    out: Path | None = None,
) -> None:
    """Say what is in each of PICTURES, with probabilities, or that it is not known.

    Parameters
    ----------
    run:
        A run's folder or a model's.
    pictures:
        Picture files, and folders of them.
    as_json:
        One JSON object a line instead of a table.
    top:
        Classes per picture in the table.
    precision:
        Say "don't know" where answers would be right less often than this, like 0.99 (judged on validation pictures).
    strange:
        Say so too of pictures stranger than this share of the validation pictures, like 0.99.
    out:
        A .csv for a table, or a new folder into which the pictures are copied by class.
    """
    from mezzotint.model import load

    if strange is not None and not 0 < strange <= 1:
        raise UserError(f"--strange is a share of the validation pictures above 0, 1 at most, not {strange:g}")
    paths = all_files(pictures)
    _check_out(out)
    model = load(run)
    told = _told(model, paths, precision, strange)
    if out is None:
        for answer in told:
            print(json.dumps(answer) if as_json else _line(answer, top))
    elif out.suffix == ".csv":
        print(f"{_table(out, told, model.spec.classes)} pictures in {out}")
    else:
        _sorted_into(out, told, model.spec.classes)


def _told(
    model: "Model", paths: list[Path], precision: float | None, strange: float | None
) -> Iterator[dict[str, Any]]:
    """What is known of each picture: a `class` of None is "don't know"; what cannot be read is named and left out."""
    if precision is not None:
        model.threshold(precision)  # refused before any picture is read
    for first in range(0, len(paths), AT_ONCE):
        some, images = _read(model, paths[first : first + AT_ONCE], strict=len(paths) == 1)
        if not some:
            continue
        answers = model.recognize(images, precision, strange)
        for i, path in enumerate(some):
            ranked = sorted(
                zip(model.spec.classes, answers.probabilities[i].tolist(), strict=True), key=lambda x: -x[1]
            )
            said: dict[str, Any] = {"picture": str(path), "class": ranked[0][0] if answers.known[i] else None}
            said["probability"] = round(ranked[0][1], 6)
            if answers.strangeness is not None:
                said["strangeness"] = round(float(answers.strangeness[i]), 4)
            yield {**said, "probabilities": {name: round(p, 6) for name, p in ranked}}


def _read(model: "Model", paths: list[Path], strict: bool) -> tuple[list[Path], "Images"]:
    """Those that can be read, in the model's shape; of a single one that cannot, the error itself."""
    import numpy as np

    from mezzotint.data import pictures

    spec, read, kept = model.spec, [], []
    if spec.height != spec.width:
        raise UserError(f"files are brought to squares, and the model is for pictures of {spec.width}×{spec.height}")
    for path in paths:
        try:
            read.append(pictures.read_pictures([path], spec.height, spec.channels, model.recipe.data.crop))
            kept.append(path)
        except UserError as error:
            if strict:
                raise
            print(f"skipped: {error}", file=sys.stderr)
    empty = np.zeros((0, spec.height, spec.width, spec.channels), np.uint8)
    return kept, pictures.to_float(np.concatenate([empty, *read]))


def _line(answer: dict[str, Any], top: int) -> str:
    ranked = "  ".join(f"{name} {p:.1%}" for name, p in list(answer["probabilities"].items())[:top])
    return f"{answer['picture']}  {ranked}" if answer["class"] else f"{answer['picture']}  don't know ({ranked})"


def _check_out(out: Path | None) -> None:
    if out is None or out.suffix == ".csv":
        return
    if out.suffix or out.is_file():
        raise UserError(f"--out takes a .csv or a folder, not {out}")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"the folder {out} is not empty; name a new one with --out")


def _table(out: Path, told: Iterator[dict[str, Any]], classes: tuple[str, ...]) -> int:
    """Write the table, whole or not at all; how many pictures it tells of."""
    out.parent.mkdir(parents=True, exist_ok=True)
    new, count = out.with_name(f".{out.name}.new"), 0
    try:
        with new.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            rows = csv.writer(file)
            rows.writerow(["picture", "class", "probability", "strangeness", *classes])
            for a in told:
                known, p = a["class"] or UNKNOWN, a["probabilities"]
                rows.writerow(
                    [a["picture"], known, a["probability"], a.get("strangeness", ""), *(p[name] for name in classes)]
                )
                count += 1
        new.replace(out)
    finally:
        new.unlink(missing_ok=True)
    return count


def _sorted_into(out: Path, told: Iterator[dict[str, Any]], classes: tuple[str, ...]) -> None:
    """Copy each picture into the folder of its class; what has the name of another gets a number."""
    from mezzotint.enlarge import folder_names

    names = dict(zip((*classes, None), folder_names((*classes, UNKNOWN)), strict=True))
    counts: dict[str, int] = {}
    for answer in told:
        name = names[answer["class"]]
        source = Path(answer["picture"])
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        target, number = folder / source.name, 1
        while target.exists():
            number += 1
            target = folder / f"{source.stem}-{number}{source.suffix}"
        shutil.copyfile(source, target)
        counts[name] = counts.get(name, 0) + 1
    for name in sorted(counts):
        print(f"{counts[name]:>7}  {out / name}")


def explain(
    run: Path,
    pictures: Annotated[tuple[Path, ...], Parameter(show=True)],
    /,
    *,
    how: Literal["grad-cam", "occlusion"] = "grad-cam",
    of: str | None = None,
    out: Path = Path("explained.png"),
) -> None:
    """Show which places of PICTURES speak for their class: pictures above, what the model looks at below; 64 at most.

    Parameters
    ----------
    run:
        A run's folder or a model's.
    pictures:
        Picture files, and folders of them.
    how:
        Slopes in the network's last maps, or what hiding a place changes (slower, and true of any network).
    of:
        The class to speak for (default: the likeliest of each picture).
    out:
        A .png.
    """
    import numpy as np
    import torch

    from mezzotint import explain as explaining
    from mezzotint.codec import nearest
    from mezzotint.data.pictures import enlarged, grid, save_png, to_uint8
    from mezzotint.model import load

    if out.suffix != ".png":
        raise UserError(f"--out takes a .png, not {out}")
    paths = all_files(pictures)
    model = load(run)
    if of is not None and of not in model.spec.classes:
        raise UserError(f"there is no class {of!r}: {nearest(of, model.spec.classes)}")
    if len(paths) > EXPLAINED:
        print(f"note: only the first {EXPLAINED} of {len(paths)} pictures are explained", file=sys.stderr)
    paths, images = _read(model, paths[:EXPLAINED], strict=len(paths) == 1)
    if not paths:
        raise UserError("none of these pictures can be read")
    probabilities = model.classify(images)
    labels = probabilities.argmax(1)
    if of is not None:
        labels = torch.full_like(labels, model.spec.classes.index(of))
    heat = (model.grad_cam if how == "grad-cam" else model.occlusion)(images, labels)
    plain = np.broadcast_to(to_uint8(images), (*images.shape[:1], *images.shape[2:], 3))
    columns = min(8, len(paths))
    shown = explaining.overlaid(images, heat)
    rows = [part for i in range(0, len(paths), columns) for part in (plain[i : i + columns], shown[i : i + columns])]
    filled = [np.pad(r, ((0, columns - len(r)), (0, 0), (0, 0), (0, 0)), constant_values=255) for r in rows]
    save_png(out, enlarged(grid(np.concatenate(filled), columns), 480))
    for path, label, row in zip(paths, labels.tolist(), probabilities.tolist(), strict=True):
        print(f"{path}  {model.spec.classes[label]} {row[label]:.1%}")
    print(f"{len(paths)} pictures in {out}")


def labels(
    data: str,
    /,
    *,
    recipe: str = "cnn",
    minutes: float | None = None,
    images: Annotated[str | None, Parameter(help="Train each fold on so many pictures instead.")] = None,
    folds: int = 4,
    size: int | None = None,
    set: Annotated[tuple[str, ...], Parameter(negative="", help="Change the recipe: key=value; repeatable.")] = (),
    seed: int = 0,
    out: Path = Path("labels"),
) -> None:
    """Which labels of DATA look wrong: recognisers judge pictures that they did not learn from.

    Parameters
    ----------
    data:
        A named data set, a folder of class folders or an .npz file.
    recipe:
        What is trained, once a fold.
    minutes:
        Of all folds together (default 10).
    folds:
        Parts that the data are cut into; each is judged by a model that learned from the others.
    size:
        Side of the square pictures in pixels.
    seed:
        Key of all randomness.
    out:
        Folder for labels.csv, labels.html and the models; the same command goes on where it was stopped.
    """
    from mezzotint import doubt
    from mezzotint.cli.make import Bar, count

    with Bar() as bar:
        report = doubt.judge(
            data,
            out,
            recipe=recipe,
            minutes=minutes,
            images=count(images),
            folds=folds,
            size=size,
            settings=set,
            seed=seed,
            show=bar.show,
        )
    print(f"{report.wrong} of {report.pictures} labels look wrong ({report.wrong / report.pictures:.1%})")
    for given, likely, number in report.confusions[:5]:
        print(f"{number:>7}  {given} that look like {likely}")
    print(f"list      {out / 'labels.csv'}")
    print(f"pictures  {out / 'labels.html'}")
