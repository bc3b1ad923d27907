"""Pictures made black and white."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mezzotint.data import dataset, pictures
from mezzotint.data.binarized import binarized
from mezzotint.data.formats import Arrays
from mezzotint.errors import UserError
from mezzotint.losses import likelihood


def level(value: int, count: int = 400) -> Arrays:
    """Pictures of 5×4 pixels of one level."""
    return Arrays(np.full((count, 5, 4, 1), value, np.uint8), np.arange(count) % 10, tuple("0123456789"))


@pytest.mark.parametrize("value", [0, 1, 40, 128, 254, 255])
def test_pixels_are_white_as_often_as_they_are_bright(value: int) -> None:
    found = binarized(level(value)).images
    assert set(np.unique(found)) <= {0, 255}
    share = value / 255
    # 5 standard deviations of 8,000 draws; black stays black and white stays white.
    assert abs((found == 255).mean() - share) <= 5 * (share * (1 - share) / found.size) ** 0.5


def test_a_picture_is_drawn_by_its_place_and_levels_alone() -> None:
    arrays = Arrays(np.random.default_rng(0).integers(0, 256, (5000, 3, 3, 1), np.uint8), None, ())
    found = binarized(arrays)
    assert np.array_equal(found.images, binarized(arrays).images)
    some = Arrays(arrays.images[:3000], None, ())
    assert np.array_equal(found.images[:3000], binarized(some).images)
    others = Arrays(np.where(np.arange(5000)[:, None, None, None] == 7, arrays.images, 0), None, ())
    assert np.array_equal(found.images[7], binarized(others).images[7])
    drawn = binarized(level(128, 5000)).images
    assert len(np.unique(drawn.reshape(5000, -1), axis=0)) > 4950  # no two places alike, beyond the rows drawn at once


def test_the_draw_is_pinned() -> None:
    assert np.packbits(binarized(level(128, 2)).images == 255).tobytes().hex() == "9314898242"


def test_color_is_refused() -> None:
    with pytest.raises(UserError, match="grey"):
        binarized(Arrays(np.zeros((4, 2, 2, 3), np.uint8), None, ()))


def test_it_has_a_name_and_keeps_labels_and_splits(cache_folder: Path) -> None:
    found = dataset.load("binarized-digits", cache_folder=cache_folder)
    plain = dataset.load("digits", cache_folder=cache_folder)
    assert (found.name, found.spec.shape, found.classes) == ("binarized-digits", (1, 8, 8), plain.classes)
    assert np.array_equal(found.labels, plain.labels)  # pyright: ignore[reportArgumentType]
    assert all(np.array_equal(found.splits[name], plain.splits[name]) for name in dataset.SPLITS)
    assert set(np.unique(pictures.to_float(found.images)).tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("shape", [{"size": 16}, {"channels": 3}])
def test_no_other_shape_is_made_of_it(shape: dict[str, int], cache_folder: Path) -> None:
    with pytest.raises(UserError, match="its own size"):
        dataset.load("binarized-digits", cache_folder=cache_folder, **shape)  # pyright: ignore[reportArgumentType]
    assert dataset.load("binarized-digits", size=8, channels=1, cache_folder=cache_folder).spec.shape == (1, 8, 8)


def test_the_bernoulli_likelihood_is_a_probability_of_black_and_white_pictures() -> None:
    """What `vae-dense` says of every picture of four pixels adds up to 1: its nats are those of a code."""
    bits = torch.arange(16)[:, None] >> torch.arange(4) & 1
    every = pictures.to_float((bits * 255).to(torch.uint8).view(16, 2, 2, 1).numpy())
    logits = torch.tensor([0.3, -2.0, 5.0, 0.0]).view(1, 1, 2, 2).expand(16, 1, 2, 2)
    logged = likelihood.bernoulli(logits, every)
    assert logged.exp().sum() == pytest.approx(1, abs=1e-6)
    assert logged[0b0101] == pytest.approx(float(torch.tensor([0.3, 2.0, 5.0, 0.0]).sigmoid().log().sum()), abs=1e-5)


def test_the_published_draw_is_read_from_its_files(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).integers(0, 2, (30, 9))
    parts = dict(zip(("train", "valid", "test"), np.split(numbers, [18, 24]), strict=True))
    for part, rows in parts.items():
        np.savetxt(tmp_path / f"binarized_mnist_{part}.amat", rows, "%d")
    found = dataset.load(tmp_path, cache_folder=tmp_path / "cache")
    assert np.array_equal(found.images.reshape(30, 9), numbers * 255)
    assert [found.splits[name].tolist() for name in dataset.SPLITS] == [
        list(range(18)),
        list(range(18, 24)),
        list(range(24, 30)),
    ]
    assert (found.name, found.labels) == ("binarized-mnist-2008", None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0 1 1\n",
        "0 1 1 0\n0 1\n",
        "0 1 1 2\n",
        "0.0 1 1 1\n",
        "0 1 11\n",
        "0110\n",
        "\n0 1 1 0\n",
        "0 1 1 0\n0 1 1\n0 1 1 0 1\n",
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    for part in ("train", "valid", "test"):
        (tmp_path / f"binarized_mnist_{part}.amat").write_text(text)
    with pytest.raises(UserError, match=r"binarized_mnist_train\.amat is damaged"):
        dataset.load(tmp_path, cache_folder=tmp_path / "cache")
