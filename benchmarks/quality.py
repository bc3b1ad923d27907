"""Scores that recipes reach within a budget of wall-clock minutes, start-up and measuring included.

python benchmarks/quality.py cnn --minutes 1 3 10 --seeds 0 1 2 --out benchmarks/results/quality-cnn.jsonl

Each training is the command as a user types it, in a process of its own, one after another; one JSON line per finished
training, so that a stopped benchmark goes on where it was. Scores are those of the run's own card (test split, taken
once, at the end).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine


def main() -> None:
    """Train what is not in the file yet, then print medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 3, 10])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--features", help="a recogniser's run, for distances")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--keep", type=Path, help="keep the runs in this folder")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    done = [json.loads(line) for line in asked.out.read_text().splitlines()] if asked.out.exists() else []
    for minutes in asked.minutes:
        for seed in asked.seeds:
            key = {"recipe": asked.recipe, "data": asked.data, "minutes": minutes, "seed": seed, "set": asked.set}
            if any(all(row[k] == v for k, v in key.items()) for row in done):
                continue
            row = {**key, **train(asked, minutes, seed), "machine": machine.facts()}
            with asked.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps({k: row[k] for k in ("minutes", "seed", "wall_seconds", "peak_mb")}), row["scores"])


def train(asked: argparse.Namespace, minutes: float, seed: int) -> dict[str, object]:
    """One run of the command: wall seconds, peak memory and its score card."""
    with tempfile.TemporaryDirectory() as scratch:
        run = (asked.keep or Path(scratch)) / f"{asked.recipe}-{minutes:g}-{seed}"
        command = [sys.executable, "-m", "mezzotint", "train", asked.recipe, asked.data]
        command += ["--minutes", str(minutes), "--seed", str(seed), "--out", str(run)]
        for setting in asked.set:
            command += ["--set", setting]
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        if status:
            sys.exit(f"the training failed: {' '.join(command)}")
        if asked.features:
            measure = [sys.executable, "-m", "mezzotint", "measure", str(run), "--features", asked.features]
            subprocess.run(measure, check=True, stdout=subprocess.DEVNULL)
        card = json.loads((run / "score.json").read_text())
        events = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
        scores = {name: s["value"] for name, s in card["scores"].items() if "[" not in name}
        return {
            "wall_seconds": round(wall, 1),
            "peak_mb": usage.ru_maxrss // 1024,
            "images": max(e["images"] for e in events),
            "scores": scores,
            "protocol": card["protocol"],
            "execution": json.loads((run / "recipe.json").read_text())["execution"],
        }


if __name__ == "__main__":
    main()
