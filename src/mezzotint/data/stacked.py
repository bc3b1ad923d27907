"""Grey pictures stacked in threes as the channels of one, to count by: ten classes make a thousand kinds of stacks.

Metz et al. 2017 ("Unrolled GANs", section 3.3.1) take MNIST; a generator that forgets kinds is found out by counting.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.formats import Arrays
from mezzotint.errors import UserError
from mezzotint.ops.noise import keyed_uniform

CHANNELS = 3
KEY = 1000
"""Of the orders in which pictures meet: the same for all, since a data set has no seed."""


def orders(count: int, key: int = KEY) -> NDArray[np.int64]:
    """Which pictures each stack is made of, count × 3: in each channel all `count` of them, each once."""
    numbers = keyed_uniform(key, np.arange(count), CHANNELS)
    return np.argsort(numbers, axis=0, kind="stable").astype(np.int64)


def stacks(arrays: Arrays) -> Arrays:
    """As many stacks as there are grey pictures, split by split; without labels. Raises UserError for color.

    The kinds of the channels are left out because a generator that was told them could forget none.
    """
    if arrays.images.shape[3] != 1:
        raise UserError("only grey pictures are stacked: name a grey data set")
    images = np.empty((*arrays.images.shape[:3], CHANNELS), np.uint8)
    for rows in _splits(arrays):
        images[rows] = np.stack([arrays.images[rows[order], ..., 0] for order in orders(len(rows)).T], 3)
    return replace(arrays, images=images, labels=None, classes=())


def stacked_labels(arrays: Arrays) -> NDArray[np.int64]:
    """The class of each channel of the stacks that `stacks` makes, n × 3."""
    assert arrays.labels is not None
    labels = np.empty((len(arrays.images), CHANNELS), np.int64)
    for rows in _splits(arrays):
        labels[rows] = arrays.labels[rows[orders(len(rows))]]
    return labels


def _splits(arrays: Arrays) -> list[NDArray[np.int64]]:
    """The rows of each split that comes with the set."""
    if arrays.given is None:
        return [np.arange(len(arrays.images))]
    return [np.flatnonzero(arrays.given == name) for name in np.unique(arrays.given)]
