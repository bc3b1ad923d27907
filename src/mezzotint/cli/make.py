"""`train`: from pictures to a model."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from mezzotint import cli
from mezzotint.errors import UserError

if TYPE_CHECKING:
    from mezzotint.training.report import Report
    from mezzotint.training.run import Run

Crop = Literal["center", "fit", "stretch", "cut"]


def train(
    recipe: str | None = None,
    data: str | None = None,
    /,
    *,
    minutes: float | None = None,
    images: Annotated[str | None, Parameter(help="Train on so many pictures instead: 500000, 500k or 2M.")] = None,
    out: Path | None = None,
    size: int | None = None,
    channels: Literal[1, 3] | None = None,
    crop: Crop = "center",
    frames: int | None = None,
    stride: int | None = None,
    set: Annotated[tuple[str, ...], Parameter(negative="", help="Change the recipe: key=value; repeatable.")] = (),
    seed: int = 0,
    start: Annotated[Path | None, Parameter(name="--from")] = None,
    resume: Path | None = None,
) -> None:
    """Train RECIPE on DATA: a named data set, a folder of pictures, a film or an .npz file.

    Parameters
    ----------
    recipe:
        What to train; `mezzotint recipes` lists them. `recognize`, `gan` and `generate` pick a recipe by the data and
        the budget, and say why.
    data:
        digits, fashion-mnist, mnist, cifar10, a folder or an .npz file; for recipes that continue clips moving-digits,
        moving-fashion, moving-mnist, a film, or a folder of films or of numbered frames.
    minutes:
        Wall-clock budget, start-up and measuring included (default 10).
    out:
        Folder of the run (default: a new one under runs/).
    size:
        Side of the square pictures in pixels.
    channels:
        1 for grey, 3 for RGB.
    crop:
        The middle of the picture, all of it on white, or all of it distorted; or squares cut from it as it is, up to 64
        of a large one.
    frames:
        Frames of a clip, for recipes that continue clips (default 20: half given, half forecast).
    stride:
        Frames from one clip's beginning to the next one's (default half a clip).
    seed:
        Key of all randomness.
    start:
        Begin with the networks and weights of this earlier run, with a new head where the classes differ.
    resume:
        Go on with this stopped run instead.
    """
    from mezzotint import api

    try:
        if resume is not None:
            if recipe is not None or data is not None:
                raise UserError("--resume takes a run and nothing else: its recipe and data are in its folder")
            with Bar() as bar:
                _tell(api.resume(resume, bar.show))
            return
        if recipe is None or data is None:
            raise UserError("train takes a recipe and data: mezzotint train dcgan fashion-mnist --minutes 10")
        asked = api.Asked(minutes, count(images), out, size, channels, crop, frames, stride, set, seed, start)
        with Bar() as bar:
            run, made, dataset = api.prepare(recipe, data, asked, bar.decoding)
            for sentence in run.facts()["why"]:
                print(f"chosen: {sentence}")
            for skipped in dataset.skipped[:10]:
                print(f"skipped {skipped.path}: {skipped.reason}", file=sys.stderr)
            if len(dataset.skipped) > 10:
                print(f"skipped {len(dataset.skipped) - 10} more; see `mezzotint check {data}`", file=sys.stderr)
            for remark in dataset.remarks:
                print(f"note: {remark}", file=sys.stderr)
            _tell(api.train_run(run, made, dataset, cli.BEGAN, bar.show))
    except api.Interrupted as stopped:
        print(f"mezzotint: {stopped}", file=sys.stderr)
        sys.exit(130)


def count(text: str | None) -> int | None:
    """`500000`, `500k` or `2M` as a number; raises UserError for anything else."""
    if text is None:
        return None
    factor = {"k": 1_000, "m": 1_000_000}.get(text[-1:].lower(), 1)
    try:
        return int(float(text if factor == 1 else text[:-1]) * factor)
    except (ValueError, OverflowError):
        raise UserError(f"--images takes a number like 500000, 500k or 2M, not {text!r}") from None


def _tell(run: "Run") -> None:
    """Name what the run has made and what to type next."""
    from mezzotint import page, scorecard, snapshot
    from mezzotint.catalog import kinds
    from mezzotint.types import Classifies, Detects, Forecasts, Generates

    card = scorecard.read(run.folder)
    for name in list(card.scores)[:4]:
        print(f"  {page.score_line(name, card.scores[name])}")
    print(f"scores    {run.folder / 'score.json'}")
    print(f"report    {run.folder / 'report.html'}")
    grids = sorted(run.samples.glob("0*.png"))
    method = snapshot.load(run.snapshot, kinds()).method
    uses = {
        Forecasts: f"forecast {run.folder} clip.gif --frames 20 --out future.gif",
        Generates: f"generate {run.folder} --count 64 --seed 7 --out grid.png",
        Classifies: f"classify {run.folder} picture.png",
        Detects: f"detect {run.folder} picture.png --out found",
    }
    if isinstance(method, Forecasts):
        print(f"strips    {run.samples / 'forecasts.png'}")
    elif grids:
        print(f"pictures  {grids[-1]}")
    otherwise = f"measure ANOTHER_RUN --features {run.folder}"
    print(
        f"next      mezzotint {next((use for ability, use in uses.items() if isinstance(method, ability)), otherwise)}"
    )
    print(f"          mezzotint measure {run.folder}")


class Bar:
    """Progress for people: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._next_line = 0.0
        self._planned = False

    def __enter__(self) -> "Bar":
        if sys.stdout.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            what, end = TextColumn("{task.description}"), TextColumn("{task.fields[end]}")
            self._bar = Progress(what, BarColumn(), MofNCompleteColumn(), end).__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(*error)

    def decoding(self, done: int, total: int) -> None:
        """Show that pictures are being decoded."""
        self._update("decoding", done, total, "")

    def show(self, report: "Report") -> None:
        """Show where the training stands."""
        if report.message:
            self._print(f"note: {report.message}")
        if not self._planned:
            self._planned = True
            end = clock(report.seconds_left)
            self._print(f"training on {report.total:,} pictures (repeats included), done in about {end}")
        self._update("training", report.images, report.total, f"{clock(report.seconds_left)} left")
        if self._bar is None and (report.seconds >= self._next_line or report.images >= report.total):
            losses = "  ".join(f"{k} {v:.4g}" for k, v in report.losses.items())
            self._print(f"{report.images:>10,} / {report.total:,}  {clock(report.seconds_left)} left  {losses}")
            self._next_line = report.seconds + max(5.0, 0.1 * (report.seconds + report.seconds_left))

    def _update(self, what: str, done: int, total: int, end: str) -> None:
        if self._bar is None:
            return
        if self._task is None or self._what != what:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task, self._what = self._bar.add_task(what, total=total, end=end), what
        self._bar.update(self._task, completed=done, total=total, end=end)

    def _print(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, highlight=False)
        else:
            print(text, flush=True)


def clock(seconds: float) -> str:
    """`1:05` or `2:03:04`."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
