import itertools
import math

import pytest
import torch
from torch import distributions

from mezzotint.losses.divergence import decomposed, importance_bound, normal_kl, normal_log_density


@pytest.fixture(autouse=True)
def fixed_numbers():
    torch.manual_seed(0)


def test_density_is_torchs():
    z, mean, log_scale = torch.randn(3, 5, 7).double()
    expected = distributions.Normal(mean, log_scale.exp()).log_prob(z)
    torch.testing.assert_close(normal_log_density(z, mean, log_scale), expected)


def test_divergence_of_a_moved_normal_is_torchs():
    moved, log_ratio, mean, log_scale = torch.randn(4, 5, 7).double()
    prior = distributions.Normal(mean, log_scale.exp())
    posterior = distributions.Normal(mean + moved, (log_scale + log_ratio).exp())
    expected = distributions.kl_divergence(posterior, prior)
    torch.testing.assert_close(normal_kl(moved, log_ratio, log_scale), expected)
    assert not normal_kl(torch.zeros(2), torch.zeros(2), torch.randn(2)).any()
    arguments = tuple(t.requires_grad_() for t in (moved, log_ratio, log_scale))
    assert torch.autograd.gradcheck(normal_kl, arguments)


def test_decomposition_by_brute_force():
    """Every pair of a code and a picture by loops, from the definitions (Chen et al. 2018, equation S6)."""
    n, latent, pictures = 5, 3, 1000
    z, mean, log_variance = torch.randn(3, n, latent).double()
    density = distributions.Normal(mean[None], (log_variance / 2).exp()[None])
    table = density.log_prob(z[:, None])  # code i, picture j, number
    found = decomposed(z, mean, log_variance, pictures)
    for i in range(n):
        whole = sum(math.exp(float(table[i, j].sum())) for j in range(n)) / (n * pictures)
        each = [sum(math.exp(float(table[i, j, k])) for j in range(n)) / (n * pictures) for k in range(latent)]
        prior = float(distributions.Normal(0.0, 1.0).log_prob(z[i]).sum())
        product = sum(map(math.log, each))
        assert float(found.information[i]) == pytest.approx(float(table[i, i].sum()) - math.log(whole))
        assert float(found.correlation[i]) == pytest.approx(math.log(whole) - product)
        assert float(found.marginals[i]) == pytest.approx(product - prior)


def test_the_three_parts_are_the_whole():
    z, mean, log_variance = torch.randn(3, 6, 4).double()
    parts = decomposed(z, mean, log_variance, 60)
    own = distributions.Normal(mean, (log_variance / 2).exp()).log_prob(z).sum(1)
    prior = distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(sum(parts), own - prior)


def test_total_correlation_of_a_gaussian():
    """Of two numbers with correlation r it is -log(1 - r²)/2, found from all the data at once, but for one constant.

    Weighted sampling of a whole data set of n counts each density n times too small, in the joint once, in the product
    of the marginals once for each number.
    """
    n, r = 2000, 0.9
    first = torch.randn(n, dtype=torch.float64)
    codes = torch.stack([first, r * first + math.sqrt(1 - r * r) * torch.randn(n, dtype=torch.float64)], 1)
    width = 0.1  # of each posterior: it smooths both densities a little
    z = codes + width * torch.randn(n, 2, dtype=torch.float64)
    found = decomposed(z, codes, torch.full_like(codes, 2 * math.log(width)), n)
    smoothed = r / (1 + width**2)
    constant = math.log(n)
    expected = -0.5 * math.log(1 - smoothed**2)
    assert float(found.correlation.mean()) - constant == pytest.approx(expected, abs=0.08)


def test_importance_bound_of_one_weight_and_of_equal_ones():
    weights = torch.randn(1, 4).double()
    torch.testing.assert_close(importance_bound(weights), weights[0])
    torch.testing.assert_close(importance_bound(weights.repeat(7, 1)), weights[0])


def test_importance_bound_rises_with_the_number_of_weights():
    """Burda et al. 2016, theorem 1: here over all subsets of some weights, so that it holds exactly."""
    weights = torch.randn(6, 1).double() * 3
    means = []
    for k in range(1, 7):
        chosen = [importance_bound(weights[list(some)]) for some in itertools.combinations(range(6), k)]
        means.append(float(torch.cat(chosen).mean()))
    assert all(b > a for a, b in itertools.pairwise(means))
    assert means[-1] == pytest.approx(float(weights.exp().mean().log()))
