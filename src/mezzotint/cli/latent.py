"""Verbs that work with a model's codes: encode, atlas, steer, arithmetic, neighbors, outliers."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mezzotint.cli.use import Classes, check_out, read_files, write_pictures
from mezzotint.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from mezzotint.data.dataset import Dataset
    from mezzotint.model import Model

Files = Annotated[tuple[Path, ...], Parameter(negative="", consume_multiple=True)]


def encode(run: Path, pictures: tuple[str, ...], /, *, classes: Classes = (), out: Path = Path("codes.npz")) -> None:
    """Write the latent codes of PICTURES as arrays.

    Parameters
    ----------
    run:
        A run's folder or a model's; it must be able to encode (vae, hvae, vq, fsq).
    pictures:
        Picture files, or one folder, named data set or .npz file.
    classes:
        The classes of picture files, or the one of all, for a model trained by class.
    out:
        An .npz with `codes` (n × latent), `names`, and `labels` and `classes` where the data have them.
    """
    import numpy as np

    from mezzotint.model import load

    if out.suffix != ".npz":
        raise UserError(f"--out takes an .npz, not {out}")
    model = load(run)
    found = _look(model, pictures, classes)
    arrays: dict[str, np.ndarray] = {"codes": _codes(model, found), "names": np.array(found.names)}
    if found.classes is not None:
        named = sorted(set(found.classes))
        arrays["labels"] = np.array([named.index(c) for c in found.classes])
        arrays["classes"] = np.array(named)
    out.parent.mkdir(parents=True, exist_ok=True)
    new = out.with_name(f".{out.name}.new.npz")
    try:
        np.savez_compressed(new, allow_pickle=False, **arrays)
        new.replace(out)
    finally:
        new.unlink(missing_ok=True)
    print(f"{len(found.names)} codes of {arrays['codes'].shape[1]} numbers in {out}")


@dataclass(frozen=True)
class _Found:
    """Pictures in the model's shape, the name of each, and their classes where they are known."""

    pixels: "np.ndarray"
    names: list[str]
    classes: list[str] | None


def _look(model: "Model", words: tuple[str, ...], classes: tuple[str, ...] = ()) -> _Found:
    """Picture files, or one source of pictures; raises UserError for neither."""
    from mezzotint.data import dataset, pictures

    if not words:
        raise UserError("name picture files, or one folder, named data set or .npz file")
    source = "" if len(words) > 1 else str(*words)
    if not source or (Path(source).is_file() and Path(source).suffix != ".npz"):
        paths = tuple(Path(word) for word in words)
        pixels = pictures.to_uint8(read_files(model, paths))
        named = list(classes) * len(paths) if len(classes) == 1 else list(classes)
        return _Found(pixels, list(words), named or None)
    spec = model.spec
    side = spec.height if spec.height == spec.width else None
    data, origins = dataset.load_with_origins(source, side, spec.channels, model.recipe.data.crop, None, None)
    if data.spec.shape != spec.shape:
        raise UserError(f"the model is for pictures of shape {spec.shape}, the data have {data.spec.shape}")
    known = None if data.labels is None else [data.classes[label] for label in data.labels]
    return _Found(data.images, list(origins.paths), known)


def _codes(model: "Model", found: _Found) -> "np.ndarray":
    """In batches, since all pictures as floats may not fit in memory."""
    import numpy as np

    from mezzotint.data import pictures

    given = found.classes if model.codes_by_class else None
    parts: list[np.ndarray] = []
    for first in range(0, len(found.names), 500):
        some = slice(first, first + 500)
        part = model.encode(pictures.to_float(np.asarray(found.pixels[some])), given[some] if given else None)
        parts.append(part.float().cpu().numpy())
    return np.concatenate(parts)


def _data(model: "Model", source: str | None) -> "Dataset":
    """The data that a user names, else those of the training; raises UserError where they do not fit."""
    from mezzotint.data import dataset

    d = model.recipe.data
    data = dataset.load(source or d.source, size=d.size, channels=d.channels, crop=d.crop)
    model.check_fit(data)
    return data


