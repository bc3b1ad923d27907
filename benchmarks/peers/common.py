"""What the peers' scripts share: the pictures, the command line and the one line of JSON that each prints.

Imports nothing but numpy, so that each script loads its own framework alone.
"""

import argparse
import gzip
import json
import os
import platform
import sys
import time
import types
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

BATCH = 128


def asked(warmup: int, images: int) -> argparse.Namespace:
    """`--data FOLDER` (else $FASHION_MNIST, else the Debian package's place), `--warmup` and `--images` in pictures.

    `--draw N` is for peers that can draw in N looks at the network, instead of training.
    """
    parser = argparse.ArgumentParser()
    default = os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist")
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--warmup", type=int, default=warmup)
    parser.add_argument("--images", type=int, default=images)
    parser.add_argument("--draw", type=int, default=0)
    return parser.parse_args()


def fashion(folder: Path, part: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """The pictures of a part (train, t10k), uint8 n × 28 × 28, and their classes."""
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)
    return images, labels


def stand_in_for_torchvision() -> None:
    """For a peer that imports it though only its reading of files, which is not used here, takes it."""
    vision = types.ModuleType("torchvision")
    for name in ("transforms", "utils"):
        setattr(vision, name, types.ModuleType(name))
    sys.modules["torchvision"] = vision


class Clock:
    """Counts steps of training or drawing: the seconds from the end of the warm-up to the end of the work."""

    def __init__(self, warmup: int, images: int) -> None:
        self.first, self.last = warmup // BATCH, (warmup + images) // BATCH
        self.steps, self.began, self.seconds = 0, 0.0, 0.0

    def step(self) -> bool:
        """Count one finished step; True when the work is over."""
        self.steps += 1
        if self.steps == self.first:
            self.began = time.perf_counter()
        if self.steps == self.last:
            self.seconds = time.perf_counter() - self.began
        return self.steps >= self.last

    def draw(self, batch_of: Callable[[int], object], looks: int, parameters: int, who: str, *packages: str) -> None:
        """Draw all batches and print the result."""
        while True:
            batch_of(BATCH)
            if self.step():
                break
        self.report("drawing", who, *packages, looks=looks, parameters=parameters)

    def report(self, work: str, who: str, *packages: str, **settings: int) -> None:
        """Print the result."""
        images = (self.last - self.first) * BATCH
        versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
        rate = round(images / self.seconds, 1)
        line = {"work": work, "who": who, "images_per_second": rate, "images": images, "seconds": self.seconds}
        print(json.dumps({**line, **settings, "versions": versions}), flush=True)
