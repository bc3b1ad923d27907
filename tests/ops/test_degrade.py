"""What is lost of pictures: linear, where it must be; holes of every kind."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from mezzotint.data import pictures
from mezzotint.ops import degrade
from mezzotint.ops.degrade import Blurred, Edges, Grey, Shrunk
from mezzotint.ops.pyramid import edges

KINDS = ("box", "half", "strokes", "scattered", "frame")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("lost", [Shrunk(factor=2), Shrunk(factor=5), Grey(), Blurred(deviation=1.3)], ids=str)
def test_it_is_linear(lost: Callable[[Tensor], Tensor]) -> None:
    a, b = noise(2, 3, 12, 17), noise(2, 3, 12, 17, seed=1)
    torch.testing.assert_close(lost(2 * a - b), 2 * lost(a) - lost(b), rtol=0, atol=1e-12)


def test_shapes() -> None:
    images = noise(2, 3, 12, 17)
    assert Shrunk(factor=4)(images).shape == (2, 3, 3, 4)
    assert Grey()(images).shape == (2, 1, 12, 17)
    assert Grey()(images[:, :1]) is not None
    torch.testing.assert_close(Grey()(images[:, :1]), images[:, :1])
    assert degrade.enlarged(Shrunk(factor=4)(images), 12, 17).shape == images.shape
    with pytest.raises(ValueError, match="at least 2"):
        Shrunk(factor=1)


def test_edges_are_those_of_coupled_gans() -> None:
    images = noise(2, 3, 12, 17)
    expected = ndimage.morphological_gradient(images.numpy(), size=(1, 1, 3, 3), mode="nearest") - 1
    np.testing.assert_allclose(Edges()(images).numpy(), expected, atol=1e-6)
    assert torch.equal(Edges()(images), edges(images))


def test_grey_is_pillows() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    found = pictures.to_uint8(Grey()(pictures.to_float(pixels[None])))[0, :, :, 0].astype(int)
    assert np.abs(found - np.asarray(Image.fromarray(pixels).convert("L")).astype(int)).max() <= 1


def test_shrinking_is_pillows() -> None:
    """Pillow rounds after each axis."""
    pixels = np.random.default_rng(0).integers(100, 156, (24, 24), np.uint8)
    found = Shrunk(factor=3)(pictures.to_float(pixels[None, :, :, None]))
    expected = np.asarray(Image.fromarray(pixels).resize((8, 8), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(pictures.to_uint8(found)[0, :, :, 0].astype(int) - expected).max() <= 1


def of_kind(kind: str, count: int = 200, side: int = 28) -> Tensor:
    numbers = torch.rand(count, degrade.HOLE_NUMBERS, generator=torch.Generator().manual_seed(0))
    numbers[:, 0] = (KINDS.index(kind) + 0.5) / len(KINDS)
    pixels = torch.rand(count, side, side, generator=torch.Generator().manual_seed(1))
    return degrade.holes(numbers, pixels)


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        ("box", 0.02, 0.5),
        ("half", 0.25, 0.72),
        ("strokes", 0.0, 0.6),
        ("scattered", 0.15, 0.99),
        ("frame", 0.5, 0.98),
    ],
)
def test_each_kind_of_hole_has_its_size(kind: str, least: float, most: float) -> None:
    hole = of_kind(kind)
    assert hole.shape == (200, 1, 28, 28)
    assert set(hole.unique().tolist()) <= {0.0, 1.0}
    share = hole.mean((1, 2, 3))
    assert least <= float(share.min())
    assert float(share.max()) <= most
    assert float(share.std()) > 0.03


def test_strokes_are_hardly_ever_empty() -> None:
    assert float((of_kind("strokes").sum((1, 2, 3)) == 0).float().mean()) < 0.05


def test_a_half_is_a_half() -> None:
    """All rows, or all columns, are alike, and nothing outside them is missing."""
    for hole in of_kind("half")[:, 0]:
        rows, columns = hole.all(1), hole.all(0)
        assert bool(rows.any()) != bool(columns.any())
        assert int(hole.sum()) == 28 * int(rows.sum() + columns.sum())
