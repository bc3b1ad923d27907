"""Runs side by side: only what was measured alike stands in one column; what was judged alike is tested in pairs."""

import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mezzotint import page, scorecard
from mezzotint.catalog import kinds
from mezzotint.errors import UserError
from mezzotint.metrics.interval import Score
from mezzotint.metrics.paired import Difference, difference, holm
from mezzotint.scorecard import ScoreCard
from mezzotint.training import journal
from mezzotint.training.run import find

LASTING = {"shape", "likelihood"}
"""Differences that measuring anew cannot mend."""
COST = ("run", "recipe", "minutes", "pictures seen", "memory, MB")
PAIRED = ("runs", "score", "second minus first", "95 % interval", "p (Holm)", "test")


@dataclass(frozen=True)
class Entrant:
    """A run in a comparison."""

    name: str
    folder: Path
    card: ScoreCard
    facts: dict[str, Any]
    """What its model's card says of the training."""


@dataclass(frozen=True)
class Column:
    """One score of the runs that were measured alike."""

    score: str
    stated: dict[str, Any]
    """The fields of the protocol in which other runs differ."""
    values: dict[str, Score]
    """By run; a run that was measured otherwise has none here."""

    @property
    def title(self) -> str:
        """The score's name, and what sets its column apart."""
        said = "; ".join(f"{key.replace('_', ' ')}: {page.spoken(value)}" for key, value in self.stated.items())
        return self.score.replace("_", " ") + (f" ({said})" if said else "")


@dataclass(frozen=True)
class Comparison:
    """What a page of runs side by side shows."""

    entrants: tuple[Entrant, ...]
    columns: tuple[Column, ...]
    apart: dict[str, list[str]]
    """By score, the fields of the protocol for which it does not stand in one column."""
    tests: tuple[tuple[str, str, str, Difference], ...]
    """First run, second run, score and how they differ; p values are Holm's over all of them."""

    def lines(self) -> list[str]:
        """What must be said in words."""
        alike = {tuple(fields): [s for s, f in self.apart.items() if f == fields] for fields in self.apart.values()}
        said = [
            f"not in one column, because the runs were measured with another {' and another '.join(fields)}: "
            + ", ".join(score.replace("_", " ") for score in scores)
            for fields, scores in alike.items()
        ]
        if any(set(fields) - LASTING for fields in self.apart.values()):
            folders = " ".join(str(e.folder) for e in self.entrants)
            said.append(f"to measure all of them alike: mezzotint compare {folders} --recompute")
        return said


def read(folders: Sequence[Path]) -> tuple[Entrant, ...]:
    """The runs with their score cards; raises UserError for fewer than two, doubles, and folders without a card."""
    _refuse_too_few(folders)
    short = [folder.resolve().name for folder in folders]
    names = short if len(set(short)) == len(short) else [str(folder) for folder in folders]
    return tuple(_entrant(name, folder) for name, folder in zip(names, folders, strict=True))


def shared_source(folders: Sequence[Path]) -> str | None:
    """The data of the first run where another was trained on others; None where each run's own are the same."""
    _refuse_too_few(folders)
    if len({_facts(folder)["data_digest"] for folder in folders}) == 1:
        return None
    return str(find(folders[0]).recipe(kinds()).data.source)


def _refuse_too_few(folders: Sequence[Path]) -> None:
    if len(folders) < 2 or len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError("compare takes two or more different runs")


def _entrant(name: str, folder: Path) -> Entrant:
    return Entrant(name, folder, scorecard.read(folder), _facts(folder))


