"""Verbs that set runs against one another: compare, arena."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from mezzotint.errors import UserError


def compare(
    runs: tuple[Path, ...],
    /,
    *,
    out: Path = Path("comparison.html"),
    recompute: bool = False,
    split: Literal["train", "validation", "test"] | None = None,
    features: str | None = None,
    count: int = 10_000,
) -> None:
    """Put RUNS side by side on one page: scores that were measured alike, paired tests, cost, pictures and curves.

    Parameters
    ----------
    runs:
        Folders of two or more runs; the others are tested against the first.
    out:
        The page to write, an .html file.
    recompute:
        Measure all of them anew and alike, on the data of the first.
    split:
        With --recompute: which part of the data.
    features:
        With --recompute: what distances are taken in, as in `measure`.
    count:
        With --recompute: pictures to draw.
    """
    from mezzotint import api
    from mezzotint import compare as comparing
    from mezzotint.files import write_whole

    if out.suffix != ".html":
        raise UserError(f"--out takes an .html file, not {out}")
    if not recompute and (features, split, count) != (None, None, 10_000):
        raise UserError("--split, --features and --count tell how to measure anew: give --recompute with them")
    entrants = comparing.read(runs)
    if recompute:
        source = comparing.shared_source(entrants)
        for run in runs:
            print(f"measuring {run}")
            api.remeasure(run, source=source, split=split, features=features, count=count)
        entrants = comparing.read(runs)
    found = comparing.compare(entrants)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, comparing.report(found))
    show_turned(*comparing.table(found))
    show_turned(comparing.COST, comparing.costs(found))
    if found.tests:
        show_table(comparing.PAIRED, comparing.paired(found))
    for line in found.lines():
        print(line)
    print(f"written to {out}")


def arena(
    data: str,
    /,
    *,
    recipes: str,
    minutes: float = 10.0,
    seeds: int = 3,
    out: Path = Path("runs/arena"),
    set: Annotated[tuple[str, ...], Parameter(negative="", help="Change the recipes: key=value; repeatable.")] = (),
    features: str | None = None,
    count: int = 10_000,
) -> None:
    """Train recipes in turn on DATA, all with the same budget, and write one league table and page.

    An arena that was stopped goes on where it was; more recipes and seeds can be added to it.

    Parameters
    ----------
    data:
        A named data set, a folder of pictures or an .npz file.
    recipes:
        Names with commas between them, like dcgan,vae.
    minutes:
        Wall-clock budget of each training.
    seeds:
        Trainings of each recipe, from seeds 0, 1, 2 ...
    out:
        The arena's folder: its runs, league.jsonl and league.html.
    features:
        What distances are taken in, as in `measure`.
    count:
        Pictures to draw for the scores.
    """
    from mezzotint import arena as contests

    names = list(dict.fromkeys(name.strip() for name in recipes.split(",") if name.strip()))
    if not names or seeds < 1:
        raise UserError("arena takes at least one recipe and one seed: --recipes dcgan,vae --seeds 3")
    contest = contests.Contest(data, minutes, set, features, count)
    rows = contests.hold(out, contest, names, seeds, lambda line: print(f"== {line}", flush=True))
    show_turned(*contests.table(rows))
    print(f"league    {out / 'league.jsonl'}")
    print(f"report    {out / 'league.html'}")


def show_turned(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table whose rows are columns on the terminal: scores are many, and what is compared by them is not."""
    first, *others = zip(head, *rows, strict=True)
    show_table(first, others)


def show_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table for the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in head:
        table.add_column(title)
    for row in rows:
        table.add_row(*row)
    Console().print(table, "")
