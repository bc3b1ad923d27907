"""Verbs that use a trained model: generate, classify, reconstruct, interpolate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mezzotint.errors import UserError

if TYPE_CHECKING:
    from mezzotint.model import Model
    from mezzotint.types import Images


AsJson = Annotated[bool, Parameter(name="--json", negative="")]
Classes = Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True)]


def generate(
    run: Path,
    /,
    *,
    count: int = 64,
    seed: int = 0,
    classes: Classes = (),
    solver: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    out: Path = Path("grid.png"),
) -> None:
    """Draw new pictures with the model of RUN.

    Parameters
    ----------
    run:
        A run's folder or a model's.
    count:
        How many.
    seed:
        The first picture's seed; the next ones follow it. A seed always draws the same picture.
    classes:
        Draw these classes in turn, with a model trained by class.
    solver:
        With a model that draws in steps (flow, edm, ddpm): euler, heun, midpoint, rk4, dpm-solver or ancestral.
    steps:
        With such a model: how many steps.
    guidance:
        With such a model, trained by class: more than 1 exaggerates what is typical of the class.
    out:
        A .png (one grid), a .npz (arrays) or a folder (single pictures).
    """
    from mezzotint.model import load

    if count < 1:
        raise UserError("--count must be at least 1")
    check_out(out)
    model = load(run)
    named = [classes[i % len(classes)] for i in range(count)] if classes else _usual_classes(model, seed, count)
    images = model.generate(range(seed, seed + count), named, solver=solver, steps=steps, guidance=guidance)
    columns = len(model.spec.classes) if named and not classes and len(model.spec.classes) <= 12 else None
    write_pictures(images, out, [f"seed-{s:06d}" for s in range(seed, seed + count)], named, model, columns)
    print(f"{count} pictures in {out}")


def _usual_classes(model: "Model", seed: int, count: int) -> list[str] | None:
    """All classes in turn, for a model trained by class."""
    if not getattr(model.method, "classes", 0):
        return None
    return [model.spec.classes[s % len(model.spec.classes)] for s in range(seed, seed + count)]


def classify(
    run: Path,
    pictures: Annotated[tuple[Path, ...], Parameter(show=True)],
    /,
    *,
    as_json: AsJson = False,
    top: int = 3,
) -> None:
    """Say what is in each of PICTURES, with probabilities.

    Parameters
    ----------
    run:
        A run's folder or a model's.
    pictures:
        Picture files.
    as_json:
        One JSON object a line instead of a table.
    top:
        Classes per picture in the table.
    """
    from mezzotint.model import load

    if not pictures:
        raise UserError("classify takes at least one picture")
    model = load(run)
    probabilities = model.classify(read_files(model, pictures))
    for path, row in zip(pictures, probabilities.tolist(), strict=True):
        ranked = sorted(zip(model.spec.classes, row, strict=True), key=lambda pair: -pair[1])
        if as_json:
            said = {"picture": str(path), "class": ranked[0][0], "probability": round(ranked[0][1], 6)}
            print(json.dumps({**said, "probabilities": {name: round(p, 6) for name, p in ranked}}))
        else:
            print(f"{path}  " + "  ".join(f"{name} {p:.1%}" for name, p in ranked[:top]))


def reconstruct(
    run: Path, pictures: tuple[Path, ...], /, *, classes: Classes = (), out: Path = Path("reconstructions.png")
) -> None:
    """Show each of PICTURES above what the model makes of it.

    Parameters
    ----------
    run:
        A run's folder or a model's; it must be able to encode (vae, hvae, vq, fsq, vae-gan).
    pictures:
        Picture files.
    classes:
        Their classes, or the one of all, for a model trained by class.
    out:
        A .png (pairs), a .npz or a folder.
    """
    import torch

    from mezzotint.model import load

    if not pictures:
        raise UserError("reconstruct takes at least one picture")
    check_out(out)
    model = load(run)
    images = read_files(model, pictures)
    again = model.reconstruct(images, classes)
    if out.suffix == ".png":
        write_pictures(torch.cat([images, again]), out, [], None, model, columns=len(pictures))
    else:
        write_pictures(again, out, _names(pictures), None, model)
    print(f"{len(pictures)} reconstructions in {out}")


def _names(pictures: tuple[Path, ...]) -> list[str]:
    """Stems for files, numbered where two are the same."""
    stems = [p.stem for p in pictures]
    return stems if len(set(stems)) == len(stems) else [f"{i:03d}-{stem}" for i, stem in enumerate(stems)]


def interpolate(
    run: Path,
    first: Path,
    second: Path,
    /,
    *,
    steps: int = 9,
    classes: Classes = (),
    out: Path = Path("interpolation.png"),
) -> None:
    """Walk from one picture to another through the model's latent space.

    Parameters
    ----------
    run:
        A run's folder or a model's; it must be able to encode (vae, hvae, vq, fsq, vae-gan).
    first:
        The picture to begin with.
    second:
        The picture to end with.
    steps:
        Pictures of the walk, both ends included.
    classes:
        The class of both, for a model trained by class.
    out:
        A .png (one row), a .npz or a folder.
    """
    from mezzotint.model import load

    if steps < 2:
        raise UserError("--steps must be at least 2")
    check_out(out)
    model = load(run)
    ends = read_files(model, (first, second))
    images = model.interpolate(ends[:1], ends[1:], steps, classes)
    write_pictures(images, out, [f"step-{i:03d}" for i in range(steps)], None, model, columns=steps)
    print(f"{steps} pictures in {out}")


def read_files(model: "Model", paths: tuple[Path, ...]) -> "Images":
    """Files in the shape that the model was trained on."""
    from mezzotint.data import pictures

    spec = model.spec
    return pictures.to_float(pictures.read_pictures(paths, spec.height, spec.channels, model.recipe.data.crop))


def check_out(out: Path) -> None:
    """Refuse before the work what could not be written after it."""
    if out.suffix in (".png", ".npz"):
        return
    if out.suffix or out.is_file():
        raise UserError(f"--out takes a .png, a .npz or a folder, not {out}")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"the folder {out} is not empty; name a new one with --out")


def write_pictures(
    images: "Images", out: Path, names: list[str], classes: list[str] | None, model: "Model", columns: int | None = None
) -> None:
    """Put pictures into what --out names: a sheet of `columns`, arrays, or single files by their `names`."""
    import numpy as np

    from mezzotint.data import pictures

    pixels = pictures.to_uint8(images)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".png":
        pictures.save_png(out, pictures.enlarged(pictures.grid(pixels, columns), 480))
    elif out.suffix == ".npz":
        new = out.with_name(f".{out.name}.new.npz")
        arrays = {"images": pixels}
        if classes is not None:
            arrays["labels"] = np.array([model.spec.classes.index(c) for c in classes])
            arrays["classes"] = np.array(model.spec.classes)
        try:
            np.savez_compressed(new, allow_pickle=False, **arrays)
            new.replace(out)
        finally:
            new.unlink(missing_ok=True)
    else:
        for name, picture in zip(names, pixels, strict=True):
            pictures.save_png(out / f"{name}.png", picture)
