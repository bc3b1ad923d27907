"""Batches as a function of (seed, position): nothing but the position is needed to go on."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mezzotint.data.augment import FLIP, TRIVIAL, Augment, augment, moved
from mezzotint.data.dataset import Dataset
from mezzotint.data.trivial import trivial
from mezzotint.errors import UserError
from mezzotint.ops.noise import keyed_uniform
from mezzotint.types import Clips, Images, Labels

__all__ = ["Augment", "Batches", "ordered"]

_SIDES = 0x2545F491
"""Added to the seed for the numbers that say which pictures the first epoch mirrors."""


class Batches:
    """An endless stream of a split's pictures; each epoch in its own order, each picture augmented by its own key.

    With `balance` above 0 a class has a part of each epoch in proportion to its pictures to the power of 1 - balance
    (1: all classes alike). Raises UserError where the split is empty or pictures cannot be shifted so far.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        batch: int,
        seed: int,
        augment: Augment = Augment(),
        device: torch.device = torch.device("cpu"),
        balance: float = 0.0,
    ) -> None:
        _refuse_impossible(dataset, split, batch, augment)
        self.dataset = dataset
        self.rows = torch.from_numpy(dataset.splits[split])
        self.count = len(self.rows)
        self.batch, self.seed, self.device, self.config = batch, seed, device, augment
        self._labels = None if dataset.labels is None else torch.from_numpy(dataset.labels)
        self._targets = {name: torch.from_numpy(values) for name, values in dataset.targets.items()}
        self._orders: dict[int, Tensor] = {}
        self._members: list[Tensor] = []
        """Places in the split by class, where classes are balanced."""
        if balance and self._labels is not None:
            labels = self._labels[self.rows]
            self._members = [(labels == k).nonzero().flatten() for k in labels.unique()]
            self._quotas = quotas([len(places) for places in self._members], balance)

    def at(self, images_seen: int) -> tuple[Images | Clips, Labels | None]:
        """The batch at a position of the stream: floats in [-1, 1], n c h w or n t c h w, and labels."""
        rows = self.rows[self._indices(images_seen)]
        labels = None if self._labels is None else self._labels[rows].to(self.device)
        pixels = _pixels(self.dataset, rows)
        if self.config == Augment():
            return _floats(pixels, self.device), labels
        uniforms = self._uniforms(images_seen)
        if self.config.trivial:
            pixels = trivial(pixels.permute(0, 3, 1, 2), uniforms[:, TRIVIAL]).permute(0, 2, 3, 1)
        return augment(_floats(pixels, self.device), uniforms, self.config), labels

    def targets_at(self, images_seen: int) -> dict[str, Tensor]:
        """What else is to be learned of the pictures of that batch, by name; boxes lie where the pictures do."""
        rows = self.rows[self._indices(images_seen)] if self._targets else self.rows
        found = {name: values[rows].to(self.device) for name, values in self._targets.items()}
        if "boxes" in found:
            side = self.dataset.images.shape[1], self.dataset.images.shape[2]
            found["boxes"] = moved(found["boxes"], self._uniforms(images_seen), self.config, side)
        return found

    def _uniforms(self, images_seen: int) -> Tensor:
        """What `augment` goes by. A picture that is mirrored in one epoch is not in the next (Jordan 2024, sec. 3.6).

        So two epochs show more pictures than by chance; where classes are balanced, chance it is.
        """
        positions = np.arange(images_seen, images_seen + self.batch)
        found = keyed_uniform(self.seed, positions, self.config.numbers)
        if self.config.flip and not self._members:
            firsts = keyed_uniform(self.seed + _SIDES, self._indices(images_seen).numpy(), 1)[:, 0]
            found[:, FLIP] = (firsts + positions // self.count * 0.5) % 1.0
        return torch.from_numpy(found)

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
            permutation = _permutation(self.count, self.seed, -1 - epoch)
            if self._members:
                permutation = self._balanced(epoch)[permutation]
            self._orders = {e: p for e, p in self._orders.items() if e == epoch - 1} | {epoch: permutation}
        return self._orders[epoch]

    def _balanced(self, epoch: int) -> Tensor:
        """Places of an epoch, each class in its quota; it goes on in an endless order of its own."""
        parts: list[Tensor] = []
        for number, (members, quota) in enumerate(zip(self._members, self._quotas, strict=True)):
            first, last = epoch * quota, (epoch + 1) * quota
            rounds = range(first // len(members), -(-last // len(members)))
            seed = self.seed + 0x5851F42D * (number + 1)  # an order that no other class has
            order = [members[_permutation(len(members), seed, -1 - r)] for r in rounds]
            start = first - rounds.start * len(members)
            parts.append(torch.cat(order)[start : start + quota] if quota else members[:0])
        return torch.cat(parts)


def quotas(counts: Sequence[int], balance: float) -> list[int]:
    """How many pictures of each class an epoch of all pictures has (largest remainders, so that none is lost)."""
    shares = np.asarray(counts, np.float64) ** (1 - balance)
    exact = shares / shares.sum() * sum(counts)
    found = np.floor(exact).astype(int)
    found[np.argsort(found - exact, kind="stable")[: sum(counts) - found.sum()]] += 1
    return found.tolist()


def _permutation(count: int, seed: int, position: int) -> Tensor:
    key = int(keyed_uniform(seed, np.array([position]), 1)[0, 0] * 2**53)
    return torch.randperm(count, generator=torch.Generator().manual_seed(key))


def _refuse_impossible(dataset: Dataset, split: str, batch: int, augment: Augment) -> None:
    if len(dataset.splits[split]) == 0:
        raise UserError(f"{dataset.name} has no {split} pictures: add pictures, at least three different ones")
    if batch < 1:
        raise UserError(f"a batch of {batch} pictures is not possible: set batch to 1 or more")
    if dataset.targets and augment.trivial:
        raise UserError("boxes cannot follow what data.augment.trivial does to pictures: leave it out")
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
    rows = torch.from_numpy(rows_of(dataset, split, limit))
    labels = None if dataset.labels is None else torch.from_numpy(dataset.labels)
    for part in rows.split(batch):
        yield _floats(_pixels(dataset, part), device), None if labels is None else labels[part].to(device)


def rows_of(dataset: Dataset, split: str, limit: int | None = None) -> np.ndarray:
    """Rows of a split's pictures: all of them, or `limit` spread evenly over them."""
    rows = dataset.splits[split]
    return rows if limit is None or limit >= len(rows) else rows[spread(len(rows), limit)]


def spread(length: int, count: int) -> np.ndarray:
    """`count` places spread evenly over `length`: folders are sorted by class, so the first ones would be of few."""
    return np.arange(count) * length // count


def _pixels(dataset: Dataset, rows: Tensor) -> Tensor:
    """Bytes, n h w c or n t h w c."""
    if dataset.footage:
        return torch.from_numpy(dataset.footage.at(rows.numpy()))
    return torch.from_numpy(dataset.images)[rows]


def _floats(pixels: Tensor, device: torch.device) -> Images | Clips:
    return pixels.to(device).movedim(-1, -3).to(torch.float32).div_(127.5).sub_(1).contiguous()
