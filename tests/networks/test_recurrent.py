import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mezzotint.networks.recurrent import ConvGru, ConvLstm, Recurrent, RecurrentConfig, SpatioTemporalLstm, ZigZag
from mezzotint.types import DataSpec

CELLS = ("convlstm", "convgru", "predrnn")
every_cell = pytest.mark.parametrize("cell", CELLS)


def network(cell: str, side: int = 10, channels: int = 1, **settings: int) -> Recurrent:
    spec = DataSpec(channels, side, side, frames=6)
    return RecurrentConfig(cell=cell, width=6, layers=2, **{"patch": 2, **settings}).build(spec)


def clips(count: int, frames: int, side: int = 10, channels: int = 1) -> torch.Tensor:
    return torch.rand(count, frames, channels, side, side, generator=torch.Generator().manual_seed(7)) * 2 - 1


def per_pixel(weight: torch.Tensor, order: list[int]) -> torch.Tensor:
    """A 1×1 kernel as a matrix, its gates in another order."""
    gates = weight[..., 0, 0].chunk(len(order)) if weight.ndim == 4 else weight.chunk(len(order))
    return torch.cat([gates[i] for i in order])


def compared(cell: nn.Module, torch_cell: nn.LSTM | nn.GRU, order: list[int]) -> None:
    """Outputs of all steps, of the cell on maps and of torch's on each pixel."""
    with torch.no_grad():
        torch_cell.weight_ih_l0.copy_(per_pixel(cell.look.weight, order))
        torch_cell.weight_hh_l0.copy_(per_pixel(cell.recall.weight, order))
        torch_cell.bias_ih_l0.copy_(per_pixel(cell.look.bias, order))
        torch_cell.bias_hh_l0.zero_()
    x = torch.randn(5, 2, 3, 4, 4, dtype=torch.float64)
    outputs, _ = cell(x, cell.begin(x[0]))
    pixels = x.permute(0, 1, 3, 4, 2).reshape(5, -1, 3)
    expected = torch_cell(pixels)[0].view(5, 2, 4, 4, -1).permute(0, 1, 4, 2, 3)
    torch.testing.assert_close(outputs, expected, rtol=1e-10, atol=1e-10)


def test_a_convlstm_of_1x1_kernels_is_torchs_lstm_at_each_pixel():
    compared(ConvLstm(3, 6, 1).double(), nn.LSTM(3, 6).double(), [0, 1, 3, 2])


def test_a_convgru_of_1x1_kernels_is_torchs_gru_at_each_pixel():
    compared(ConvGru(3, 6, 1).double(), nn.GRU(3, 6).double(), [0, 1, 2])


def test_predrnns_cell_is_its_equations():
    """Wang et al. 2017, equation 5, by convolutions of one gate each."""
    cell, w = SpatioTemporalLstm(3, 4, 3).double(), 4
    x, h, c, m = (torch.randn(2, n, 5, 5, dtype=torch.float64) for n in (3, w, w, w))

    def gate(layer: nn.Conv2d, number: int, y: torch.Tensor) -> torch.Tensor:
        rows = slice(number * w, (number + 1) * w)
        return F.conv2d(y, layer.weight[rows], None if layer.bias is None else layer.bias[rows], padding=1)

    i, f, g = (gate(cell.look, k, x) + gate(cell.recall, k, h) for k in range(3))
    new_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    i2, f2, g2 = (gate(cell.look, 3 + k, x) + gate(cell.wander, k, m) for k in range(3))
    new_m = f2.sigmoid() * m + i2.sigmoid() * g2.tanh()
    both = torch.cat([new_c, new_m], 1)
    o = gate(cell.look, 6, x) + gate(cell.recall, 3, h) + F.conv2d(both, cell.open.weight, padding=1)
    expected = o.sigmoid() * F.conv2d(both, cell.merge.weight).tanh()
    (said, memory), wandering = cell.step(cell.look(x), (h, c), m)
    for ours, theirs in ((said, expected), (memory, new_c), (wandering, new_m)):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_wandering_memory_goes_from_the_top_to_the_bottom_of_the_next_step():
    cells = ZigZag(3, 4, 2, 3)
    x = torch.randn(2, 1, 3, 5, 5)
    empty = cells.begin(x[0])
    state = cells(x[:1], empty)[1]
    (h0, c0), m = cells.layers[0].step(cells.layers[0].look(x[0]), empty[:2], empty[-1])
    assert not torch.equal(m, state[-1])  # the second layer has changed it
    again = cells.layers[0].step(cells.layers[0].look(x[1]), (h0, c0), state[-1])[0][0]
    torch.testing.assert_close(cells(x[1:], state)[1][0], again)


@every_cell
def test_steps_at_once_are_steps_one_by_one(cell: str):
    net = network(cell).double()
    folded = net.folded(clips(2, 5).double())
    at_once, state = net.advance(folded, net.cells.begin(folded[0]))
    one_by_one, now = [], net.cells.begin(folded[0])
    for t in range(5):
        said, now = net.advance(folded[t : t + 1], now)
        one_by_one.append(said)
    torch.testing.assert_close(at_once, torch.cat(one_by_one), rtol=1e-10, atol=1e-10)
    for a, b in zip(state, now, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@every_cell
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (9, 3)])
def test_shapes_and_learning(cell: str, side: int, channels: int, assert_all_learn):
    net, frames = network(cell, side, channels), clips(2, 3, side, channels)
    assert net(frames, 4).shape == (2, 6, channels, side, side)
    assert_all_learn(net, lambda: net(frames, 3))


@every_cell
def test_the_gradients_of_all_unrolled_steps(cell: str):
    net = RecurrentConfig(cell=cell, width=2, layers=2, patch=1).build(DataSpec(1, 3, 3, frames=4)).double()
    parameters = [p.detach().requires_grad_() for p in net.parameters()]
    names = [name for name, _ in net.named_parameters()]

    def said(*values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(net, dict(zip(names, values, strict=True)), (clips(1, 2, 3).double(), 2))

    assert torch.autograd.gradcheck(said, parameters, fast_mode=True)


@every_cell
def test_a_future_does_not_depend_on_how_much_of_it_is_asked_for(cell: str):
    net, frames = network(cell), clips(2, 3)
    torch.testing.assert_close(net(frames, 8)[:, :4], net(frames, 2))


@every_cell
def test_what_it_is_shown_decides_what_it_says_next(cell: str):
    net, whole = network(cell), clips(2, 6)
    fed = torch.tensor([[True, True], [False, False]])
    said = net(whole[:, :3], 3, whole[:, 3:], fed)
    torch.testing.assert_close(said[0], net(whole[:1, :5], 1)[0])  # as if all of it had been the context
    torch.testing.assert_close(said[1], net(whole[1:, :3], 3)[0])


def test_float64_and_bfloat16_agree():
    for cell in CELLS:
        net, frames = network(cell), clips(2, 4)
        expected = net(frames, 3)
        with torch.autocast("cpu", torch.bfloat16):
            low = net(frames, 3)
        assert low.dtype == torch.float32
        torch.testing.assert_close(low, expected, rtol=0.05, atol=0.02)


def test_odd_settings_are_refused():
    for settings in ({"kernel": 2}, {"layers": 0}, {"patch": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            RecurrentConfig(**settings)
