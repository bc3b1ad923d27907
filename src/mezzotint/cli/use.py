"""Verbs that use a trained model: generate, reconstruct, interpolate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mezzotint.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from torch import Tensor

    from mezzotint.data.decode import Pixels
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
    schedule: str | None = None,
    guidance: float | None = None,
    guidance_between: tuple[float, float] | None = None,
    guide: Path | None = None,
    truncation: float | None = None,
    between: tuple[int, int] | None = None,
    pairs: Annotated[bool, Parameter(negative="")] = False,
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
    schedule:
        With such a model, where the steps are: even, karras or ddpm.
    guidance:
        With such a model, by class or with --guide: more than 1 exaggerates what is typical of the class, or what the
        guide lacks.
    guidance_between:
        The least and the greatest noise level at which to guide, from 0 (picture) to 1 (noise).
    guide:
        With a flow: the run of a worse one, smaller or trained for less, that --guidance is to lead away from instead.
    truncation:
        With a GAN: draw from noise within so many standard deviations, like 0.7: more usual pictures, and less varied.
    between:
        With a model that draws from latents (a GAN): go from the picture of one seed to that of another in --count
        pictures; --classes names the class of all, or of both ends.
    pairs:
        With a model that draws pairs (cogan): put beside each picture the one that belongs to it.
    out:
        A .png (one grid), a .npz (arrays) or a folder (single pictures).
    """
    from mezzotint.model import load

    if count < 1:
        raise UserError("--count must be at least 1")
    check_out(out)
    model = load(run)
    if truncation is not None:
        model = model.truncated(truncation)
    way: dict[str, Any] = {"solver": solver, "steps": steps, "schedule": schedule}
    way |= {"guidance": guidance, "guidance_between": guidance_between, "guide": guide and load(guide)}
    if (between or pairs) and any(asked is not None for asked in way.values()):
        raise UserError("--between and --pairs go with models that draw in one pass, without solver, steps or guidance")
    if between is not None:
        if pairs:
            raise UserError("give --between or --pairs, not both")
        images = model.between(between, count, classes)
        write_pictures(images, out, [f"step-{i:03d}" for i in range(count)], None, model, columns=min(count, 12))
        print(f"{count} pictures in {out}")
        return
    named = [classes[i % len(classes)] for i in range(count)] if classes else _usual_classes(model, seed, count)
    seeds = range(seed, seed + count)
    if pairs:
        _write_pairs(model, seeds, named, out)
        return
    images = model.generate(seeds, named, **way)
    columns = len(model.spec.classes) if named and not classes and len(model.spec.classes) <= 12 else None
    write_pictures(images, out, [f"seed-{s:06d}" for s in seeds], named, model, columns)
    print(f"{count} pictures in {out}")


def _write_pairs(model: "Model", seeds: "Sequence[int]", named: list[str] | None, out: Path) -> None:
    """Each picture, and after it the one that belongs to it."""
    import torch

    both = torch.stack(model.generate_pairs(seeds, named), 1).flatten(0, 1)
    names = [f"seed-{s:06d}{kind}" for s in seeds for kind in ("", "-partner")]
    classes = None if named is None else [name for name in named for _ in range(2)]
    write_pictures(both, out, names, classes, model, columns=2 * min(len(seeds), 5))
    print(f"{len(seeds)} pairs in {out}")


def _usual_classes(model: "Model", seed: int, count: int) -> list[str] | None:
    """All classes in turn, for a model trained by class."""
    if not getattr(model.method, "classes", 0):
        return None
    return [model.spec.classes[s % len(model.spec.classes)] for s in range(seed, seed + count)]


