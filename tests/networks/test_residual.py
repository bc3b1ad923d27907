import pytest
import torch
from torch.nn import functional as F

from mezzotint.networks.residual import ResidualConfig
from mezzotint.types import DataSpec


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [1, 8, 15, 16, 17, 28, 32, 64, 65, 128])
def test_shapes(side, channels, make_spec, assert_all_learn):
    spec = make_spec(side, channels)
    network, images = ResidualConfig(width=4).build(spec), torch.rand(4, *spec.shape) * 2 - 1
    assert network(images).shape == (4, 3)
    assert network.features(images).shape == (4, 32)
    assert_all_learn(network, lambda: network(images))


def test_pictures_need_not_be_square():
    spec = DataSpec(channels=1, height=12, width=41, classes=("a", "b"))
    assert ResidualConfig(width=4).build(spec)(torch.zeros(2, 1, 12, 41)).shape == (2, 2)


@pytest.mark.parametrize(
    ("width", "blocks", "expected"),
    [
        # Convolutions without bias (9·inputs·outputs), norms (2·outputs), head ((2·last + 1)·3).
        (8, (1,), 9 * (4 * 8 + 8 * 8) + 2 * 2 * 8 + 17 * 3),
        (8, (0, 2), 9 * (4 * 8 + 8 * 16 + 2 * 16 * 16) + 2 * (8 + 3 * 16) + 33 * 3),
    ],
)
def test_width_doubles_from_stage_to_stage(width, blocks, expected, make_spec, count):
    assert count(ResidualConfig(width=width, blocks=blocks).build(make_spec(28))) == expected


def test_a_pool_leaves_the_odd_row_out_and_never_the_last(make_spec):
    seen = []
    for side in (1, 2, 8, 28):
        network = ResidualConfig(width=4).build(make_spec(side))
        network.body.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[2]))
        network(torch.zeros(2, 1, side, side))
    assert seen == [1, 1, 2, 3]


@pytest.mark.parametrize(("side", "last"), [(8, 2), (15, 3), (28, 3), (32, 4), (64, 4), (128, 4)])
def test_the_last_stage_is_small_whatever_the_picture(side, last, make_spec):
    """The work per picture grows with its folded pixels: 8 and 15 (unfolded), 14, 16, 16 and 16 pixels a side."""
    network = ResidualConfig(width=4).build(make_spec(side))
    seen = []
    network.body.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    network(torch.zeros(2, 1, side, side))
    assert seen == [(2, 16, last, last)]


def test_folding_gives_each_position_all_pixels_of_its_square(make_spec):
    """A change of one pixel reaches only the folded positions whose 3×3 window covers it."""
    network, images = ResidualConfig(width=4, blocks=(0,)).build(make_spec(28)).eval(), torch.zeros(2, 1, 28, 28)
    images[1, 0, 11, 16] = 1
    seen = []
    network.body.register_forward_hook(lambda module, inputs, output: seen.append(output))
    network(images)
    changed = (seen[0][0] != seen[0][1]).any(0).nonzero()
    assert changed.amin(0).tolist() >= [4, 7]
    assert changed.amax(0).tolist() <= [6, 9]
    assert len(changed) > 0


def test_filters_begin_as_the_identity(make_spec):
    network = ResidualConfig(width=4, blocks=(1, 1)).build(make_spec(8))
    stem, same, wider, last = network.body
    x = torch.rand(2, 4, 8, 8)
    assert torch.equal(same[0](x), x)
    assert torch.equal(wider[0](x)[:, :4], x)
    assert not torch.equal(wider[0](x)[:, 4:], x)
    assert torch.equal(last[0](wider(x)), wider(x))
    assert stem[0].weight.count_nonzero() == stem[0].weight.numel()


def test_features_are_what_the_last_layer_sees(make_spec):
    network, images = ResidualConfig(width=4).build(make_spec(28)).eval(), torch.rand(3, 1, 28, 28)
    torch.testing.assert_close(network.head(network.features(images)), network(images))


def test_memory_layout_changes_no_number(make_spec):
    network, images = ResidualConfig(width=4).build(make_spec(28)).eval(), torch.rand(2, 1, 28, 28) * 2 - 1
    expected = network(images)
    last = network.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, expected)


def test_dropout_is_for_training_only(make_spec):
    network, images = ResidualConfig(width=4, dropout=0.5).build(make_spec(8)).eval(), torch.rand(2, 1, 8, 8)
    expected = F.linear(network.features(images), network.head.weight, network.head.bias)
    torch.testing.assert_close(network(images), expected)
    network.dropout.train()
    assert not torch.equal(network(images), network(images))
