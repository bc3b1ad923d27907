"""Our convolutions against torch's: values, gradients to the second order, and the layers that use them."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mezzotint.networks import parts
from mezzotint.ops import convolution
from mezzotint.ops.convolution import Correlate, Gather, Geometry, Scatter

# kernel, stride, padding, side of the big picture, channels of the big and of the small one
CASES = [
    (3, 1, 1, 5, 3, 4),
    (4, 2, 1, 3, 6, 5),
    (5, 2, 2, 6, 1, 3),
    (3, 2, 1, 7, 5, 4),
    (4, 2, 1, 7, 2, 3),
    (5, 1, 2, 4, 6, 2),
    (3, 1, 0, 5, 6, 7),
    (4, 2, 1, 2, 5, 3),
    (3, 1, 0, 7, 1, 4),
    (4, 2, 1, 6, 1, 3),
]


def _operands(case: tuple[int, ...]) -> tuple[Geometry, Tensor, Tensor, Tensor]:
    k, s, p, side, b, c = case
    torch.manual_seed(sum(case))
    out = (side + 2 * p - k) // s + 1
    shapes = (2, b, side, side), (2, c, out, out), (c, b, k, k)
    big, small, w = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    return Geometry(k, s, p, side, side), big, small, w


@pytest.mark.parametrize("by_cell", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_equals_torch_in_values_and_gradients(
    case: tuple[int, ...], by_cell: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "MANY_WEIGHTS", 0 if by_cell else 10**9)
    g, big, small, w = _operands(case)
    ours, theirs = Gather.apply(big, w, None, g), F.conv2d(big, w, None, g.stride, g.padding)
    torch.testing.assert_close(ours, theirs)
    back = torch.autograd.grad(theirs, w, small, retain_graph=True)[0]
    torch.testing.assert_close(Correlate.apply(big, small, w, g), back)
    adjoint = torch.autograd.grad(theirs, big, small)[0]
    torch.testing.assert_close(Scatter.apply(small, w, None, g), adjoint)


@pytest.mark.parametrize("case", CASES[:4])
def test_gradients_to_the_second_order(case: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "MANY_WEIGHTS", 0)
    g, big, small, w = _operands(case)
    for function, picture in ((Gather, big), (Scatter, small)):
        assert torch.autograd.gradcheck(lambda x, v, f=function: f.apply(x, v, None, g), (picture, w))
        assert torch.autograd.gradgradcheck(lambda x, v, f=function: f.apply(x, v, None, g), (picture, w))


@pytest.mark.parametrize(
    ("ours", "theirs", "side"),
    [
        (parts.Conv2d(6, 8, 4, 2, 1), torch.nn.Conv2d(6, 8, 4, 2, 1), 3),
        (parts.Conv2d(1, 8, 5, 2, 2), torch.nn.Conv2d(1, 8, 5, 2, 2), 8),
        (parts.ConvTranspose2d(8, 6, 3, 2, 1), torch.nn.ConvTranspose2d(8, 6, 3, 2, 1), 4),
        (parts.ConvTranspose2d(8, 1, 5, 2, 2, 1), torch.nn.ConvTranspose2d(8, 1, 5, 2, 2, 1), 4),
    ],
)
def test_layers_are_torchs_in_bfloat16(ours: torch.nn.Module, theirs: torch.nn.Module, side: int) -> None:
    ours.load_state_dict(theirs.state_dict())
    channels = next(theirs.parameters()).shape[1 if isinstance(theirs, torch.nn.Conv2d) else 0]
    x = torch.randn(4, channels, side, side)
    with torch.autocast("cpu", torch.bfloat16):
        low, exact = ours(x), theirs(x)
    assert low.dtype == exact.dtype == torch.bfloat16
    # bfloat16 keeps 8 bits, and the two sum in another order
    torch.testing.assert_close(low.float(), exact.float(), rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(ours(x), theirs(x))


def test_dropout_leaves_out_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropout, x = parts.Dropout(0.3), torch.ones(64, 8, 16, 16)
    y = dropout(x)
    gone = float((y == 0).float().mean())
    assert abs(gone - 0.3) < 4 * (0.3 * 0.7 / x.numel()) ** 0.5
    assert abs(float(y.mean()) - 1) < 4 * (0.3 / 0.7 / x.numel()) ** 0.5
    assert len(y.unique()) == 2
    torch.testing.assert_close(dropout.eval()(x), x)


@pytest.mark.parametrize("share", [0.0, 1e-7, 1.0])
def test_dropout_of_nothing_and_of_all(share: float) -> None:
    x = torch.randn(3, 5, 7, 7)
    y = parts.Dropout(share)(x)
    torch.testing.assert_close(y, torch.zeros_like(x) if share == 1 else x)


def test_dropout_is_keyed_by_torchs_seed() -> None:
    dropout, x = parts.Dropout(0.5), torch.randn(3, 5, 7, 7)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(dropout(x))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
