import pytest
import torch

from mezzotint.networks.coupled import CoupledDiscriminatorConfig

LABELS = torch.tensor([0, 2, 1])


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (28, 1), (32, 3)])
def test_both_kinds_are_judged_and_all_learns(side, channels, classes, make_spec, assert_all_learn):
    network = CoupledDiscriminatorConfig(width=4, most=8, dropout=0.0).build(make_spec(side, channels), classes)
    images, labels = torch.randn(3, channels, side, side), LABELS if classes else None
    assert network(images, 0, labels).shape == (3,)
    assert_all_learn(network, lambda: network(images, 0, labels) + network(images, 1, labels))


def test_only_the_first_layer_differs(make_spec):
    network = CoupledDiscriminatorConfig(width=4, dropout=0.0).build(make_spec(16), 0)
    images = torch.randn(2, 1, 16, 16)
    assert not torch.equal(network(images, 0), network(images, 1))
    network.first[1].load_state_dict(network.first[0].state_dict())
    assert torch.equal(network(images, 0), network(images, 1))
