import pytest
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from mezzotint.ops.similarity import WEIGHTS, multiscale, scales_of, similarity


def pair(size: tuple[int, ...], error: float = 0.1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(size, generator=generator, dtype=torch.float64)
    x = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    return x, (x + error * torch.randn(size, generator=generator, dtype=torch.float64)).clamp(0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_five_scales_are_as_torchmetrics_takes_them(channels: int) -> None:
    x, y = pair((2, channels, 192, 181))
    expected = [
        float(multiscale_structural_similarity_index_measure(a[None], b[None], data_range=1.0)) for a, b in zip(x, y, strict=True)
    ]
    assert multiscale(x, y).tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("side", "count"), [(8, 1), (21, 1), (22, 2), (64, 3), (88, 4), (175, 4), (176, 5), (900, 5)])
def test_small_pictures_have_fewer_scales(side: int, count: int) -> None:
    assert scales_of(side, side + 3) == count


def test_a_single_scale_is_the_similarity_itself() -> None:
    x, y = pair((3, 1, 20, 18))
    torch.testing.assert_close(multiscale(x, y), similarity(x, y)[0])


def test_two_scales_by_hand() -> None:
    x, y = pair((1, 1, 30, 30))
    half = [torch.nn.functional.avg_pool2d(z, 2) for z in (x, y)]
    first, last = similarity(x, y)[1], similarity(half[0], half[1])[0]
    a, b = WEIGHTS[0] / sum(WEIGHTS[:2]), WEIGHTS[1] / sum(WEIGHTS[:2])
    torch.testing.assert_close(multiscale(x, y), first**a * last**b)


def test_equal_pictures_are_alike_and_noise_makes_them_less_so() -> None:
    x, near = pair((2, 3, 64, 64), 0.02)
    _, far = pair((2, 3, 64, 64), 0.2)
    torch.testing.assert_close(multiscale(x, x), torch.ones(2, dtype=torch.float64))
    assert bool((multiscale(x, near) > multiscale(x, far)).all())


def test_gradients() -> None:
    x, y = pair((1, 1, 24, 23))
    assert torch.autograd.gradcheck(lambda z: multiscale(x, z), y.requires_grad_(), atol=1e-6)


def test_negatives_have_no_slope_that_is_not_finite() -> None:
    x, _ = pair((1, 1, 64, 64))
    y = (1 - x).requires_grad_()
    multiscale(x, y).sum().backward()
    assert y.grad is not None
    assert bool(torch.isfinite(y.grad).all())
