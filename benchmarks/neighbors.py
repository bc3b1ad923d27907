"""What the nearest neighbors tell of a picture's class: pixels, random filters and trained features side by side.

python benchmarks/neighbors.py vicreg=RUN cnn=RUN --out benchmarks/results/neighbors.json

The protocol is that of `measure`'s neighbor accuracy: test pictures of Fashion-MNIST among 10,000 training pictures.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import mezzotint
from mezzotint import machine
from mezzotint.data import dataset
from mezzotint.data.loader import ordered
from mezzotint.metrics import embedding
from mezzotint.metrics.features import random_filters
from mezzotint.metrics.interval import Score, proportion
from mezzotint.types import Images

PICTURES = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", help="NAME=FOLDER of trained models that have features")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    data = dataset.load("fashion-mnist")
    features: dict[str, Callable[[Images], torch.Tensor]] = {
        "pixels": lambda x: x.flatten(1),
        "random filters": random_filters(data.spec),
    }
    result: dict[str, Any] = {"neighbors": embedding.NEIGHBORS, "among": PICTURES, "accuracy": {}, "weights": {}}
    for name, folder in (run.split("=", 1) for run in asked.runs):
        ruler = mezzotint.load(folder).extractor()
        features[name], result["weights"][name] = ruler, ruler.digest
    for name, look in features.items():
        result["accuracy"][name] = vars(accuracy(look, data))
    result["machine"] = machine.facts()
    asked.out.write_text(json.dumps(result, indent=1) + "\n")


def accuracy(look: Callable[[Images], torch.Tensor], data: dataset.Dataset) -> Score:
    with torch.inference_mode():
        (known, classes), (asked, truth) = (seen(look, data, split) for split in ("train", "test"))
    hits = embedding.neighbor_hits(known, classes, asked, truth)
    return proportion(int(hits.sum()), len(hits))


def seen(
    look: Callable[[Images], torch.Tensor], data: dataset.Dataset, split: str
) -> tuple[torch.Tensor, torch.Tensor]:
    parts = [(look(x), y) for x, y in ordered(data, split, 50, torch.device("cpu"), PICTURES) if y is not None]
    features, labels = zip(*parts, strict=True)
    return torch.cat(features), torch.cat(labels)


if __name__ == "__main__":
    main()
