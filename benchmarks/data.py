"""Speed of the data's way in: the first batch of a cached folder, the making of that cache, and batches.

The cache is made in turn with Pillow alone (open, convert, resize, in a process a core) over the same files.
    python benchmarks/data.py [--files 10000] [--rounds 5] [--out FILE.json]
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
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mezzotint import machine

SIDE = 64
FIRST = """
import sys, time, torch
from pathlib import Path
start = time.perf_counter()
from mezzotint.data.dataset import load
from mezzotint.data.loader import Augment, Batches
images, _ = Batches(load(sys.argv[1], cache_folder=Path(sys.argv[2])), "train", 128, 0, Augment(flip=True)).at(0)
assert images.shape[0] == 128
print(time.perf_counter() - start)
"""
BUILD = """
import sys, time
from pathlib import Path
from mezzotint.data.dataset import load
start = time.perf_counter()
load(sys.argv[1], cache_folder=Path(sys.argv[2]))
print(time.perf_counter() - start)
"""


def write_pictures(folder: Path, count: int) -> None:
    """Smooth random RGB pictures of 64 × 64: PNGs of a few kilobytes, as scraped ones are."""
    random = np.random.default_rng(0)
    for i in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        path = folder / f"class-{i % 10}" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)


def read_alone(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def pillow_alone(folder: Path) -> float:
    """Seconds for all pictures as one array, in a process a core; starting the processes counts on both sides."""
    start = time.perf_counter()
    paths = sorted(folder.rglob("*.png"))
    with Pool(len(os.sched_getaffinity(0))) as pool:
        stacked = np.stack(pool.map(read_alone, paths, chunksize=64))
    assert len(stacked) == len(paths)
    return time.perf_counter() - start


def seconds_of(script: str, folder: Path, cache: Path) -> float:
    """What a fresh process measured."""
    done = subprocess.run([sys.executable, "-c", script, folder, cache], check=True, capture_output=True, text=True)
    return float(done.stdout)


def pictures_a_second(rounds: int) -> list[float]:
    """Batches of 128 pictures of 28 × 28, flipped and shifted."""
    from mezzotint.data.dataset import Dataset
    from mezzotint.data.loader import Augment, Batches

    images = np.random.default_rng(0).integers(0, 256, (60_000, 28, 28, 1), dtype=np.uint8)
    data = Dataset("random", images, np.zeros(60_000, np.int64), ("a",), {"train": np.arange(60_000)}, "")
    stream = Batches(data, "train", 128, 0, Augment(flip=True, shift=2))
    stream.at(0)
    return [400 * 128 / timed(lambda: [stream.at(128 * i) for i in range(400)]) for _ in range(rounds)]


def timed(act: Callable[[], Any]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "n": len(values)}


def measure(files: int, rounds: int, place: Path) -> dict[str, Any]:
    folder = place / "pictures"
    folder.mkdir()
    write_pictures(folder, files)
    ours, alone, first = [], [], []
    for i in range(rounds):
        ours.append(seconds_of(BUILD, folder, place / f"cache-{i}"))
        alone.append(pillow_alone(folder))
        first.append(seconds_of(FIRST, folder, place / f"cache-{i}"))
    return {
        "files": files,
        "cache_seconds": spread(ours),
        "pillow_seconds": spread(alone),
        "pillow_over_cache": spread([a / o for a, o in zip(alone, ours, strict=True)]),
        "first_batch_seconds": spread(first),
        "batches_pictures_a_second": spread(pictures_a_second(rounds)),
        "load": os.getloadavg()[0],
        "machine": machine.facts("pillow"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        text = json.dumps(measure(asked.files, asked.rounds, Path(place)), indent=1)
    if asked.out:
        asked.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
