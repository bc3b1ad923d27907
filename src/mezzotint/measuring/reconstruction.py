"""How near pictures come to themselves: through a method's latents, or drawn from a part of each."""

from typing import Any

import torch
from torch import Tensor

from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import ordered
from mezzotint.drawing import CHUNK, FIRST_SEED, device_of
from mezzotint.metrics import distortion
from mezzotint.metrics.interval import mean
from mezzotint.scorecard import QUANTIZATION, Draft
from mezzotint.types import Encodes

REDRAWN = 500
"""Pictures of which a part is given, for the rest to be drawn."""


def add_reconstruction(method: Encodes, dataset: Dataset, split: str, card: Draft) -> None:
    """Put into the card how near pictures come back from their latents."""
    found: dict[str, list[Tensor]] = {"psnr": [], "ssim": []}
    for images, labels in ordered(dataset, split, 250, device_of(method)):
        again = method.decode(method.encode(images, labels), labels)
        again = pictures.to_float(pictures.to_uint8(again))
        found["psnr"].append(distortion.psnr(again, images.cpu()))
        found["ssim"].append(distortion.ssim(again, images.cpu()))
    for name, values in found.items():
        card.answers[name] = torch.cat(values)
        card.scores[name] = mean(card.answers[name])
    card.protocol["quantization"] = QUANTIZATION


def add_redrawing(method: Any, dataset: Dataset, split: str, seed: int, card: Draft) -> None:
    """Put into the card how near pictures are drawn to themselves when a part of each is given.

    Of up to REDRAWN pictures, each drawn once.
    """
    found: dict[str, list[Tensor]] = {"redrawn_psnr": [], "redrawn_ssim": []}
    for i, (images, labels) in enumerate(ordered(dataset, split, CHUNK, device_of(method), REDRAWN)):
        _, again = method.redrawn(images, labels, (seed + 1) * FIRST_SEED + i * CHUNK)
        again = pictures.to_float(pictures.to_uint8(again))
        found["redrawn_psnr"].append(distortion.psnr(again, images.cpu()))
        found["redrawn_ssim"].append(distortion.ssim(again, images.cpu()))
    for name, values in found.items():
        finite = torch.cat(values)
        finite = finite[finite.isfinite()]  # of a picture without a hole
        if len(finite):
            card.scores[name] = mean(finite)
    count = min(REDRAWN, len(dataset.splits[split]))
    card.protocol["redrawn"] = f"{count} pictures, {method.config.given} given as in training"
