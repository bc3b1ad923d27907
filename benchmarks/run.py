"""Takes all benchmarks again, one after another, and writes docs/benchmarks.md: `make bench`. Takes about three hours.

The trainings that are finished are kept, so that a stopped run goes on with the next.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
RUNS = HERE.parent / "runs" / "benchmarks"
RULER = RUNS / "cnn-10" / "cnn-0"
"""The recogniser in whose features the generators are measured."""
MINUTES = {"cnn-classic": 1, "dcgan": 5, "dcgan-tutorial": 3, "flow": 4, "gan-mlp": 3}
MINUTES |= {"vae": 3, "vae-dense": 1, "vicreg": 5}
"""What the README's pictures are made with."""
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


def main() -> None:
    """Speed, start-up, data, quality; then the tables."""
    RESULTS.mkdir(exist_ok=True)
    script(
        "throughput.py",
        "--works",
        "cnn-classic",
        "dcgan-tutorial",
        "pythae-vae",
        "--out",
        str(RESULTS / "throughput.json"),
    )
    script("throughput.py", "--works", "flow", "--rounds", "3", "--out", str(RESULTS / "throughput-flow.json"))
    script("forecasting.py", "speed", "--out", str(RESULTS / "forecasting-speed.json"))
    packer = str(RUNS / "packer")
    part("-m", "mezzotint", "train", "lossless", "fashion-mnist", "--minutes", "4", "--out", packer)
    script("lossless.py", packer, "fashion-mnist", "--out", str(RESULTS / "lossless-fashion-mnist.json"))
    script("startup.py", "--out", str(RESULTS / "startup.json"))
    script("data.py", "--out", str(RESULTS / "data.json"))
    script("frechet.py", "--out", str(RESULTS / "frechet.json"))
    script("audit.py", "--out", str(RESULTS / "audit-power.json"))
    script("measuring.py", "--out", str(RESULTS / "measuring.json"))
    script("neighbor.py", "--out", str(RESULTS / "neighbor.json"))
    league("cnn", [1, 3, 10], seeds=3)
    for recipe, minutes in MINUTES.items():
        league(recipe, [minutes], seeds=1, features=RULER)
    league("flow", [4], seeds=1, features=RULER, name="flow-plain", settings=PLAIN)
    rulers = [f"vicreg={RUNS / 'vicreg-5' / 'vicreg-0'}", f"cnn={RULER}"]
    script("neighbors.py", *rulers, "--out", str(RESULTS / "neighbors.json"))
    script("tables.py")


def league(
    recipe: str,
    budgets: list[int],
    seeds: int,
    features: Path | None = None,
    name: str = "",
    settings: tuple[str, ...] = (),
) -> None:
    """What a recipe reaches within minutes of wall-clock, start-up and measuring included: quality-NAME.jsonl."""
    rows, name = "", name or recipe
    for minutes in budgets:
        out = RUNS / f"{name}-{minutes}"
        command = ["arena", "fashion-mnist", "--recipes", recipe, "--minutes", str(minutes), "--seeds", str(seeds)]
        ruler = ["--features", str(features)] if features else []
        changes = [word for setting in settings for word in ("--set", setting)]
        part("-m", "mezzotint", *command, "--out", str(out), *ruler, *changes)
        rows += (out / "league.jsonl").read_text() if (out / "league.jsonl").exists() else ""
    (RESULTS / f"quality-{name}.jsonl").write_text(rows)


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
