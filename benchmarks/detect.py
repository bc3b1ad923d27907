"""What a detector reaches on the composed scenes within a budget, and how long it takes for a picture.

    python benchmarks/detect.py [--data scenes] [--minutes 30] [--seed 0] [--runs FOLDER] [--out FILE.json]

Start-up, training and measuring are within the minutes. Pictures are timed on all cores, alone and fifty at a time. The
same command goes on with a training that was stopped.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from mezzotint import api, machine, scorecard
from mezzotint.catalog import kinds
from mezzotint.data.loader import ordered
from mezzotint.drawing import using
from mezzotint.model import load
from mezzotint.training import run as runs

ROUNDS = 40


def main() -> None:
    """Train, read the score card, time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="scenes")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    run = asked.runs / f"detector-{asked.data}-{asked.minutes:g}-{asked.seed}"
    command = [sys.executable, "-m", "mezzotint", "train"]
    seconds: float | None = None  # of a run that was there before it is not known
    if (run / "run.json").is_file() and not (run / "score.json").is_file():
        subprocess.run([*command, "--resume", str(run)], check=True)
    elif not run.exists():
        started = time.monotonic()
        anew = ["detector", asked.data, "--out", str(run), "--minutes", str(asked.minutes), "--seed", str(asked.seed)]
        subprocess.run([*command, *anew], check=True)
        seconds = round(time.monotonic() - started, 1)
    card, model = scorecard.read(run), load(run)
    found = {
        "machine": machine.facts("faster-coco-eval"),
        "data": asked.data,
        "minutes": asked.minutes,
        "seed": asked.seed,
        "wall_seconds": seconds,
        "images_seen": model.card["images_seen"],
        "parameters": sum(p.numel() for p in model.method.parameters()),
        "protocol": card.protocol,
        "scores": {name: vars(score) for name, score in card.scores.items()},
        "milliseconds_a_picture": {"alone": _milliseconds(run, 1), "fifty at a time": _milliseconds(run, 50)},
    }
    text = json.dumps(found, indent=1)
    if asked.out:
        asked.out.write_text(text + "\n")
    print(text)


def _milliseconds(run: Path, count: int) -> dict[str, float]:
    """Median and quartiles of the time for a picture, from pixels to boxes."""
    model = load(run)
    images, _ = next(ordered(api.load_data(runs.find(run).recipe(kinds())), "test", count))
    taken: list[float] = []
    with using(model.method):
        for _ in range(ROUNDS + 5):
            tick = time.perf_counter()
            model.detect(images)
            taken.append((time.perf_counter() - tick) * 1000 / count)
    quartiles = statistics.quantiles(taken[5:], n=4)
    return dict(zip(("first quartile", "median", "third quartile"), (round(q, 3) for q in quartiles), strict=True)) | {
        "threads": torch.get_num_threads()
    }


if __name__ == "__main__":
    main()
