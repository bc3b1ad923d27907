"""Verbs that change a user's pictures: inpaint, outpaint, vary, move, restore, interpolate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from mezzotint.cli import use
from mezzotint.cli.use import Classes
from mezzotint.errors import UserError

if TYPE_CHECKING:
    from mezzotint.data.decode import Pixels
    from mezzotint.editing import Holed
    from mezzotint.model import Model
    from mezzotint.types import Images

Pictures = Annotated[tuple[Path, ...], Parameter(show=True)]
Hole = Literal["white", "black"]

edit = App(name="edit", help="Change pictures with the model of a run: fill holes, vary, move, restore.")


@edit.command
def inpaint(
    run: Path,
    picture: Path,
    /,
    *,
    mask: Path,
    hole: Hole = "white",
    classes: Classes = (),
    count: int = 1,
    seed: int = 0,
    out: Path = Path("inpainted.png"),
) -> None:
    """Draw what is missing of PICTURE: the white of a mask. All other pixels come back as they are, to the bit.

    Parameters
    ----------
    run:
        A run's folder or a model's; any flow can, one trained as flow-inpaint in fewer looks.
    picture:
        A picture file.
    mask:
        A black and white picture of the same size.
    hole:
        The color of the hole in the mask.
    classes:
        What the picture is of, for a model trained by class; it need not be said.
    count:
        Candidates.
    seed:
        The first candidate's.
    out:
        A .png (the picture; a sheet of several candidates), a .npz or a folder.
    """
    from mezzotint import editing
    from mezzotint.model import load

    _check(count, out)
    model = load(run)
    holed = editing.with_mask(picture, mask, model.spec, hole)
    _complete(model, holed, classes, count, seed, out)
    print(f"hole ({hole}): {holed.share:.1%} of the picture; {count} in {out}")
    if holed.share > editing.MOSTLY:
        print(f"note: that is most of it; if the hole is the other color, say --hole {editing.other(hole)}")


@edit.command
def outpaint(
    run: Path,
    picture: Path,
    /,
    *,
    left: int = 0,
    right: int = 0,
    top: int = 0,
    bottom: int = 0,
    classes: Classes = (),
    count: int = 1,
    seed: int = 0,
    out: Path = Path("outpainted.png"),
) -> None:
    """Draw what lies around PICTURE, which comes back as it is, to the bit.

    Parameters
    ----------
    run:
        A run's folder or a model's; any flow can, one trained as flow-inpaint in fewer looks.
    picture:
        A picture file.
    left:
        Pixels to draw on the left.
    right:
        On the right.
    top:
        Above.
    bottom:
        Below.
    classes:
        What the picture is of, for a model trained by class; it need not be said.
    count:
        Candidates.
    seed:
        The first candidate's.
    out:
        A .png (the picture; a sheet of several candidates), a .npz or a folder.
    """
    from mezzotint import editing
    from mezzotint.model import load

    _check(count, out)
    model = load(run)
    _complete(model, editing.with_margins(picture, model.spec, left, right, top, bottom), classes, count, seed, out)
    print(f"{count} in {out}")


def _complete(model: "Model", holed: "Holed", classes: tuple[str, ...], count: int, seed: int, out: Path) -> None:
    from mezzotint import editing

    _save(editing.completed(model, holed, list(range(seed, seed + count)), classes), out, seed)


def _save(pixels: "Pixels", out: Path, seed: int) -> None:
    """One picture as it is; several as the user asks."""
    from mezzotint.data import pictures

    if len(pixels) == 1 and out.suffix == ".png":
        pictures.save_png(out, pixels[0])
    else:
        use.write_pixels(pixels, out, [f"seed-{seed + i:06d}" for i in range(len(pixels))])


def _check(count: int, out: Path) -> None:
    if count < 1:
        raise UserError("--count must be at least 1")
    use.check_out(out)


@edit.command
def vary(
    run: Path,
    pictures: Pictures,
    /,
    *,
    strength: float = 0.5,
    classes: Classes = (),
    count: int = 1,
    seed: int = 0,
    out: Path = Path("varied.png"),
) -> None:
    """Draw pictures like PICTURES: noise is added and taken out again.

    Parameters
    ----------
    run:
        A run's folder or a model's.
    pictures:
        Picture files.
    strength:
        Of the noise; near 0 hardly anything changes, 1 draws anything.
    classes:
        What they are of, for a model trained by class; it need not be said.
    count:
        Variations of each.
    seed:
        The first variation's.
    out:
        A .png (a row for each, the picture first), a .npz or a folder.
    """
    import torch

    from mezzotint.model import load

    _check(count, out)
    model = load(run)
    images = _read(model, pictures)
    found = [model.vary(images, strength, [seed + i] * len(images), classes) for i in range(count)]
    _write_rows(model, pictures, images, torch.stack(found, 1).flatten(0, 1), count, out)


@edit.command
def move(
    run: Path,
    pictures: Pictures,
    /,
    *,
    classes: Classes,
    to: str,
    strength: float = 1.0,
    out: Path = Path("moved.png"),
) -> None:
    """Draw PICTURES as if they were of another class: to their noise and back.

    Parameters
    ----------
    run:
        A run's folder or a model's, trained by class.
    pictures:
        Picture files.
    classes:
        What they are of: the class of each, or of all.
    to:
        The class to move them to.
    strength:
        How far to go towards noise: the less, the more of the picture stays.
    out:
        A .png (each above what it became), a .npz or a folder.
    """
    from mezzotint.model import load

    _check(1, out)
    model = load(run)
    images = _read(model, pictures)
    _write_rows(model, pictures, images, model.move(images, classes, [to], strength), 1, out)


@edit.command
def restore(
    run: Path,
    pictures: Pictures,
    /,
    *,
    blur: float | None = None,
    down: int | None = None,
    grey: Annotated[bool, Parameter(negative="")] = False,
    edges: Annotated[bool, Parameter(negative="")] = False,
    classes: Classes = (),
    count: int = 1,
    seed: int = 0,
    out: Path = Path("restored.png"),
) -> None:
    """Undo to PICTURES what is known to have been done to them; say one of --blur, --down, --grey, --edges.

    Parameters
    ----------
    run:
        A run's folder or a model's; any flow can, one trained as flow-upscale or flow-color what it was trained for.
        From edges only flow-edges draws.
    pictures:
        Picture files.
    blur:
        They were blurred by a Gaussian of so many pixels' standard deviation; they are of the model's size.
    down:
        They were shrunk to a side of 1/DOWN of the model's.
    grey:
        They have lost their colors.
    edges:
        They are the edges of pictures, bright on black.
    classes:
        What they are of, for a model trained by class; it need not be said.
    count:
        Candidates for each.
    seed:
        The first candidate's.
    out:
        A .png (a row for each, what was given first), a .npz or a folder.
    """
    import torch

    from mezzotint import editing
    from mezzotint.model import load
    from mezzotint.ops import degrade

    _check(count, out)
    if (blur is not None) + (down is not None) + grey + edges != 1:
        raise UserError("restore takes one of --blur, --down, --grey and --edges; for missing pixels edit inpaint")
    if (blur is not None and not 0 < blur <= 100) or (down is not None and down < 2):
        raise UserError("--blur is a number of pixels above 0 and up to 100, --down a whole number from 2 on")
    model = load(run)
    if down is not None:
        known = degrade.Shrunk(factor=down)
        seen = editing.small_pictures(model, _some(pictures), down)
    elif blur is not None:
        known, seen = degrade.Blurred(deviation=blur), editing.blurred_pictures(model, _some(pictures))
    elif edges:
        known, seen = degrade.Edges(), _read(model, pictures)
    else:
        known, seen = degrade.Grey(), editing.grey_pictures(model, _read(model, pictures))
    found = [model.restore(seen, known, [seed + i] * len(seen), classes) for i in range(count)]
    shown = degrade.enlarged(seen, model.spec.height, model.spec.width).expand(-1, model.spec.channels, -1, -1)
    _write_rows(model, pictures, shown, torch.stack(found, 1).flatten(0, 1), count, out)


edit.command(use.interpolate)


def _some(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    if not paths:
        raise UserError("name at least one picture")
    return paths


def _read(model: "Model", paths: tuple[Path, ...]) -> "Images":
    return use.read_files(model, _some(paths))


def _write_rows(
    model: "Model", paths: tuple[Path, ...], given: "Images", found: "Images", count: int, out: Path
) -> None:
    """A sheet of a row for each picture given, or what was found alone."""
    import torch

    if out.suffix == ".png":
        rows = [torch.cat([given[i : i + 1], found[i * count : (i + 1) * count]]) for i in range(len(given))]
        use.write_pictures(torch.cat(rows), out, [], None, model, columns=1 + count)
    else:
        names = use.names_of(paths)
        use.write_pictures(
            found, out, [f"{name}-{i}" if count > 1 else name for name in names for i in range(count)], None, model
        )
    print(f"{len(found)} pictures in {out}")
