import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.data.augment import within
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import Augment, Batches, ordered, quotas
from mezzotint.errors import UserError

FEW = settings(deadline=None, max_examples=30)
ALL = Augment(flip=True, shift=2, cutout=3, color=0.4)


def make(count: int = 23, labels: bool = True, channels: int = 3) -> Dataset:
    """Pictures that tell their number by their mean level; every second one is of the split."""
    images = np.random.default_rng(0).integers(0, 256, (2 * count, 6, 7, channels), dtype=np.uint8)
    numbers = np.arange(2 * count)
    splits = {"train": numbers[::2], "validation": numbers[1::4], "test": numbers[3::4]}
    return Dataset("made", images, numbers if labels else None, tuple(map(str, numbers)), splits, "")


def test_pictures_and_labels_belong_together_and_are_scaled():
    data = make()
    images, labels = Batches(data, "train", 10, seed=1).at(0)
    assert images.dtype == torch.float32
    assert images.shape == (10, 3, 6, 7)
    assert images.is_contiguous()
    assert labels.dtype == torch.int64
    expected = data.images[labels.numpy()].transpose(0, 3, 1, 2) / 127.5 - 1
    assert np.allclose(images.numpy(), expected, atol=1e-6)


def test_without_labels_there_are_none():
    assert Batches(make(labels=False), "train", 4, seed=0).at(0)[1] is None


@given(st.integers(0, 5), st.integers(0, 200), st.lists(st.integers(1, 40), min_size=1, max_size=5))
@FEW
def test_the_stream_does_not_depend_on_the_batch_size(seed, start, sizes):
    whole = Batches(make(), "train", sum(sizes), seed, ALL).at(start)
    parts, position = [], start
    for size in sizes:
        parts.append(Batches(make(), "train", size, seed, ALL).at(position))
        position += size
    assert torch.equal(whole[0], torch.cat([images for images, _ in parts]))
    assert torch.equal(whole[1], torch.cat([labels for _, labels in parts]))


@given(st.integers(0, 5), st.lists(st.integers(0, 300), min_size=1, max_size=6))
@FEW
def test_the_stream_has_no_memory(seed, positions):
    used = Batches(make(), "train", 9, seed, ALL)
    for position in positions:
        fresh = Batches(make(), "train", 9, seed, ALL).at(position)
        assert all(map(torch.equal, used.at(position), fresh))


