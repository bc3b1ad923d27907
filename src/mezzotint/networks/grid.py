"""Arithmetic that is exact on every machine: layers whose sums are of whole numbers that a float holds.

Weights are whole multiples of a power of two for each row and have 8 bits, activations are multiples of 1/64 and have
8 bits too. So each sum is a sum of whole numbers that float32 holds without rounding: neither the order of summation
nor threads, batches, libraries or machines change a bit of what a network says, and a decoder hears what the encoder
heard. All else is done number by number, where IEEE 754 leaves no choice. The same code is trained: rounding lets
gradients straight through (Bengio et al. 2013).
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

UNIT = 64
"""Activations are multiples of 1/64, and one level of a pixel is 1/64."""
CEILING = 255 / UNIT
"""Activations are clipped here."""
FINEST = 12
"""Weights are multiples of 2^-12 at the finest."""
BIAS_UNIT = 1024
BIAS_CEILING = 31.0


@dataclass(frozen=True)
class Affine:
    """Weights and biases on their grids."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """For x in multiples of 1/64 below 4: the sums are exact, and only then the bias is added, number by number."""
        return F.linear(x, self.weight).add_(self.bias)


class _Through(torch.autograd.Function):
    """Rounding to whole numbers whose gradient is that of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient


def on_grid(x: Tensor, unit: float | Tensor) -> Tensor:
    """The nearest multiple of 1/unit, with the gradient of x."""
    rounded = _Through.apply(x * unit)
    assert isinstance(rounded, Tensor)
    return rounded / unit


def power_of_two(exponents: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """2^e for e of 0 … 30, by shifting: torch's powers need not be exact."""
    return (torch.ones_like(exponents) << exponents).float()


def activation(x: Tensor) -> Tensor:
    """Clipped to [0, 255/64] and rounded to 1/64."""
    return on_grid(x.clamp(0, CEILING), UNIT)


class GridLinear(nn.Module):
    """Weights and biases that are rounded to their grids whenever they are used."""

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0) -> None:
        super().__init__()
        bound = gain * inputs**-0.5
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def exponents(self) -> Int[Tensor, "outputs 1"]:
        """The finest grid 2^-e of each row on which its weights have 8 bits; by `frexp`, which is exact everywhere."""
        largest = self.weight.detach().abs().amax(1, keepdim=True).clamp(min=2.0**-20)
        return (torch.frexp(127 / largest).exponent - 1).clamp(0, FINEST)

    def settled(self) -> Affine:
        """Weights and biases as they are used."""
        unit = power_of_two(self.exponents())
        coarse = (unit[:, 0] * UNIT).clamp(max=BIAS_UNIT)
        weight = on_grid(self.weight.clamp(-127 / unit, 127 / unit), unit)
        return Affine(weight, on_grid(self.bias.clamp(-BIAS_CEILING, BIAS_CEILING), coarse))
