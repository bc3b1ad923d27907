import numpy as np
import pytest
import torch

from mezzotint.losses.agreement import EPSILON, covariance_penalty, variance_hinge


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_covariance_agrees_with_numpy():
    z = normal(20, 5)
    covariance = np.cov(z.numpy(), rowvar=False)
    expected = (covariance**2).sum() - (np.diag(covariance) ** 2).sum()
    assert float(covariance_penalty(z)) == pytest.approx(expected / 5)


def test_variance_hinge_asks_for_deviation_one_and_no_more():
    z = normal(50, 3) * torch.tensor([0.1, 0.5, 3.0], dtype=torch.float64)
    gaps = [max(0.0, 1 - (v + EPSILON) ** 0.5) for v in z.var(0).tolist()]
    assert float(variance_hinge(z)) == pytest.approx(sum(gaps) / 3)
    assert gaps[2] == 0
    assert float(variance_hinge(torch.zeros(4, 2))) == pytest.approx(1 - EPSILON**0.5)


@pytest.mark.parametrize("term", [variance_hinge, covariance_penalty])
def test_gradients(term):
    assert torch.autograd.gradcheck(term, normal(6, 3).mul_(0.3).requires_grad_())


def test_a_repeated_feature_costs():
    z = normal(100, 1)
    assert float(covariance_penalty(torch.cat([z, z], 1))) > 10 * float(covariance_penalty(normal(100, 2, seed=2)))
