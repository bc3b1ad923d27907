import pytest
import torch
from torch import distributions

from mezzotint.errors import UserError
from mezzotint.networks.prior import FlowPriorConfig, MixturePriorConfig, NormalPriorConfig

PRIORS = (NormalPriorConfig(), MixturePriorConfig(components=3), FlowPriorConfig(couplings=3, width=8))


def unsettled(prior):
    """Away from where it begins."""
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return prior


@pytest.mark.parametrize("config", PRIORS, ids=lambda c: type(c).__name__)
def test_the_density_is_one_in_all(config):
    """Over a wide square of a plane."""
    prior = unsettled(config.build(2, 0)).requires_grad_(False)
    line = torch.linspace(-12, 12, 241)
    square = torch.cartesian_prod(line, line)
    assert float(prior.log_density(square).exp().sum()) * 0.1**2 == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("config", PRIORS, ids=lambda c: type(c).__name__)
def test_draws_follow_the_density(config):
    """The mean of the density over its own draws, by its integral on a grid."""
    prior = unsettled(config.build(2, 0)).requires_grad_(False)
    line = torch.linspace(-12, 12, 241)
    square = torch.cartesian_prod(line, line)
    log_density = prior.log_density(square)
    expected = float((log_density.exp() * log_density).sum()) * 0.1**2
    found = prior.log_density(prior.draw(torch.randn(20_000, prior.noise)))
    assert float(found.mean()) == pytest.approx(expected, abs=0.05)


def test_a_flow_goes_there_and_back():
    """The volume on the way is the determinant of the derivative."""
    prior = unsettled(FlowPriorConfig(couplings=4, width=8).build(5, 3)).double()
    noise, labels = torch.randn(1, 5).double(), torch.tensor([2])
    code = prior.draw(noise, labels)
    jacobian = torch.autograd.functional.jacobian(lambda z: prior.draw(z, labels), noise)[0, :, 0]
    expected = distributions.Normal(0.0, 1.0).log_prob(noise).sum() - torch.linalg.slogdet(jacobian)[1]
    torch.testing.assert_close(prior.log_density(code, labels)[0], expected)


def test_a_mixture_is_torchs():
    prior = unsettled(MixturePriorConfig(components=4).build(3, 2))
    z, labels = torch.randn(6, 3), torch.tensor([0, 1, 1, 0, 1, 0])
    for i, label in enumerate(labels):
        weights = distributions.Categorical(logits=prior.weight[label])
        parts = distributions.Independent(distributions.Normal(prior.mean, prior.log_scale.exp()), 1)
        expected = distributions.MixtureSameFamily(weights, parts).log_prob(z[i])
        torch.testing.assert_close(prior.log_density(z, labels)[i], expected, rtol=1e-4, atol=1e-4)


def test_odd_sizes():
    assert FlowPriorConfig().build(7, 0).draw(torch.randn(2, 7)).shape == (2, 7)
    with pytest.raises(UserError, match="at least 2"):
        FlowPriorConfig().build(1, 0)
    with pytest.raises(ValueError, match="at least 1"):
        MixturePriorConfig(components=0)
