"""Named sets of moving things: `moving-mnist`, `moving-fashion`, `moving-digits`."""

import hashlib
from pathlib import Path

import numpy as np

from mezzotint.data import cache, dataset
from mezzotint.data.dataset import SPLITS, Dataset
from mezzotint.data.footage import FRAMES, Bouncing
from mezzotint.errors import UserError

MOVING = {"moving-mnist": "mnist", "moving-fashion": "fashion-mnist", "moving-digits": "digits"}
"""The sets by name, and the still pictures that move in them."""
CLIPS = {"test": 10_000, "validation": 1_000, "train": 1_000_000}
"""Clips of each split: a fixed test set, and more to train on than anybody sees."""
PROTOCOL = "bouncing 1"
"""Part of the digest: raised when the same number would give another clip."""


def load(
    name: str,
    *,
    size: int | None = None,
    channels: int | None = None,
    frames: int | None = None,
    cache_folder: Path | None = None,
    progress: cache.Progress | None = None,
) -> Dataset:
    """Clips of two items of the still set, of `frames` frames (20) on squares of `size` pixels.

    By default 64 for items of 28 pixels (the field's protocol), twice the item's side for others. Clips of a split show
    only items of the same split. Raises UserError for squares that the items do not fit into.
    """
    still = dataset.load(MOVING[name], channels=channels, cache_folder=cache_folder, progress=progress)
    item = still.images.shape[1]
    side = size or (64 if item == 28 else 2 * item)
    length = frames or FRAMES
    if side <= item:
        raise UserError(f"items of {item} pixels do not move in {side} pixels: give --size {2 * item} or more")
    ends = np.cumsum(list(CLIPS.values())).tolist()
    bounds = tuple((end, still.splits[split]) for end, split in zip(ends, CLIPS, strict=True))
    starts = dict(zip(CLIPS, [0, *ends], strict=False))
    splits = {split: np.arange(starts[split], starts[split] + CLIPS[split]) for split in SPLITS}
    key = repr((PROTOCOL, still.digest, side, length))
    footage = Bouncing(still.images, bounds, side, length)
    return Dataset(name, still.images, None, (), splits, hashlib.sha256(key.encode()).hexdigest(), footage=footage)
