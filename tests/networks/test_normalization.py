import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mezzotint.networks.normalization import (
    ConditionalNorm,
    MinibatchDeviation,
    PixelNorm,
    couples_pictures,
    norm_layers,
)


def mean_and_variance(x, dims):
    return x.mean(dims), x.var(dims, unbiased=False)


@pytest.mark.parametrize(("norm", "dims"), [("batch", (0, 2, 3)), ("instance", (2, 3)), ("layer", (1, 2, 3))])
def test_each_norm_is_over_its_own_numbers(norm, dims):
    network = nn.Sequential(*norm_layers(norm, 6))
    mean, variance = mean_and_variance(network(torch.randn(5, 6, 7, 7) * 3 + 2), dims)
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-5)
    torch.testing.assert_close(variance, torch.ones_like(variance), rtol=1e-3, atol=0)
    assert couples_pictures(network) == (norm == "batch")


def test_pixel_norm_by_hand():
    x = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(PixelNorm()(x), x / 12.5**0.5)
    torch.testing.assert_close(PixelNorm()(x[:, :, 0, 0]), x[:, :, 0, 0] / 12.5**0.5)
    assert isinstance(norm_layers("pixel", 3)[0], PixelNorm)
    assert norm_layers("none", 3) == []


def test_a_class_has_its_own_gain_and_shift():
    norm, x = ConditionalNorm(4, 3), torch.randn(6, 4, 5, 5)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    ours = norm(x, F.one_hot(labels, 3).float())
    gain, shift = norm.tune.weight.T.chunk(2, 1)
    plain = F.batch_norm(x, None, None, training=True)
    expected = plain * (1 + gain[labels])[:, :, None, None] + shift[labels][:, :, None, None]
    torch.testing.assert_close(ours, expected)


def test_without_a_condition_it_is_batch_norm():
    norm, x = ConditionalNorm(4, 0), torch.randn(6, 4, 5, 5)
    torch.testing.assert_close(norm(x, None), F.batch_norm(x, None, None, training=True))


def test_deviation_by_hand():
    """Groups are strided: of four pictures in groups of two, 0 and 2 meet, and 1 and 3."""
    x = torch.tensor([0.0, 1.0, 2.0, 1.0]).view(4, 1, 1, 1).repeat(1, 1, 2, 2)
    more = MinibatchDeviation(group=2)(x)
    assert more.shape == (4, 2, 2, 2)
    torch.testing.assert_close(more[:, :1], x)
    torch.testing.assert_close(more[:, 1, 0, 0], torch.tensor([1.0, 0, 1, 0]), rtol=0, atol=1e-3)


@pytest.mark.parametrize("n", [1, 3, 7, 8])
def test_deviation_takes_any_number_of_pictures(n):
    assert MinibatchDeviation()(torch.randn(n, 2, 3, 3)).shape == (n, 3, 3, 3)


def test_deviation_tells_a_collapsed_batch():
    deviation = MinibatchDeviation()
    same, different = torch.randn(1, 2, 3, 3).expand(8, 2, 3, 3), torch.randn(8, 2, 3, 3)
    assert deviation(same)[:, 2].max() < 1e-3
    assert deviation(different)[:, 2].min() > 0.3
    assert couples_pictures(deviation)
