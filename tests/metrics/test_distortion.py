import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import metrics as skimage_metrics
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from mezzotint.metrics.distortion import mae, mse, psnr, ssim


def pair(seed, *shape, noise=0.2):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(shape[0], shape[1], 6, 6, generator=generator) * 2 - 1
    images = torch.nn.functional.interpolate(coarse, shape[2:], mode="bilinear")
    return images, (images + noise * torch.randn(shape, generator=generator)).clamp(-1, 1)


def unit(images):
    return ((images.double() + 1) / 2).numpy()


def torchmetrics_ssim(images, others, sigma, margin):
    """The map of torchmetrics without its margin of mirrored pixels, which is in its mean but not in Wang's."""
    options = {"data_range": 1.0, "sigma": sigma, "reduction": "none", "return_full_image": True}
    _, full = structural_similarity_index_measure((images.double() + 1) / 2, (others.double() + 1) / 2, **options)
    return full[..., margin:-margin, margin:-margin].flatten(1).mean(1)


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (3, 3, 32, 20), (2, 3, 11, 64)])
def test_ssim_agrees_with_scikit_image_and_torchmetrics(shape):
    images, others = pair(0, *shape)
    found = ssim(images, others)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    for value, x, y in zip(found, unit(images), unit(others), strict=True):
        # 1e-9: the same window, the same float64 sums in another order.
        expected = skimage_metrics.structural_similarity(x, y, channel_axis=0, **options)
        assert float(value) == pytest.approx(expected, abs=1e-9)
    assert torch.allclose(found, torchmetrics_ssim(images, others, 1.5, 5), atol=1e-9)


def test_ssim_of_small_pictures_uses_the_window_stated():
    images, others = pair(1, 4, 1, 8, 8)
    # From this sigma torchmetrics derives a 7×7 window; it holds the sigma in float32, hence 1e-6.
    assert torch.allclose(ssim(images, others), torchmetrics_ssim(images, others, 1.5 * 7 / 11, 3), atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 10**6))
def test_any_size_has_a_similarity_and_likeness_to_itself_is_perfect(height, width, seed):
    images, others = pair(seed, 2, 3, height, width)
    assert torch.allclose(ssim(images, images), torch.ones(2, dtype=torch.float64), atol=1e-12)
    assert (ssim(images, others) <= 1).all()
    assert torch.equal(mse(images, images), torch.zeros(2, dtype=torch.float64))
    assert (psnr(images, images) == float("inf")).all()


def test_psnr_agrees_with_scikit_image_and_torchmetrics():
    images, others = pair(2, 3, 3, 17, 9)
    for value, x, y in zip(psnr(images, others), unit(images), unit(others), strict=True):
        assert float(value) == pytest.approx(skimage_metrics.peak_signal_noise_ratio(x, y, data_range=1.0))
    expected = peak_signal_noise_ratio(images, others, data_range=2.0, reduction="none", dim=(1, 2, 3))
    assert torch.allclose(psnr(images, others).float(), expected, rtol=1e-5)


def test_errors_known_answers():
    black, white = -torch.ones(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    assert float(mse(black, white)) == float(mae(black, white)) == 1.0
    assert float(psnr(black, white)) == 0.0
    # A gap of one tenth of the range is 20 dB.
    assert float(psnr(black, black + 0.2)) == pytest.approx(20, abs=1e-5)
    assert float(mae(black, black + 0.2)) == pytest.approx(0.1)


def test_pictures_do_not_depend_on_their_company():
    images, others = pair(3, 5, 3, 16, 16)
    for measure in (mse, mae, psnr, ssim):
        alone = torch.cat([measure(images[i : i + 1], others[i : i + 1]) for i in range(5)])
        assert np.array_equal(alone.numpy(), measure(images, others).numpy())