def test_each_epoch_has_every_picture_once_in_an_order_of_its_own():
    stream = Batches(make(), "train", 23, seed=4)
    epochs = [stream.at(23 * e)[1].tolist() for e in range(4)]
    assert all(sorted(epoch) == list(range(0, 46, 2)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert Batches(make(), "train", 23, seed=5).at(0)[1].tolist() not in epochs


def test_the_second_time_around_a_picture_is_augmented_differently():
    stream = Batches(make(1), "train", 40, 0, ALL)
    assert len(torch.unique(stream.at(0)[0], dim=0)) == 40


def test_a_picture_is_mirrored_in_every_other_epoch():
    data = make(200, channels=1)
    batches = Batches(data, "train", 200, seed=0, augment=Augment(flip=True))
    sides: list[dict[int, bool]] = []
    for epoch in range(4):
        images, labels = batches.at(200 * epoch)
        plain = torch.from_numpy(data.images[labels.numpy()].transpose(0, 3, 1, 2)).float().div(127.5).sub(1)
        same = (images == plain).flatten(1).all(1)
        assert ((images == plain.flip(-1)).flatten(1).all(1) | same).all()
        sides.append(dict(zip(labels.tolist(), same.tolist(), strict=True)))
    assert sides[0] == sides[2]
    assert sides[1] == sides[3]
    assert all(sides[0][number] != sides[1][number] for number in sides[0])
    assert 70 < sum(sides[0].values()) < 130


def test_a_batch_may_be_larger_than_the_data():
    labels = Batches(make(2), "train", 9, seed=0).at(1)[1].tolist()
    assert len(labels) == 9
    assert set(labels) == {0, 2}


def test_what_cannot_be_is_one_sentence():
    empty = Dataset("none", make().images, None, (), {"train": np.zeros(0, np.int64)}, "")
    with pytest.raises(UserError, match="none has no train pictures"):
        Batches(empty, "train", 3, 0)
    with pytest.raises(UserError, match="shifted by 6"):
        Batches(make(), "train", 3, 0, Augment(shift=6))
    with pytest.raises(UserError, match="batch of 0"):
        Batches(make(), "train", 0, 0)
    assert Batches(make(), "train", 3, 0, Augment(shift=5)).at(0)[0].shape == (3, 3, 6, 7)


@pytest.mark.parametrize("batch", [1, 7, 11, 100])
@pytest.mark.parametrize("limit", [None, 5])
def test_ordered_is_once_through(batch, limit):
    data = make()
    parts = list(ordered(data, "validation", batch, limit=limit))
    labels = torch.cat([labels for _, labels in parts]).tolist()
    rows = data.splits["validation"]
    assert labels == [int(rows[i * len(rows) // (limit or len(rows))]) for i in range(limit or len(rows))]
    assert all(len(images) <= batch for images, _ in parts)
    images = torch.cat([images for images, _ in parts])
    assert torch.equal(images, next(ordered(data, "validation", 100, limit=limit))[0])


def test_a_few_are_spread_over_all_since_folders_are_sorted_by_class():
    labels = torch.cat([part for _, part in ordered(make(40), "train", 3, limit=7)])
    assert labels.tolist() == [2 * (i * 40 // 7) for i in range(7)]
    assert torch.equal(torch.cat([part for _, part in ordered(make(5), "train", 3, limit=99)]), torch.arange(0, 10, 2))


def uneven(counts: tuple[int, ...] = (90, 9, 1)) -> Dataset:
    """Classes of these sizes; a picture's first byte is its number."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(4, 1)
    rows = {"train": np.arange(len(labels)), "validation": np.zeros(0, int), "test": np.zeros(0, int)}
    return Dataset("uneven", images, labels, tuple("abc"[: len(counts)]), rows, "")


@pytest.mark.parametrize(("balance", "expected"), [(1.0, [34, 33, 33]), (0.5, [70, 22, 8]), (1e-9, [90, 9, 1])])
def test_balanced_epochs_have_classes_in_their_quotas(balance, expected):
    stream = Batches(uneven(), "train", 100, seed=3, balance=balance)
    for epoch in range(4):
        labels = stream.at(100 * epoch)[1]
        assert np.bincount(labels.numpy(), minlength=3).tolist() == expected == quotas([90, 9, 1], balance)


def test_balanced_epochs_leave_no_picture_out_and_repeat_evenly():
    stream = Batches(uneven(), "train", 100, seed=3, balance=1.0)
    levels = torch.cat([stream.at(100 * epoch)[0][:, 0, 0, 0] for epoch in range(9)])
    times = torch.unique(levels, return_counts=True)[1]
    # 9 epochs of 34, 33 and 33: 306 among 90 pictures, 297 among 9, and 297 times the last.
    assert times[:90].unique().tolist() == [3, 4]
    assert times[90:].tolist() == [33] * 9 + [297]


def test_a_balanced_stream_has_no_memory_and_no_batches():
    whole = Batches(uneven(), "train", 150, seed=3, balance=0.7).at(40)
    parts = [Batches(uneven(), "train", 50, seed=3, balance=0.7).at(at) for at in (140, 40, 90)]
    assert torch.equal(whole[0], torch.cat([parts[i][0] for i in (1, 2, 0)]))


@given(st.lists(st.integers(1, 500), min_size=1, max_size=9), st.floats(0, 1))
@FEW
def test_quotas_lose_nothing(counts, balance):
    found = quotas(counts, balance)
    assert sum(found) == sum(counts)
    assert min(found) >= 0
    if balance == 0:
        assert found == counts


def test_trivial_augment_is_keyed_by_position():
    config = Augment(trivial=True, flip=True, erasing=0.5)
    whole = Batches(make(), "train", 20, 1, config).at(5)[0]
    parts = [Batches(make(), "train", 10, 1, config).at(at)[0] for at in (5, 15)]
    assert torch.equal(whole, torch.cat(parts))
    plain = Batches(make(), "train", 20, 1).at(5)[0]
    assert 5 <= int((whole != plain).flatten(1).any(1).sum()) <= 20


# Boxes.


def boxed(count: int = 23, side: tuple[int, int] = (12, 14)) -> Dataset:
    """One bright rectangle in each dark picture, with its box; a second row of each is padding."""
    rng = np.random.default_rng(0)
    images = np.zeros((count, *side, 1), np.uint8)
    boxes = np.zeros((count, 2, 6), np.float32)
    boxes[:, 1, 0] = -1
    for i in range(count):
        # Three pixels from the edge: no reflection of it comes into sight.
        left, top = rng.integers(3, side[1] - 8), rng.integers(3, side[0] - 8)
        right, bottom = left + rng.integers(2, 6), top + rng.integers(2, 6)
        images[i, top:bottom, left:right] = 255
        boxes[i, 0, 1:5] = left, top, right, bottom
    splits = {"train": np.arange(count), "validation": np.zeros(0, np.int64), "test": np.zeros(0, np.int64)}
    return Dataset("boxed", images, None, (), splits, "", targets={"boxes": boxes}, things=("bright",))


def around_bright(image: torch.Tensor) -> list[int]:
    rows, columns = ((image[0] > 0).any(axis).nonzero().flatten() for axis in (1, 0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


@pytest.mark.parametrize("config", [Augment(), Augment(flip=True), Augment(shift=2), Augment(flip=True, shift=2)])
def test_boxes_go_where_the_pictures_go(config):
    stream = Batches(boxed(), "train", 23, 3, config)
    for position in (0, 23, 40):
        images, _ = stream.at(position)
        boxes = stream.targets_at(position)["boxes"]
        assert boxes.shape == (23, 2, 6)
        for image, box in zip(images, boxes[:, 0], strict=True):
            assert box.tolist() == [0, *around_bright(image), 0]
        assert (boxes[:, 1] == torch.tensor([-1.0, 0, 0, 0, 0, 0])).all()


def test_other_targets_are_rows_of_the_pictures():
    data = boxed()
    numbers = np.arange(23)
    data = dataclasses.replace(data, targets={"number": numbers}, labels=numbers, classes=tuple(map(str, numbers)))
    stream = Batches(data, "train", 9, 3, ALL)
    for position in (0, 18, 200):
        assert torch.equal(stream.targets_at(position)["number"], stream.at(position)[1])


def test_without_targets_there_are_none():
    assert Batches(make(), "train", 4, seed=0).targets_at(0) == {}


def test_a_box_that_is_hardly_seen_any_more_does_not_count():
    boxes = torch.tensor([[[2.0, -8, 0, 2, 10, 0], [2, -2, 0, 8, 10, 0], [-1, 0, 0, 0, 0, 0], [1, 20, 0, 30, 9, 0]]])
    found = within(boxes, (12, 12))[0]
    assert found[:, 5].tolist() == [1, 0, 0, 1]
    assert found[0].tolist() == [2, 0, 0, 2, 10, 1]
    assert found[1].tolist() == [2, 0, 0, 8, 10, 0]
