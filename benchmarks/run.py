"""Takes the benchmarks again, one after another, and writes docs/benchmarks.md: `make bench`. Takes most of a day.

`python benchmarks/run.py --only gan flow` takes some parts (PARTS names them, in the order in which they are taken);
`--only tables` takes none. Trainings that are finished are kept in runs/benchmarks, so that a stopped run goes on with
the next; what is measured of them is measured anew.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from mezzotint import arena

HERE = Path(__file__).parent
RESULTS = HERE / "results"
RUNS = HERE.parent / "runs" / "benchmarks"
RULER = RUNS / "cnn-10" / "cnn-0"
"""The recogniser in whose features the generators are measured."""
LINE = ("gan-mlp", "dcgan", "dcgan-tutorial", "lsgan", "wgan", "wgan-gp", "sngan", "biggan", "progan", "lapgan")
LINE += ("cogan", "r3gan")
"""The adversarial recipes."""
PLAIN = (
    "method.network.width=48",
    "method.conditional=false",
    "method.drawing.solver=heun",
    "method.drawing.guidance=1.0",
)
PLAIN += (
    "optimizers.network.name=adam",
    "optimizers.network.lr=1e-3",
    "optimizers.network.schedule=constant",
    "batch=128",
)
"""A flow as it is first written down: what `flow` has to beat."""


def speed() -> None:
    """Training beside the peers, start-up, data, distances, measuring."""
    works = ("--works", "cnn-classic", "dcgan-tutorial", "pythae-vae")
    script("throughput.py", *works, "--out", result("throughput"))
    script("throughput.py", "--works", "flow", "--rounds", "3", "--out", result("throughput-flow"))
    line = [name for name in LINE if name != "dcgan-tutorial"]  # it is above, beside its peers
    script("throughput.py", "--works", *line, "--rounds", "3", "--out", result("throughput-gan"))
    script("forecasting.py", "speed", "--out", result("forecasting-speed"))
    for name in ("startup", "data", "frechet", "measuring", "neighbor"):
        script(f"{name}.py", "--out", result(name))
    script("audit.py", "--out", result("audit-power"))


def recognize() -> None:
    """Recognisers; the first of ten minutes is the ruler of all that draws."""
    league("cnn", {1: 3, 3: 3, 10: 3, 60: 1}, ruled=False)
    league("cnn-classic", {1: 1}, ruled=False)
    league("cnn", {0.9: 5}, data="digits", ruled=False)


def gan() -> None:
    """The adversarial line for five minutes each; what `gan` then chooses beside two of the line, for ten."""
    for recipe in LINE:
        league(recipe, {5: 1, 10: 3} if recipe in ("wgan-gp", "sngan") else {5: 1})
    script("tables.py")  # the chooser goes by what was measured
    league("gan", {5: 1, 10: 3})


def flow() -> None:
    """Flows, and one as it is first written down."""
    league("flow", {4: 3, 10: 3, 30: 1})
    league("flow-plain", {4: 1}, recipe="flow", settings=PLAIN)


def diffusion() -> None:
    """Flows beside the diffusion peers, and in fewer steps."""
    script("drawing.py", "--out", result("drawing"))
    script("peers_pictures.py", "--count", "2000", "--out", result("diffusion-peers"))
    fast = trained("flow-fast", "flow-fast", "fashion-mnist", "--minutes", "15")
    script("distilled.py", fast, "--features", str(ruler()), "--out", result("distilled"))


def editing() -> None:
    """Holes filled by flows of ten minutes."""
    kinds = {"fashion-mnist": "fashion-mnist", "emoji": cut("emoji"), "photographs": cut("photographs")}
    for kind, data in kinds.items():
        if data is not None:
            size = () if kind == "fashion-mnist" else ("--size", "64")
            names = "flow", "flow-inpaint"
            runs = [f"{n}={trained(f'{n}-{kind}', n, str(data), '--minutes', '10', *size)}" for n in names]
            rule = ("--features", str(ruler())) if kind == "fashion-mnist" else ()
            script("editing.py", str(data), *runs, *rule, "--out", result(f"editing-{kind}"))


def latent() -> None:
    """What draws from latents, and what it knows of black and white pictures in nats."""
    for recipe in ("vae", "hvae", "vq", "fsq"):
        league(recipe, {3: 1, 10: 1} if recipe == "vae" else {10: 1})
    league("vae-dense", {1: 1})
    binarized()


def binarized() -> None:
    """Nats of black and white MNIST, where there is MNIST."""
    from mezzotint.data import cache, sources

    if sources._place("mnist", cache.folder()) is None:
        print("== no mnist on this machine, its nats left out: $MEZZOTINT_DATA names where it lies", flush=True)
        return
    bernoulli = ("--set", "method.likelihood=bernoulli")
    settings = {"vae-dense": (), "vae": bernoulli, "iwae": bernoulli, "hvae": bernoulli}
    runs = [
        trained(f"binarized-{recipe}", recipe, "binarized-mnist", "--minutes", "10", *changes)
        for recipe, changes in settings.items()
    ]
    script("binarized.py", *runs, "--out", result("binarized-mnist"))


def features() -> None:
    """Features without labels."""
    league("vicreg", {5: 1})
    rulers = [f"vicreg={RUNS / 'vicreg-5' / 'vicreg-0'}", f"cnn={ruler()}"]
    script("neighbors.py", *rulers, "--out", result("neighbors"))


def lossless() -> None:
    """Archives of Fashion-MNIST and of a vendor's emoji."""
    packer = trained("packer", "lossless", "fashion-mnist", "--minutes", "4")
    script("lossless.py", packer, "fashion-mnist", "--out", result("lossless-fashion-mnist"))
    if (emoji := cut("emoji", "--alpha")) is not None:
        packer = trained("packer-emoji", "lossless", str(emoji), "--images", "200k")
        script("lossless.py", packer, str(emoji / "test"), "--out", result("lossless-emoji"))


