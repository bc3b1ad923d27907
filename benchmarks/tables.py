"""Turns benchmarks/results/ into docs/benchmarks.md and the table of models in the README.

python benchmarks/tables.py
"""

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def main() -> None:
    """Write both from what results there are."""
    rows = quality_rows()
    parts = [
        HEAD,
        *throughput(),
        *drawing_speed(),
        *accuracy(rows),
        *drawing(rows),
        *failures(),
        *diffusion_peers(),
        *distilled(),
        *editing(),
        *coding(rows),
        *binarized(),
        *modes(),
        *few(),
        *augment(),
        *detect(),
        *lossless(),
        *lossy(),
        *forecasting(),
        *forecasts(),
        *neighbor(),
        *startup(),
        *data(),
        *frechet(),
        *measuring(),
    ]
    (ROOT / "docs" / "benchmarks.md").write_text("\n".join(parts).rstrip() + "\n")
    said, found = headlines(rows), distances(rows)
    known = {
        name: ({"said": said[name]} if name in said else {}) | ({"distances": found[name]} if name in found else {})
        for name in sorted(said.keys() | found.keys())
    }
    told = json.dumps(known, indent=1, ensure_ascii=False) + "\n"
    (ROOT / "src" / "mezzotint" / "recipes" / "measured.json").write_text(told)
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition("<!-- models -->\n")
    _, _, after = rest.partition("<!-- /models -->")
    readme.write_text(f"{before}<!-- models -->\n{models(said)}\n<!-- /models -->{after}")


HEAD = """# Benchmarks

Made by `python benchmarks/tables.py` from the files in `benchmarks/results/`, which hold hardware, versions and every
single figure; [benchmarks/README.md](../benchmarks/README.md) tells how to take them again. Speeds are ratios within
one interleaved run, since rates of shared machines drift. Quality is taken on the test split, once, at the end of
each run; wall-clock counts from the start of the command to its end, measuring included.
"""


