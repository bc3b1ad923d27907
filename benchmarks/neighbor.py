"""How training keeps its pace beside a busy neighbor: share kept of the one-thread rate (goal 70 %).

python benchmarks/neighbor.py --out benchmarks/results/neighbor.json

Trains `cnn-classic` as a user would (threads chosen and changed by the program) while another process keeps one core
busy, against one thread pinned by the user on the quiet machine; by turns, three rounds.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from mezzotint import machine

BUSY = "while True: pass"


def main() -> None:
    """Three rounds of quiet (one thread) and busy (own choice)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=150_000)
    asked = parser.parse_args()
    rates: dict[str, list[float]] = {"quiet, one thread": [], "busy, own choice": []}
    for _ in range(3):
        rates["quiet, one thread"].append(rate(asked.images, ["--set", "execution.threads=1"]))
        neighbor = subprocess.Popen([sys.executable, "-c", BUSY])
        try:
            rates["busy, own choice"].append(rate(asked.images, []))
        finally:
            neighbor.kill()
            neighbor.wait()
    kept = [b / q for q, b in zip(rates["quiet, one thread"], rates["busy, own choice"], strict=True)]
    result = {
        "images_per_second": rates,
        "kept": {"median": statistics.median(kept), "rounds": kept},
        "machine": machine.facts(),
    }
    asked.out.write_text(json.dumps(result, indent=1))
    print(json.dumps(result["kept"]))


def rate(images: int, options: list[str]) -> float:
    """Pictures a second over the whole training, the probe left out."""
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        command = [sys.executable, "-m", "mezzotint", "train", "cnn-classic", "fashion-mnist", "--out", str(run)]
        command += ["--images", str(images), "--set", "milestones=0", *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
        train = [line for line in lines if line["event"] == "train"]
        return (train[-1]["images"] - train[0]["images"]) / (train[-1]["seconds"] - train[0]["seconds"])


if __name__ == "__main__":
    main()
