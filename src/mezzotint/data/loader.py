"""Batches as a function of (seed, position): nothing but the position is needed to go on."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mezzotint.data.augment import NUMBERS, Augment, augment
from mezzotint.data.dataset import Dataset
from mezzotint.errors import UserError
from mezzotint.ops.noise import keyed_uniform
from mezzotint.types import Clips, Images, Labels

__all__ = ["Augment", "Batches", "ordered"]


class Batches:
    """An endless stream of a split's pictures; each epoch in its own order, each picture augmented by its own key.

    Raises UserError where the split is empty or pictures cannot be shifted so far.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        batch: int,
        seed: int,
        augment: Augment = Augment(),
        device: torch.device = torch.device("cpu"),
    ) -> None:
        _refuse_impossible(dataset, split, batch, augment)
        self.dataset = dataset
        self.rows = torch.from_numpy(dataset.splits[split])
        self.count = len(self.rows)
        self.batch, self.seed, self.device, self.config = batch, seed, device, augment
        self._labels = None if dataset.labels is None else torch.from_numpy(dataset.labels)
        self._orders: dict[int, Tensor] = {}

    def at(self, images_seen: int) -> tuple[Images | Clips, Labels | None]:
        """The batch at a position of the stream: floats in [-1, 1], n c h w or n t c h w, and labels."""
        rows = self.rows[self._indices(images_seen)]
        labels = None if self._labels is None else self._labels[rows].to(self.device)
        images = _look(self.dataset, rows, self.device)
        if self.config != Augment():
            positions = np.arange(images_seen, images_seen + self.batch)
            images = augment(images, torch.from_numpy(keyed_uniform(self.seed, positions, NUMBERS)), self.config)
        return images, labels

    def _indices(self, first: int) -> Tensor:
        """Places in the split of stream positions first … first + batch - 1, which may span epochs."""
        parts: list[Tensor] = []
        last = first + self.batch
        while first < last:
            epoch, start = divmod(first, self.count)
            stop = min(self.count, start + last - first)
            parts.append(self._order(epoch)[start:stop])
            first += stop - start
        return torch.cat(parts)

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            key = int(keyed_uniform(self.seed, np.array([-1 - epoch]), 1)[0, 0] * 2**53)
            permutation = torch.randperm(self.count, generator=torch.Generator().manual_seed(key))
            self._orders = {e: p for e, p in self._orders.items() if e == epoch - 1} | {epoch: permutation}
        return self._orders[epoch]


def _refuse_impossible(dataset: Dataset, split: str, batch: int, augment: Augment) -> None:
    if len(dataset.splits[split]) == 0:
        raise UserError(f"{dataset.name} has no {split} pictures: add pictures, at least three different ones")
    if batch < 1:
        raise UserError(f"a batch of {batch} pictures is not possible: set batch to 1 or more")
    if dataset.footage and augment != Augment():
        raise UserError("clips are not augmented: leave data.augment as it is")
    side = min(dataset.images.shape[1:3])
    if not 0 <= augment.shift < side:
        raise UserError(
            f"pictures of {side} pixels cannot be shifted by {augment.shift}: set shift from 0 to {side - 1}"
        )


def ordered(
    dataset: Dataset, split: str, batch: int, device: torch.device = torch.device("cpu"), limit: int | None = None
) -> Iterator[tuple[Images | Clips, Labels | None]]:
    """A split's pictures or clips once through, as they are: all of them in order, or `limit` spread evenly."""
    rows = dataset.splits[split]
    rows = torch.from_numpy(rows if limit is None or limit >= len(rows) else rows[spread(len(rows), limit)])
    labels = None if dataset.labels is None else torch.from_numpy(dataset.labels)
    for part in rows.split(batch):
        yield _look(dataset, part, device), None if labels is None else labels[part].to(device)


def spread(length: int, count: int) -> np.ndarray:
    """`count` places spread evenly over `length`: folders are sorted by class, so the first ones would be of few."""
    return np.arange(count) * length // count


def _look(dataset: Dataset, rows: Tensor, device: torch.device) -> Images | Clips:
    if dataset.footage:
        return _floats(torch.from_numpy(dataset.footage.at(rows.numpy())), device)
    return _floats(torch.from_numpy(dataset.images)[rows], device)


def _floats(pixels: Tensor, device: torch.device) -> Images | Clips:
    return pixels.to(device).movedim(-1, -3).to(torch.float32).div_(127.5).sub_(1).contiguous()
