"""Verbs that look: recipes, check, show, measure, audit, board."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mezzotint.cli.make import Crop, _Bar
from mezzotint.cli.use import AsJson
from mezzotint.errors import UserError

if TYPE_CHECKING:
    from mezzotint.audit import AuditCard
    from mezzotint.measure import ScoreCard


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("mezzotint")


def recipes(name: str | None = None, /) -> None:
    """List what can be trained; with NAME all of that recipe's settings.

    Parameters
    ----------
    name:
        A recipe, to see the settings that --set changes.
    """
    from mezzotint import catalog

    if name is not None:
        _settings(name)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("recipe", "for", "parameters", "measured on Fashion-MNIST, two CPU cores"):
        table.add_column(title)
    for recipe, entry in catalog.RECIPES.items():
        table.add_row(recipe, entry.purpose, entry.parameters, catalog.measured(recipe))
    Console().print(table)


def _settings(name: str) -> None:
    """The settings of a recipe as `--set` takes them, for 28×28 grey pictures of ten classes."""
    from mezzotint import catalog, codec
    from mezzotint.types import DataSpec

    recipe = catalog.recipe(name, DataSpec(1, 28, 28, tuple("0123456789"), 57_000))
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

    report = checking.check(folder, size=size, crop=crop)
    print(json.dumps(report.to_dict(), indent=1) if as_json else "\n".join(report.lines()))


def show(run: Path, /) -> None:
    """Print what RUN is: recipe, data, model, scores.

    Parameters
    ----------
    run:
        A run's folder or a model's.
    """
    from mezzotint import catalog, measure, page
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
    score = run / "score.json"
    if score.is_file():
        card = measure.from_json(score.read_text())
        for name, value in card.scores.items():
            if "[" not in name:
                print(f"  {page.score_line(name, value)}")
        for line in page.protocol_lines(card):
            print(f"    {line}")


def measure(
    run: Path,
    /,
    *,
    data: str | None = None,
    split: Literal["train", "validation", "test"] = "test",
    features: Path | None = None,
    count: int = 10_000,
    seed: int = 0,
) -> None:
    """Score the model of RUN and write score.json into it.

    Parameters
    ----------
    run:
        A run's folder.
    data:
        Other pictures than those it was trained on.
    split:
        Which part of the data.
    features:
        A run of a recogniser, whose features the distances are measured in (default: fixed random filters).
    count:
        Pictures to draw.
    seed:
        Another seed draws other pictures.
    """
    from dataclasses import replace

    from mezzotint import api, page
    from mezzotint import measure as measuring
    from mezzotint.model import load
    from mezzotint.training.run import find

    if count < measuring.FEWEST:
        raise UserError(f"--count must be at least {measuring.FEWEST}")
    place = find(run)
    model = load(run)
    recipe = model.recipe if data is None else replace(model.recipe, data=replace(model.recipe.data, source=data))
    ruler = load(features) if features else None
    dataset = api.load_data(recipe)
    card = model.measure(dataset, split=split, count=count, features=ruler, seed=seed)
    api.write_card(place, card)
    page.write(place, card, dataset, measuring.telling_sheets(model.method, dataset, card))
    _print(card)
    print(f"written to {place.folder / 'score.json'}")


def audit(
    run: Path,
    /,
    *,
    count: int = 2_000,
    features: Path | None = None,
    shadows: int = 0,
    seed: int = 0,
) -> None:
    """Tell whether the model of RUN copies its training pictures, or gives away which they were.

    Parameters
    ----------
    run:
        A run's folder; its data must be there as it was trained on them.
    count:
        Pictures to draw and to look up among the training pictures.
    features:
        A run of a recogniser, in whose features copies are looked for too (default: fixed random filters).
    shadows:
        Train so many models on halves of the data, for a stronger membership attack (LiRA): 4 or more.
    seed:
        Another seed draws other pictures.
    """
    from mezzotint import api, page
    from mezzotint import audit as auditing
    from mezzotint import measure as measuring
    from mezzotint.data import pictures
    from mezzotint.model import load
    from mezzotint.shadows import train_shadows
    from mezzotint.training.run import find

    if count < auditing.FEWEST:
        raise UserError(f"--count must be at least {auditing.FEWEST}")
    place, model = find(run), load(run)
    ruler = load(features) if features else None
    dataset = api.load_data(model.recipe)
    if dataset.digest != model.card["data_digest"]:
        raise UserError(f"the pictures in {model.recipe.data.source} are not those that {run} was trained on")
    with _Bar() as bar:
        trained = train_shadows(place, dataset, shadows, seed, bar.show) if shadows else []
    card = model.audit(dataset, count=count, features=ruler, shadows=trained, seed=seed)
    sheet = auditing.worst_sheet(model.method, dataset, card)
    if sheet is not None:
        pictures.save_png(place.samples / "copies.png", sheet)
    api.write_audit(place, card)
    scores = api.scores_of(place)
    if scores is not None:
        page.write(place, scores, dataset, measuring.telling_sheets(model.method, dataset, scores))
    _print(card)
    for sentence in auditing.sentences(card):
        print(sentence)
    print(f"verdict: {card.verdict}")
    print(f"written to {place.folder / 'audit.json'}")


def _print(card: "ScoreCard | AuditCard") -> None:
    """The table of a card and how it was measured."""
    from rich.console import Console
    from rich.table import Table

    from mezzotint import page

    table = Table(box=None, pad_edge=False)
    for title in page.COLUMNS:
        table.add_column(title, justify="left" if title == "score" else "right")
    for row in page.table(card):
        table.add_row(*row)
    Console().print(table)
    for line in page.protocol_lines(card):
        print(f"  {line}")


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
