import pytest
import torch

from mezzotint.networks.dit import DitConfig


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 9, 28, 33])
def test_shapes(side, channels, make_spec, assert_all_learn):
    spec = make_spec(side, channels)
    network, images = DitConfig(width=32, depth=2).build(spec, 3), torch.randn(4, *spec.shape)
    told = torch.tensor([0.0, 0.3, 0.9, 1.0]), torch.tensor([0, 1, 2, 3])
    assert network(images, *told).shape == images.shape
    assert_all_learn(network, lambda: network(images, *told))


def test_a_fresh_network_says_nothing(make_spec):
    network = DitConfig(width=32, depth=1).build(make_spec(8), 0)
    assert not network(torch.randn(2, 1, 8, 8), torch.rand(2)).any()


@pytest.mark.parametrize(("width", "depth", "least", "most"), [(64, 4, 0.3e6, 0.6e6), (576, 9, 50e6, 65e6)])
def test_width_and_depth_decide_the_size(width, depth, least, most, make_spec, count):
    with torch.device("meta"):
        network = DitConfig(width=width, depth=depth).build(make_spec(28), 10)
    assert least < count(network) < most


def test_places_tell_tokens_apart(make_spec):
    """Without them the network would move with its tokens."""
    network, x = DitConfig(width=32, depth=1).build(make_spec(8), 0), torch.randn(1, 1, 8, 8)
    with torch.no_grad():
        for p in network.parameters():
            p.normal_(0, 0.2)
    level = torch.tensor([0.5])
    assert not torch.allclose(network(x.flip(3), level), network(x, level).flip(3), atol=1e-3)


def test_no_network_can_be_made_of_odd_sizes():
    for odd in ({"width": 48}, {"depth": 0}, {"fold": 0}):
        with pytest.raises(ValueError, match="multiple of 32"):
            DitConfig(**odd)


def test_in_bfloat16_it_says_nearly_the_same_and_learns(make_spec):
    network, x = (
        DitConfig(width=32, depth=2).build(make_spec(28), 3).to(memory_format=torch.channels_last),
        torch.randn(4, 1, 28, 28),
    )
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.05 * torch.randn_like(p))
    told = torch.rand(4), torch.tensor([0, 1, 2, 3])
    exact = network(x, *told)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(x, *told)
    rounded.float().square().sum().backward()
    # bfloat16 has eight bits; errors of some ten layers add up.
    assert float(((rounded.float() - exact).norm() / exact.norm()).detach()) < 0.05
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