def all_rows() -> list[dict[str, Any]]:
    """All trainings of quality-*.jsonl."""
    lines = [line for path in sorted(RESULTS.glob("quality-*.jsonl")) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def quality_rows() -> list[dict[str, Any]]:
    """Those that did not fail."""
    return [row for row in all_rows() if "failed" not in row]


def failures() -> list[str]:
    """Those that did."""
    lines = [
        f"- {row['recipe']} on {row['data']}, {row['minutes']:g} minutes, seed {row['seed']}: {row['failed']}"
        for row in all_rows()
        if "failed" in row
    ]
    return ["## Failed trainings", "", *lines, ""] if lines else []


def groups(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Trainings that differ in the seed alone."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["recipe"], row["data"], row["minutes"], tuple(row["set"])), []).append(row)
    return found


def median(rows: list[dict[str, Any]], score: str) -> float:
    """Over seeds."""
    return statistics.median(row["scores"][score] for row in rows)


def spread(rows: list[dict[str, Any]], score: str) -> str:
    """Least to most over seeds."""
    values = [row["scores"][score] for row in rows]
    return f"{min(values):.4g} to {max(values):.4g}" if len(values) > 1 else "one seed"


Group = tuple[tuple[Any, ...], list[dict[str, Any]]]
"""What the trainings share (recipe, data, minutes, settings), and they themselves."""


def table(columns: dict[str, Callable[[Group], str]], found: Sequence[Group]) -> list[str]:
    """Lines of a table, a group each; a column in which nothing stands is left out."""
    cells = {title: [say(group) for group in found] for title, say in columns.items()}
    kept = {title: column for title, column in cells.items() if any(column)}
    lines = [f"| {' | '.join(kept)} |", f"|{'---|' * len(kept)}"]
    return lines + [f"| {' | '.join(row)} |" for row in zip(*kept.values(), strict=True)]


def score(name: str, form: str) -> Callable[[Group], str]:
    """A column: the median over the seeds that have the score."""

    def say(group: Group) -> str:
        known = [row["scores"][name] for row in group[1] if name in row["scores"]]
        return format(statistics.median(known), form) if known else ""

    return say


SHARED: dict[str, Callable[[Group], str]] = {
    "data": lambda group: group[0][1],
    "minutes asked": lambda group: f"{group[0][2]:g}",
    "wall-clock s": lambda group: f"{statistics.median(row['wall_seconds'] for row in group[1]):.0f}",
    "runs": lambda group: str(len(group[1])),
}


def accuracy(rows: list[dict[str, Any]]) -> list[str]:
    """Recognisers."""
    found = sorted((k, v) for k, v in groups(rows).items() if "accuracy" in v[0]["scores"])
    if not found:
        return []
    changed = sorted({group[0][3] for group in found if group[0][3]})
    columns = {"recipe": lambda group: titled(group, changed), **SHARED}
    columns |= {"test accuracy, median": score("accuracy", ".2%"), "mean": mean_accuracy}
    columns |= {"least to most": lambda group: spread(group[1], "accuracy")}
    columns |= {"calibration error": score("calibration_error", ".2%")}
    return ["## Recognition", "", *table(columns, found), *told(changed), ""]


def mean_accuracy(group: Group) -> str:
    """Over the seeds, where there are several."""
    values = [row["scores"]["accuracy"] for row in group[1]]
    return f"{statistics.mean(values):.2%}" if len(values) > 1 else ""


def drawing(rows: list[dict[str, Any]]) -> list[str]:
    """Generators."""
    found = sorted((k, v) for k, v in groups(rows).items() if "frechet" in v[0]["scores"])
    if not found:
        return []
    changed = sorted({group[0][3] for group in found if group[0][3]})
    columns = {"recipe": lambda group: titled(group, changed), **SHARED}
    columns |= {"Fréchet distance": lambda group: f"{median(group[1], 'frechet'):.1f} ({spread(group[1], 'frechet')})"}
    columns |= {"floor": score("frechet_floor", ".2f")}
    columns |= {name: score(name, ".2f") for name in ("precision", "recall", "density", "coverage")}
    columns |= {"of the asked class": score("asked_class", ".1%"), "last over best": fallen}
    columns |= {"features": lambda group: ruler(group[1][0]).partition(",")[0]}
    columns |= {"drawn": lambda group: str(group[1][0]["protocol"]["drawn"])}
    lines = ["## Generation", "", *table(columns, found), *told(changed)]
    ends = [row for _, trained in found for row in trained if row.get("last_over_best") is not None]
    if ends:
        worse = [row for row in ends if row["last_over_best"] > SPOILED]
        named = [f"{row['recipe']} after {row['minutes']:g} minutes, seed {row['seed']}" for row in worse]
        lines += ["", f"{len(worse)} of {len(ends)} runs ended worse than {SPOILED} times their best milestone"]
        lines[-1] += f" ({'; '.join(named)})." if worse else "."
    return [*lines, ""]


SPOILED = 1.2
"""Times the best milestone's score from where on a run is said to have ended worse."""


def fallen(group: Group) -> str:
    """The last milestone's score over the best one's: the most over the seeds."""
    known = [row["last_over_best"] for row in group[1] if row.get("last_over_best") is not None]
    return f"{max(known):.2f}" if known else ""


def coding(rows: list[dict[str, Any]]) -> list[str]:
    """What pictures come back as, and how probable they are."""
    shown = ("psnr", "bits_per_dimension")
    still = [row for row in rows if "mse_frame" not in row["scores"]]
    found = sorted((k, v) for k, v in groups(still).items() if any(name in v[0]["scores"] for name in shown))
    if not found:
        return []
    changed = sorted({group[0][3] for group in found if group[0][3]})
    columns = {"recipe": lambda group: titled(group, changed), **SHARED}
    columns |= {"PSNR, dB": score("psnr", ".2f"), "SSIM": score("ssim", ".3f")}
    columns |= {"bits/dim, bound": score("bits_per_dimension", ".3f")}
    columns |= {"bits/dim, importance-weighted": score("bits_per_dimension_iw", ".3f")}
    lines = ["## Reconstruction and likelihood", "", "Test pictures as they come back from their codes (3 dB more is"]
    lines += ["half the squared error), and upper bounds of what they would take by the model's probabilities.", ""]
    lines += [*table(columns, found), *told(changed)]
    if any(group[0][0] == "vae-dense" for group in found):
        lines += ["", "Bits per dimension of `vae-dense` are of a Bernoulli likelihood: they compare with no others."]
    return [*lines, ""]


def binarized() -> list[str]:
    """Nats of black and white MNIST beside the published ones."""
    result = stored("binarized-mnist")
    if result is None:
        return []
    codes, published = result["protocol"]["codes"], result["published"]
    lines = ["## Nats of black and white MNIST", "", "Bounds from above on -log p(x) of a test picture by importance"]
    lines += ["weights, fewer are better. `binarized-mnist` is one draw, the same for all; Bernoulli likelihoods.", ""]
    lines += [f"| recipe | seconds | parameters | pictures seen | test pictures | nats, {codes} codes | bits/dim |"]
    lines += ["|---|---|---|---|---|---|---|"]
    lines += [
        f"| `{row['recipe']}` | {row['seconds']:.0f} | {row['parameters'] / 1e6:.1f} M | {row['images_seen']:,} "
        f"| {row['pictures']:,} | {interval(row['nats'], '.2f')} | {row['bits_per_dimension']['value']:.4f} |"
        for row in result["rows"]
    ]
    lines += ["", "Published, of models trained to the end:", "", "| model | codes | nats |", "|---|---|---|"]
    lines += [f"| {row['model']} | {row['codes']:,} | {row['nats']:.2f} |" for row in published["rows"]]
    lines += ["", f"From {published['source']}. Data: {published['data']}."]
    return [*lines, "", *dict.fromkeys(machine_line(row["machine"]) for row in result["rows"]), ""]


def titled(group: Group, changed: list[tuple[str, ...]]) -> str:
    """A recipe with what it chose, or the letter of what was changed."""
    (recipe, _, _, settings), trained = group
    chosen = dict.fromkeys(row["chosen"] for row in trained if "chosen" in row)
    if chosen:
        recipe += f" (chose {', '.join(chosen)})"
    return f"{recipe} ({letter(changed, settings)})" if settings else recipe


def told(changed: list[tuple[str, ...]]) -> list[str]:
    """What the letters mean."""
    return [f"\n({letter(changed, settings)}): with `{'`, `'.join(settings)}`." for settings in changed]


def letter(changed: list[tuple[str, ...]], settings: tuple[str, ...]) -> str:
    """What stands for changed settings in a table."""
    return "abcdefghijklmnopqrstuvwxyz"[changed.index(settings)]


def throughput() -> list[str]:
    """Training speed beside the peers'."""
    names = ("throughput", "throughput-flow", "throughput-gan")
    found = [result for result in map(stored, names) if result is not None]
    if not found:
        return []
    lines = ["## Training speed", "", *dict.fromkeys(result["protocol"] for result in found), ""]
    lines += ["| work | who | rounds | pictures a second (median, min to max) | ours is faster by | share of peak |"]
    lines += ["|---|---|---|---|---|---|"]
    for row in (row for result in found for row in result["rows"]):
        ratio = f"{row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})" if row.get("ratio") else ""
        share = f"{row['share_of_peak']:.0%}" if row.get("share_of_peak") else ""
        speed = f"{row['median']:,.0f} ({row['min']:,.0f} to {row['max']:,.0f})"
        lines.append(f"| {row['work']} | {row['who']} | {row['n']} | {speed} | {ratio} | {share} |")
    return [*lines, "", *dict.fromkeys(machine_line(result["machine"]) for result in found), ""]


def stored(name: str) -> dict[str, Any] | None:
    """A result file, or None where it was not taken."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def between(values: dict[str, float], low: str = "min", high: str = "max") -> str:
    """`median (least to most)`."""
    return f"{values['median']:.3g} ({values[low]:.3g} to {values[high]:.3g})"


def interval(value: dict[str, Any], form: str) -> str:
    """`value (low to high)`; the value alone where the interval is not finite."""
    if value["low"] is None or value["high"] is None:
        return format(value["value"], form)
    return f"{value['value']:{form}} ({value['low']:{form}} to {value['high']:{form}})"


def percent(value: float | None, form: str) -> str:
    """A BD-rate; None is of curves that share no quality."""
    return "no equal quality" if value is None else f"{value:{form}} %"


def drawing_speed() -> list[str]:
    """Our U-Net and the public ones while they draw."""
    result = stored("drawing")
    if result is None:
        return []
    lines = ["## Drawing speed", "", f"Pictures of 28×28 by {result['looks']} looks at networks of about equal size,"]
    lines[-1] += " as they are before training; rounds interleaved, medians (least to most)."
    lines += ["", "| who | parameters | pictures a second | ours is faster by |", "|---|---|---|---|"]
    for row in result["rows"]:
        ratio = f"{row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})" if row["ratio"] != 1 else ""
        lines.append(f"| {row['who']} | {row['parameters']:,} | {between(row)} | {ratio} |")
    return [*lines, "", machine_line(result["machine"]), ""]


def diffusion_peers() -> list[str]:
    """What the peers' own trainers reach."""
    result = stored("diffusion-peers")
    if result is None:
        return []
    lines = [f"## The diffusion peers' trainers after {result['minutes']:g} minutes", ""]
    lines += [f"Fashion-MNIST, drawn by DDIM in 50 steps, {result['count']:,} pictures judged as ours are.", ""]
    lines += ["| who | parameters | pictures trained on | seconds | Fréchet distance | precision | recall |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for row in result["rows"]:
        scores = [row["scores"][name]["value"] for name in ("frechet", "precision", "recall")]
        lines.append(
            f"| {row['who']} | {row['parameters']:,} | {row['images']:,} | {row['train_seconds']:.0f} "
            f"| {scores[0]:.1f} | {scores[1]:.2f} | {scores[2]:.2f} |"
        )
    lines += ["", *(f"- {row['who']}: {row['settings']}." for row in result["rows"])]
    return [*lines, "", machine_line(result["machine"]), ""]


def distilled() -> list[str]:
    """A distilled flow beside its teacher."""
    result = stored("distilled")
    if result is None:
        return []
    seconds, drawn = result["run"]["seconds"], result["protocol"]["drawn"]
    lines = ["## Fewer steps", "", f"`{result['run']['recipe']}` on Fashion-MNIST after {seconds / 60:.0f} minutes,"]
    lines[-1] += f" teacher included; {drawn:,} pictures."
    lines += ["", "| who draws | looks | Fréchet distance | by the teacher's | recall | pictures a second |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, row in result["rows"].items():
        scores = row["scores"]
        lines.append(
            f"| {name} | {row['looks']} | {scores['frechet']['value']:.2f} | {row['frechet_by_teachers']:.2f} "
            f"| {scores['recall']['value']:.2f} | {row['images_per_second']:,.0f} |"
        )
    return [*lines, "", machine_line(result["machine"]), ""]


def editing() -> list[str]:
    """Holes filled by flows and by what needs no training."""
    named = ("fashion-mnist", "emoji", "photographs")
    results = {name: result for name in named if (result := stored(f"editing-{name}")) is not None}
    if not results:
        return []
    lines = ["## Holes filled", "", "Held-out pictures; PSNR of the hole's pixels alone (95 % interval), Fréchet"]
    lines[-1] += " distance with all that is known set to grey, between half of them filled and the others as they are."
    lines += ["", "| pictures | hole | filled by | PSNR, dB | Fréchet distance | floor | known pixels kept |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for name, result in results.items():
        for mask, found in result["masks"].items():
            for way, row in found["filled"].items():
                kept = "all" if row["known_pixels_identical"] else "NOT ALL"
                lines.append(
                    f"| {result['pictures']} of {name} | {mask}, {found['share']:.0%} | {way} "
                    f"| {interval(row['psnr_in_hole'], '.1f')} | {row['frechet_in_hole']:.3g} "
                    f"| {found['floor']['frechet_in_hole']:.3g} | {kept} |"
                )
    lines += ["", *(f"- {name}: in features of {result['features']}." for name, result in results.items())]
    return [*lines, "", *dict.fromkeys(machine_line(result["machine"]) for result in results.values()), ""]


def modes() -> list[str]:
    """Modes of stacked pictures."""
    result = stored("modes")
    if result is None:
        return []
    of_real = result["real_pictures"]
    lines = ["## Modes", "", f"{result['data']}, classes of the channels by a `{result['recogniser']['recipe']}`;"]
    lines += ["KL divergence from even modes in nats.", ""]
    titles = [f"{what} of {n:,}" for n in (of_real, result["drawn"]) for what in ("modes", "KL")]
    lines += [f"| what | seed | seconds | {' | '.join(titles)} |", f"|---|---|---|{'---|' * len(titles)}"]

    def cells(found: dict[str, Any]) -> str:
        return f"{found['modes']['value']:.0f} | {interval(found['kl'], '.3f')}"

    lines += [f"| real pictures of {result['real_from']} | | | {cells(result['real'])} | | |"]
    lines += [
        f"| `{run['recipe']}` | {run['seed']} | {run['seconds']:.0f} "
        f"| {cells(run['of_as_many_as_real'])} | {cells(run)} |"
        for run in result["runs"]
    ]
    return [*lines, "", machine_line(result["machine"]), ""]


def few() -> list[str]:
    """Generators of few pictures and of all there are, with adaptive augmentation and without."""
    return [line for name in ("few-emoji", "few-emoji-all") for line in augmented(stored(name))]


def augmented(result: dict[str, Any] | None) -> list[str]:
    """One such comparison."""
    if result is None:
        return []
    lines = [f"## {result['train_pictures']} training pictures", "", f"`{result['recipe']}` on emoji, in features of"]
    lines[-1] += f" {result['protocol']['extractor']['name']}; {result['protocol']['reference']} test pictures."
    lines += ["", "| adaptive augmentation | minutes | seeds | Fréchet distance (least to most) | floor |"]
    lines += ["|---|---|---|---|---|"]
    for way, row in result["ways"].items():
        values = row["frechet"]
        distance = f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
        lines.append(f"| {way} | {result['minutes']:g} | {len(values)} | {distance} | {row['floor']:.1f} |")
    ratio = f"{result['with_over_without']:.2f}"
    return [*lines, "", f"With it the distance is {ratio} times that without.", "", machine_line(result["machine"]), ""]


def augment() -> list[str]:
    """Recognisers of few, with drawn pictures and without."""
    result = stored("augment")
    if result is None:
        return []
    protocol, accuracies = result["protocol"], result["accuracy"]
    lines = ["## Do drawn pictures help?", "", f"{protocol['data']}, {protocol['recogniser']};"]
    lines += [f"{protocol['seeds']} seeds, {protocol['pictures']:,} {protocol['split']} pictures. Accuracy:", ""]
    lines += [f"| trained on | {' | '.join(f'{shots} a class' for shots in accuracies)} |"]
    lines += [f"|---|{'---|' * len(accuracies)}"]
    for way in dict.fromkeys(way for row in accuracies.values() for way in row):
        cells = [interval(row[way], ".2%") if way in row else "" for row in accuracies.values()]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    lines += ["", "| pictures a class | with | against | accuracy gained | verdict |", "|---|---|---|---|---|"]
    lines += [
        f"| {c['shots']} | {c['with']} | {c['without']} | {interval(c['accuracy'], '+.2%')} "
        f"| {c['accuracy']['verdict']} |"
        for c in result["comparisons"]
    ]
    lines += ["", *(f"- {note}" for note in result["notes"])]
    return [*lines, "", machine_line(result["machine"]), ""]


def detect() -> list[str]:
    """A detector on composed scenes."""
    result = stored("detect")
    if result is None:
        return []
    lines = ["## Finding things", "", f"`detector` on {result['data']}, {result['minutes']:g} minutes, one seed;"]
    lines[-1] += f" {result['protocol']['pictures']:,} {result['protocol']['split']} pictures."
    lines += ["", "| score | value (95 % interval) |", "|---|---|"]
    whole = {name: value for name, value in result["scores"].items() if "[" not in name}
    lines += [f"| {name.replace('_', ' ')} | {interval(value, '.3f')} |" for name, value in whole.items()]
    lines += [
        f"| milliseconds a picture, {way} | {row['median']:g} ({row['first quartile']:g} to {row['third quartile']:g}, "
        f"quartiles; {row['threads']} threads) |"
        for way, row in result["milliseconds_a_picture"].items()
    ]
    return [*lines, "", machine_line(result["machine"]), ""]


def lossless() -> list[str]:
    """Archives beside the file formats."""
    result = stored("lossless-fashion-mnist")
    if result is None:
        return []
    ours = result["mezzotint"]
    lines = [
        "## Compression without loss",
        "",
        "Test pictures of Fashion-MNIST. Ours has the model, names and index in it,",
    ]
    lines += [f"{ours['model_bits_per_pixel']:.3f} bits a pixel of it the model. Speeds are wall-clock; ours takes", ""]
    lines[-2] += f" {result['threads']} threads, and compressing is without the comparison that follows it by default."
    lines += ["| what | pictures | bits a pixel | megapixels a second |", "|---|---|---|---|"]
    both = f"{ours['compress_megapixels_per_second']:.2f} (back {ours['decompress_megapixels_per_second']:.2f})"
    lines += [f"| mezzotint | {ours['pictures']:,} | {ours['bits_per_pixel']:.2f} | {both} |"]
    lines += [
        f"| {name} | {row['pictures']:,} | {row['bits_per_pixel']:.2f} | {row['megapixels_per_second']:.3f} |"
        for name, row in result["peers"].items()
    ]
    return [*lines, "", machine_line(result["machine"]), "", *of_folder("emoji")]


def of_folder(kind: str) -> list[str]:
    """An archive of files beside what others make of the same pixels."""
    result = stored(f"lossless-{kind}")
    if result is None or "peers" not in result:
        return []
    lines = [f"{result['pictures']} files of {kind}, {result['files_bytes']:,} bytes; our archive {result['bytes']:,},"]
    lines += [f"{result['model_bytes']:,} of them the model, {result['index_bytes']:,} the index. Picture by picture:"]
    lines += ["", "| beside | pictures | its bytes | ours | ours by its |", "|---|---|---|---|---|"]
    lines += [
        f"| {name} | {row['pictures']} | {row['bytes']:,} | {row['ours_bytes']:,} "
        f"| {row['ours_bytes'] / row['bytes']:.3f} |"
        for name, row in result["peers"].items()
    ]
    rates = [result[f"{way}_megapixels_per_second"] for way in ("compress", "compress_verified", "decompress")]
    lines += ["", "Megapixels a second: {:.2f}, compared as well {:.2f}, back {:.2f}.".format(*rates)]
    return [*lines, "", machine_line(result["machine"]), ""]


def lossy() -> list[str]:
    """A codec beside the file formats."""
    found = {name: stored(f"lossy-{name}") for name in ("emoji", "photographs", "fashion-mnist")}
    results = {name: result for name, result in found.items() if result is not None}
    if not results:
        return []
    lines = [
        "## Compression with some loss",
        "",
        "Held-out pictures. BD-rate: bits that `codec` takes more (or less, below",
    ]
    lines += [
        "zero) at equal PSNR, or equal MS-SSIM, in the mean; whole files of the others, without our model's bytes.",
        "",
    ]
    lines += [
        "| pictures | sides | beside | BD-rate, PSNR | BD-rate, MS-SSIM | our model | not better at bits a pixel |"
    ]
    lines += ["|---|---|---|---|---|---|---|"]
    for name, result in results.items():
        for other, told in result["against"].items():
            worse = ", ".join(f"{rate:.2f}" for rate in told["not_better_by_psnr_at_their_bits_per_pixel"]) or "none"
            lines.append(
                f"| {result['pictures']} of {name} | {result['shape'][1]}×{result['shape'][0]} | {other} "
                f"| {percent(told['bd_rate_psnr'], '+.1f')} | {percent(told['bd_rate_ms_ssim'], '+.1f')} "
                f"| {result['model_bytes'] / 1000:.0f} kB | {worse} |"
            )
    return [*lines, "", *dict.fromkeys(machine_line(result["machine"]) for result in results.values()), ""]


def forecasting() -> list[str]:
    """ConvLSTM beside a plain loop."""
    result = stored("forecasting-speed")
    if result is None:
        return []
    ratio = result["ratio to the plain loop"]
    lines = ["## Training ConvLSTM beside a plain loop of the same cells", "", f"{result['protocol']}.", ""]
    lines += ["| way | steps a second |", "|---|---|"]
    lines += [
        f"| {name} | {rate:.2f} |" for name, rate in result["steps a second"].items() if "per processor" not in name
    ]
    worst = result["largest relative difference of losses in fp32"]
    lines += [
        "",
        f"Faster by {between(ratio, 'least', 'most')}; losses of twenty steps in fp32 differ by {worst:.0e} at most.",
        "",
    ]
    return [*lines, machine_line(result["machine"]), ""]


def forecasts() -> list[str]:
    """What forecasters reach in the same minutes, beside two that know nothing and what papers report."""
    result = stored("forecasting-quality")
    if result is None:
        return []
    first = next(iter(result["rows"].values()))
    protocol, simple = first["protocol"], first["scores"]
    lines = [f"## Forecasts of {protocol['data']} after {result['minutes']:g} minutes", ""]
    lines += [
        f"{protocol['context']} frames given, "
        f"{protocol['horizon']} forecast; {protocol['clips']:,} clips of the test set,"
    ]
    lines += ["one seed. Squared error summed over a frame, as the field does.", ""]
    lines += ["| forecaster | clips trained on | seconds | squared error a frame | the last step's | SSIM | PSNR, dB |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for name, row in result["rows"].items():
        own, last = row["scores"], row["mse_frame by step"][-1]
        error = f"{own['mse_frame']['value']:.1f} ({own['mse_frame']['low']:.1f} to {own['mse_frame']['high']:.1f})"
        likeness = f"{own['ssim']['value']:.3f} | {own['psnr']['value']:.2f}"
        seconds = f"{row['seconds']:,.0f}" if row.get("seconds") else ""
        lines.append(f"| `{name}` | {row['clips seen']:,} | {seconds} | {error} | {last:.1f} | {likeness} |")
    for name, said in (("copy_last", "last frame again"), ("linear_motion", "steady motion")):
        of = [simple[f"{name}_{score}"]["value"] for score in ("mse_frame", "ssim", "psnr")]
        lines.append(f"| {said} | | | {of[0]:.1f} | | {of[1]:.3f} | {of[2]:.2f} |")
    lines += [""] + [
        f"- Clip by clip, the error of `{d['of']}` less that of `{d['less that of']}` is {interval(d, '.1f')}."
        for d in result.get("mse_frame, clip by clip", [])
    ]
    if protocol["data"] == "moving-mnist":
        lines += ["", "Papers report, after trainings on GPUs:", ""]
        lines += [f"- {schedule}: {error}" for schedule, error in result["published"].items()]
    return [*lines, "", machine_line(result["machine"]), ""]


def neighbor() -> list[str]:
    """Training beside a busy process."""
    result = stored("neighbor")
    if result is None:
        return []
    lines = ["## Beside a busy neighbor", "", "`cnn-classic` while another process keeps a core busy; threads are the"]
    lines += ["program's own choice. Kept is the share of the rate on a quiet machine with one thread, by turns.", ""]
    lines += ["| round | quiet, one thread | busy, own choice | kept |", "|---|---|---|---|"]
    rates = result["images_per_second"]
    pairs = zip(rates["quiet, one thread"], rates["busy, own choice"], result["kept"]["rounds"], strict=True)
    lines += [f"| {i} | {quiet:,.0f} | {busy:,.0f} | {kept:.0%} |" for i, (quiet, busy, kept) in enumerate(pairs, 1)]
    return [*lines, "", machine_line(result["machine"]), ""]


def startup() -> list[str]:
    """The command line's answer."""
    result = stored("startup")
    if result is None:
        return []
    lines = ["## Start of the command line", "", "| command | seconds: median (least to most) | n |", "|---|---|---|"]
    lines += [f"| `mezzotint {name}` | {between(s)} | {s['n']} |" for name, s in result["seconds"].items()]
    return [*lines, "", machine_line(result["machine"]), ""]


def data() -> list[str]:
    """The way of pictures into training."""
    result = stored("data")
    if result is None:
        return []
    rows = {
        "first batch from the cached folder, s": "first_batch_seconds",
        "building that cache, s": "cache_seconds",
        "Pillow alone over the same files, s": "pillow_seconds",
        "Pillow's time over ours": "pillow_over_cache",
        "28×28 pictures a second in batches of 128, flipped and shifted": "batches_pictures_a_second",
    }
    lines = ["## Data", "", f"A folder of {result['files']:,} PNGs of 64×64 in colour; all cores on both sides.", ""]
    lines += ["| what | median (least to most) | n |", "|---|---|---|"]
    lines += [f"| {said} | {between(result[k], 'least', 'most')} | {result[k]['n']} |" for said, k in rows.items()]
    return [*lines, "", machine_line(result["machine"]), ""]


def frechet() -> list[str]:
    """Our Fréchet distance beside a matrix square root."""
    result = stored("frechet")
    if result is None:
        return []
    lines = ["## Fréchet distance beside `scipy.linalg.sqrtm`", ""]
    lines += [
        "| pictures | dimensions | ours, s | sqrtm, s | faster by | relative difference |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['pictures']:,} | {r['dimensions']:,} | {between(r['mezzotint_seconds'])} "
        f"| {between(r['sqrtm_seconds'])} | {r['times_faster']:.1f} | {r['relative_difference']:.0e} |"
        for r in result["results"]
    ]
    return [*lines, ""]


def bounds(peak: dict[str, float]) -> str:
    """What the distances of 10,000 pictures at 2,048 features cost at the least, by the peak of matrix products."""
    n, d = 10_000, 2048
    single, double = peak["float32"], peak["float64"]
    covariances, kernels = 2 * n * d**2 / double / 1e9, 4 * n**2 * d / single / 1e9
    return f"""At the peak of matrix products ({double:.0f} GFLOP/s in float64, {single:.0f} in float32) the
two covariances of 10,000 pictures at 2,048 features take {covariances:.1f} s, half of the products saved by symmetry,
before any eigenvalue. The kernel distance takes three tables, two of them symmetric: {kernels:.1f} s in float32.
Only another estimate can be faster than that (random subsets, lower precision)."""


def measuring() -> list[str]:
    """What measuring and an arena cost."""
    lines: list[str] = []
    result, arena = stored("measuring"), stored("arena")
    if result is not None:
        whole = result["whole"]
        lines += [
            "## Measuring",
            "",
            f"`measure` with all its scores of {whole['pictures']:,} drawn 32×32 pictures, in",
        ]
        lines += [
            f"the features of a `cnn`: {whole['besides_drawing_seconds']:.0f} s besides drawing them, peak memory "
        ]
        lines += [f"{whole['peak_mb']:,} MB. Distances beside torchmetrics' update and compute on the same rows of"]
        lines += ["features (medians, least to most; torchmetrics' kernel distance has no interval):", ""]
        lines += ["| distance | features | ours, s | torchmetrics, s | faster by | relative difference |"]
        lines += ["|---|---|---|---|---|---|"]
        for features, rows in result["beside_torchmetrics"].items():
            for name, row in rows.items():
                times = [statistics.median(row["seconds"][who]) for who in ("ours", "torchmetrics")]
                told = f"{times[0]:.2f} | {times[1]:.2f} | {between(row['times_faster'], 'least', 'most')}"
                lines.append(f"| {name} | {int(features):,} | {told} | {row['relative_difference']:.0e} |")
        lines += ["", bounds(result["peak_gflops"]), "", machine_line(result["machine"]), ""]
    if arena is not None:
        share = f"{arena['own_share_of_training']:.1%}"
        lines += [f"An arena's own work, beside training and measuring, took {share} of the time of its trainings", ""]
        lines[-2] += f" ({arena['what']})."
    return lines


def headlines(rows: list[dict[str, Any]]) -> dict[str, str]:
    """What each recipe reached on Fashion-MNIST within its longest measured budget."""
    longest: dict[str, tuple[float, str]] = {}
    for (recipe, data, minutes, settings), trained in groups(rows).items():
        if data == "fashion-mnist" and not settings and minutes > longest.get(recipe, (0.0, ""))[0]:
            longest[recipe] = (minutes, f"{minutes:g} min: {headline(trained)}")
    said = {recipe: said for recipe, (_, said) in longest.items()}
    if (packed := stored("lossless-fashion-mnist")) is not None:
        least = min(row["bits_per_pixel"] for row in packed["peers"].values())
        ours = packed["mezzotint"]["bits_per_pixel"]
        said["lossless"] = (
            f"4 min: {ours:.2f} bits a pixel, model counted; the best of PNG, WebP, AVIF and xz {least:.2f}"
        )
    if (foreseen := stored("forecasting-quality")) is not None:
        for name, row in foreseen["rows"].items():
            own, last = (row["scores"][f"{prefix}mse_frame"]["value"] for prefix in ("", "copy_last_"))
            said[name] = (
                f"{foreseen['minutes']:g} min: squared error a frame {own:.1f} on {row['protocol']['data']} "
                f"(last frame again: {last:.1f}; one seed)"
            )
    if (shrunk := stored("lossy-fashion-mnist")) is not None:
        told = shrunk["against"]["webp"]
        said["codec"] = (
            f"{percent(told['bd_rate_psnr'], '+.0f')} of WebP's bits at equal PSNR, "
            f"{percent(told['bd_rate_ms_ssim'], '+.0f')} at MS-SSIM"
        )
    return dict(sorted(said.items()))


def distances(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """By recipe as it is, choosers left out: what `mezzotint.recipes.measured.Distance` holds of each training."""
    drawn = [row for row in rows if "frechet" in row["scores"] and not row["set"] and "chosen" not in row]
    rulers = sorted({ruler(row) for row in drawn})
    alike = {name: groups([row for row in drawn if ruler(row) == name]) for name in rulers}
    found: dict[str, list[dict[str, Any]]] = {}
    for name, parts in alike.items():
        for (recipe, data, minutes, _), trained in sorted(parts.items()):
            value = {"minutes": minutes, "frechet": round(median(trained, "frechet"), 2), "runs": len(trained)}
            about = {"data": data, "shape": trained[0]["protocol"]["shape"], "ruler": name}
            found.setdefault(recipe, []).append(value | about)
    return found


def ruler(row: dict[str, Any]) -> str:
    """In which features, and by which way of measuring, a row's distances were taken."""
    protocol = row["protocol"]
    return f"{protocol['extractor']['name']} {protocol['extractor']['digest'][:8]}, measures {protocol['measures']}"


FAMILIES = {
    "Draw": ("flow", "gan"),
    "Code, draw, compress": ("vae", "lossless", "lossy"),
    "Recognise, find": ("recognize", "detect"),
    "Continue films": ("forecast",),
}
"""The README's tables, by the modules of the recipes."""


def models(said: dict[str, str]) -> str:
    """The README's tables of the recipes."""
    from mezzotint.catalog import RECIPES

    parts: list[str] = []
    for family, modules in FAMILIES.items():
        parts += ["", f"### {family}", "", "| recipe | for | parameters | measured on Fashion-MNIST, two CPU cores |"]
        parts += ["|---|---|---|---|"]
        entries = {name: entry for name, entry in RECIPES.items() if entry.module in modules}
        parts += [f"| `{n}` | {e.purpose} | {e.parameters} | {said.get(n, '')} |" for n, e in entries.items()]
    return "\n".join(parts[1:])


def headline(trained: list[dict[str, Any]]) -> str:
    """The score that a recipe is for."""
    seeds = f"median of {len(trained)} seeds" if len(trained) > 1 else "one seed"
    if "accuracy" in trained[0]["scores"]:
        return f"test accuracy {median(trained, 'accuracy'):.2%} ({seeds})"
    if "neighbor_accuracy" in trained[0]["scores"]:
        return f"accuracy of nearest neighbors {median(trained, 'neighbor_accuracy'):.2%} ({seeds})"
    if "mse_frame" in trained[0]["scores"]:
        return f"squared error a frame {median(trained, 'mse_frame'):.1f} on moving-fashion ({seeds})"
    floor = median(trained, "frechet_floor")
    return f"Fréchet distance {median(trained, 'frechet'):.1f} in features of a cnn (floor {floor:.1f}; {seeds})"


def machine_line(machine: dict[str, Any]) -> str:
    """Hardware and versions in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    gpu = f", {machine['gpu']}" if "gpu" in machine else ""
    return f"{machine['cpu']}, {machine['cores']} cores{gpu}, Python {machine['python']}; {versions}."


if __name__ == "__main__":
    main()
