import copy

import pytest
import torch
from torch import nn

from mezzotint.networks import weights
from mezzotint.networks.parts import Conv2d


def network() -> nn.Sequential:
    return nn.Sequential(Conv2d(3, 6, 3), nn.Flatten(), nn.Linear(24, 5), nn.Embedding(4, 7))


def largest(weight: torch.Tensor) -> torch.Tensor:
    return torch.linalg.svdvals(weight.flatten(1))[0]


@pytest.mark.parametrize(
    "layer", [nn.Linear(20, 12), nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(4, 6, 4), nn.Embedding(5, 9)]
)
def test_the_power_method_finds_the_largest_singular_value(layer):
    plain, named = layer.weight.detach().clone(), nn.Sequential(layer)
    weights.spectrally_normalized(named)
    for _ in range(200):
        weights.advance(named)
    torch.testing.assert_close(layer.weight, plain / largest(plain), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(largest(layer.weight.detach()), torch.tensor(1.0), rtol=1e-5, atol=0)


def test_the_estimate_follows_a_weight_that_moves():
    """One step of the power method a step of training is enough where the weight moves slowly (Miyato et al. 2018)."""
    layer = nn.Linear(30, 30, bias=False)
    named = nn.Sequential(layer)
    weights.spectrally_normalized(named)
    original = named[0].parametrizations.weight.original
    drift = torch.randn(30, 30) / 30
    for _ in range(300):
        with torch.no_grad():
            original += 0.01 * drift
        weights.advance(named)
    # The direction still turns by a little each step.
    assert float(largest(layer.weight.detach())) == pytest.approx(1, abs=0.02)


def test_a_pass_changes_no_estimate():
    named, x = network()[:1], torch.randn(2, 3, 5, 5)
    weights.spectrally_normalized(named)
    before = copy.deepcopy(named.state_dict())
    first, second = named(x), named(x)
    assert torch.equal(first, second)
    assert all(torch.equal(before[k], v) for k, v in named.state_dict().items())


def test_the_derivative_is_the_papers():
    """Equation 12: with u and v held fixed, dL/dW = (G - <G, W̄> u vᵀ) / σ."""
    layer = nn.Linear(6, 4, bias=False).double()
    named = nn.Sequential(layer)
    weights.spectrally_normalized(named)
    named.double()
    for _ in range(500):
        weights.advance(named)
    original, pull = layer.parametrizations.weight.original, torch.randn(4, 6, dtype=torch.float64)
    (layer.weight * pull).sum().backward()
    u, values, vt = torch.linalg.svd(original.detach(), full_matrices=False)
    normalized, outer = original.detach() / values[0], torch.outer(u[:, 0], vt[0])
    expected = (pull - (pull * normalized).sum() * outer) / values[0]
    torch.testing.assert_close(original.grad, expected, rtol=1e-6, atol=1e-9)


def test_a_shortened_estimate_is_the_same():
    """An average of weights shortens u."""
    named = nn.Sequential(nn.Linear(5, 5))
    weights.spectrally_normalized(named)
    before = named[0].weight.clone()
    named[0].parametrizations.weight[0].u *= 0.3
    torch.testing.assert_close(named[0].weight, before)


def test_equalized_weights_are_scaled_where_they_are_used():
    layer = weights.equalized(nn.Conv2d(8, 4, 3), gain=2**0.5)
    stored = layer.parametrizations.weight.original
    assert abs(float(stored.detach().std()) - 1) < 0.15
    assert not layer.bias.any()
    torch.testing.assert_close(layer.weight, stored * (2 / (8 * 9)) ** 0.5)


def test_equal_steps_of_equalized_weights_are_equal_shares():
    """Adam's first step is of one size for all; so is its share of an equalized weight, whatever the fan-in."""
    shares = []
    for inputs in (10, 1000):
        layer = weights.equalized(nn.Linear(inputs, 50))
        before = layer.weight.detach().clone()
        optimizer = torch.optim.Adam([layer.parametrizations.weight.original], 0.01)
        (layer.weight * torch.randn(50, inputs)).sum().backward()
        optimizer.step()
        shares.append(float((layer.weight.detach() - before).norm() / before.norm()))
    assert shares[0] == pytest.approx(0.01, rel=0.1)
    assert shares[1] == pytest.approx(0.01, rel=0.1)


def test_orthogonal_weights_keep_lengths():
    layer = nn.Sequential(nn.Linear(6, 9), nn.Conv2d(4, 3, 2))
    weights.orthogonal(layer)
    torch.testing.assert_close(layer[0].weight.T @ layer[0].weight, torch.eye(6), rtol=0, atol=1e-5)
    rows = layer[1].weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(3), rtol=0, atol=1e-5)
    assert not layer[0].bias.any()
