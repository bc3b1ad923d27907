"""Nats of black and white MNIST under trained models of latents, beside what pythae's own table has.

python benchmarks/binarized.py RUN … --out benchmarks/results/binarized-mnist.json

RUN was trained on `binarized-mnist` with a Bernoulli likelihood, so that each picture has one of 2^784 values and a
probability of its own. As in pythae's `get_nll`, a picture's is estimated by importance weights of `--codes` codes
(Burda et al. 2016): a bound from above on the nats that falls with their number.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mezzotint import Model, load, load_data, machine
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import ordered
from mezzotint.drawing import using
from mezzotint.losses.divergence import importance_bound
from mezzotint.method import Method
from mezzotint.metrics import rate
from mezzotint.metrics.interval import mean
from mezzotint.types import WeighsCodes

CHUNK = 500
SPLIT = "test"
FEWER = (1, 50)
"""Of the codes: what the bound is with so many, to see how far it has come."""
PUBLISHED = {
    "source": "pythae's examples/scripts/reproducibility (README.md and the scripts beside it), as of 6419e21, and its "
    "model card reproduced_iwae",
    "data": "the draw of Salakhutdinov & Murray 2008 (Larochelle's binarized_mnist_*.amat): 50,000 pictures to train "
    "on, all 10,000 test pictures; ours is another draw by the same rule, of the same test digits",
    "rows": [
        {"model": "VAE, 500 epochs", "codes": 200, "nats": 89.78},
        {"model": "IWAE, 5 codes in training", "codes": 5000, "nats": 87.85},
        {"model": "IWAE, 50 codes in training, 3,280 epochs", "codes": 5000, "nats": 86.82},
        {"model": "Hamiltonian VAE", "codes": 1000, "nats": 86.21},
        {"model": "VAE with a VampPrior of 500", "codes": 5000, "nats": 85.79},
    ],
}


def nats(model: Model, dataset: Dataset, codes: int, count: int, seed: int = 0) -> dict[str, Any]:
    """The bound in nats and in bits per dimension with all codes, and in nats with fewer of them."""
    method = model.method
    assert isinstance(method, Method)
    assert isinstance(method, WeighsCodes)
    kept = sorted({*(n for n in FEWER if n < codes), codes})
    bounds: dict[int, list[torch.Tensor]] = {n: [] for n in kept}
    with using(method):
        for i, (x, y) in enumerate(ordered(dataset, SPLIT, CHUNK, limit=count)):
            weights = torch.stack([method.log_weight(x, y, (seed + i) * codes + k).double() for k in range(codes)])
            for n in kept:
                bounds[n].append(importance_bound(weights[:n]))
    found = {n: torch.cat(parts) for n, parts in bounds.items()}
    return {
        "pictures": len(found[codes]),
        "nats": asdict(mean(-found[codes])),
        "nats_with_fewer": {str(n): asdict(mean(-found[n])) for n in kept[:-1]},
        "bits_per_dimension": asdict(rate.bits_per_dimension(found[codes], dataset.spec.dimensions)),
    }


def told(folder: Path, codes: int, count: int) -> dict[str, Any]:
    """What a run was, and its nats."""
    model = load(folder)
    config = model.recipe.method
    dataset = load_data(json.loads((folder / "recipe.json").read_text())["data"]["source"])
    assert np.isin(np.unique(dataset.images), (0, 255)).all(), f"{dataset.name} is not black and white"
    assert getattr(config, "likelihood", "") == "bernoulli", f"{folder} has no Bernoulli likelihood"
    return {
        "recipe": model.recipe.name,
        "data": dataset.name,
        "digest": dataset.digest,
        "images_seen": model.card["images_seen"],
        "seconds": model.card["seconds"],
        "train_pictures": len(dataset.splits["train"]),
        "parameters": sum(p.numel() for p in model.method.parameters()),
        "weights": str(model.card["weights"]),
        **nats(model, dataset, codes, count),
        "machine": machine.facts(),
    }


def main() -> None:
    """A run that was measured with as many codes and pictures is not measured again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--codes", type=int, default=200)
    parser.add_argument("--count", type=int, default=2_000, help="test pictures, spread over all of them")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    asked_for = {"codes": asked.codes, "count": asked.count, "split": SPLIT}
    before = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    known = {row["weights"]: row for row in before.get("rows", []) if before["protocol"] == asked_for}
    rows: list[dict[str, Any]] = []
    for folder in asked.runs:
        if not (folder / "score.json").is_file():
            print(f"{folder} is not finished: left out", flush=True)
            continue
        weights = str(load(folder).card["weights"])
        rows.append(known.get(weights) or told(folder, asked.codes, asked.count))
        result = {"protocol": asked_for, "rows": rows, "published": PUBLISHED}
        asked.out.write_text(json.dumps(result, indent=1) + "\n")
        print(rows[-1]["recipe"], rows[-1]["nats"], flush=True)


if __name__ == "__main__":
    main()
