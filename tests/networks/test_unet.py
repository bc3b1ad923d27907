import pytest
import torch
from torch.nn import functional as F

from mezzotint.networks.parts import Fold, attended
from mezzotint.networks.unet import UnetConfig


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 9, 15, 16, 17, 28, 33])
def test_shapes(side, channels, make_spec, assert_all_learn):
    spec = make_spec(side, channels)
    network, images = UnetConfig(width=8).build(spec, 3), torch.randn(4, *spec.shape)
    told = torch.tensor([0.0, 0.3, 0.9, 1.0]), torch.tensor([0, 1, 2, 3])
    assert network(images, *told).shape == images.shape
    assert_all_learn(network, lambda: network(images, *told))


def test_a_fresh_network_says_nothing(make_spec):
    network = UnetConfig(width=8).build(make_spec(8), 0)
    assert not network(torch.randn(2, 1, 8, 8), torch.rand(2)).any()


@pytest.mark.parametrize(("width", "blocks", "least", "most"), [(32, 1, 0.3e6, 0.4e6), (320, 2, 50e6, 70e6)])
def test_width_and_depth_decide_the_size(width, blocks, least, most, make_spec, count):
    with torch.device("meta"):
        network = UnetConfig(width=width, blocks=blocks).build(make_spec(28), 10)
    assert least < count(network) < most


def test_level_and_class_change_what_is_said(make_spec):
    network, x = UnetConfig(width=8).build(make_spec(8), 3), torch.randn(1, 1, 8, 8)
    with torch.no_grad():
        for p in network.parameters():
            p.normal_(0, 0.1)
    said = [network(x, torch.tensor([t]), torch.tensor([k])) for t, k in ((0.1, 0), (0.2, 0), (0.1, 1), (0.1, 3))]
    assert len({s.detach().numpy().tobytes() for s in said}) == 4


def test_a_class_must_be_told_where_there_are_classes(make_spec):
    network = UnetConfig(width=8).build(make_spec(8), 3)
    with pytest.raises(AssertionError, match="needs labels"):
        network(torch.randn(2, 1, 8, 8), torch.rand(2))


@pytest.mark.parametrize("width", [56, 88, 104])
def test_any_multiple_of_8_attends(width, make_spec):
    network = UnetConfig(width=width).build(make_spec(16), 0)
    assert network(torch.randn(1, 1, 16, 16), torch.rand(1)).shape == (1, 1, 16, 16)


def test_no_network_can_be_made_of_odd_sizes():
    for odd in ({"width": 12}, {"width": 0}, {"blocks": 0}, {"fold": 0}):
        with pytest.raises(ValueError, match="multiple of 8"):
            UnetConfig(**odd)


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (1, 3, 9, 11), (2, 1, 5, 28)])
def test_unfolding_undoes_folding(shape):
    x, fold = torch.randn(shape), Fold(2, 4)
    folded = fold(x)
    assert folded.shape[2] % 2 == folded.shape[3] % 2 == 0
    assert torch.equal(fold.undone(folded, x), x)


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_is_torchs(heads):
    asked = torch.randn(3, 7, 3 * 64, dtype=torch.float64)
    query, key, value = (x.view(3, 7, heads, 64 // heads).transpose(1, 2) for x in asked.chunk(3, 2))
    expected = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(3, 7, 64)
    torch.testing.assert_close(attended(asked, heads), expected)


def test_in_bfloat16_it_says_nearly_the_same_and_learns(make_spec):
    network, x = (
        UnetConfig(width=16).build(make_spec(28), 3).to(memory_format=torch.channels_last),
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
