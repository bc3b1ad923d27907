"""Whether drawn pictures help a recogniser of few, by the protocol of docs/augment.md.

python benchmarks/augment.py GENERATOR --recogniser RUN [--retrain 200k] [--seeds 5] [--folder FOLDER] [--out FILE]
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from mezzotint import machine


def main() -> None:
    """One `mezzotint augment --judge`; what it finds, with the machine."""
    parser = argparse.ArgumentParser()
    parser.add_argument("generator")
    parser.add_argument("--recogniser", required=True)
    parser.add_argument("--per-class", default="200")
    parser.add_argument("--shots", nargs="+", default=["10", "50", "200"])
    parser.add_argument("--seeds", default="5")
    parser.add_argument("--retrain")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/augmented"))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    command = [
        sys.executable,
        "-m",
        "mezzotint",
        "augment",
        asked.generator,
        "--recogniser",
        asked.recogniser,
        "--judge",
    ]
    command += ["--per-class", asked.per_class, "--seeds", asked.seeds, "--shots", *asked.shots]
    command += ["--retrain", asked.retrain] if asked.retrain else []
    if not (asked.folder / "benefit.json").is_file():
        subprocess.run([*command, "--out", str(asked.folder)], check=True)
    found = {"machine": machine.facts(), **json.loads((asked.folder / "benefit.json").read_text())}
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["accuracy"], indent=1))


if __name__ == "__main__":
    main()
