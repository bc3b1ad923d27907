"""Verbs that compress pictures, without loss or with some: compress, decompress, inspect."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mezzotint.errors import UserError

if TYPE_CHECKING:
    from mezzotint.compress import Lost, Progress
    from mezzotint.networks.causal import Causal
    from mezzotint.networks.hyperprior import Decoder
    from mezzotint.tradeoff import Lossy

AsJson = Annotated[bool, Parameter(name="--json", negative="")]


def compress(
    pictures: Annotated[tuple[Path, ...], Parameter(show=True)],
    /,
    *,
    model: Path,
    out: Path = Path("pictures.mez"),
    quality: int | None = None,
    verify: bool = True,
    inside: bool = True,
) -> None:
    """Put PICTURES into one archive: exact to the last bit by a lossless model, smaller by a codec.

    Parameters
    ----------
    pictures:
        Folders and picture files.
    model:
        The run of a recipe `lossless` or `codec`, trained on pictures of this kind.
    out:
        The archive to write.
    quality:
        For a codec: from 1, few bytes, to 100, little loss; 50 where it is not given.
    verify:
        Decode each picture once and compare it before anything is written.
    inside:
        Put a copy of the model into the archive: without, decompress needs --model.
    """
    from mezzotint import compress as work

    if not out.resolve().parent.is_dir():
        raise UserError(f"there is no folder {out.resolve().parent} to write into")
    way = _way(model, quality)
    done = work.compress(pictures, way, out.resolve(), inside=inside, verify=verify, show=_show)
    _tell(done.lost, "is left out")
    ways = ", ".join(f"{count} {way}" for way, count in sorted(done.progress.codings.items()))
    model_part = f", of which the model {done.model_bytes:,}" if done.model_bytes else ", the model not inside"
    print(f"{done.progress.pictures} pictures ({ways}) in {out}: {done.size:,} bytes{model_part}")
    if done.progress.worse:
        print(f"{_worse(done.progress)}; the others are exact")


def decompress(
    archive: Path, names: tuple[str, ...] = (), /, *, out: Path | None = None, model: Path | None = None
) -> None:
    """Bring the pictures of ARCHIVE back, or those called NAMES; what is damaged is named, and the others are saved.

    Parameters
    ----------
    archive:
        A .mez file.
    names:
        Pictures as `inspect` lists them; all where none is named.
    out:
        A new or empty folder; called as the archive where none is named.
    model:
        The run that the archive was compressed with, where there is no copy of it inside.
    """
    from mezzotint import compress as work

    out = archive.with_suffix("") if out is None else out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not an empty folder: name a new one with --out")
    done = work.decompress(archive, out, _decoder(model) if model else None, names)
    print(f"{len(done.saved)} pictures in {out}")
    if done.lost:
        _tell(done.lost, "is lost")
        raise UserError(f"{archive} is damaged or incomplete: {len(done.lost)} things are lost, as told above")


def inspect(archive: Path, /, *, as_json: AsJson = False) -> None:
    """Say what is in ARCHIVE without decoding it.

    Parameters
    ----------
    archive:
        A .mez file.
    as_json:
        One JSON object a picture.
    """
    from mezzotint import archive as container

    contents = container.read(archive)
    for stored in contents.stored:
        own = {"name": stored.entry.name, "bytes": stored.entry.length}
        said = {**own, **stored.entry.facts, **own}  # facts may say anything
        print(json.dumps(said) if as_json else _line(said))
    if contents.nameless:
        print(f"{contents.nameless} pictures whose part of the index is damaged")
    if not as_json:
        ways = Counter(_way_told(stored.entry.facts) for stored in contents.stored)
        told = ", ".join(f"{count} {way}" for way, count in sorted(ways.items()))
        model = f"inside, {contents.model_bytes:,} bytes" if contents.model_bytes else "not inside"
        print(f"{len(contents.stored)} pictures ({told}), {contents.size:,} bytes, index {contents.index_bytes:,}")
        print(f"model {contents.model[:12]} {model}")


def _line(said: dict[str, Any]) -> str:
    size = said.get("size")
    shape = "×".join(map(str, size)) if isinstance(size, list) else "?"
    return f"{said['name']}  {shape} {said.get('mode')}  {said['bytes']:,} bytes, {_way_told(said)}"


def _way_told(facts: dict[str, Any]) -> str:
    return f"{facts.get('coding')}{' with loss' if facts.get('loss') else ''}"


def _way(run: Path, quality: int | None) -> "Causal | Lossy":
    """How a run compresses; raises UserError for a run that cannot, and for a quality that is none."""
    from mezzotint.methods.compressor import Compressor
    from mezzotint.methods.predictor import Predictor
    from mezzotint.model import load
    from mezzotint.networks.grid import fixed
    from mezzotint.tradeoff import Lossy

    model = load(run)
    if isinstance(model.method, Compressor):
        if quality is not None and not 1 <= quality <= 100:
            raise UserError(f"a quality lies between 1 and 100, not at {quality}")
        return Lossy(fixed(model.method.network), quality or 50, model.method.config.target)
    if not isinstance(model.method, Predictor):
        recipe = "lossless" if quality is None else "codec"
        raise UserError(
            f"{run} is a {model.recipe.name} model, which cannot compress: only `lossless` (exact) and `codec` (with "
            "some loss) tell of pictures in numbers that are the same on every machine; "
            f"train one with `mezzotint train {recipe} FOLDER`"
        )
    if quality is not None:
        raise UserError(f"{run} compresses without loss: leave --quality out, or train `codec`")
    return model.method.network


def _decoder(run: Path) -> "Causal | Decoder":
    from mezzotint.tradeoff import Lossy

    way = _way(run, None)
    return way.network.decoder if isinstance(way, Lossy) else way


def _worse(at: "Progress") -> str:
    mean = f", {at.decibels / at.visibly:.2f} dB PSNR in the mean" if at.visibly else ""
    unseen = at.worse - at.visibly
    told = f" ({unseen} of them only in colors that nobody sees)" if unseen else ""
    return f"{at.worse} of them with some loss{told}{mean}"


def _show(at: "Progress") -> None:
    share = f", {at.coded_bytes / at.source_bytes:.1%} of the files" if at.source_bytes else ""
    print(f"{at.pictures} of {at.of} pictures: {at.coded_bytes:,} bytes{share}{_sampled(at)}", flush=True)


def _sampled(at: "Progress") -> str:
    own = at.sampled.get("archive")
    if not own:
        return ""
    ratios = ", ".join(f"{own / size:.1%} of {n.upper()}" for n, size in at.sampled.items() if n != "archive")
    return f"; of some of them {ratios}{' (these without loss)' if at.worse else ''}"


def _tell(lost: tuple["Lost", ...], what: str) -> None:
    for one in lost:
        print(f"{one.name} {what}: {one.reason}")
