import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mezzotint.errors import UserError
from mezzotint.networks.parts import (
    MapFromVector,
    VectorFromMap,
    convolution,
    doublings,
    transposed_convolution,
    with_class,
)
from mezzotint.types import DataSpec


@pytest.mark.parametrize(
    ("side", "expected"),
    [(8, (4, 1)), (16, (4, 2)), (28, (7, 2)), (32, (4, 3)), (64, (4, 4)), (128, (4, 5)), (96, (3, 5)), (20, (5, 2))],
)
def test_doublings_lead_from_the_first_side_to_the_last(side, expected, make_spec):
    first, times = doublings(make_spec(side))
    assert (first, times) == expected
    assert first * 2**times == side


@given(side=st.integers(1, 300))
@settings(deadline=None, max_examples=60)
def test_a_side_is_doubled_to_or_refused(side):
    spec = DataSpec(channels=1, height=side, width=side)
    try:
        first, times = doublings(spec)
    except UserError as error:
        assert f"{side} pixels" in str(error)
        return
    assert first in (3, 4, 5, 7)
    assert times >= 1
    assert first * 2**times == side


def test_other_than_squares_are_refused():
    with pytest.raises(UserError, match="squares, not 32×64"):
        doublings(DataSpec(channels=1, height=32, width=64))


def test_class_code_stands_beside_the_vector():
    vector = torch.randn(2, 3)
    assert with_class(vector, None, 0) is vector
    expected = torch.tensor([[0.0, 0, 0, 1], [1.0, 0, 0, 0]])
    torch.testing.assert_close(with_class(vector, torch.tensor([3, 0]), 4), torch.cat([vector, expected], 1))


def test_map_and_vector_are_inverse_and_nothing_is_copied():
    vector = torch.randn(2, 5 * 3 * 3)
    feature_map = MapFromVector(5, 3)(vector)
    assert feature_map.shape == (2, 5, 3, 3)
    assert feature_map.is_contiguous(memory_format=torch.channels_last)
    assert feature_map.data_ptr() == vector.data_ptr() == VectorFromMap()(feature_map).data_ptr()
    torch.testing.assert_close(VectorFromMap()(feature_map), vector, rtol=0, atol=0)
    torch.testing.assert_close(VectorFromMap()(feature_map.contiguous()), vector, rtol=0, atol=0)


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("side", [4, 6, 14])
def test_strides_halve_and_double_even_sides(kernel, side):
    x = torch.randn(1, 2, side, side)
    assert convolution(2, 3, kernel)(x).shape == (1, 3, side // 2, side // 2)
    assert transposed_convolution(2, 3, kernel)(x).shape == (1, 3, side * 2, side * 2)


@pytest.mark.parametrize("kernel", [4, 5])
def test_transposed_convolution_is_the_convolutions_transpose(kernel):
    """<conv(x), y> = <x, transposed(y)> with the same weights."""
    down, up = convolution(2, 3, kernel, bias=False).double(), transposed_convolution(3, 2, kernel, bias=False).double()
    up.load_state_dict(down.state_dict())
    x, y = torch.randn(1, 2, 8, 8).double(), torch.randn(1, 3, 4, 4).double()
    torch.testing.assert_close((down(x) * y).sum(), (x * up(y)).sum())


def test_five_by_five_is_tensorflows_of_the_mirrored_picture():
    """TensorFlow's "same" padding of an even side by stride 2 is one pixel before and two after."""
    layer, x = convolution(1, 2, 5), torch.randn(1, 1, 14, 14)
    mirrored = F.conv2d(F.pad(x.flip(2, 3), (1, 2, 1, 2)), layer.weight.flip(2, 3), layer.bias, stride=2)
    torch.testing.assert_close(layer(x), mirrored.flip(2, 3))
