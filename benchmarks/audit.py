"""Power of the audit: how often it finds planted copies, by their share, and how often it cries wolf.

python benchmarks/audit.py --out benchmarks/results/audit-power.json
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import machine
from mezzotint import audit, load, load_data
from mezzotint.data import pictures
from mezzotint.metrics import copying
from mezzotint.metrics.copying import closeness, find_copies
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
        bank = Bank(audit.references(space, dataset, training), seed)
        found[space.name] = [nearest(some, bank, space.views) for some in real]
        seconds[space.name] = time.perf_counter() - began
        found[space.name] += [nearest(some, bank, space.views) for some in copies.values()]
    labels = None if dataset.labels is None else dataset.labels[hidden]
    return {
        "seed": seed,
        "seconds": {space: round(s, 1) for space, s in seconds.items()},
        "power": {kind: power(found, 3 + i, rng) for i, kind in enumerate(copies)},
        "real": {"verdict": judged(found, found_real(found))[0], "p": judged(found, found_real(found))[1]},
        "real_of_one_class": one_class(found, labels),
    }


def found_real(found: dict[str, list[Neighbors]]) -> dict[str, tuple[Tensor, Tensor]]:
    return {space: (closeness(f[0]), f[0].rows[:, 0]) for space, f in found.items()}


def judged(
    found: dict[str, list[Neighbors]], generated: dict[str, tuple[Tensor, Tensor]]
) -> tuple[str, dict[str, float]]:
    """The verdict, and p in each space."""
    findings = {
        space: find_copies(*generated[space], closeness(f[1]), closeness(f[2]), f[2].rows[:, 0])
        for space, f in found.items()
    }
    return copying.verdict(list(findings.values())), {space: f.p for space, f in findings.items()}


def power(found: dict[str, list[Neighbors]], place: int, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """By share the plantings that are called copies, in either space, in pixels and in features."""
    results = {}
    for share in SHARES:
        copies = round(share * COUNT)
        called, in_space = 0, dict.fromkeys(found, 0)
        for _ in range(MIXES):
            chosen = torch.from_numpy(rng.choice(POOL, copies, replace=False))
            replaced = torch.from_numpy(rng.choice(COUNT, copies, replace=False))
            generated = {}
            for space, f in found.items():
                close, rows = closeness(f[0]), f[0].rows[:, 0].clone()
                close[replaced], rows[replaced] = closeness(f[place])[chosen], f[place].rows[:, 0][chosen]
                generated[space] = close, rows
            word, p = judged(found, generated)
            called += word == "copies"
            for space in found:
                in_space[space] += p[space] < copying.LEVEL
        results[f"{share:.2%}"] = {"either": called / MIXES, **{s: n / MIXES for s, n in in_space.items()}}
    return results


def one_class(found: dict[str, list[Neighbors]], labels: np.ndarray | None) -> dict[str, str]:
    """Real pictures of a single class as if generated: a generator that has lost all others but copies nothing."""
    words = {}
    for label in sorted(set(labels.tolist())) if labels is not None else []:
        rows = torch.from_numpy(np.flatnonzero(labels == label))
        chosen = {space: (close[rows], near[rows]) for space, (close, near) in found_real(found).items()}
        words[str(label)] = judged(found, chosen)[0]
    return words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--features", type=Path, help="a run of a recogniser")
    parser.add_argument("--seeds", type=int, default=5)
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
