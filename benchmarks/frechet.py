"""Times the Fréchet distance against scipy.linalg.sqrtm at 2,048 dimensions, interleaved, and compares the values.

python benchmarks/frechet.py --out benchmarks/results/frechet.json
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy
import torch
from scipy import linalg

from mezzotint.metrics.distribution import Moments, frechet


def by_sqrtm(a: Moments, b: Moments) -> float:
    first, second = a.covariance, b.covariance
    root = linalg.sqrtm(first @ second).real
    return float(np.square(a.mean - b.mean).sum() + np.trace(first) + np.trace(second) - 2 * np.trace(root))


def timed(distance: Callable[[Moments, Moments], float], a: Moments, b: Moments) -> tuple[float, float]:
    start = time.perf_counter()
    value = distance(a, b)
    return time.perf_counter() - start, value


def sets(pictures: int, dimensions: int) -> tuple[Moments, Moments]:
    """Moments of rectified, correlated features, such as a network's last layer gives."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(dimensions, dimensions, generator=generator) / dimensions**0.5
    a, b = (torch.randn(pictures, dimensions, generator=generator) @ mixing for _ in range(2))
    return Moments.of(a.relu()), Moments.of((b + 0.1).relu())


def compare(pictures: int, dimensions: int, rounds: int) -> dict[str, object]:
    a, b = sets(pictures, dimensions)
    frechet(*sets(64, 32))  # the first call loads LAPACK
    pairs = [(timed(frechet, a, b), timed(by_sqrtm, a, b)) for _ in range(rounds)]
    (_, value), (_, reference) = pairs[0]
    ours, theirs = ([pair[i][0] for pair in pairs] for i in (0, 1))
    return {
        "pictures": pictures,
        "dimensions": dimensions,
        "undersampled": a.undersampled,
        "rounds": rounds,
        "mezzotint_seconds": {"median": statistics.median(ours), "min": min(ours), "max": max(ours)},
        "sqrtm_seconds": {"median": statistics.median(theirs), "min": min(theirs), "max": max(theirs)},
        "times_faster": statistics.median(slow / fast for fast, slow in zip(ours, theirs, strict=True)),
        "value": value,
        "relative_difference": abs(value - reference) / abs(reference),
    }


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    d = options.dimensions
    result = {
        "benchmark": "frechet",
        "hardware": {"cpu": cpu(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "scipy": scipy.__version__,
            "numpy": np.__version__,
        },
        # Enough pictures; and too few, where both covariances are singular.
        "results": [compare(5 * d, d, options.rounds), compare(d // 2, d, min(options.rounds, 3))],
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
