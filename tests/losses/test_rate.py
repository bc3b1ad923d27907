import numpy as np
import pytest
import torch
from scipy.stats import logistic

from mezzotint.losses.rate import logistic_bits, mixture_bits


@pytest.mark.parametrize("octave", [-4.0, -1.0, 0.0, 2.5, 6.0])
def test_bits_are_those_of_the_mass_of_an_interval(octave: float) -> None:
    values = torch.linspace(-9, 9, 41, dtype=torch.float64)
    scale = 2.0**octave
    known = np.abs(values.numpy())
    mass = logistic.sf((known - 0.5) / scale) - logistic.sf((known + 0.5) / scale)
    sure = mass > 1e-6
    found = logistic_bits(values, torch.full_like(values, octave)).numpy()
    assert found[sure] == pytest.approx(-np.log2(mass[sure]), rel=1e-7, abs=1e-9)


def test_whole_numbers_share_out_one() -> None:
    values = torch.arange(-4000, 4001, dtype=torch.float64)
    for octave in (-2.0, 0.0, 4.0, 6.0):
        mass = torch.exp2(-logistic_bits(values - 0.3, torch.full_like(values, octave)))
        assert float(mass.sum()) == pytest.approx(1, abs=1e-9)


def test_far_tails_are_finite_and_have_a_slope() -> None:
    distance = torch.tensor([-3e4, -50.0, 0.0, 77.0, 3e4], requires_grad=True)
    bits = logistic_bits(distance, torch.full((5,), -4.0))
    assert bool(torch.isfinite(bits).all())
    bits.sum().backward()
    assert distance.grad is not None
    slope = 2**4 / np.log(2)  # of the tail exp(-distance / scale)
    assert distance.grad.tolist() == pytest.approx([-slope, -slope, 0, slope, slope], rel=1e-4)


def test_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    values = 3 * torch.randn(2, 3, 5, generator=generator, dtype=torch.float64)
    parts = [torch.randn(2, 3, 2, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(3)]
    octave = torch.randn(2, 3, 5, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(logistic_bits, (values.requires_grad_(), octave))
    assert torch.autograd.gradcheck(mixture_bits, (values, *parts))


def test_a_mixture_of_one_is_the_logistic_and_weights_count() -> None:
    values = torch.linspace(-3, 3, 8).view(1, 2, 4)
    mean, octave = torch.tensor([[[0.5], [-1.0]]]), torch.tensor([[[1.0], [0.0]]])
    alone = mixture_bits(values, mean, octave, torch.zeros(1, 2, 1))
    torch.testing.assert_close(alone, logistic_bits(values - mean, octave.expand(1, 2, 4)))
    two = [torch.cat([part, part], 2) for part in (mean, octave)]
    torch.testing.assert_close(mixture_bits(values, two[0], two[1], torch.tensor([[[1.0, -2.0]] * 2])), alone)
    far = mixture_bits(values, torch.cat([mean, mean + 900], 2), two[1], torch.zeros(1, 2, 2))
    torch.testing.assert_close(far, alone + 1)
