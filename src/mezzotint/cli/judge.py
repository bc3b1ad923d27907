"""Verbs that judge: measure, validity, audit, compare, arena."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from mezzotint.cli.make import Bar, Crop
from mezzotint.errors import UserError

if TYPE_CHECKING:
    from mezzotint.audit import AuditCard
    from mezzotint.scorecard import ScoreCard


def measure(
    run: Path,
    /,
    *,
    data: str | None = None,
    split: Literal["train", "validation", "test"] | None = None,
    features: str | None = None,
    count: int = 10_000,
    seed: int = 0,
) -> None:
    """Score the model of RUN, or pictures that another program drew, and write score.json into the folder.

    Parameters
    ----------
    run:
        A run's folder, or a folder of drawn pictures, which are compared with those of --data.
    data:
        Other pictures than those it was trained on.
    split:
        Which part of the data (default: test, or validation where there is no test).
    features:
        A run of a recogniser, or a file of Inception-2015's or DINOv2's weights, in whose features the distances are
        measured (default: random-filters).
    count:
        Pictures to draw, and the most whose probability is estimated at length.
    seed:
        Another seed draws other pictures.
    """
    from mezzotint import api

    if data is None or (run / "run.json").is_file():
        card = api.remeasure(run, source=data, split=split, features=features, count=count, seed=seed)
    else:
        card = api.judge_pictures(run, data, split=split, features=features, count=count)
    _print(card)
    print(f"written to {run / 'score.json'}")


def validity(
    features: str,
    data: str,
    /,
    *,
    count: int = 2_000,
    size: int | None = None,
    crop: Crop = "center",
    out: Path = Path("validity"),
) -> None:
    """Show what distances in FEATURES see: how they grow with blur, noise, shift and missing modes of DATA.

    Parameters
    ----------
    features:
        A run of a recogniser, a file of Inception-2015's or DINOv2's weights, or random-filters.
    data:
        A named data set, a folder of pictures or an .npz file; its test pictures are used.
    count:
        Real pictures in the reference, and as many that are disturbed.
    size:
        Side of the square pictures.
    crop:
        How pictures are brought to it.
    out:
        Folder for validity.json and validity.svg.
    """
    from mezzotint import page
    from mezzotint import validity as validities
    from mezzotint.data import dataset as sets
    from mezzotint.files import write_whole
    from mezzotint.model import extractor

    dataset = sets.load(data, size=size, crop=crop)
    card = validities.validity(extractor(features, dataset.spec), dataset, count=count)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "validity.json", card.to_json())
    write_whole(out / "validity.svg", page.validity_plot(card))
    show_table(page.VALIDITY_COLUMNS, page.validity_table(card))
    for line in page.validity_lines(card):
        print(f"  {line}")
    print(f"written to {out / 'validity.json'} and {out / 'validity.svg'}")


def audit(
    run: Path,
    /,
    *,
    count: int = 2_000,
    features: str | None = None,
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
        What copies are looked for in beside pixels, as in `measure`.
    shadows:
        Train so many models on halves of the data, for a stronger membership attack (LiRA): 4 or more.
    seed:
        Another seed draws other pictures.
    """
    from mezzotint import api, latent, page
    from mezzotint import audit as auditing
    from mezzotint.catalog import kinds
    from mezzotint.data import pictures
    from mezzotint.model import extractor, load
    from mezzotint.shadows import train_shadows
    from mezzotint.training.run import find

    if count < auditing.FEWEST:
        raise UserError(f"--count must be at least {auditing.FEWEST}")
    api.refuse_odd_seed(seed)
    place, model = find(run), load(run)
    ruler = extractor(features, model.spec) if features else None
    recipe = place.recipe(kinds())
    dataset = api.load_data(recipe)
    if dataset.digest != model.card["data_digest"]:
        raise UserError(f"the pictures in {recipe.data.source} are not those that {run} was trained on")
    with Bar() as bar:
        trained = train_shadows(place, dataset, shadows, seed, bar.show) if shadows else []
    card = model.audit(dataset, count=count, features=ruler, shadows=trained, seed=seed)
    sheet = auditing.worst_sheet(model.method, dataset, card)
    if sheet is not None:
        pictures.save_png(place.samples / "copies.png", sheet)
    _print(card)
    for sentence in auditing.sentences(card):
        print(sentence)
    print(f"verdict: {card.verdict}")
    api.write_audit(place, card)
    scores = api.scores_of(place)
    if scores is not None:
        # The sheets show pictures that the scores are of, which may be others than those of the training.
        same = scores.protocol.get("data_digest") == dataset.digest
        sheets = latent.telling_sheets(model.method, dataset, scores) if same else {}
        page.write(place, scores, dataset, sheets)
    print(f"written to {place.folder / 'audit.json'}")


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
    if recompute:
        source = comparing.shared_source(runs)
        for run in runs:
            print(f"measuring {run}")
            api.remeasure(run, source=source, split=split, features=features, count=count)
    found = comparing.compare(comparing.read(runs))
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


def _print(card: "ScoreCard | AuditCard") -> None:
    """The table of a card and how it was measured."""
    from mezzotint import page

    show_table(page.COLUMNS, page.table(card))
    for line in page.protocol_lines(card):
        print(f"  {line}")


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
    Console(markup=False).print(table, "")  # a name may hold brackets
