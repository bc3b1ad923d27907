"""Whether the watch cries wolf on healthy runs, and what becomes of runs that are made to fail, with and without it.

python benchmarks/watch.py --out benchmarks/results/watch.json
"""

import argparse
import json
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import torch

from mezzotint import api, machine, measure
from mezzotint.data import dataset as data
from mezzotint.data.dataset import Dataset
from mezzotint.metrics.features import random_filters
from mezzotint.training import journal
from mezzotint.training.loop import Training

SICK: dict[str, tuple[str, tuple[str, ...], int | None]] = {
    "learning rate too high": ("dcgan", ("optimizer.lr=0.3",), None),
    "no normalization": ("dcgan", ("method.generator.norm=none", "optimizer.lr=0.05"), None),
    "200 pictures": ("dcgan", ("method.discriminator.dropout=0", "optimizer.lr=0.001"), 200),
}
"""Recipe, settings, training pictures (all where not given)."""
STEADY = ("execution.device=cpu", "execution.threads=1", "execution.precision=fp32", "execution.channels_last=true")


def fewer(dataset: Dataset, count: int | None) -> Dataset:
    """The data with so many training pictures."""
    if count is None:
        return dataset
    return replace(dataset, splits={**dataset.splits, "train": dataset.splits["train"][:count]})


def distance(training: Training, dataset: Dataset) -> float:
    """Fréchet distance in random filters of the run's model from test pictures that it never saw."""
    found = measure.measure(training.trained(), dataset, count=2000, extractor=random_filters(dataset.spec))
    return found.scores["frechet"].value


def run(name: str, source: str, images: int, seed: int, settings: tuple[str, ...], pictures: int | None) -> dict:
    """Train once; what the watch did, the distances on the way and at the end, and the share of time it took."""
    with tempfile.TemporaryDirectory() as place:
        folder, began = Path(place) / "run", time.monotonic()
        asked = api.Asked(images=images, out=folder, settings=(*STEADY, *settings), seed=seed)
        made, recipe, whole = api.prepare(name, source, asked)
        dataset = fewer(whole, pictures)
        training = Training(made, recipe, dataset, time.monotonic())
        for _ in training.steps(threading.Event()):
            pass
        seconds = time.monotonic() - began
        events = journal.read(folder / "journal.jsonl")
    milestones = [e for e in events if e["event"] == "milestone" and e["images"]]
    scores = [next(iter(e["scores"].values())) for e in milestones]
    return {
        "recipe": name,
        "data": source,
        "images": images,
        "seed": seed,
        "settings": settings,
        "train_pictures": len(dataset.splits["train"]),
        "told": [f"{e['event']}: {e['message']}" for e in events if e["event"] in ("rollback", "stopped", "watch")],
        "scores": [round(s, 2) for s in scores],
        "spread": [e["watch"].get("spread") for e in milestones],
        "last_over_best": round(scores[-1] / min(scores), 3),
        "model_is_the_best_weights": training.state.spoiled,
        "model_from_test": round(distance(training, dataset), 2),
        "watch_share": round(sum(e["watch_seconds"] for e in milestones) / seconds, 4),
        "milestone_share": round(sum(e["watch_seconds"] + e["seconds"] for e in milestones) / seconds, 4),
    }


def main() -> None:
    """Healthy seeds first, then each sickness with the watch's remedies and without."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--images", type=int, default=16_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--healthy", nargs="*", default=["dcgan", "gan-mlp"])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data.load(asked.data)
    results: dict = {"machine": {**machine.facts(), "threads": torch.get_num_threads()}, "healthy": [], "sick": []}
    for name in asked.healthy:
        for seed in range(asked.seeds // len(asked.healthy)):
            results["healthy"].append(run(name, asked.data, asked.images, seed, (), None))
            asked.out.write_text(json.dumps(results, indent=1) + "\n")
            print(name, seed, results["healthy"][-1]["told"], results["healthy"][-1]["last_over_best"], flush=True)
    for sickness, (name, settings, pictures) in SICK.items():
        for rollbacks in (0, 3):
            given = (*settings, f"rollbacks={rollbacks}")
            found = run(name, asked.data, asked.images, 0, given, pictures)
            results["sick"].append({"sickness": sickness, "rollbacks": rollbacks, **found})
            asked.out.write_text(json.dumps(results, indent=1) + "\n")
            print(sickness, rollbacks, found["told"], found["scores"], found["model_from_test"], flush=True)


if __name__ == "__main__":
    main()
