"""Modes found among 1,000 by generators of stacked pictures (three grey items in the channels of one).

python benchmarks/modes.py --recogniser runs/cnn --minutes 10 --out benchmarks/results/modes.json

Trainings are kept under `--runs`: one that was stopped goes on, and one that is finished is only judged anew.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from mezzotint import Model, load, load_data, machine
from mezzotint.data.loader import ordered
from mezzotint.metrics import modes
from mezzotint.types import Images

COUNT = 26_000
"""Pictures drawn, as in the literature."""
CHUNK = 500
SPLIT = "test"
"""Of the real pictures: neither generators nor the recogniser were trained on it."""


def kinds(recogniser: Model, images: Images) -> torch.Tensor:
    """The mode of each stack: its channels' classes, as the recogniser says."""
    classes = len(recogniser.spec.classes)
    said = [recogniser.classify(images[:, i : i + 1]).argmax(1) for i in range(images.shape[1])]
    return modes.modes(torch.stack(said, 1), classes)


def scores(found: torch.Tensor, count: int) -> dict:
    """Modes found and their divergence from even ones, with intervals."""
    found_by = {"modes": modes.modes_found(found, count), "kl": modes.mode_divergence(found, count)}
    return {name: asdict(score) for name, score in found_by.items()}


def trained(recipe: str, seed: int, asked: argparse.Namespace) -> Path | None:
    """The finished run of a recipe and seed: begun, gone on with, or left as it is; None where it failed."""
    budget = ("--minutes", f"{asked.minutes:g}") if asked.images is None else ("--images", f"{asked.images}")
    run = asked.runs / f"{Path(asked.data).name}-{recipe}-{'-'.join(budget)[2:]}-{seed}"
    if (run / "score.json").is_file():
        return run
    fresh = (recipe, asked.data, *budget, "--seed", str(seed), "--out", str(run))
    words = ("--resume", str(run)) if (run / "run.json").is_file() else fresh
    status = subprocess.run([sys.executable, "-m", "mezzotint", "train", *words], check=False).returncode
    if status in (130, -2):  # stopped by the user
        sys.exit(130)
    return None if status else run


def main() -> None:
    """Real test pictures first: what a perfect generator reaches.

    Where there are fewer of them than pictures are drawn, the first so many drawn ones of each run are judged as well:
    both scores go by the number of pictures.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recogniser", type=Path, required=True)
    parser.add_argument("--data", default="stacked-fashion-mnist")
    parser.add_argument("--recipes", nargs="+", default=["dcgan", "wgan-gp", "r3gan"])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--images", type=int, help="train on so many pictures instead")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks/modes"))
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    recogniser, dataset = load(asked.recogniser), load_data(asked.data)
    count = len(recogniser.spec.classes) ** dataset.spec.channels
    real = torch.cat([kinds(recogniser, x) for x, _ in ordered(dataset, SPLIT, CHUNK, limit=asked.count)])
    results = {
        "machine": {**machine.facts(), "threads": torch.get_num_threads()},
        "data": dataset.name,
        "recogniser": {"recipe": recogniser.recipe.name, "digest": str(recogniser.card["weights"])},
        "drawn": asked.count,
        "real_from": SPLIT,
        "real_pictures": len(real),
        "real": scores(real, count),
        "runs": [],
    }
    for recipe in asked.recipes:
        for seed in range(asked.seeds):
            run = trained(recipe, seed, asked)
            if run is None:
                print(f"{recipe}, seed {seed} failed: left out", flush=True)
                continue
            model = load(run)
            parts = torch.arange(asked.count).split(CHUNK)
            drawn = torch.cat([kinds(recogniser, model.generate(part.tolist())) for part in parts])
            facts = {"images_seen": model.card["images_seen"], "seconds": model.card["seconds"]}
            as_many = scores(drawn[: len(real)], count)
            found = {"recipe": recipe, "seed": seed, **facts, **scores(drawn, count), "of_as_many_as_real": as_many}
            results["runs"].append(found)
            asked.out.write_text(json.dumps(results, indent=1) + "\n")
            print(recipe, seed, {k: v["value"] for k, v in scores(drawn, count).items()}, flush=True)


if __name__ == "__main__":
    main()
