"""Recurrences over feature maps with their derivatives written out: fewer passes over memory than by autograd.

All of it is pointwise but for the state-to-state convolution of `LstmSequence`, whose gradient by the weights is taken
once for all steps.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mezzotint.ops.convolution import Geometry, correlation

sigmoid_slope = torch.ops.aten.sigmoid_backward
tanh_slope = torch.ops.aten.tanh_backward


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent by the logistic function, 2/(1 + exp(-2x)) - 1: on CPUs faster than the library's own.

    Reckoned in 32 bits at least, since the difference would cost a narrow type its small values.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return wide.mul(2).sigmoid_().mul_(2).sub_(1)


def _piled(steps: list[Tensor]) -> Tensor:
    """Steps in one piece, time first; a single one, as all that is fed back are, is not copied for it."""
    return steps[0][None] if len(steps) == 1 else torch.stack(steps)


class LstmSequence(torch.autograd.Function):
    """`apply(seen, weight, h, c)`: a convolutional LSTM over all steps (Shi et al. 2015, equation 3, no peepholes).

    `seen` (t n 4·hidden h w) is what the inputs contribute to the gates, in the order input, forget, output,
    candidate; `weight` (4·hidden hidden k k) is that of the state-to-state convolution. Gives the outputs of all steps
    (t n hidden h w) and the last memory. Derivatives of first order. The memory `c` may be of a wider type than all
    else: what is added up over many steps loses too much in bfloat16.
    """

    @staticmethod
    def forward(ctx: Any, seen: Tensor, weight: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs of all steps and the last memory."""
        hidden, margin = weight.shape[1], weight.shape[2] // 2
        gates: list[Tensor] = []
        outputs, memories, squashed = [h], list[Tensor](), list[Tensor]()
        # Nothing is recalled from an empty output; to look for it on a GPU would halt it.
        ctx.blank = h.device.type == "cpu" and not ctx.needs_input_grad[2] and not h.any()
        for t, now in enumerate(seen):
            recalls = t or not ctx.blank
            gate = F.conv2d(outputs[-1], weight, padding=margin).add_(now) if recalls else now.clone()
            i, f, o = gate[:, : 3 * hidden].sigmoid_().split(hidden, 1)
            candidate = tanh(gate[:, 3 * hidden :])
            gate[:, 3 * hidden :] = candidate
            memories.append(c.to(gate.dtype))
            c = (f * c).add_(candidate.mul_(i))
            squashed.append(tanh(c).to(gate.dtype))
            outputs.append(o * squashed[-1])
            gates.append(gate)
        ctx.save_for_backward(weight, *gates, *memories, *squashed, *outputs[:-1])
        return _piled(outputs[1:]), c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Back through time; the weights' gradient at the end, over all steps at once."""
        weight, *saved = ctx.saved_tensors
        steps, hidden, margin = len(saved) // 4, weight.shape[1], weight.shape[2] // 2
        gates, memories, squashed, outputs = (saved[i * steps : (i + 1) * steps] for i in range(4))
        wanted, c = gradients[0], gradients[1].contiguous(memory_format=torch.channels_last)
        h = torch.zeros_like(outputs[0])
        slopes: list[Tensor] = []
        for t in reversed(range(steps)):
            i, _, o, g = gates[t].split(hidden, 1)
            h = h + wanted[t]
            c = c + tanh_slope(h * o, squashed[t])
            narrow = c.to(g.dtype)  # products of two types, written to a third place, are slow
            slope = torch.empty_like(gates[t])
            torch.mul(narrow, g, out=slope[:, :hidden])
            torch.mul(narrow, memories[t], out=slope[:, hidden : 2 * hidden])
            torch.mul(h, squashed[t], out=slope[:, 2 * hidden : 3 * hidden])
            torch.mul(narrow, i, out=slope[:, 3 * hidden :])
            three = slope[:, : 3 * hidden]
            sigmoid_slope(three, gates[t][:, : 3 * hidden], grad_input=three)
            tanh_slope(slope[:, 3 * hidden :], g, grad_input=slope[:, 3 * hidden :])
            slopes.append(slope)
            c = c * gates[t][:, hidden : 2 * hidden]
            if t or not ctx.blank:
                h = F.conv_transpose2d(slope, weight, padding=margin)
        by_seen, first = _piled(slopes[::-1]), int(ctx.blank)
        by_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        if by_weight is not None and first < steps:
            geometry = Geometry(weight.shape[2], 1, margin, *outputs[0].shape[2:])
            by_weight = correlation(
                _piled(outputs[first:]).flatten(0, 1), by_seen[first:].flatten(0, 1), weight, geometry
            )
        return by_seen, by_weight, None if ctx.blank else h, c


class Remember(torch.autograd.Function):
    """`apply(asked, memory)`: sigmoid(f)·memory + sigmoid(i)·tanh(g), of `asked` (n 3·hidden h w) in the order i, f, g.

    Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000; derivatives of first order. The memory may
    be of a wider type.
    """

    @staticmethod
    def forward(ctx: Any, asked: Tensor, memory: Tensor) -> Tensor:
        """The memory afterwards."""
        hidden = memory.shape[1]
        gates = asked[:, : 2 * hidden].sigmoid()
        candidate = tanh(asked[:, 2 * hidden :])
        ctx.save_for_backward(gates, candidate.to(asked.dtype), memory.to(asked.dtype))
        i, f = gates.chunk(2, 1)
        return (f * memory).add_(i * candidate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """By what was asked and by the memory."""
        gates, candidate, memory = ctx.saved_tensors
        hidden, wanted = memory.shape[1], gradients[0]
        i, f = gates.chunk(2, 1)
        n, _, height, width = memory.shape
        narrow = wanted.to(gates.dtype)
        slope = gates.new_empty(n, height, width, 3 * hidden).permute(0, 3, 1, 2)
        torch.mul(narrow, candidate, out=slope[:, :hidden])
        torch.mul(narrow, memory, out=slope[:, hidden : 2 * hidden])
        torch.mul(narrow, i, out=slope[:, 2 * hidden :])
        two = slope[:, : 2 * hidden]
        sigmoid_slope(two, gates, grad_input=two)
        tanh_slope(slope[:, 2 * hidden :], candidate, grad_input=slope[:, 2 * hidden :])
        return slope, wanted * f
