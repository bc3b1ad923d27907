"""Seconds until the command line answers: `mezzotint --help` (goal 0.35) and `mezzotint recipes` (goal 0.5).

python benchmarks/startup.py --out benchmarks/results/startup.json
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from mezzotint import machine


def main() -> None:
    """Time each command ten times after one warm-up, by turns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    program = str(Path(sys.executable).parent / "mezzotint")
    commands = {"--help": [program, "--help"], "recipes": [program, "recipes"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(11):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if turn:
                seconds[name].append(time.perf_counter() - started)
    rows = {
        name: {"n": len(s), "median": statistics.median(s), "min": min(s), "max": max(s)} for name, s in seconds.items()
    }
    asked.out.write_text(json.dumps({"seconds": rows, "machine": machine.facts("cyclopts", "rich")}, indent=1))
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
