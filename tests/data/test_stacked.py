"""Stacks of three pictures."""

from pathlib import Path

import numpy as np
import pytest

from mezzotint.data import dataset, stacked
from mezzotint.data.formats import Arrays
from mezzotint.errors import UserError


def plain(given: np.ndarray | None = None) -> Arrays:
    """Pictures whose single pixel is their number."""
    labels = np.arange(40) % 10
    return Arrays(np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1), labels, tuple("0123456789"), given)


def test_each_picture_is_once_in_every_channel() -> None:
    found = stacked.stacks(plain())
    assert found.images.shape == (40, 1, 1, 3)
    assert (np.sort(found.images[:, 0, 0], axis=0) == np.arange(40)[:, None]).all()
    assert len(np.unique(found.images[:, 0, 0], axis=0)) == 40
    assert (found.labels, found.classes) == (None, ())
    assert np.array_equal(found.images[:, 0, 0] % 10, stacked.stacked_labels(plain()))


def test_splits_are_not_mixed_and_it_is_the_same_each_time() -> None:
    given = np.array(["train"] * 30 + ["test"] * 10)
    found = stacked.stacks(plain(given))
    assert (found.images[given == "test"] >= 30).all()
    assert (found.images[given == "train"] < 30).all()
    assert np.array_equal(found.images, stacked.stacks(plain(given)).images)


def test_the_order_is_pinned() -> None:
    assert stacked.orders(5).tolist() == [[3, 3, 3], [4, 0, 1], [0, 4, 0], [1, 2, 2], [2, 1, 4]]


def test_color_is_refused() -> None:
    with pytest.raises(UserError, match="grey"):
        stacked.stacks(Arrays(np.zeros((4, 2, 2, 3), np.uint8), None, ()))


def test_it_has_a_name(cache_folder: Path) -> None:
    found = dataset.load("stacked-digits", cache_folder=cache_folder)
    assert (found.name, found.spec.shape, found.classes) == ("stacked-digits", (3, 8, 8), ())
    assert len(found.images) == 1797