def _facts(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "snapshot" / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{folder} has no model with a readable card: it is not a finished run") from None


def compare(entrants: tuple[Entrant, ...]) -> Comparison:
    """Put the scores of runs into columns and test in pairs, against the first run, what can be."""
    scores = [s for e in entrants for s in e.card.scores if "[" not in s]
    columns: list[Column] = []
    apart: dict[str, list[str]] = {}
    for score in dict.fromkeys(scores):
        having = [e for e in entrants if score in e.card.scores]
        fields = _differing([e.card for e in having], score)
        # A recogniser's precision and a generator's have only the name in common: nothing to mend there.
        if fields and len({e.card.protocol.get("extractor") is None for e in having}) == 1:
            apart[score] = fields
        columns += _columns(having, score, fields)
    return Comparison(entrants, tuple(columns), apart, _tests(entrants))


def _differing(cards: Sequence[ScoreCard], score: str) -> list[str]:
    """Fields that bear on the score and are not the same in all cards."""
    found = [field for card in cards[1:] for field in scorecard.differences(cards[0], card, score)]
    return list(dict.fromkeys(found))


def _columns(having: Sequence[Entrant], score: str, fields: Sequence[str]) -> list[Column]:
    groups: dict[str, list[Entrant]] = {}
    for e in having:
        groups.setdefault(json.dumps(scorecard.bearing(e.card, score), sort_keys=True), []).append(e)
    return [
        Column(
            score,
            {field: group[0].card.protocol.get(field, "not stated") for field in fields},
            {e.name: e.card.scores[score] for e in group},
        )
        for group in groups.values()
    ]


def _tests(entrants: tuple[Entrant, ...]) -> tuple[tuple[str, str, str, Difference], ...]:
    first, *others = entrants
    found = [
        (first.name, other.name, score, difference(values, other.card.answers[score]))
        for other in others
        for score, values in first.card.answers.items()
        if score in other.card.answers and not scorecard.differences(first.card, other.card, score)
    ]
    found = [test for test in found if math.isfinite(test[3].p)]
    raised = holm([test[3].p for test in found])
    return tuple((*test[:3], Difference(test[3].score, p, test[3].test)) for test, p in zip(found, raised, strict=True))


def table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Titles and rows, a run each: scores with their intervals, and in brackets what real pictures reach."""
    shown = [c for c in comparison.columns if not c.score.endswith("_floor")]
    floors = {(c.score, name): s for c in comparison.columns for name, s in c.values.items()}
    rows: list[list[str]] = []
    for e in comparison.entrants:
        row = [e.name]
        for column in shown:
            score, floor = column.values.get(e.name), floors.get((f"{column.score}_floor", e.name))
            row.append("" if score is None else _cell(score, floor))
        rows.append(row)
    return ["run", *(c.title for c in shown)], rows


def _cell(score: Score, floor: Score | None) -> str:
    interval = f"{page.number(score.value)} ({page.number(score.low)} to {page.number(score.high)})"
    return interval + (f" [{page.number(floor.value)}]" if floor else "")


def costs(comparison: Comparison) -> list[list[str]]:
    """Rows of COST."""
    return [_cost(e.name, e.facts) for e in comparison.entrants]


def _cost(name: str, facts: dict[str, Any]) -> list[str]:
    minutes, memory = f"{facts['seconds'] / 60:.1f}", facts.get("peak_mb")
    return [name, str(facts["name"]), minutes, f"{facts['images_seen']:,}", "" if memory is None else f"{memory:,}"]


def paired(comparison: Comparison) -> list[list[str]]:
    """Rows of PAIRED."""
    return [
        [
            f"{first}, {second}",
            score.replace("_", " "),
            page.number(d.score.value),
            f"{page.number(d.score.low)} to {page.number(d.score.high)}",
            f"{d.p:.2g}",
            d.test,
        ]
        for first, second, score, d in comparison.tests
    ]


def report(comparison: Comparison) -> str:
    """One page that needs nothing beside itself."""
    head, rows = table(comparison)
    parts = ["<h2>Scores</h2><p>With 95 % intervals; in brackets what real pictures of another split reach.</p>"]
    parts += [page.html_table(head, rows), page.html_list(comparison.lines())]
    if comparison.tests:
        parts += ["<h2>On the same pictures</h2>", page.html_table(PAIRED, paired(comparison))]
    parts += ["<h2>Cost</h2>", page.html_table(COST, costs(comparison))]
    sheets = {f"{e.name}: {kind}": sheet for e in comparison.entrants for kind, sheet in page.stored_sheets(e.folder)}
    parts += ["<h2>Pictures</h2>", page.figures(sheets)]
    panels: dict[str, dict[str, page.Curve]] = {}
    for e in comparison.entrants:
        for title, curve in page.curves(journal.read(e.folder / "journal.jsonl")).items():
            panels.setdefault(title, {})[e.name] = curve
    parts += ["<h2>Curves</h2>", page.svg(page.plot(panels))]
    parts += ["<h2>How they were measured</h2>"]
    for e in comparison.entrants:
        parts.append(f"<h3>{html.escape(e.name)}</h3>{page.html_list(page.protocol_lines(e.card))}")
    return page.document("Comparison of " + ", ".join(e.name for e in comparison.entrants), "".join(parts))
