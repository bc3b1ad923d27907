"""Takes all benchmarks again, one after another, and writes docs/benchmarks.md: `make bench`. Takes about three hours.

The trainings that are finished are kept, so that a stopped run goes on with the next.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
MINUTES = {"cnn-classic": "1", "dcgan": "5", "dcgan-tutorial": "3", "gan-mlp": "3", "vae": "3", "vae-dense": "1"}
"""What the README's pictures are made with."""


def main() -> None:
    """Speed, start-up, data, quality; then the tables."""
    RESULTS.mkdir(exist_ok=True)
    part("throughput.py", "--out", str(RESULTS / "throughput.json"))
    part("startup.py", "--out", str(RESULTS / "startup.json"))
    part("data.py", "--out", str(RESULTS / "data.json"))
    part("frechet.py", "--out", str(RESULTS / "frechet.json"))
    part("audit.py", "--out", str(RESULTS / "audit-power.json"))
    part("neighbor.py", "--out", str(RESULTS / "neighbor.json"))
    runs = HERE.parent / "runs" / "benchmarks"
    part("quality.py", "cnn", "--keep", str(runs), "--out", str(RESULTS / "quality-cnn.jsonl"))
    ruler = str(runs / "cnn-10-0")
    for recipe, minutes in MINUTES.items():
        out = str(RESULTS / f"quality-{recipe}.jsonl")
        options = ["--minutes", minutes, "--seeds", "0", "--keep", str(runs), "--out", out]
        part("quality.py", recipe, *options, *([] if recipe == "cnn-classic" else ["--features", ruler]))
    part("tables.py")


def part(script: str, *options: str) -> None:
    """Run one script; a failure is said and does not stop the others."""
    print(f"== {script} {' '.join(options)}", flush=True)
    if subprocess.run([sys.executable, str(HERE / script), *options], check=False).returncode:
        print(f"== {script} FAILED", flush=True)


if __name__ == "__main__":
    main()
