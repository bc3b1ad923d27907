import pytest
import torch

from mezzotint.networks.r3gan import R3ganDiscriminatorConfig, R3ganGeneratorConfig

LABELS = torch.tensor([0, 2, 1])
VARIANTS = [{}, {"coarse": False, "blocks": 2}, {"expansion": 2.0, "group": 4}]


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (16, 3), (28, 1), (64, 3)])
@pytest.mark.parametrize("more", VARIANTS, ids=["small", "deep", "grouped"])
def test_generator(more, side, channels, classes, make_spec, assert_all_learn):
    network = R3ganGeneratorConfig(width=4, most=8, **more).build(make_spec(side, channels), 5, classes)
    labels = LABELS if classes else None
    assert network(torch.randn(3, 5), labels).shape == (3, channels, side, side)
    assert_all_learn(network, lambda: network(torch.randn(3, 5), labels))


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (16, 3), (28, 1), (64, 3)])
@pytest.mark.parametrize("more", VARIANTS, ids=["small", "deep", "grouped"])
def test_discriminator(more, side, channels, classes, make_spec, assert_all_learn):
    network = R3ganDiscriminatorConfig(width=4, most=8, **more).build(make_spec(side, channels), classes)
    images, labels = torch.rand(3, channels, side, side) * 2 - 1, LABELS if classes else None
    assert network(images, labels).shape == (3,)
    assert not network.couples_pictures
    assert_all_learn(network, lambda: network(images, labels))


def test_a_deep_network_begins_as_a_shallow_one(make_spec):
    """The last convolution of each branch is zero, so the blocks pass their inputs on."""
    network = R3ganDiscriminatorConfig(width=4, blocks=3).build(make_spec(28), 0)
    seen = []
    for block in network.body:
        if type(block).__name__ == "_Branch":
            block.register_forward_hook(lambda _, given, out: seen.append(torch.equal(given[0], out)))
    network(torch.randn(2, 1, 28, 28))
    assert seen == [True] * 6


@torch.no_grad()
def test_signals_neither_fade_nor_explode(make_spec):
    for blocks in (1, 6):
        config = R3ganGeneratorConfig(width=32, most=64, blocks=blocks)
        images = config.build(make_spec(32), 64, 0)(torch.randn(64, 64))
        assert 0.2 < float(images.std()) < 2
        logits = R3ganDiscriminatorConfig(width=32, most=64, blocks=blocks).build(make_spec(32), 0)(images)
        assert 0.02 < float(logits.std()) < 5


def test_slopes_have_slopes(make_spec):
    """What R1 needs: the logit's derivative by the picture, differentiated by the weights."""
    network = R3ganDiscriminatorConfig(width=4, most=4).build(make_spec(8), 0).double()
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, images)
    assert torch.autograd.gradgradcheck(network, images)
