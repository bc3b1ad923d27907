"""Takes all benchmarks again, one after another, and writes docs/benchmarks.md: `make bench`. Takes about three hours.

Each part keeps what is finished, so that a stopped run goes on where it was.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def main() -> None:
    """Speed, start-up, data, quality; then the tables."""
    RESULTS.mkdir(exist_ok=True)
    part("throughput.py", "--out", str(RESULTS / "throughput.json"))
    part("startup.py", "--out", str(RESULTS / "startup.json"))
    part("data.py", "--out", str(RESULTS / "data.json"))
    part("frechet.py", "--out", str(RESULTS / "frechet.json"))
    part("neighbor.py", "--out", str(RESULTS / "neighbor.json"))
    runs = HERE.parent / "runs" / "benchmarks"
    part("quality.py", "cnn", "--keep", str(runs), "--out", str(RESULTS / "quality-cnn.jsonl"))
    ruler = str(runs / "cnn-10-0")
    for recipe in ("dcgan", "gan-mlp", "vae", "vae-dense"):
        out = str(RESULTS / f"quality-{recipe}.jsonl")
        options = ["--minutes", "10", "--seeds", "0", "--features", ruler, "--keep", str(runs), "--out", out]
        part("quality.py", recipe, *options)
    part("tables.py")


def part(script: str, *options: str) -> None:
    """Run one script; a failure is said and does not stop the others."""
    print(f"== {script} {' '.join(options)}", flush=True)
    if subprocess.run([sys.executable, str(HERE / script), *options], check=False).returncode:
        print(f"== {script} FAILED", flush=True)


if __name__ == "__main__":
    main()
