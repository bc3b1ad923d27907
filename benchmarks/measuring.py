"""What measuring costs: all scores of 10,000 drawn 32×32 pictures, and distances beside torchmetrics on equal features.

python benchmarks/measuring.py --out benchmarks/results/measuring.json

The first part trains a small class-conditional `dcgan` and a ruler for a moment, then takes `measure` as the command
does it, in a process of its own; the time of drawing the pictures is taken apart, since it is the model's. The second
gives the same rows of features to torchmetrics' update and compute and to ours, by turns.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from mezzotint import machine
from mezzotint.metrics import distribution

PICTURES, BATCH = 10_000, 500
DIMENSIONS = (384, 2048)
"""Features of the recogniser that `cnn` trains in ten minutes, and of Inception."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    result = {"whole": whole(), "beside_torchmetrics": {str(d): beside(d, asked.rounds) for d in DIMENSIONS}}
    result["peak_gflops"] = {"float32": peak(torch.float32), "float64": peak(torch.float64)}
    result["machine"] = machine.facts("torchmetrics", "scipy")
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def whole() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        for recipe, images in (("cnn", "60k"), ("dcgan", "20k")):
            mezzotint(
                "train", recipe, "fashion-mnist", "--size", "32", "--images", images, "--out", f"{scratch}/{recipe}"
            )
        command = ["measure", f"{scratch}/dcgan", "--features", f"{scratch}/cnn", "--count", str(PICTURES)]
        seconds, peak_mb = mezzotint(*command)
        card = json.loads(Path(scratch, "dcgan", "score.json").read_text())
        drawing = float(
            subprocess.run([sys.executable, "-c", DRAW, f"{scratch}/dcgan"], check=True, capture_output=True).stdout
        )
        seconds_besides = seconds - drawing
    return {
        "pictures": PICTURES,
        "command_seconds": round(seconds, 1),
        "drawing_seconds": round(drawing, 1),
        "besides_drawing_seconds": round(seconds_besides, 1),
        "peak_mb": peak_mb,
        "scores": [name for name in card["scores"] if "[" not in name],
    }


def peak(dtype: torch.dtype, side: int = 4096) -> float:
    """Of plain matrix products, 10⁹ operations a second: what bounds both sides' distances."""
    a = torch.randn(side, side, dtype=dtype)
    seconds: list[float] = []
    for _ in range(4):
        begun = time.monotonic()
        a @ a
        seconds.append(time.monotonic() - begun)
    return round(2 * side**3 / min(seconds) / 1e9, 1)


DRAW = f"""
import sys, time, torch, mezzotint
from mezzotint import drawing
method = mezzotint.load(sys.argv[1]).method
begun = time.monotonic()
drawing.draw(method, range({PICTURES}), torch.arange({PICTURES}) % method.classes)
print(time.monotonic() - begun)
"""


def mezzotint(*words: str) -> tuple[float, int]:
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "mezzotint", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{words} failed")
    return time.monotonic() - begun, usage.ru_maxrss // 1024


class Given(nn.Module):
    """The features are what is passed in."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.num_features = dimensions

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def beside(dimensions: int, rounds: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(dimensions, dimensions, generator=generator) / dimensions**0.5
    real = (torch.randn(PICTURES, dimensions, generator=generator) @ mixing).relu()
    drawn = (torch.randn(PICTURES, dimensions, generator=generator) @ mixing * 1.1 + 0.02).relu()
    pairs: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
        "frechet": (
            lambda: distribution.frechet(*(moments(x) for x in (real, drawn))),
            lambda: theirs(FrechetInceptionDistance(feature=Given(dimensions)).set_dtype(torch.float64), real, drawn),
        ),
        "kid": (
            lambda: distribution.kid(real, drawn).value,
            lambda: theirs(
                KernelInceptionDistance(feature=Given(dimensions), subsets=1, subset_size=PICTURES), real, drawn
            ),
        ),
    }
    return {name: timed(ours, others, rounds) for name, (ours, others) in pairs.items()}


def moments(features: torch.Tensor) -> distribution.Moments:
    sums = distribution.Moments(features.shape[1])
    for part in features.split(BATCH):
        sums.update(part)
    return sums


def theirs(metric: Any, real: torch.Tensor, drawn: torch.Tensor) -> float:
    for features, is_real in ((real, True), (drawn, False)):
        for part in features.split(BATCH):
            metric.update(part, real=is_real)
    value = metric.compute()
    return float(value[0] if isinstance(value, tuple) else value)


def timed(ours: Callable[[], float], others: Callable[[], float], rounds: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {"ours": [], "torchmetrics": []}
    values: dict[str, float] = {}
    for _ in range(rounds):
        for name, take in (("ours", ours), ("torchmetrics", others)):
            begun = time.monotonic()
            values[name] = take()
            seconds[name].append(time.monotonic() - begun)
    ratios = [b / a for a, b in zip(seconds["ours"], seconds["torchmetrics"], strict=True)]
    return {
        "seconds": {name: [round(t, 3) for t in taken] for name, taken in seconds.items()},
        "times_faster": {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)},
        "values": values,
        "relative_difference": abs(values["ours"] / values["torchmetrics"] - 1),
    }


if __name__ == "__main__":
    main()
