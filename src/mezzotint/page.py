"""What people look at after a run: the model card, the curves, the strip of samples and the report page."""

import base64
import html
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mezzotint import audit
from mezzotint.audit import AuditCard
from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.drawing import ROWS
from mezzotint.files import write_whole
from mezzotint.metrics.interval import Score
from mezzotint.recipe import Recipe
from mezzotint.scorecard import ScoreCard
from mezzotint.training import journal
from mezzotint.training.run import Run
from mezzotint.validity import ValidityCard

Curve = tuple[list[float], list[float]]
CAPTIONS = {
    "reconstructions": "{split} pictures above their reconstructions",
    "atlas": "{split} pictures where their codes lie, by two principal axes",
    "redrawn": "{split} pictures, what was given of them, and what was drawn from that",
    "shrunk": "{split} pictures, and what comes back of them from a high, a middle and a low quality",
    "mistakes": "{split} pictures that it is surest and wrong about",
    "boxes": "what it finds in {split} pictures, with its certainty",
    "forecasts": "{split} clips: what was recorded, what was forecast behind its context, the error",
    "futures": "a {split} clip as it was recorded, and futures that were drawn for it, one a seed",
    "dreams": "clips out of noise alone, one a seed",
}
"""Of the sheets that measuring makes."""


def write(run: Run, card: ScoreCard, dataset: Dataset, sheets: dict[str, pictures.Pixels]) -> None:
    """Write curves.svg, report.html and pictures into the run's folder: `sheets` by name, and the strip of progress."""
    events = journal.read(run.journal_file)
    drawing = plot({title: {"": curve} for title, curve in curves(events).items()})
    write_whole(run.folder / "curves.svg", drawing)
    shown = _sheets(run, dataset, None if dataset.footage else progress_strip(run))
    for name, sheet in sheets.items():
        pictures.save_png(run.samples / f"{name}.png", sheet)
        shown[CAPTIONS[name].format(**card.protocol)] = sheet
    audited, copies = audit_of(run), run.samples / "copies.png"
    if audited is not None and copies.is_file():
        shown[COPIES] = as_pixels(Image.open(copies))
    write_whole(run.folder / "report.html", report(run, card, drawing, shown, events, audited))


COPIES = (
    "drawn pictures nearest to a training picture, each above the nearest training and the nearest held-out picture; "
    "in pixels, then in features"
)


def audit_of(run: Run) -> AuditCard | None:
    """What the last audit found of the run's present weights; None where there was none."""
    path, card = run.folder / "audit.json", run.snapshot / "card.json"
    if not path.is_file() or not card.is_file():
        return None
    audited = audit.from_json(path.read_text(encoding="utf-8", errors="replace"))
    return audited if audited.protocol["weights"] == json.loads(card.read_text())["weights"] else None


COLUMNS = ("score", "value", "95 % interval", "real pictures reach")


def table(card: ScoreCard | AuditCard) -> list[tuple[str, str, str, str]]:
    """Rows of COLUMNS; the scores of single classes are left to score.json."""
    rows: list[tuple[str, str, str, str]] = []
    for name, score in card.scores.items():
        if "[" in name or name.endswith("_floor"):
            continue
        floor = card.scores.get(f"{name}_floor")
        interval = f"{number(score.low)} to {number(score.high)}"
        rows.append((name.replace("_", " "), number(score.value), interval, number(floor.value) if floor else ""))
    return rows


