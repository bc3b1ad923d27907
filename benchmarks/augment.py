"""Whether drawn pictures help a recogniser of few, by the protocol of docs/augment.md.

python benchmarks/augment.py GENERATOR --recogniser RUN [--retrain 200k] [--seeds 5] [--folder FOLDER] [--out FILE]

What was found lies in FOLDER under the name of the question, so that each one is asked once; after a kill the same
command asks it anew.
"""

import argparse
import hashlib
import json
import shutil
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
    folder = asked.folder / question(asked)
    if not (folder / "benefit.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
        subprocess.run([*command, "--out", str(folder)], check=True)
    found = {"machine": machine.facts(), **json.loads((folder / "benefit.json").read_text())}
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["accuracy"], indent=1))


def question(asked: argparse.Namespace) -> str:
    """A folder's name that no other question has: its arguments, and the hash of the two models."""
    cards = (Path(run) / "snapshot" / "card.json" for run in (asked.generator, asked.recogniser))
    models = hashlib.sha256(b"".join(card.read_bytes() for card in cards)).hexdigest()[:8]
    words = [Path(asked.generator).name, Path(asked.recogniser).name, asked.per_class, *asked.shots, asked.seeds]
    return "-".join([*words, *([asked.retrain] if asked.retrain else []), models])


if __name__ == "__main__":
    main()