def latent(
    run: Path,
    pictures: Annotated[tuple[Path, ...], Parameter(show=True)] = (),
    /,
    *,
    factors: int = 6,
    reach: float = 3.0,
    count: int = 3,
    steps: int | None = None,
    classes: Classes = (),
    seed: int = 0,
    truncation: float | None = None,
    out: Path = Path("latent.png"),
) -> None:
    """Look around in the latent space of RUN: its strongest directions, or the nearest it can draw to PICTURES.

    Without PICTURES each row is one seed's picture along one direction of the generator's first weights (SeFa). With
    PICTURES each is shown above what gradient descent found; a .npz also holds the latents.

    Parameters
    ----------
    run:
        A run's folder or a model's; it must draw from latents (a GAN).
    pictures:
        Picture files to project.
    factors:
        How many directions.
    reach:
        How far along them each way, in standard deviations of the noise.
    count:
        How many seeds.
    steps:
        Pictures of each walk (default 7), or steps of descent (default 200).
    classes:
        The class of all, or of each seed or picture, with a model trained by class.
    seed:
        The first seed; for PICTURES, of those that the descent may begin at.
    truncation:
        Of the seeds: noise within so many standard deviations, like 0.7; not for PICTURES.
    out:
        A .png, a .npz or a folder.
    """
    from mezzotint.model import load

    if min(factors, count, 1 if steps is None else steps) < 1 or reach <= 0:
        raise UserError("--factors, --count and --steps must be at least 1, and --reach above 0")
    check_out(out)
    model = load(run)
    if truncation is not None:
        if pictures:
            raise UserError("--truncation is for the pictures of seeds; leave it out to project PICTURES")
        model = model.truncated(truncation)
    if pictures:
        _project(model, pictures, steps or 200, classes, seed, out)
        return
    columns = steps or 7
    images = model.factor_walks(range(seed, seed + count), factors, columns, reach, classes)
    rows = len(images) // columns
    names = [f"row-{row:03d}-step-{step:03d}" for row in range(rows) for step in range(columns)]
    write_pictures(images, out, names, None, model, columns=columns)
    print(f"{count} seeds along {rows // count} directions in {out}")


def _project(
    model: "Model", paths: tuple[Path, ...], steps: int, classes: tuple[str, ...], seed: int, out: Path
) -> None:
    import torch

    images = read_files(model, paths)
    found, drawn, left = model.project(images, classes, steps=steps, seed=seed)
    if out.suffix == ".png":
        write_pictures(torch.cat([images, drawn]), out, [], None, model, columns=len(paths))
    else:
        write_pictures(drawn, out, names_of(paths), None, model, latents=found)
    for path, gap in zip(paths, left.tolist(), strict=True):
        print(f"{path}  mean squared difference {gap:.4f}")
    print(f"{len(paths)} projections in {out}")


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
        write_pictures(again, out, names_of(pictures), None, model)
    print(f"{len(pictures)} reconstructions in {out}")


def names_of(pictures: tuple[Path, ...]) -> list[str]:
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
    """Walk from one picture to another through the model's latent space, or through the noise that they come from.

    Parameters
    ----------
    run:
        A run's folder or a model's; it must be able to encode (vae, hvae, vq, fsq, vae-gan) or to go to noise and back
        (flow, edm, ddpm).
    first:
        The picture to begin with.
    second:
        The picture to end with.
    steps:
        Pictures of the walk, both ends included.
    classes:
        The class of both, or of each, for a model trained by class.
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


def all_files(paths: tuple[Path, ...]) -> list[Path]:
    """Files as they are named, and all pictures of folders."""
    from mezzotint.data.folders import list_folder

    if not paths:
        raise UserError("name at least one picture, or a folder of them")
    found: list[Path] = []
    for path in paths:
        found += [path / f.path for f in list_folder(path).files] if path.is_dir() else [path]
    return found


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
    images: "Images",
    out: Path,
    names: list[str],
    classes: list[str] | None,
    model: "Model",
    columns: int | None = None,
    latents: "Tensor | None" = None,
) -> None:
    """Pictures to a sheet of `columns`, an array file or single files by their `names`, as `out` says."""
    import numpy as np

    from mezzotint.data import pictures

    arrays: dict[str, np.ndarray] = {} if latents is None else {"latents": latents.numpy()}
    if classes is not None:
        arrays["labels"] = np.array([model.spec.classes.index(c) for c in classes])
        arrays["classes"] = np.array(model.spec.classes)
    write_pixels(pictures.to_uint8(images), out, names, arrays, columns)


def write_pixels(
    pixels: "Pixels",
    out: Path,
    names: list[str],
    arrays: "Mapping[str, np.ndarray] | None" = None,
    columns: int | None = None,
) -> None:
    """Bytes, n h w c, to a sheet, an array file or a folder, as `out` says."""
    import numpy as np

    from mezzotint.data import pictures

    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".png":
        pictures.save_png(out, pictures.enlarged(pictures.grid(pixels, columns), 480))
    elif out.suffix == ".npz":
        new = out.with_name(f".{out.name}.new.npz")
        try:
            np.savez_compressed(new, allow_pickle=False, images=pixels, **(arrays or {}))
            new.replace(out)
        finally:
            new.unlink(missing_ok=True)
    else:
        for name, picture in zip(names, pixels, strict=True):
            pictures.save_png(out / f"{name}.png", picture)
