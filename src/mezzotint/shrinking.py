"""A codec measured: what pictures take at some qualities, and how near they come back."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import ordered
from mezzotint.drawing import CHUNK, device_of
from mezzotint.metrics import distortion
from mezzotint.metrics.interval import Score, mean
from mezzotint.metrics.sequence import ROUNDING
from mezzotint.ops import similarity
from mezzotint.types import Compresses, Images

QUALITIES = (10, 50, 90)
"""Measured,"""
PICTURES = 500
"""on so many pictures."""
GLANCED = 200
"""Pictures that a glance looks at, at the middle quality."""


@dataclass(frozen=True)
class Measured:
    """Scores with the quality in brackets, and their protocol."""

    scores: dict[str, Score]
    protocol: dict[str, Any]


def measured(method: Compresses, dataset: Dataset, split: str, count: int) -> Measured:
    """Bits a pixel, PSNR and MS-SSIM of up to `count` pictures of a split, 500 at most, at three qualities.

    A picture without error counts for what rounding has, so that mean PSNRs are finite.
    """
    count = min(count, PICTURES, len(dataset.splits[split]))
    height, width = dataset.spec.height, dataset.spec.width
    scores: dict[str, Score] = {}
    for quality in QUALITIES:
        found: dict[str, list[Tensor]] = {"bits_per_pixel": [], "psnr": [], "ms_ssim": []}
        for images, _ in ordered(dataset, split, CHUNK, device_of(method), count):
            again, bits = method.shrunk(images, quality)
            found["bits_per_pixel"].append(bits / (height * width))
            found["psnr"].append(distortion.psnr(again, images).clamp(max=ROUNDING).cpu())
            found["ms_ssim"].append(distortion.ms_ssim(again, images).cpu())
        scores |= {f"{name}[{quality}]": mean(torch.cat(values)) for name, values in found.items()}
    told = f"{count} pictures, by the coder's own tables, without names and model; in brackets the quality"
    return Measured(scores, {"compression": told, "scales": similarity.scales_of(height, width)})


def glance(method: Compresses, images: Images) -> tuple[float, int]:
    """What the training descends, of up to 200 pictures at the middle quality; and of how many."""
    few = images[:GLANCED]
    return float(method.rate_distortion(few, QUALITIES[1]).mean()), len(few)