def atlas(
    run: Path, data: str | None = None, /, *, split: str = "test", count: int = 2000, out: Path = Path("atlas.png")
) -> None:
    """Lay pictures of DATA out on a page where their codes lie: similar ones side by side.

    Two principal axes make the page, or the code itself where it has two numbers
    (`mezzotint train vae … --set method.latent=2`).

    Parameters
    ----------
    run:
        A run's folder or a model's; it must be able to encode.
    data:
        A folder, a named data set or an .npz file; the data of the training where it is not given.
    split:
        train, validation or test.
    count:
        Pictures to place, spread over the split; where two would overlap, the first one stays.
    out:
        A .png.
    """
    from mezzotint import latent
    from mezzotint.data import pictures
    from mezzotint.model import load

    if out.suffix != ".png":
        raise UserError(f"--out takes a .png, not {out}")
    if count < 2:
        raise UserError("--count must be at least 2")
    model = load(run)
    found = latent.coded(model.method, _data(model, data), split, count)
    pictures.save_png(out, latent.sheet(found))
    print(f"{len(found.images)} pictures laid out in {out}")


def steer(
    run: Path,
    pictures: tuple[Path, ...],
    /,
    *,
    towards: str,
    data: str | None = None,
    steps: int = 7,
    strength: float = 1.0,
    classes: Classes = (),
    out: Path = Path("steered.png"),
) -> None:
    """Move PICTURES along the direction of an attribute: from the mean code of all others to that of a class.

    Parameters
    ----------
    run:
        A run's folder or a model's; it must be able to encode.
    pictures:
        Picture files, each a row of the sheet.
    towards:
        The class of DATA whose direction is taken.
    data:
        Labelled pictures to learn the direction from; the data of the training where it is not given.
    steps:
        Pictures of each row, from the far side of the direction to its near side.
    strength:
        How far to go either way; 1 is the whole difference of the means.
    classes:
        The classes of the pictures, for a model trained by class.
    out:
        A .png, a .npz or a folder.
    """
    import torch

    from mezzotint import latent
    from mezzotint.model import load

    if not pictures or steps < 2:
        raise UserError("steer takes at least one picture and --steps of at least 2")
    check_out(out)
    model = load(run)
    dataset = _data(model, data)
    way = latent.class_direction(latent.coded(model.method, dataset, "train"), dataset.classes, towards)
    begun = model.encode(read_files(model, pictures), classes)
    amounts = torch.linspace(-strength, strength, steps)
    moved = (begun[:, None] + amounts[:, None] * way).flatten(0, 1)
    named = [c for c in classes for _ in range(steps)] if len(classes) > 1 else classes
    names = [f"{i:03d}-step-{j:03d}" for i in range(len(pictures)) for j in range(steps)]
    write_pictures(model.decode(moved, named), out, names, None, model, columns=steps)
    print(f"{len(names)} pictures in {out}")


def arithmetic(
    run: Path, /, *, plus: Files = (), minus: Files = (), classes: Classes = (), out: Path = Path("sum.png")
) -> None:
    """Add the codes of some pictures, take off those of others, and show the picture of what is left.

    Parameters
    ----------
    run:
        A run's folder or a model's; it must be able to encode.
    plus:
        Picture files to add; one more than are taken off stays among pictures.
    minus:
        Picture files to take off.
    classes:
        The class of all, for a model trained by class.
    out:
        A .png (what went in, in order, then what came out), a .npz or a folder.
    """
    import torch

    from mezzotint.model import load

    if not plus:
        raise UserError("arithmetic takes at least one picture with --plus")
    if len(classes) > 1:
        raise UserError("arithmetic takes one class for all pictures")
    check_out(out)
    model = load(run)
    images = read_files(model, (*plus, *minus))
    signs = torch.tensor([1.0] * len(plus) + [-1.0] * len(minus))
    left = (signs[:, None] * model.encode(images, classes)).sum(0, keepdim=True)
    result = model.decode(left, classes)
    shown = torch.cat([images, result]) if out.suffix == ".png" else result
    write_pictures(shown, out, ["sum"], None, model, columns=len(shown))
    print(f"{len(plus)} added, {len(minus)} taken off, in {out}")


