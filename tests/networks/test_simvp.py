import pytest
import torch

from mezzotint.networks.simvp import SimvpConfig
from mezzotint.types import DataSpec

SMALL = SimvpConfig(width=4, hidden=8, blocks=2)


@pytest.mark.parametrize(("side", "channels"), [(16, 1), (18, 3)])
def test_shapes_and_learning(side: int, channels: int, assert_all_learn):
    net = SMALL.build(DataSpec(channels, side, side, frames=6), 3)
    frames = torch.rand(2, 3, channels, side, side) * 2 - 1
    for horizon in (1, 3, 5):
        assert net(frames, horizon).shape == (2, horizon, channels, side, side)
    assert_all_learn(net, lambda: net(frames, 3))


def test_longer_futures_feed_on_what_was_said():
    net = SMALL.build(DataSpec(1, 16, 16, frames=6), 3)
    frames = torch.rand(2, 3, 1, 16, 16)
    first = net(frames, 3)
    torch.testing.assert_close(net(frames, 5), torch.cat([first, net(first, 2)], 1))


def test_memory_layout_changes_no_number():
    net = SMALL.build(DataSpec(1, 16, 16, frames=6), 3).double()
    frames = torch.rand(2, 3, 1, 16, 16, dtype=torch.float64)
    expected = net(frames, 3)
    torch.testing.assert_close(net.to(memory_format=torch.channels_last)(frames, 3), expected)
