import io

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from mezzotint.ops.codes import complexity, direction, nearest, principal_axes, projected


@pytest.fixture(autouse=True)
def fixed_numbers():
    torch.manual_seed(0)


def test_axes_are_scikit_learns():
    codes = torch.randn(50, 6).double() * torch.tensor([5.0, 1, 3, 0.1, 2, 0.5])
    mean, axes = principal_axes(codes, 3)
    expected = PCA(3).fit(codes.numpy())
    torch.testing.assert_close(mean, torch.from_numpy(expected.mean_))
    found = torch.from_numpy(expected.components_)
    signs = (axes * found).sum(1).sign()
    torch.testing.assert_close(axes, found * signs[:, None])
    assert (axes.gather(1, axes.abs().argmax(1, keepdim=True)) > 0).all()
    torch.testing.assert_close(projected(codes, mean, axes).abs(), torch.from_numpy(expected.transform(codes)).abs())


def test_axes_that_are_not_there_are_zero():
    _, axes = principal_axes(torch.randn(9, 1), 2)
    assert axes.tolist() == [[1.0], [0.0]]


def test_a_direction_by_hand():
    codes = torch.tensor([[0.0, 1.0], [2.0, 3.0], [10.0, 0.0]])
    assert direction(codes, torch.tensor([1, 1, 0])).tolist() == [-9.0, 2.0]
    with pytest.raises(ValueError, match="without it"):
        direction(codes, torch.ones(3))


def test_neighbors_are_scikit_learns():
    known, asked = torch.randn(40, 5), torch.randn(7, 5)
    which, distances = nearest(known, asked, 3)
    expected = NearestNeighbors(n_neighbors=3, algorithm="brute").fit(known.numpy()).kneighbors(asked.numpy())
    assert which.tolist() == expected[1].tolist()
    np.testing.assert_allclose(distances, expected[0], rtol=1e-5)
    assert nearest(known[:2], asked, 3)[0].shape == (7, 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_complexity_is_the_length_of_the_better_file(channels):
    flat = np.full((16, 16, channels), 90, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, channels), np.uint8)
    found = complexity(np.stack([flat, noise]))
    assert found[0] < found[1] / 3
    shortest = min(_length(noise, "PNG", optimize=True), _length(noise, "WEBP", lossless=True, quality=100))
    assert found[1].item() == pytest.approx(shortest * 8 * np.log(2))


def _length(pixels, kind, **options):
    out = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(out, kind, **options)
    return len(out.getvalue())