def lossy() -> None:
    """A codec of 25 minutes beside the formats, on pictures of its own kind."""
    codec = trained("codec-fashion-mnist", "codec", "fashion-mnist", "--minutes", "25")
    script("lossy.py", codec, "fashion-mnist", "--out", result("lossy-fashion-mnist"))
    for kind in ("emoji", "photographs"):
        if (folder := cut(kind)) is not None:
            codec = trained(f"codec-{kind}", "codec", str(folder), "--minutes", "25")
            script("lossy.py", codec, str(folder), "--out", result(f"lossy-{kind}"))


def forecast() -> None:
    """What comes next in a film."""
    what = ("--data", "moving-mnist", "--recipes", "convlstm", "predrnn", "simvp")
    script("forecasting.py", "quality", *what, "--out", result("forecasting-quality"))


def detect() -> None:
    """Things on composed scenes."""
    script("detect.py", "--out", result("detect"))


def augment() -> None:
    """Whether drawn pictures help a recogniser of few."""
    drawer = trained("augmenter", "flow", "fashion-mnist", "--minutes", "10")
    script("augment.py", drawer, "--recogniser", str(ruler()), "--out", result("augment"))


def modes() -> None:
    """Modes of stacked pictures."""
    script("modes.py", "--recogniser", str(ruler()), "--minutes", "10", "--out", result("modes"))


def few() -> None:
    """A generator of 500 emoji and of all, with adaptive augmentation and without."""
    if (folder := cut("emoji")) is not None:
        script("few.py", str(folder), "--out", result("few-emoji"))
        script("few.py", str(folder), "--train", "0", "--out", result("few-emoji-all"))


PARTS: dict[str, Callable[[], None]] = {
    "speed": speed,
    "lossless": lossless,
    "recognize": recognize,
    "gan": gan,
    "flow": flow,
    "diffusion": diffusion,
    "editing": editing,
    "latent": latent,
    "features": features,
    "lossy": lossy,
    "forecast": forecast,
    "detect": detect,
    "modes": modes,
    "few": few,
    "augment": augment,
    "tables": lambda: None,
}


