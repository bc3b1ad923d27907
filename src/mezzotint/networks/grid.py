"""Arithmetic that is exact on every machine: layers whose sums are of whole numbers that a float holds.

Weights are whole multiples of a power of two for each row and have 8 bits, activations are multiples of 1/64 and have
8 bits too. So each sum is a sum of whole numbers that float32 holds without rounding: neither the order of summation
nor threads, batches, libraries or machines change a bit of what a network says, and a decoder hears what the encoder
heard. All else is done number by number, where IEEE 754 leaves no choice. The same code is trained: rounding lets
gradients straight through (Bengio et al. 2013).
"""

import copy
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.networks.parts import convolved

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


class _Clipped(torch.autograd.Function):
    """`activation` of maps: the same numbers and gradients with fewer passes over memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.mul(UNIT).round_().clamp_(0, UNIT * CEILING).div_(UNIT)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        return gradient * ((x >= 0) & (x <= CEILING))


def clipped(x: Tensor) -> Tensor:
    """Clipped to [0, 255/64] and rounded to 1/64, as `activation` does."""
    done = _Clipped.apply(x)
    assert isinstance(done, Tensor)
    return done


class _Bounded(torch.autograd.Function):
    """Clipping from which gradients find back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.ends = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,), (low, high) = ctx.saved_tensors, ctx.ends
        stuck = ((x < low) & (gradient > 0)) | ((x > high) & (gradient < 0))
        return gradient.masked_fill(stuck, 0), None, None


def bounded(x: Tensor, low: float, high: float) -> Tensor:
    """Clipped to [low, high]; what lies outside has the slopes of the identity that lead back inside."""
    done = _Bounded.apply(x, low, high)
    assert isinstance(done, Tensor)
    return done


HELD = 1 << 24
"""Whole numbers up to which float32 holds all of them."""


class GridConv(GridLinear):
    """A square convolution, padded by zeros so that stride 1 keeps the sides; its filters are rows of a matrix.

    In training it is as fast, and as inexact, as convolutions are. In evaluation its sums are exact, in float32 where
    they are known to fit and else in float64.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        gain: float = 2.0,
        activations: bool = True,
        precise: bool = False,
    ) -> None:
        """Inputs are `activations`, or else any multiples of 1/1024 up to 64; what is `precise` trains in float32."""
        super().__init__(inputs * kernel**2, outputs, gain)
        self.inputs, self.kernel, self.stride = inputs, kernel, stride
        self.activations, self.precise = activations, precise or not activations
        self.fixed: tuple[Affine, bool] | None = None
        """Of a network that does not learn any more (`fixed`): what `_ready` gives."""

    def forward(self, x: Float[Tensor, "n inputs h w"]) -> Float[Tensor, "n outputs rows columns"]:
        """N c h w to n c' ⌈h / stride⌉ ⌈w / stride⌉."""
        if self.training:
            settled = self.settled()
            filters = settled.weight.view(-1, self.inputs, self.kernel, self.kernel)
            with torch.autocast(x.device.type, enabled=torch.is_autocast_enabled(x.device.type) and not self.precise):
                x = x.to(filters.dtype) if self.precise else x
                return convolved(x, filters, settled.bias, self.stride, self.kernel // 2)
        settled, narrow = self.fixed or self._ready()
        with torch.autocast(x.device.type, enabled=False):
            wide = x.dtype if narrow else torch.float64
            sums = (settled.weight.to(wide) @ self._columns(x.to(wide))).to(x.dtype) + settled.bias[:, None]
        return sums.view(len(x), -1, *((side - 1) // self.stride + 1 for side in x.shape[2:]))

    def _columns(self, x: Tensor) -> Tensor:
        """What each position sees, n × inputs·kernel² × positions."""
        if self.kernel == self.stride == 1:
            return x.flatten(2)
        return F.unfold(x, self.kernel, padding=self.kernel // 2, stride=self.stride)

    def _ready(self) -> tuple[Affine, bool]:
        """Weights and biases on their grids, and whether float32 holds each sum that they can make."""
        settled = self.settled()
        largest = (settled.weight.detach().abs() * power_of_two(self.exponents())).sum(1).amax()
        return settled, self.activations and float(largest) * UNIT * CEILING < HELD


Network = TypeVar("Network", bound=nn.Module)


def fixed(network: Network) -> Network:
    """A copy on the CPU that does not learn: its weights are put onto their grids once rather than at each use."""
    own = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    for module in own.modules():
        if isinstance(module, GridConv):
            module.fixed = module._ready()
    return own