def number(value: float) -> str:
    """Four figures, without an exponent where people can do without."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 10_000 else f"{value:,.0f}"


def protocol_lines(card: ScoreCard | AuditCard) -> list[str]:
    """The protocol that all scores of a card share, a line each, then its notes."""
    facts = [(key.replace("_", " "), value) for key, value in card.protocol.items() if value != ""]
    return [f"{key}: {spoken(value)}" for key, value in facts] + list(card.notes)


def spoken(value: Any) -> str:
    """A value of a protocol for people: hashes by their first twelve figures, shapes with crosses."""
    if isinstance(value, dict):
        return ", ".join(map(spoken, value.values()))
    if isinstance(value, list):
        return "×".join(map(str, value))
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)


def model_card(recipe: Recipe, card: ScoreCard | None, facts: dict[str, Any], audited: AuditCard | None = None) -> str:
    """The README.md of a model folder."""
    lines = [f"# {recipe.name}, trained on {Path(recipe.data.source).name}", ""]
    if facts:
        shape = facts["spec"]
        lines += [
            f"{shape['width']}×{shape['height']} pictures of {shape['channels']} channel(s), "
            f"{facts['images_seen']:,} pictures seen in {facts['seconds'] / 60:.1f} minutes.",
            "",
        ]
    lines += ['Use it with `mezzotint show`, or in Python: `mezzotint.load("FOLDER")`.', ""]
    if card is not None:
        lines += _measured(card)
    if audited is not None:
        lines += ["## Is it copying?", "", f"**{audited.verdict.capitalize()}.**", "", *audit.sentences(audited), ""]
        lines += _measured(audited)
    return "\n".join(lines)


def _measured(card: ScoreCard | AuditCard) -> list[str]:
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in table(card)]
    return [*lines, "", "Measured so:", "", *[f"- {line}" for line in protocol_lines(card)], ""]


def curves(events: list[dict[str, Any]]) -> dict[str, Curve]:
    """Losses, validation scores and what the watch read, of a journal, over pictures seen."""
    found: dict[str, Curve] = {}
    for event in events:
        values = event.get("losses", {}) if event["event"] == "train" else {}
        if event["event"] == "milestone":
            values = {f"validation {k}": v for k, v in event["scores"].items()}
            values |= {f"watch {k}": v for k, v in event.get("watch", {}).items()}
        for name, value in values.items():
            xs, ys = found.setdefault(name, ([], []))
            if math.isfinite(value):
                xs.append(event["images"])
                ys.append(value)
    return {name: curve for name, curve in found.items() if curve[0]}


def plot(panels: dict[str, dict[str, Curve]], across: str = "pictures seen") -> str:
    """Panels of named curves as one SVG drawing; a single curve needs no name."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    columns = 2 if len(panels) == 4 else min(3, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    figure = Figure(figsize=(4 * columns, 2.6 * rows), layout="constrained")
    FigureCanvasSVG(figure)
    for i, (title, drawn) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(rows, columns, i)
        for j, (name, (xs, ys)) in enumerate(drawn.items()):
            color = "#305070" if len(drawn) == 1 else f"C{j}"
            axes.plot(xs, ys, color=color, linewidth=1.2, marker="o" if len(xs) < 15 else "", markersize=3, label=name)
        if len(drawn) > 1:
            axes.legend(fontsize=7)
        axes.set_title(title.replace("_", " "), fontsize=9)
        axes.set_xlabel(across, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def validity_plot(card: ValidityCard) -> str:
    """The curves of a validity card as one SVG drawing: Fréchet distance over level."""
    return plot({f"{c.name} ({c.unit})": {"": (list(c.levels), list(c.distances))} for c in card.curves}, "level")


VALIDITY_COLUMNS = ("disturbance", "level", "distance", "grows")


def validity_table(card: ValidityCard) -> list[tuple[str, str, str, str]]:
    """Rows of VALIDITY_COLUMNS, one a level; a curve is named once."""
    rows: list[tuple[str, str, str, str]] = []
    for curve in card.curves:
        first = f"{curve.name} ({curve.unit})", "yes" if curve.monotone else "no"
        for i, (level, distance) in enumerate(zip(curve.levels, curve.distances, strict=True)):
            name, grows = ("", "") if i else first
            rows.append((name, f"{level:g}", number(distance), grows))
    return rows


def validity_lines(card: ValidityCard) -> list[str]:
    """What was compared, and what a reader must know."""
    lines = [
        f"extractor: {card.extractor}, {card.digest[:12]}, {card.dimensions} features; resizing {card.resize}",
        f"data: {card.data}, {card.data_digest[:12]}, {card.n} {card.split} pictures in either half, seed {card.seed}",
    ]
    for curve in card.curves:
        if curve.pictures <= card.dimensions:
            lines.append(
                f"{curve.name}: {curve.pictures} pictures are few for {card.dimensions} features, so that its "
                "distances are far too large"
            )
    return lines


def progress_strip(run: Run) -> pictures.Pixels | None:
    """The first pictures of every sample grid, milestone under milestone; None for a run that draws none."""
    paths = sorted(p for p in run.samples.glob("*.png") if p.stem.isdigit())
    if not paths:
        return None
    rows = [as_pixels(Image.open(p)) for p in paths]
    rows = [row[: row.shape[0] // ROWS] for row in rows]
    strip = np.concatenate(rows)
    pictures.save_png(run.samples / "progress.png", strip)
    return strip


def stored_sheets(folder: Path) -> Iterator[tuple[str, pictures.Pixels]]:
    """What a run shows best, by kind: its last sample grid, and the sheets that measuring made."""
    samples = folder / "samples"
    for path in (*sorted(p for p in samples.glob("*.png") if p.stem.isdigit())[-1:], *_made(samples)):
        yield "drawn at the end" if path.stem.isdigit() else path.stem, as_pixels(Image.open(path))


def _made(samples: Path) -> list[Path]:
    return [path for name in CAPTIONS if (path := samples / f"{name}.png").is_file()]


def as_pixels(image: Image.Image) -> pictures.Pixels:
    """The bytes of a picture, h × w × c."""
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _sheets(run: Run, dataset: Dataset, strip: pictures.Pixels | None) -> dict[str, pictures.Pixels]:
    """Pictures for the report by their captions."""
    sheets: dict[str, pictures.Pixels] = {}
    grids = sorted(p for p in run.samples.glob("*.png") if p.stem.isdigit())
    real = dataset.at(dataset.splits["train"][:3] if dataset.footage else dataset.splits["train"][:64])
    if dataset.footage:
        if grids:
            sheets["validation clips at the last milestone: recorded, forecast, error"] = as_pixels(
                Image.open(grids[-1])
            )
        shown = pictures.grid(np.concatenate(list(real)), real.shape[1])
        return {**sheets, "training clips": pictures.enlarged(shown, 480)}
    if grids:
        sheets["drawn at the end, seeds from 0"] = as_pixels(Image.open(grids[-1]))
    sheets["training pictures"] = pictures.enlarged(pictures.grid(np.asarray(real)), 480)
    if strip is not None:
        sheets["the same seeds, milestone under milestone"] = strip
    return sheets


def _embedded(pixels: pictures.Pixels) -> str:
    out = io.BytesIO()
    pictures.to_image(pixels).save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1c2733}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse}td,th{padding:.2rem .9rem .2rem 0;text-align:left;border-bottom:1px solid #dde3ea}
td.n{font-variant-numeric:tabular-nums}figure{display:inline-block;margin:0 1.2rem 1.2rem 0;vertical-align:top}
figure img{image-rendering:pixelated;max-width:100%;border:1px solid #dde3ea}
figcaption,small,li{color:#526070;font-size:.86rem}svg{max-width:100%;height:auto}
td.c{text-align:right;padding:.1rem .5rem;font-size:.8rem}
"""


def report(
    run: Run,
    card: ScoreCard,
    drawing: str,
    sheets: dict[str, pictures.Pixels],
    events: list[dict[str, Any]],
    audited: AuditCard | None = None,
) -> str:
    """One page that needs nothing beside itself."""
    last = next((e for e in reversed(events) if e["event"] == "train"), {"images": 0, "seconds": 0.0})
    cost = f"{last['images']:,} pictures seen in {last['seconds'] / 60:.1f} minutes"
    return document(
        run.folder.name,
        f"<p>{cost}.</p><h2>Pictures</h2>{figures(sheets)}<h2>Scores</h2>{_scores(card)}{_confusion(card)}{_steps(card)}"
        f"{_audited(audited)}<h2>Curves</h2>{svg(drawing)}<h2>What happened</h2>{html_list(_happenings(events))}",
    )


def _scores(card: ScoreCard | AuditCard) -> str:
    """The table of a card and its protocol."""
    return f"{html_table(COLUMNS, table(card))}<h2>How they were measured</h2>{html_list(protocol_lines(card))}"


def _audited(audited: AuditCard | None) -> str:
    """What the audit found, where there was one."""
    if audited is None:
        return ""
    told = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in audit.sentences(audited))
    return f"<h2>Is it copying?</h2><p><b>{html.escape(audited.verdict.capitalize())}.</b></p>{told}{_scores(audited)}"


def document(title: str, body: str) -> str:
    """A whole page of HTML that needs nothing beside itself."""
    name = html.escape(title)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><style>{_STYLE}</style>'
        f"<h1>{name}</h1>{body}</html>\n"
    )


def figures(sheets: Mapping[str, pictures.Pixels]) -> str:
    """Pictures with their captions."""
    return "".join(
        f'<figure><img src="{_embedded(pixels)}" alt="{html.escape(caption)}"><figcaption>{html.escape(caption)}'
        "</figcaption></figure>"
        for caption, pixels in sheets.items()
    )


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of plain texts; the first column names them."""
    titles = "".join(f"<th>{html.escape(title)}</th>" for title in head)
    lines = "".join(
        f"<tr><td>{html.escape(name)}</td>" + "".join(f'<td class="n">{html.escape(c)}</td>' for c in cells) + "</tr>"
        for name, *cells in rows
    )
    return f"<table><tr>{titles}</tr>{lines}</table>"


def html_list(lines: Iterable[str]) -> str:
    """Plain texts, a point each."""
    return f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"


def svg(drawing: str) -> str:
    """A drawing without the head of its file, to stand in a page."""
    return drawing[drawing.index("<svg") :]


PER_STEP = ("mse_frame", "psnr", "ssim")


def _steps(card: ScoreCard) -> str:
    """The error of forecasts over the step, beside those of the forecasters that know nothing."""
    panels: dict[str, dict[str, Curve]] = {}
    for name, score in card.scores.items():
        way, bracket, step = name.partition("[+")
        measured = next((m for m in PER_STEP if way.endswith(m)), None)
        if bracket and measured and math.isfinite(score.value):
            who = way.removesuffix(measured).strip("_").replace("_", " ") or "forecast"
            xs, ys = panels.setdefault(measured, {}).setdefault(who, ([], []))
            xs.append(float(step.rstrip("]")))
            ys.append(score.value)
    return f"<h2>Step by step</h2>{svg(plot(panels, 'frames ahead'))}" if panels else ""


def _confusion(card: ScoreCard) -> str:
    """The confusion matrix, darker where there are more pictures."""
    if card.confusion is None:
        return ""
    classes = [name[len("recall[") : -1] for name in card.scores if name.startswith("recall[")]
    most = max(max(row) for row in card.confusion) or 1
    head = "".join(f"<th>{html.escape(c)}</th>" for c in classes)
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>"
        + "".join(f'<td class="c" style="background:rgba(48,80,112,{v / most * 0.6:.2f})">{v}</td>' for v in row)
        + "</tr>"
        for name, row in zip(classes, card.confusion, strict=True)
    )
    return f"<h2>Confusion</h2><table><tr><th>true \\ said</th>{head}</tr>{body}</table>"


def _happenings(events: list[dict[str, Any]]) -> list[str]:
    """All that is not the regular course of a run."""
    regular = ("train", "milestone", "checkpoint")
    return [
        f"{e['event']} at {e['images']:,} pictures: "
        + ", ".join(f"{k} {v}" for k, v in e.items() if k not in ("event", "images", "time"))
        for e in events
        if e["event"] not in regular
    ]


def score_line(name: str, score: Score) -> str:
    """`accuracy 0.9312 (0.9261 to 0.9360)`."""
    return f"{name.replace('_', ' ')} {number(score.value)} ({number(score.low)} to {number(score.high)})"