def neighbors(
    run: Path,
    pictures: tuple[Path, ...],
    /,
    *,
    data: str | None = None,
    split: str = "train",
    count: int = 8,
    classes: Classes = (),
    out: Path = Path("neighbors.png"),
) -> None:
    """Show beside each of PICTURES those of DATA whose codes are nearest.

    Parameters
    ----------
    run:
        A run's folder or a model's; it must be able to encode.
    pictures:
        Picture files, each the first of a row.
    data:
        Where to look; the data of the training where it is not given.
    split:
        train, validation or test.
    count:
        Neighbors of each.
    classes:
        The classes of the pictures, for a model trained by class.
    out:
        A .png.
    """
    import numpy as np

    from mezzotint import latent
    from mezzotint.data import pictures as pixels
    from mezzotint.model import load
    from mezzotint.ops import codes

    if not pictures or count < 1:
        raise UserError("neighbors takes at least one picture and a --count of at least 1")
    if out.suffix != ".png":
        raise UserError(f"--out takes a .png, not {out}")
    model = load(run)
    dataset = _data(model, data)
    known = latent.coded(model.method, dataset, split, len(dataset.images))
    asked = read_files(model, pictures)
    which, distances = codes.nearest(known.codes, model.encode(asked, classes).float().cpu(), count)
    pairs = zip(pixels.to_uint8(asked), which.numpy(), strict=True)
    rows = [np.concatenate([own[None], known.images[near]]) for own, near in pairs]
    pixels.save_png(out, pixels.enlarged(pixels.grid(np.concatenate(rows), 1 + which.shape[1]), 480))
    for path, row in zip(pictures, distances.tolist(), strict=True):
        print(f"{path}  " + "  ".join(f"{distance:.3g}" for distance in row))
    print(f"the nearest {which.shape[1]} of {len(known.images)} pictures in {out}")


def outliers(run: Path, data: str, /, *, count: int = 16, seed: int = 0, out: Path = Path("outliers.png")) -> None:
    """Rank the pictures of DATA by how odd they are under the model of RUN, the oddest first.

    Parameters
    ----------
    run:
        A run's folder or a model's; it must have a likelihood (vae, hvae, vq, fsq).
    data:
        A folder, a named data set or an .npz file.
    count:
        How many to name and show.
    seed:
        Of the codes that are drawn for the bound.
    out:
        A .png of them.
    """
    import numpy as np
    import torch

    from mezzotint import latent
    from mezzotint.data import pictures
    from mezzotint.model import load

    if count < 1:
        raise UserError("--count must be at least 1")
    if out.suffix != ".png":
        raise UserError(f"--out takes a .png, not {out}")
    model = load(run)
    found = _look(model, (data,))
    labels = model.labels_of(found.classes, len(found.names))
    parts: list[latent.Outlying] = []
    for first in range(0, len(found.names), 500):
        some = slice(first, first + 500)
        images = pictures.to_float(np.asarray(found.pixels[some]))
        parts.append(latent.outlying(model.method, images, None if labels is None else labels[some], seed + first))
    cost, corrected = (torch.cat([getattr(p, name) for p in parts]) for name in ("cost", "corrected"))
    order = corrected.argsort(descending=True, stable=True)[:count].tolist()
    for i in order:
        print(f"{found.names[i]}  corrected {corrected[i]:+.3f}  cost {cost[i]:.3f} bits a number")
    pictures.save_png(out, pictures.enlarged(pictures.grid(np.asarray(found.pixels[order])), 480))
    print(f"{len(order)} of {len(found.names)} pictures in {out}; {latent.OUTLIER_WARNING}")
