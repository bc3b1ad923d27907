import pytest
import torch
from torch.nn import functional as F

from mezzotint.networks.grid import CEILING, UNIT, GridConv, activation, bounded, clipped, fixed


def seen(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1)).float() / UNIT


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("channels", [5, 90])
def test_in_evaluation_sums_are_exact(channels: int, kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    layer = GridConv(channels, 7, kernel, stride=stride).eval()
    x = seen(2, channels, 9, 6)
    settled = layer.settled()
    filters = settled.weight.view(7, channels, kernel, kernel).double()
    exact = F.conv2d(x.double(), filters, None, stride, kernel // 2).float() + settled.bias[:, None, None]
    assert torch.equal(layer(x), exact)
    order = torch.randperm(channels)
    other = GridConv(channels, 7, kernel, stride=stride).eval()
    with torch.no_grad():
        other.weight.copy_(layer.weight.view(7, channels, -1)[:, order].flatten(1))
        other.bias.copy_(layer.bias)
    assert torch.equal(other(x[:, order]), exact)
    assert torch.equal(layer(x[1:]), exact[1:])


def test_sums_that_float32_would_round_are_taken_in_float64() -> None:
    layer = GridConv(512, 1).eval()
    with torch.no_grad():
        layer.weight.fill_(127 / 64)
        layer.weight[0, 0] = 1 / 64
    assert not layer._ready()[1]
    x = torch.full((1, 512, 3, 3), CEILING)
    exact = F.conv2d(x.double(), layer.settled().weight.view(1, 512, 3, 3).double(), None, 1, 1)
    assert torch.equal(layer(x), exact.float())
    assert GridConv(56, 1).eval()._ready()[1]


def test_inputs_that_are_no_activations_are_exact_too() -> None:
    torch.manual_seed(0)
    layer = GridConv(6, 3, activations=False).eval()
    x = torch.randint(-(1 << 16), (1 << 16) + 1, (1, 6, 5, 5)).float() / 1024
    exact = F.conv2d(x.double(), layer.settled().weight.view(3, 6, 3, 3).double(), None, 1, 1)
    assert torch.equal(layer(x), exact.float() + layer.settled().bias[:, None, None])


def test_training_is_near_evaluation_and_learns() -> None:
    torch.manual_seed(0)
    layer = GridConv(8, 4)
    x = seen(2, 8, 5, 5)
    trained = layer(x)
    torch.testing.assert_close(trained, layer.eval()(x), atol=1e-4, rtol=1e-5)
    trained.square().sum().backward()
    assert layer.weight.grad is not None
    assert bool(layer.weight.grad.any())


def test_clipping_is_the_activation_and_has_its_slopes() -> None:
    values = torch.tensor([-1.0, -0.0, 0.0, 0.004, 0.1, 2.007, CEILING, 4.0, 9.0])
    a, b = values.clone().requires_grad_(), values.clone().requires_grad_()
    one, other = activation(a), clipped(b)
    assert torch.equal(one, other)
    (one * torch.arange(9)).sum().backward()
    (other * torch.arange(9)).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert torch.equal(a.grad, b.grad)


def test_a_fixed_network_says_the_same_and_leaves_the_other_alone() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Sequential(GridConv(4, 4), GridConv(4, 2, 1))
    own = fixed(layer)
    x = seen(1, 4, 6, 6)
    said = own(x)
    assert torch.equal(said, layer.eval()(x))
    with torch.no_grad():
        layer[0].weight.add_(0.5)
    assert torch.equal(own(x), said)
    assert not torch.equal(layer(x), said)
    assert all(p.requires_grad for p in layer.parameters())


def test_what_is_out_of_bounds_finds_back() -> None:
    x = torch.tensor([-3.0, -3.0, 0.5, 0.5, 9.0, 9.0], requires_grad=True)
    y = bounded(x, -1, 2)
    assert y.tolist() == [-1, -1, 0.5, 0.5, 2, 2]
    (y * torch.tensor([1.0, -1, 1, -1, 1, -1])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, -1, 1, -1, 1, 0]
