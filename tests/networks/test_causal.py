import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mezzotint.networks.causal import LEFT, RIGHT, SLOPE, TOP, Causal, CausalConfig, Places, Spoken
from mezzotint.networks.grid import GridLinear
from mezzotint.types import DataSpec

H, W = 9, 13
STRIDE = W + LEFT + RIGHT


def network(channels: int = 1, **settings: object) -> Causal:
    torch.manual_seed(3)
    net = CausalConfig(widths=(24, 16), **settings).build(DataSpec(channels, H, W))  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        for p in net.parameters():
            p += 0.1 * torch.randn_like(p)
    return net


def places() -> Places:
    y, x = (torch.from_numpy(a.ravel().copy()) for a in np.mgrid[:H, :W])
    same = torch.ones_like(x)
    return Places((y + TOP) * STRIDE + LEFT + x, x, y, same * W, same * H, STRIDE)


def canvas(values: torch.Tensor) -> torch.Tensor:
    """H × W × c levels with what lies around them."""
    out = torch.zeros((H + TOP) * STRIDE + RIGHT, values.shape[-1])
    out[places().cells] = values.reshape(H * W, -1)
    return out


def spoken(net: Causal, values: torch.Tensor, channel: int) -> Spoken:
    layers = net.layers()
    seen = net.look(layers, canvas(values), places())
    return net.speak(layers, seen, values.reshape(H * W, -1)[:, :channel])


def levels(channels: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (H, W, channels))).float()


@pytest.mark.parametrize("channels", [1, 3])
def test_only_earlier_waves_and_channels_are_heard(channels: int) -> None:
    net, values = network(channels), levels(channels)
    y, x = np.mgrid[:H, :W]
    wave = torch.from_numpy((x + SLOPE * y).ravel())
    for changed_y, changed_x, c in ((0, 0, 0), (2, 5, channels - 1), (3, 12, 0), (7, 1, channels // 2)):
        other = values.clone()
        other[changed_y, changed_x, c] = 255 - other[changed_y, changed_x, c]
        at = wave[changed_y * W + changed_x]
        for channel in range(channels):
            before, after = spoken(net, values, channel), spoken(net, other, channel)
            moved = torch.zeros(H * W, dtype=torch.bool)
            for a, b in zip(vars(before).values(), vars(after).values(), strict=True):
                moved |= (a != b).any(1)
            own = torch.arange(H * W) == changed_y * W + changed_x
            allowed = (wave > at) | (own & (channel > c))
            assert not (moved & ~allowed).any()
            assert (moved & allowed).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_no_bit_depends_on_the_order_of_sums(channels: int) -> None:
    """Permuted inputs, float64 and single rows give the same numbers: the sums are exact."""
    net, values = network(channels), levels(channels)
    layers = net.layers()
    x = torch.randint(0, 256, (500, layers.first.weight.shape[1])).float() / 64
    whole = layers.first(x)
    order = torch.randperm(x.shape[1])
    assert torch.equal(whole, x[:, order] @ layers.first.weight[:, order].T + layers.first.bias)
    exact = F.linear(x.double(), layers.first.weight.double())
    assert torch.equal(F.linear(x, layers.first.weight).double(), exact)
    assert torch.equal(whole[7:8], layers.first(x[7:8]))
    alone = Places(*(t[40:41] for t in itertools.islice(vars(places()).values(), 5)), stride=STRIDE)
    seen = net.look(layers, canvas(values), alone)
    assert torch.equal(seen.hidden, net.look(layers, canvas(values), places()).hidden[40:41])


def test_the_largest_sums_are_whole() -> None:
    """At the widest, with weights and activations at their ends, a sum stays below 2^24 of its units."""
    layer = GridLinear(512, 8)
    with torch.no_grad():
        layer.weight.fill_(127 / 4096)
        layer.weight[::2, 0] = -127 / 4096
    weight = layer.settled().weight
    x = torch.full((1, 512), 255 / 64)
    assert torch.equal(F.linear(x, weight).double(), F.linear(x.double(), weight.double()))
    assert torch.equal(F.linear(x, weight), F.linear(x.flip(1), weight.flip(1)))


def test_gradients_pass_through_the_rounding() -> None:
    net, values = network(3), levels(3)
    sum(part.sum() for c in range(3) for part in vars(spoken(net, values, c)).values()).backward()  # pyright: ignore
    for name, p in net.named_parameters():
        assert p.grad is not None, name
        assert torch.isfinite(p.grad).all(), name
        assert p.grad.abs().sum() > 0, name


def test_a_network_that_adds_nothing_says_its_anchors() -> None:
    """Left, above, the median, their mean, above on the right, and the plane through three, clipped."""
    net = network()
    with torch.no_grad():
        for p in net.last.parameters():
            p.zero_()
    values = levels(1)
    said = spoken(net, values, 0).mean.reshape(H, W, 6)
    for y, x in ((1, 1), (4, 7), (8, 11)):
        west, north, corner, right = (int(values[y + j, x + i, 0]) for j, i in ((0, -1), (-1, 0), (-1, -1), (-1, 1)))
        plane = west + north - corner
        median = sorted([west, north, plane])[1]
        expected = [west, north, median, (west + north) // 2, right, min(max(plane, 0), 255)]
        assert said[y, x].tolist() == expected


@pytest.mark.parametrize("settings", [{"widths": ()}, {"widths": (513,)}, {"components": 7}, {"reach": 2}])
def test_sizes_that_would_not_be_exact_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a causal network"):
        CausalConfig(**settings)  # pyright: ignore[reportArgumentType]
