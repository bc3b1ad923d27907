"""The arena: recipes trained in turn under one budget on one machine, into one league table."""

import html
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mezzotint import catalog, drawing, machine, page, scorecard
from mezzotint.data import clips, dataset
from mezzotint.errors import UserError
from mezzotint.files import write_whole
from mezzotint.method import Method
from mezzotint.metrics.distribution import FEWEST
from mezzotint.model import extractor, load
from mezzotint.recipe import with_setting
from mezzotint.training import journal, lines
from mezzotint.types import Generates

Row = dict[str, Any]
Show = Callable[[str], None]

SEVERAL = 500
"""Pictures over which the speed of drawing is taken."""
COLLAPSED = 0.01
"""A generator whose pictures lie near less than this share of the real ones (coverage) has failed."""
RISING = frozenset({"accuracy", "average_precision_50", "effective_rank"})
"""Scores of milestones of which more is better: how far a run fell back is told of the others."""


@dataclass(frozen=True)
class Contest:
    """What all trainings of an arena share."""

    data: str
    minutes: float
    settings: tuple[str, ...] = ()
    """Changes to every recipe, `key=value`."""
    features: str | None = None
    """What the distances are taken in, as `model.extractor` reads it."""
    count: int = 10_000
    """Pictures to draw for the scores."""


def begin(folder: Path, contest: Contest) -> None:
    """Make the arena's folder, or find it again; raises UserError where another contest is held in it."""
    path = folder / "arena.json"
    if not path.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"{folder} exists and is not an arena; name another folder with --out")
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(contest), indent=1))
    try:
        held = json.loads(path.read_text())
    except ValueError:
        raise UserError(f"{path} is damaged; name another folder with --out") from None
    asked = json.loads(json.dumps(asdict(contest)))
    if other := [name for name, value in asked.items() if held.get(name) != value]:
        raise UserError(f"the arena in {folder} was begun with another {' and '.join(other)}; name another with --out")