def main() -> None:
    """The parts that are asked for, then the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(PARTS), metavar="PART", help=", ".join(PARTS))
    asked = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    for name, take in PARTS.items():
        if asked.only is None or name in asked.only:
            take()
    script("tables.py")


def league(
    name: str,
    budgets: Mapping[float, int],
    *,
    recipe: str = "",
    data: str = "fashion-mnist",
    ruled: bool = True,
    settings: tuple[str, ...] = (),
) -> None:
    """What a recipe reaches within minutes of wall-clock, start-up and measuring included, from so many seeds each.

    Distances are in the features of the ruler, where there are any (`ruled`). The lines are kept as quality-NAME.jsonl,
    other data than Fashion-MNIST in the name as well.
    """
    called = name if data == "fashion-mnist" else f"{name}-{data}"
    rule = ["--features", str(ruler())] if ruled else []
    changes = [word for setting in settings for word in ("--set", setting)]
    for minutes, seeds in budgets.items():
        out = RUNS / f"{called}-{minutes:g}"
        command = ["arena", data, "--recipes", recipe or name, "--minutes", f"{minutes:g}", "--seeds", str(seeds)]
        part("-m", "mezzotint", *command, "--out", str(out), *rule, *changes)
        if (out / "league.jsonl").exists():
            keep(RESULTS / f"quality-{called}.jsonl", [json.dumps(row) for row in arena.read(out)])


def keep(path: Path, lines: list[str]) -> None:
    """Put the lines of one budget in the place of its earlier ones; those of other budgets stay."""
    taken = {json.loads(line)["minutes"] for line in lines}
    before = path.read_text().splitlines() if path.exists() else []
    rows = [line for line in before if json.loads(line)["minutes"] not in taken] + lines
    path.write_text("".join(f"{line}\n" for line in sorted(rows, key=lambda line: json.loads(line)["minutes"])))


def ruler() -> Path:
    """The recogniser of ten minutes, trained where it is not there; `recognize` trains its other seeds."""
    if not (RULER / "score.json").is_file():
        command = ("arena", "fashion-mnist", "--recipes", "cnn", "--minutes", "10", "--seeds", "1")
        part("-m", "mezzotint", *command, "--out", str(RULER.parent))
    return RULER


def trained(name: str, recipe: str, data: str, *budget: str) -> str:
    """The run of that name, begun or gone on with where it is not finished."""
    run = RUNS / name
    if (run / "run.json").is_file() and not (run / "score.json").is_file():
        part("-m", "mezzotint", "train", "--resume", str(run))
    elif not run.is_dir():
        part("-m", "mezzotint", "train", recipe, data, *budget, "--out", str(run))
    return str(run)


def cut(kind: str, *options: str) -> Path | None:
    """Emoji or photographs cut into train, val and test, where there are any: looked for as `scenes` does."""
    from mezzotint.data import cache, sources

    source, out = sources._place(kind, cache.folder()), RUNS / "".join([kind, *options]).replace("--", "-")
    if source is None and kind == "photographs" and Path("/usr/share/backgrounds").is_dir():
        source = Path("/usr/share/backgrounds")
    if source is None:
        print(f"== no {kind} on this machine, left out: docs/detect.md says where they are looked for", flush=True)
        return None
    if kind == "emoji":  # one of the sizes that the package brings
        source = next(iter(sorted((source / "img").glob("*/64"))), source)
    if not out.is_dir():
        new = out.with_name(f"{out.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        script("lossy.py", str(source), "--make", kind, *options, "--out", str(new))
        if not (new / "train").is_dir():
            return None
        new.rename(out)
    return out


def result(name: str) -> str:
    """The file of a result."""
    return str(RESULTS / f"{name}.json")


def script(name: str, *options: str) -> None:
    """Run one script of this folder."""
    part(str(HERE / name), *options)


def part(*words: str) -> None:
    """Run one command; a failure is said and does not stop the others."""
    print(f"== {' '.join(words)}", flush=True)
    if subprocess.run([sys.executable, *words], check=False).returncode:
        print(f"== {' '.join(words)} FAILED", flush=True)


if __name__ == "__main__":
    main()
