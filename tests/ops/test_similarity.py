import pytest
import torch
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from mezzotint.ops.similarity import WEIGHTS, multiscale, scales_of, similarity


def pair(size: tuple[int, ...], error: float = 0.1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(size, generator=generator, dtype=torch.float64)
    x = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    return x, (x + error * torch.randn(size, generator=generator, dtype=torch.float64)).clamp(0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_five_scales_are_as_others_take_them(channels: int) -> None:
    """Contrast by torchmetrics, the last scale by scikit-image: torchmetrics counts mirrored edges there."""
    x, y = pair((1, channels, 192, 181))
    expected = 1.0
    for weight in WEIGHTS[:-1]:
        _, contrast = structural_similarity_index_measure(x, y, data_range=1.0, return_contrast_sensitivity=True)
        expected *= float(contrast) ** weight
        x, y = (torch.nn.functional.avg_pool2d(z, 2) for z in (x, y))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 0}
    expected *= structural_similarity(x[0].numpy(), y[0].numpy(), data_range=1.0, **options) ** WEIGHTS[-1]
    assert float(multiscale(*pair((1, channels, 192, 181)))) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("side", "count"), [(8, 1), (21, 1), (22, 2), (64, 3), (88, 4), (175, 4), (176, 5), (900, 5)])
def test_small_pictures_have_fewer_scales(side: int, count: int) -> None:
    assert scales_of(side, side + 3) == count


def test_a_single_scale_is_the_similarity_itself() -> None:
    x, y = pair((3, 1, 20, 18))
    torch.testing.assert_close(multiscale(x, y), similarity(x, y)[0] ** sum(WEIGHTS))


def test_two_scales_by_hand() -> None:
    x, y = pair((1, 1, 30, 30))
    half = [torch.nn.functional.avg_pool2d(z, 2) for z in (x, y)]
    first, last = similarity(x, y)[1], similarity(half[0], half[1])[0]
    a, b = (sum(WEIGHTS) * weight / sum(WEIGHTS[:2]) for weight in WEIGHTS[:2])
    torch.testing.assert_close(multiscale(x, y), first**a * last**b)


def test_equal_pictures_are_alike_and_noise_makes_them_less_so() -> None:
    x, near = pair((2, 3, 64, 64), 0.02)
    _, far = pair((2, 3, 64, 64), 0.2)
    torch.testing.assert_close(multiscale(x, x), torch.ones(2, dtype=torch.float64))
    assert bool((multiscale(x, near) > multiscale(x, far)).all())


def test_gradients() -> None:
    x, y = pair((1, 1, 22, 12))
    assert torch.autograd.gradcheck(lambda z: multiscale(x, z), y.requires_grad_(), atol=1e-6)


def test_negatives_have_no_slope_that_is_not_finite() -> None:
    x, _ = pair((1, 1, 64, 64))
    y = (1 - x).requires_grad_()
    multiscale(x, y).sum().backward()
    assert y.grad is not None
    assert bool(torch.isfinite(y.grad).all())