def hold(
    folder: Path, contest: Contest, recipes: Sequence[str], seeds: int, show: Show = lambda line: None
) -> list[Row]:
    """Train each recipe from seeds 0, 1, 2 …, one run after another, and write the league's page; returns its rows.

    Each run is the command in a process of its own. One line of `league.jsonl` is appended per finished run, so an
    arena that was stopped goes on where it was; more recipes and seeds can be asked for later. A run that ended in an
    error is tried again when the arena is held again.
    """
    digest = _refuse_at_once(contest, recipes)
    begin(folder, contest)
    if any("protocol" in row and row["protocol"]["data_digest"] != digest for row in read(folder)):
        raise UserError("the data have changed since the arena was begun: begin another with --out")
    # By seed first: a league that is stopped has something of every recipe.
    for seed in range(seeds):
        for recipe in recipes:
            if any((row["recipe"], row["seed"]) == (recipe, seed) and "scores" in row for row in read(folder)):
                continue
            show(f"{recipe}, seed {seed}")
            row = _entered(folder, contest, recipe, seed)
            lines.mend(folder / "league.jsonl")
            with (folder / "league.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            write_whole(folder / "league.html", report(folder, contest, read(folder)))
    return read(folder)


def _refuse_at_once(contest: Contest, recipes: Sequence[str]) -> str:
    """Raise UserError for what every training or measuring would fail with; returns the digest of the data."""
    if contest.count < FEWEST or not 0 < contest.minutes < math.inf:
        raise UserError(f"an arena needs a positive number of minutes and a count of at least {FEWEST}")
    kinds = {catalog.entry(recipe).clips for recipe in recipes}
    if len(kinds) > 1:
        raise UserError("recipes for still pictures and for clips do not meet in one arena: name those of one kind")
    data = clips.load(contest.data) if kinds == {True} else dataset.load(contest.data)
    for recipe in recipes:
        made = catalog.recipe(recipe, data.spec, contest.minutes)
        for setting in contest.settings:
            made = with_setting(made, setting, catalog.kinds())
    if contest.features:
        with torch.inference_mode():
            extractor(contest.features, data.spec)(torch.zeros(2, *data.spec.shape))
    return data.digest


def read(folder: Path) -> list[Row]:
    """The finished runs of an arena; of one that was tried again, the last try."""
    return list({(row["recipe"], row["seed"]): row for row in lines.read(folder / "league.jsonl")}.values())


def _entered(folder: Path, contest: Contest, recipe: str, seed: int) -> Row:
    """Train and measure one run: its line of the league."""
    run = folder / f"{recipe}-{seed}"
    row: Row = {"recipe": recipe, "data": contest.data, "minutes": contest.minutes, "seed": seed}
    row |= {"set": list(contest.settings), "machine": machine.facts()}
    if not (run / "score.json").is_file():
        begun, command = time.monotonic(), _training(run, contest, recipe, seed)
        status, said, peak = _command(*command)
        if status:
            return {**row, "failed": said or f"it was ended by signal {-status}"}
        if "--resume" not in command:
            row |= {"wall_seconds": round(time.monotonic() - begun, 1), "peak_mb": peak}
    begun = time.monotonic()
    measuring = ["measure", str(run), "--count", str(contest.count)]
    status, said, _ = _command(*measuring, *(["--features", contest.features] if contest.features else []))
    if status:
        return {**row, "failed": said}
    chosen = {"chosen": _recipe_of(run)["name"]} if recipe in catalog.CHOOSERS else {}
    return {**_told(run), **row, **chosen, "measure_seconds": round(time.monotonic() - begun, 1)}


def _training(run: Path, contest: Contest, recipe: str, seed: int) -> list[str]:
    if (run / "run.json").is_file():
        return ["train", "--resume", str(run)]
    command = ["train", recipe, contest.data, "--minutes", f"{contest.minutes:g}", "--seed", str(seed)]
    return [*command, "--out", str(run), *(word for setting in contest.settings for word in ("--set", setting))]


def _command(*words: str) -> tuple[int, str, int | None]:
    """Run mezzotint in a process of its own: exit code, last line of what it complained of, and peak memory in MB.

    A process that was stopped by the user stops the arena too.
    """
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen([sys.executable, "-m", "mezzotint", *words], stderr=complaints)
        try:
            peak = _wait(process)
        except KeyboardInterrupt:
            process.wait()  # the terminal has told it too, and it is saving its state
            raise
        complaints.seek(0)
        said = complaints.read().decode(errors="replace").strip().splitlines()
    if process.returncode in (130, -2):
        raise KeyboardInterrupt
    return process.returncode, said[-1].removeprefix("mezzotint: ") if said else "", peak


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    if not hasattr(os, "wait4"):  # Windows
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)


def _told(run: Path) -> Row:
    """What a finished run's own files tell of it."""
    card, model = scorecard.read(run), load(run)
    coverage = card.scores.get("coverage")
    collapsed = coverage is not None and coverage.value < COLLAPSED
    failed = {"failed": f"its pictures lie near less than {COLLAPSED:.0%} of the real ones"} if collapsed else {}
    return {
        **failed,
        # Of a training that was stopped and resumed, the seconds at work.
        "wall_seconds": model.card["seconds"],
        "peak_mb": model.card.get("peak_mb"),
        "images": model.card["images_seen"],
        "parameters": sum(p.numel() for p in model.method.parameters()),
        "draws_a_second": _drawing_speed(model.method),
        "scores": {name: score.value for name, score in card.scores.items() if "[" not in name},
        "protocol": card.protocol,
        "execution": _recipe_of(run)["execution"],
        "last_over_best": last_over_best(journal.read(run / "journal.jsonl")),
    }


def _recipe_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "recipe.json").read_text())


def last_over_best(events: Sequence[dict[str, Any]]) -> float | None:
    """How far a run fell back: the last milestone's score over the best one, 1 where the last is the best.

    None without milestones, where more is better, and where no ratio can be made of the scores.
    """
    milestones = [event["scores"] for event in events if event["event"] == "milestone" and event["images"]]
    scores = [next(iter(found.values())) for found in milestones if not RISING & found.keys()]
    finite = [score for score in scores if math.isfinite(score)]
    if not finite or min(finite) <= 0 or not math.isfinite(scores[-1]):
        return None
    return round(scores[-1] / min(finite), 4)


