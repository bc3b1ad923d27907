import pytest
import torch
from torch.nn import functional as F

from mezzotint.networks.classic import ClassicConfig
from mezzotint.types import DataSpec


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [1, 8, 16, 17, 18, 28, 32, 64, 128])
def test_shapes(side, channels, make_spec, assert_all_learn):
    spec = make_spec(side, channels)
    network, images = ClassicConfig(widths=(4, 4, 4), hidden=8).build(spec), torch.rand(2, *spec.shape) * 2 - 1
    assert network(images).shape == (2, 3)
    assert network.features(images).shape == (2, 8)
    assert_all_learn(network, lambda: network(images))


def test_pictures_need_not_be_square():
    spec = DataSpec(channels=1, height=12, width=40, classes=("a", "b"))
    assert ClassicConfig().build(spec)(torch.zeros(1, 1, 12, 40)).shape == (1, 2)


@pytest.mark.parametrize(("depth", "smallest"), [(1, 3), (2, 8), (3, 18), (4, 38)])
def test_padding_begins_below_the_smallest_side_that_unpadded_convolutions_leave(depth, smallest, make_spec):
    config = ClassicConfig(widths=(2,) * depth)
    at, below = config.build(make_spec(smallest)), config.build(make_spec(smallest - 1))
    assert at.body[0].padding == (0, 0)
    assert below.body[0].padding == (1, 1)
    assert below(torch.zeros(1, 1, smallest - 1, smallest - 1)).shape == (1, 3)


@pytest.mark.parametrize(
    ("shape", "total"),
    [
        # 9·32+32 + 288·64+64 + 576·64+64 + (3·3·64)·64+64 + 64·10+10
        ((1, 28, 28), 93_322),
        # 27·32+32 + 288·64+64 + 576·64+64 + (4·4·64)·64+64 + 64·10+10, as Keras prints for CIFAR
        ((3, 32, 32), 122_570),
    ],
)
def test_the_tutorials_parameter_counts(shape, total, count):
    channels, height, width = shape
    spec = DataSpec(channels=channels, height=height, width=width, classes=tuple("0123456789"))
    assert count(ClassicConfig().build(spec)) == total


def test_relu_after_the_pool_is_relu_before_it(make_spec):
    network, images = ClassicConfig().build(make_spec(28)), torch.rand(2, 1, 28, 28) * 2 - 1
    first, second, third = (m for m in network.body if isinstance(m, torch.nn.Conv2d))
    hidden = next(m for m in network.body if isinstance(m, torch.nn.Linear))
    x = F.max_pool2d(first(images).relu(), 2)
    x = F.max_pool2d(second(x).relu(), 2)
    x = third(x).relu().movedim(1, -1).reshape(2, -1)
    torch.testing.assert_close(network(images), network.head(hidden(x).relu()))


def test_features_are_what_the_last_layer_sees(make_spec):
    network, images = ClassicConfig().build(make_spec(28)), torch.rand(2, 1, 28, 28) * 2 - 1
    torch.testing.assert_close(network.head(network.features(images)), network(images))


def test_memory_layout_changes_no_number(make_spec):
    network, images = ClassicConfig().build(make_spec(28)), torch.rand(2, 1, 28, 28) * 2 - 1
    expected = network(images)
    last = network.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, expected)


def test_dropout_is_for_training_only(make_spec):
    network, images = ClassicConfig(dropout=0.5).build(make_spec(8)), torch.rand(2, 1, 8, 8)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_what_is_cut_off_never_reached_the_logits() -> None:
    network = ClassicConfig().build(DataSpec(1, 28, 28, tuple("abc")))
    assert network.seen == (26, 26)
    images = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(network(images), network.head(network.body(images)))
