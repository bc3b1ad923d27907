import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mezzotint.metrics.sequence import ROUNDING, errors, film_features


def clips(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, 4, 1, 20, 20, generator=generator) * 2 - 1


def test_all_errors_step_by_step_against_scikit_image():
    said, came = clips(0), clips(1)
    found = errors(said, came)
    assert all(values.shape == (3, 4) for values in found.values())
    a, b = ((x[1, 2, 0].double().numpy() + 1) / 2 for x in (said, came))
    expected = {
        "mse_frame": np.square(a - b).sum(),
        "mse": np.square(a - b).mean(),
        "mae": np.abs(a - b).mean(),
        "psnr": peak_signal_noise_ratio(b, a, data_range=1),
        "ssim": structural_similarity(
            a, b, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        ),
    }
    for name, value in expected.items():
        # scikit-image averages the whole windows alone, as we do.
        assert found[name][1, 2].item() == pytest.approx(value, rel=1e-6)


def test_a_perfect_forecast():
    found = errors(clips(0), clips(0))
    assert found["mse_frame"].eq(0).all()
    assert torch.allclose(found["psnr"], torch.tensor(ROUNDING, dtype=torch.float64)), "finite, so that means are"
    torch.testing.assert_close(found["ssim"], torch.ones(3, 4, dtype=torch.float64))


def test_features_of_a_film_tell_frames_from_motion():
    still = torch.ones(1, 4, 2)
    moving = torch.tensor([[[0.0, 0], [2, 2], [0, 0], [2, 2]]])
    assert film_features(still).tolist() == [[1, 1, 0, 0]]
    assert film_features(moving).tolist() == [[1, 1, 2, 2]]
    assert film_features(moving[:, 1:2]).tolist() == [[2, 2, 0, 0]], "a single frame does not change"