def _drawing_speed(method: Method) -> float | None:
    if not isinstance(method, Generates):
        return None
    assert isinstance(method, Method)
    classes = getattr(method, "classes", 0)
    labels = torch.arange(SEVERAL) % classes if classes else None
    first = drawing.DRAWN_AT_ONCE
    drawing.draw(method, range(first), None if labels is None else labels[:first])
    begun = time.monotonic()
    drawing.draw(method, range(SEVERAL), labels)
    return round(SEVERAL / (time.monotonic() - begun), 1)


SCORES = (
    *("accuracy", "frechet", "precision", "recall", "coverage", "asked_class"),
    *("bits_per_dimension", "neighbor_accuracy", "effective_rank"),
)
"""What a league shows of the scores, where its runs have them; of recognisers not the precision and recall, which are
others than those of generators."""


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Titles and rows, a recipe each: medians over the seeds that did not fail, with least and most."""
    found = [name for name in SCORES if any("scores" in row and _score(row, name) is not None for row in rows)]
    facts = {"wall_seconds": "seconds", "images": "pictures seen", "peak_mb": "memory, MB"}
    facts |= {"draws_a_second": "draws a second", "parameters": "parameters"}
    fallen = ["last_over_best"] if any(row.get("last_over_best") for row in rows) else []
    shown = (name.replace("_", " ") for name in (*found, *fallen))
    titles = ["recipe", *shown, *facts.values(), "failed seeds"]
    made: list[list[str]] = []
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        own = [row for row in rows if row["recipe"] == recipe]
        good = [row for row in own if "failed" not in row]
        scores = [_over([_score(row, name) for row in good], page.number) for name in found]
        ends = [_over([row.get(name) for row in good], page.number) for name in fallen]
        told = [_over([row.get(name) for row in good], lambda v: f"{v:,.0f}") for name in facts]
        made.append([_titled(recipe, good), *scores, *ends, *told, f"{len(own) - len(good)} of {len(own)}"])
    return titles, made


def _titled(recipe: str, rows: Sequence[Row]) -> str:
    """A recipe, with those that it chose."""
    chosen = dict.fromkeys(row["chosen"] for row in rows if "chosen" in row)
    return f"{recipe} ({', '.join(chosen)})" if chosen else recipe


def _score(row: Row, name: str) -> float | None:
    """A score of a run that it shares with others of that name."""
    if name in ("precision", "recall") and "frechet" not in row["scores"]:
        return None
    return row["scores"].get(name)


def _over(values: Sequence[float | None], said: Callable[[float], str]) -> str:
    """`median (least to most)`."""
    known = [v for v in values if v is not None]
    if not known:
        return ""
    middle = said(statistics.median(known))
    return f"{middle} ({said(min(known))} to {said(max(known))})" if len(known) > 1 else middle


def report(folder: Path, contest: Contest, rows: Sequence[Row]) -> str:
    """The league's page, which needs nothing beside itself."""
    titles, made = table(rows)
    about = f"{contest.minutes:g} minutes each on {contest.data}, in turn on one machine; medians over seeds"
    failures = [f"{row['recipe']}, seed {row['seed']}: {row['failed']}" for row in rows if "failed" in row]
    trained = [row for row in rows if "scores" in row]
    first = {row["recipe"]: row for row in reversed(trained)}
    sheets = {
        f"{recipe}, seed {row['seed']}: {kind}": sheet
        for recipe, row in reversed(first.items())
        for kind, sheet in page.stored_sheets(folder / f"{recipe}-{row['seed']}")
    }
    parts = [f"<p>{html.escape(about)}</p>{page.html_table(titles, made)}{page.html_list(failures)}"]
    parts += ["<h2>Pictures</h2>", page.figures(sheets), "<h2>How they were measured</h2>"]
    if trained:
        shared = {name: value for name, value in trained[0]["protocol"].items() if name not in ("seed", "weights")}
        parts.append(page.html_list(page.protocol_lines(scorecard.ScoreCard(shared, {}))))
    return page.document(f"Arena: {contest.data}", "".join(parts))
