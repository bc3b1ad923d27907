import pytest
import torch
from scipy.ndimage import gaussian_filter

from mezzotint.ops.disturb import blurred, noisy, shifted


@pytest.fixture
def images():
    return torch.rand(3, 2, 9, 14, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("deviation", [0.3, 1.0, 2.5])
def test_a_blur_is_scipys(deviation, images):
    # An integer number of deviations times a fraction: scipy rounds the radius, we take the next whole pixel.
    radius = blurred_radius(deviation)
    expected = gaussian_filter(
        images.numpy(), (0, 0, deviation, deviation), mode="nearest", radius=(0, 0, radius, radius)
    )
    torch.testing.assert_close(blurred(images, deviation), torch.from_numpy(expected), rtol=0, atol=1e-6)


def blurred_radius(deviation: float) -> int:
    """How far a blur reaches: seen from a single bright pixel."""
    point = torch.zeros(1, 1, 1, 101, dtype=torch.float64)
    point[..., 50] = 1
    return int((blurred(point, deviation) > 0).sum()) // 2


def test_a_blur_reaches_four_deviations():
    assert [blurred_radius(deviation) for deviation in (0.5, 1.0, 2.0, 2.6)] == [2, 4, 8, 11]


def test_no_blur_no_noise_and_no_shift_change_nothing(images):
    for same in (blurred(images, 0), noisy(images, 0), shifted(images, 0)):
        assert torch.equal(same, images)


def test_noise_has_its_deviation_and_its_seed(images):
    many = torch.zeros(50, 1, 40, 40)
    noise = noisy(many, 0.3, seed=5)
    # 80,000 numbers: the standard error of the deviation is 0.3/√160,000 = 0.00075, of the mean 0.0011.
    assert float(noise.std()) == pytest.approx(0.3, abs=0.004)
    assert float(noise.mean()) == pytest.approx(0, abs=0.006)
    assert torch.equal(noise, noisy(many, 0.3, seed=5))
    assert not torch.equal(noise, noisy(many, 0.3, seed=6))


def test_a_shift_moves_and_repeats_the_edge(images):
    moved = shifted(images, 3)
    assert torch.equal(moved[:, :, 3:, 3:], images[:, :, :-3, :-3])
    assert torch.equal(moved[:, :, 3:, 0], images[:, :, :-3, 0])
    assert torch.equal(moved[:, :, 0, 3:], images[:, :, 0, :-3])
    everything = shifted(images, 20)
    assert torch.equal(everything, images[:, :, :1, :1].expand_as(images))
