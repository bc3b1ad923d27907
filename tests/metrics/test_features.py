import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from mezzotint.metrics.distribution import Moments, frechet
from mezzotint.metrics.features import Extractor, Spatial, random_filters
from mezzotint.types import DataSpec

FASHION = Path("/usr/share/datasets/fashion-mnist")


def digits():
    data = load_digits()
    return torch.tensor(data.images, dtype=torch.float32)[:, None] / 8 - 1, torch.tensor(data.target)


def fashion(count=4000):
    def read(name, offset):
        return np.frombuffer(gzip.decompress((FASHION / name).read_bytes()), np.uint8, offset=offset)

    pixels = read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)[:count]
    return torch.tensor(pixels) / 127.5 - 1, torch.tensor(read("t10k-labels-idx1-ubyte.gz", 8)[:count])


SOURCES = [
    pytest.param(digits, id="digits"),
    pytest.param(
        fashion,
        id="fashion",
        marks=[pytest.mark.fashion, pytest.mark.skipif(not FASHION.exists(), reason="Fashion-MNIST is not here")],
    ),
]


def blurred(images, sigma):
    offsets = torch.arange(-8.0, 9.0)
    kernel = torch.exp(-0.5 * (offsets / sigma).square())
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    images = F.conv2d(F.pad(images, (8, 8, 0, 0), mode="replicate"), kernel)
    return F.conv2d(F.pad(images, (0, 0, 8, 8), mode="replicate"), kernel.mT)


def noisy(images, sigma):
    return images + sigma * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", params=SOURCES)
def ruler(request):
    """A function from pictures to their distance from half of a set, and the other half with its labels."""
    images, labels = request.param()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    images, labels = images[order], labels[order]
    half, extract = len(images) // 2, random_filters(DataSpec(*images.shape[1:]))

    def moments(pictures):
        total = Moments(extract(pictures[:1]).shape[1])
        for part in pictures.split(100):
            total.update(extract(part))
        return total

    real = moments(images[:half])
    return lambda pictures: frechet(real, moments(pictures)), images[half:], labels[half:]


def assert_grows(distances):
    assert all(low < high for low, high in pairwise(distances)), distances


def test_distance_grows_with_blur(ruler):
    distance, images, _ = ruler
    assert_grows([distance(images), *(distance(blurred(images, sigma)) for sigma in (0.5, 0.7, 1.0, 1.5, 2.0))])


def test_distance_grows_with_noise(ruler):
    distance, images, _ = ruler
    assert_grows([distance(images), *(distance(noisy(images, sigma)) for sigma in (0.1, 0.2, 0.4, 0.8))])


def test_distance_grows_with_dropped_classes(ruler):
    distance, images, labels = ruler
    assert_grows([distance(images), *(distance(images[labels < kept]) for kept in (9, 7, 5, 3, 1))])


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 48), (3, 128, 128), (3, 3, 5), (1, 1, 1)])
def test_a_few_hundred_finite_features_that_do_not_depend_on_the_batch(shape):
    extract: Extractor = random_filters(DataSpec(*shape))
    images = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    features = extract(images)
    assert features.dtype == torch.float32
    assert 200 <= features.shape[1] <= 400
    assert features.isfinite().all()
    # 1e-4: float32 convolutions may sum in another order in another batch; features are of order 1 to 10.
    assert torch.allclose(torch.cat([extract(image[None]) for image in images]), features, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 48), (1, 1, 1)])
def test_spatial_features_tell_where_things_are(shape):
    """A bright spot raises the cells around it, and elsewhere nothing; moved by half the side, others."""
    extract: Spatial = random_filters(DataSpec(*shape))
    images = torch.zeros(2, *shape)
    spot = shape[1] // 8, shape[2] // 8
    images[1, :, spot[0], spot[1]] = 1
    features = extract.spatial(images)
    assert features.shape == (2, 7 * min(shape[1], 8) * min(shape[2], 8))
    if shape[1] >= 28:
        changed = (features[0] != features[1]).view(7, 8, 8).any(0).nonzero()
        assert len(changed) > 0
        assert changed.amax() <= 2
        moved = extract.spatial(images.roll((shape[1] // 2, shape[2] // 2), (2, 3)))
        assert (moved[0] != moved[1]).view(7, 8, 8).any(0).nonzero().amin() >= 3


def test_filters_are_the_same_everywhere():
    """Drawn from a hash in whole numbers: this digest holds on any machine and in any version."""
    assert random_filters(DataSpec(1, 28, 28)).digest == random_filters(DataSpec(1, 20, 31)).digest
    assert random_filters(DataSpec(1, 28, 28)).digest.startswith("a97a0426")
    assert random_filters(DataSpec(3, 32, 32)).digest != random_filters(DataSpec(1, 32, 32)).digest


def test_filters_are_blind_to_brightness_and_of_unit_norm():
    for bank in random_filters(DataSpec(3, 32, 32)).filters:
        assert torch.allclose(bank.sum((1, 2, 3)), torch.zeros(len(bank)), atol=1e-5)
        assert torch.allclose(bank.square().sum((1, 2, 3)), torch.ones(len(bank)), atol=1e-5)
