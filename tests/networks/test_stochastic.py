import pytest
import torch
from torch.distributions import Normal, kl_divergence

from mezzotint.networks.recurrent import RecurrentConfig
from mezzotint.networks.stochastic import Stochastic, StochasticConfig, divergence
from mezzotint.types import DataSpec

SMALL = StochasticConfig(core=RecurrentConfig(width=4, layers=2, patch=2), latent=3)


def test_divergence_is_torchs():
    a, b, log_a, log_b = torch.randn(4, 5, 3)
    ours = divergence((a, log_a), (b, log_b))
    theirs = kl_divergence(Normal(a, (log_a / 2).exp()), Normal(b, (log_b / 2).exp())).sum(1)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("cell", ["convlstm", "convgru", "predrnn"])
def test_shapes_and_learning(cell: str, assert_all_learn):
    config = StochasticConfig(core=RecurrentConfig(cell=cell, width=4, layers=2, patch=2), latent=3)  # pyright: ignore[reportArgumentType]
    net = config.build(DataSpec(1, 8, 8, frames=5))
    frames, noise = torch.rand(2, 5, 1, 8, 8), torch.randn(5, 2, 3)
    said, cost = net(frames, noise)
    assert said.shape == frames.shape
    assert (cost > 0).all()
    assert_all_learn(net, lambda: torch.cat([net(frames, noise)[0].flatten(1), net(frames, noise)[1][:, None]], 1))


def large() -> Stochastic:
    """A network whose weights are large enough to be seen."""
    net = SMALL.build(DataSpec(1, 8, 8, frames=5))
    for p in net.parameters():
        torch.nn.init.normal_(p, 0, 0.5)
    return net


def test_the_prior_sees_the_frame_before():
    """Equation 5 of Chung et al. 2015: p(z_t) depends on the frame t - 1, and of course not on the frame t."""
    net, noise = large(), torch.zeros(5, 2, 3)
    frames, seen = torch.rand(2, 4, 1, 8, 8), list[torch.Tensor]()
    net.prior.register_forward_hook(lambda *called: seen.append(called[2][0]))
    changed = frames.clone()
    changed[:, 3] = 1 - changed[:, 3]
    for clips in (frames, changed):
        net.posterior.head.weight.data.zero_()  # so that z tells nothing of the frames
        net(torch.cat([clips, clips[:, :1]], 1), noise)
    before, after = torch.stack(seen[:5]), torch.stack(seen[5:])
    assert torch.equal(before[:4], after[:4])
    assert not torch.allclose(before[4], after[4])


def test_what_is_not_shown_is_not_seen_but_by_the_posterior():
    net, noise = large(), torch.randn(5, 2, 3)
    net.posterior.head.weight.data.zero_()
    frames, shown = torch.rand(2, 5, 1, 8, 8), torch.ones(2, 5, dtype=torch.bool)
    changed = frames.clone()
    changed[:, 2] = 1 - changed[:, 2]
    torch.testing.assert_close(net(frames, noise, shown)[0], net(frames, noise)[0])
    assert not torch.allclose(net(frames, noise, shown)[0][:, 3], net(changed, noise, shown)[0][:, 3])
    shown[:, 2] = False
    torch.testing.assert_close(net(frames, noise, shown)[0], net(changed, noise, shown)[0])


def test_other_noise_is_another_future_of_the_same_past():
    net = large()
    frames, noise = torch.rand(2, 3, 1, 8, 8), torch.randn(5, 2, 3)
    changed = noise.clone()
    changed[4] += 1
    first, second = net.continued(frames, noise), net.continued(frames, changed)
    assert torch.equal(first[:, 0], second[:, 0])
    assert not torch.allclose(first[:, 1], second[:, 1])


def test_a_dream_needs_no_frame():
    net = SMALL.build(DataSpec(1, 8, 8, frames=5))
    assert net.continued(torch.zeros(2, 0, 1, 8, 8), torch.randn(4, 2, 3)).shape == (2, 4, 1, 8, 8)
