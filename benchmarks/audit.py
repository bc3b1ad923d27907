"""Power of the audit: how often it finds planted copies, by their share, and how often it cries wolf.

python benchmarks/audit.py --out benchmarks/results/audit-power.json
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mezzotint import audit, load, load_data, machine
from mezzotint.data import pictures
from mezzotint.metrics import copying
from mezzotint.metrics.copying import find_copies
from mezzotint.metrics.features import Extractor, random_filters
from mezzotint.metrics.neighbors import Bank, Neighbors, nearest
from mezzotint.types import Images

SHARES = (0.0025, 0.005, 0.01, 0.02, 0.05)
COUNT = 2000
POOL = 400
"""Copies of each kind, from which those that are planted are drawn."""
MIXES = 100
"""Plantings of each share and kind, for each seed."""


def moved(images: Images, rng: np.random.Generator) -> Images:
    """Mirrored or not, shifted by up to 2 pixels either way, the edge repeated."""
    height, width = images.shape[2:]
    done = []
    for picture in images:
        y, x = rng.integers(0, 5, 2)
        wide = F.pad((picture.flip(-1) if rng.random() < 0.5 else picture)[None], [2] * 4, mode="replicate")
        done.append(wide[0, :, y : y + height, x : x + width])
    return torch.stack(done)


def noisy(levels: float) -> Callable[[Images, np.random.Generator], Images]:
    """Moved, with normal noise of so many levels of 255."""

    def make(images: Images, rng: np.random.Generator) -> Images:
        noise = torch.from_numpy(rng.normal(0, levels / 127.5, tuple(images.shape))).float()
        return (moved(images, rng) + noise).clamp(-1, 1)

    return make


def blurred(images: Images, rng: np.random.Generator) -> Images:
    """Moved, each pixel the mean of 3×3."""
    return F.avg_pool2d(F.pad(moved(images, rng), [1] * 4, mode="replicate"), 3, 1)


KINDS: dict[str, Callable[[Images, np.random.Generator], Images]] = {
    "moved": moved,
    "moved, noise of 10 levels": noisy(10),
    "moved, noise of 25 levels": noisy(25),
    "moved, noise of 50 levels": noisy(50),
    "moved, blurred 3×3": blurred,
}


def saved(images: Images) -> Images:
    """As it would come from a file."""
    return pictures.to_float(pictures.to_uint8(images))


@dataclass(frozen=True)
class Found:
    """What was found in one space."""

    real: dict[str, Neighbors]
    """Training neighbors of the pictures that set and that try the threshold."""
    training: dict[str, Neighbors]
    """Training neighbors of what is given as if generated, by its kind."""
    held_out: dict[str, Neighbors]
    sizes: tuple[int, int]


def study(name: str, seed: int, extractor: Extractor | None) -> dict[str, object]:
    """One seed: which training pictures are hidden and given as if generated, which held-out ones set the threshold."""
    dataset = load_data(name)
    rng = np.random.default_rng(seed)
    mixed = rng.permutation(dataset.splits["train"])
    hidden, training = mixed[:COUNT], np.sort(mixed[COUNT:])
    held_out = rng.permutation(np.concatenate([dataset.splits["test"], dataset.splits["validation"]]))
    half = min(COUNT, len(held_out) // 2)
    real = [pictures.to_float(dataset.images[rows]) for rows in (hidden, held_out[:half], held_out[half : 2 * half])]
    sources = pictures.to_float(dataset.images[rng.choice(training, POOL, replace=False)])
    copies = {kind: saved(make(sources, rng)) for kind, make in KINDS.items()}
    spaces = audit.spaces(extractor or random_filters(dataset.spec))
    seconds, found = {}, {}
    for space in spaces:
        began = time.perf_counter()
        bank, others = (Bank(audit.references(space, dataset, rows), seed) for rows in (training, held_out))
        sets = {"real": real[0], **copies}
        found[space.name] = Found(
            {"calibration": nearest(real[1], bank, space.views), "comparison": nearest(real[2], bank, space.views)},
            {kind: nearest(some, bank, space.views) for kind, some in sets.items()},
            {kind: nearest(some, others, space.views, k=1) for kind, some in sets.items()},
            (len(bank), len(others)),
        )
        seconds[space.name] = time.perf_counter() - began
    labels = None if dataset.labels is None else dataset.labels[hidden]
    everything = torch.arange(COUNT)
    word, p = judged(found, "real", everything, everything[:0])
    return {
        "seed": seed,
        "seconds": {space: round(s, 1) for space, s in seconds.items()},
        "power": {kind: power(found, kind, rng) for kind in copies},
        "real": {"verdict": word, "p": p},
        "real_of_one_class": one_class(found, labels),
    }


def chosen(neighbors: Neighbors, rows: Tensor) -> Neighbors:
    return Neighbors(neighbors.distances[rows], neighbors.rows[rows])


def both(a: Neighbors, b: Neighbors) -> Neighbors:
    return Neighbors(torch.cat([a.distances, b.distances]), torch.cat([a.rows, b.rows]))


def judged(found: dict[str, Found], kind: str, real: Tensor, copies: Tensor) -> tuple[str, dict[str, float]]:
    """Verdict and p in each space on some of the real pictures and some of the copies of a kind, as if generated."""
    findings = {}
    for space, f in found.items():
        ours, theirs = (both(chosen(s["real"], real), chosen(s[kind], copies)) for s in (f.training, f.held_out))
        findings[space] = find_copies(ours, theirs, f.real["calibration"], f.real["comparison"], f.sizes)
    return copying.verdict(list(findings.values())), {space: x.p for space, x in findings.items()}


def power(found: dict[str, Found], kind: str, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """By share the plantings that are called copies, and those that are in pixels alone and in features alone."""
    results = {}
    for share in SHARES:
        copies = round(share * COUNT)
        called, in_space = 0, dict.fromkeys(found, 0)
        for _ in range(MIXES):
            kept, planted = (torch.from_numpy(rng.permutation(n)) for n in (COUNT, POOL))
            word, p = judged(found, kind, kept[copies:], planted[:copies])
            called += word == "copies"
            for space in found:
                in_space[space] += p[space] < copying.LEVEL
        results[f"{share:.2%}"] = {"either": called / MIXES, **{s: n / MIXES for s, n in in_space.items()}}
    return results


def one_class(found: dict[str, Found], labels: np.ndarray | None) -> dict[str, str]:
    """Real pictures of a single class as if generated: a generator that has lost all others but copies nothing."""
    words = {}
    for label in sorted(set(labels.tolist())) if labels is not None else []:
        rows = torch.from_numpy(np.flatnonzero(labels == label))
        words[str(label)] = judged(found, "real", rows, rows[:0])[0]
    return words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--features", type=Path, help="a run of a recogniser")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    extractor = load(options.features).extractor() if options.features else None
    with torch.inference_mode():
        studies = [study(options.data, seed, extractor) for seed in range(options.seeds)]
    result = {
        "benchmark": "audit-power",
        "data": options.data,
        "pictures": COUNT,
        "mixes": MIXES,
        "features": extractor.name if extractor else "random-filters",
        "machine": {**machine.facts(), "threads": torch.get_num_threads()},
        "studies": studies,
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
