"""Verbs that look: recipes, check, show, board."""

import json
import sys
from pathlib import Path

from mezzotint.cli.make import Bar, Crop
from mezzotint.cli.use import AsJson
from mezzotint.errors import UserError


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("mezzotint")


def recipes(name: str | None = None, /) -> None:
    """List what can be trained; with NAME what that recipe is, what it was measured to reach, and all its settings.

    Parameters
    ----------
    name:
        A recipe, to read about it and to see the settings that --set changes.
    """
    from mezzotint import catalog

    if name is not None:
        _about(name)
        _settings(name)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("recipe", "for", "parameters", "measured on Fashion-MNIST, two CPU cores"):
        table.add_column(title)
    for recipe, entry in (catalog.CHOOSERS | catalog.RECIPES).items():
        table.add_row(recipe, entry.purpose, entry.parameters, catalog.measured(recipe))
    Console().print(table)


def _about(name: str) -> None:
    """What a recipe is, how it is trained, and what it was measured to reach."""
    from mezzotint import catalog

    print(f"{catalog.described(name)}\n\nmezzotint train {name} DATA --minutes 10\n")
    told = catalog.measured(name)
    print(f"Measured on Fashion-MNIST unless it says otherwise, two CPU cores: {told or 'not yet'}.\n")


def _settings(name: str) -> None:
    """The settings of a recipe as `--set` takes them, for 28×28 grey pictures of ten classes, or clips of 64×64."""
    from mezzotint import catalog, codec
    from mezzotint.types import DataSpec

    stills, clips = DataSpec(1, 28, 28, tuple("0123456789"), 57_000), DataSpec(1, 64, 64, frames=20)
    recipe = catalog.recipe(name, clips if catalog.entry(name).clips else stills)
    for path, value in codec.settings(recipe, catalog.kinds()).items():
        print(f"{path}={'none' if value is None else codec.encode(value)}")


def check(folder: str, /, *, size: int | None = None, crop: Crop = "center", as_json: AsJson = False) -> None:
    """Tell before training what is in FOLDER and whether it is enough.

    Parameters
    ----------
    folder:
        A folder of pictures, a named data set or an .npz file.
    size:
        The size that you mean to train at.
    crop:
        The crop that you mean to train with.
    as_json:
        Print JSON instead.
    """
    from mezzotint.data import check as checking

    with Bar() as bar:
        report = checking.check(folder, size=size, crop=crop, progress=bar.decoding)
    print(json.dumps(report.to_dict(), indent=1) if as_json else "\n".join(report.lines()))


def show(run: Path, /) -> None:
    """Print what RUN is: recipe, data, model, scores.

    Parameters
    ----------
    run:
        A run's folder or a model's.
    """
    from mezzotint import catalog, page, scorecard
    from mezzotint.training import journal
    from mezzotint.training.run import find

    if (run / "journal.jsonl").is_file():
        events = journal.read(run / "journal.jsonl")
        last = next((e for e in reversed(events) if e["event"] == "train"), None)
        if last:
            print(f"{run}: {last['images']:,} pictures seen in {last['seconds'] / 60:.1f} minutes")
        if not (run / "snapshot").is_dir():
            begun = find(run)
            recipe, spec = begun.recipe(catalog.kinds()), begun.spec()
            print(f"{recipe.name} on {recipe.data.source}: {spec.width}×{spec.height}×{spec.channels}")
            print(f"not finished; go on with `mezzotint train --resume {run}`")
            return
    from mezzotint.model import load

    model = load(run)
    c, h, w = model.spec.shape
    parameters = sum(p.numel() for p in model.method.parameters())
    print(f"{model.recipe.name} on {model.recipe.data.source}: {w}×{h}×{c}, {parameters:,} parameters")
    print(f"it can {', '.join(model.abilities)}")
    if model.spec.classes:
        print(f"classes: {', '.join(model.spec.classes)}")
    if model.spec.things:
        print(f"it finds: {', '.join(model.spec.things)}")
    if (run / "score.json").is_file():
        card = scorecard.read(run)
        for name, value in card.scores.items():
            if "[" not in name:
                print(f"  {page.score_line(name, value)}")
        for line in page.protocol_lines(card):
            print(f"    {line}")


def board(runs: Path = Path("runs"), /, *, port: int = 6006) -> None:
    """Start TensorBoard on RUNS, on this machine only.

    Parameters
    ----------
    runs:
        A run's folder or a folder of runs.
    port:
        Where to listen on 127.0.0.1.
    """
    if not runs.is_dir():
        raise UserError(f"there is no folder {runs}; train something first")
    import os

    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(runs), "--host", "127.0.0.1"]
    os.execv(sys.executable, [*command, "--port", str(port)])
