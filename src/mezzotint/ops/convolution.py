"""Convolutions in bfloat16 on CPUs, where the library's own kernels are slow: three maps, each the others' adjoint.

With weights w (s b k k) between a big picture (b channels) and a small one (s channels), `Gather` is a convolution (big
to small), `Scatter` its transpose (small to big) and `Correlate` the gradient of either by its weights. All three are
bilinear, so the derivatives of each are the two others, to any order. The values are those of torch's convolutions.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

FEW_CHANNELS = 4
"""Up to so many channels of the big picture a scatter is a matrix product and a sum: the library is slow at it."""
MANY_WEIGHTS = 100
"""From so many weights per row of the small picture on, a correlation is a matrix product per kernel cell."""


class Geometry(NamedTuple):
    """Side of the kernel, stride, padding and the sides of the big picture."""

    kernel: int
    stride: int
    padding: int
    height: int
    width: int


def _gather(big: Tensor, w: Tensor, bias: Tensor | None, g: Geometry) -> Tensor:
    if _is_laid_once(g):
        seen, cells = _meeting(big, w, g)
        small = F.linear(seen.permute(0, 2, 3, 1).flatten(1), cells.permute(0, 2, 3, 1).flatten(1), bias)
        return small[:, :, None, None].clone()  # autograd forbids in-place changes of views made here
    return F.conv2d(big, w, bias, g.stride, g.padding)


def _is_laid_once(g: Geometry) -> bool:
    """Whether the small picture is a single pixel, so that the convolution is one matrix product."""
    return all((side + 2 * g.padding - g.kernel) // g.stride == 0 for side in (g.height, g.width))


def _meeting(big: Tensor, w: Tensor, g: Geometry) -> tuple[Tensor, Tensor]:
    """The part of a picture that meets a kernel laid down once, and the part of the kernel that meets the picture."""
    p, height, width = g.padding, min(g.height, g.kernel - g.padding), min(g.width, g.kernel - g.padding)
    return big[:, :, :height, :width], w[:, :, p : p + height, p : p + width]


def _scatter(small: Tensor, w: Tensor, bias: Tensor | None, g: Geometry) -> Tensor:
    n, channels, height, width = small.shape
    if w.shape[1] <= FEW_CHANNELS:
        columns = w.flatten(1).t() @ small.permute(0, 2, 3, 1).reshape(n, height * width, channels).transpose(1, 2)
        exact = columns if columns.dtype == torch.float64 else columns.float()  # fold sums in the type it is given
        big = F.fold(exact, (g.height, g.width), g.kernel, 1, g.padding, g.stride)
        return (big if bias is None else big + bias[:, None, None]).to(small.dtype)
    sides = ((g.height, height), (g.width, width))
    left_over = [side - ((steps - 1) * g.stride - 2 * g.padding + g.kernel) for side, steps in sides]
    return F.conv_transpose2d(small, w, bias, g.stride, g.padding, left_over)


def correlation(big: Tensor, small: Tensor, like: Tensor, g: Geometry) -> Tensor:
    """What `Correlate` gives, without a derivative of its own."""
    rows = small.shape[0] * small.shape[2] * small.shape[3]
    if like.shape[1] == 1:
        return _correlate_grey(big, small, g)
    if like.numel() > MANY_WEIGHTS * rows:
        return _correlate_by_cell(big, small, like, g)
    sides = [g.stride] * 2, [g.padding] * 2, [1, 1], False, [0, 0], 1
    only_weights = [False, True, False]
    return torch.ops.aten.convolution_backward(small, big, like, None, *sides, only_weights)[1]


def _correlate_grey(big: Tensor, small: Tensor, g: Geometry) -> Tensor:
    """One matrix product for all cells of the kernel: with a single channel what they meet is a short, wide table."""
    big = F.pad(big, [g.padding] * 4) if g.padding else big
    reach = [(steps - 1) * g.stride + 1 for steps in small.shape[2:]]
    starts = [(i, j) for i in range(g.kernel) for j in range(g.kernel)]
    met = torch.stack([big[:, 0, i : i + reach[0] : g.stride, j : j + reach[1] : g.stride] for i, j in starts])
    return (met.flatten(1) @ _rows(small)).view(g.kernel, g.kernel, 1, -1).permute(3, 2, 0, 1)


def _correlate_by_cell(big: Tensor, small: Tensor, like: Tensor, g: Geometry) -> Tensor:
    """One matrix product per cell of the kernel, over the positions at which the cell meets the picture."""
    w = torch.empty(like.shape[0], g.kernel, g.kernel, like.shape[1], dtype=big.dtype, device=big.device)
    for i, above, top in _cells(g, g.height, small.shape[2]):
        for j, left, start in _cells(g, g.width, small.shape[3]):
            w[:, i, j] = _rows(small[:, :, above, left]).t() @ _rows(big[:, :, top, start])
    return w.permute(0, 3, 1, 2)


def _rows(picture: Tensor) -> Tensor:
    """N c h w to (n·h·w) × c; no copy where channels are last in memory."""
    return picture.permute(0, 2, 3, 1).reshape(-1, picture.shape[1])


def _cells(g: Geometry, side: int, count: int) -> Iterator[tuple[int, slice, slice]]:
    """For each cell along a side of the kernel: the positions at which it meets the picture, and what it meets."""
    for cell in range(g.kernel):
        first = max(0, -((cell - g.padding) // g.stride))
        last = max(first, min(count, (side - 1 - cell + g.padding) // g.stride + 1))
        start = first * g.stride + cell - g.padding
        stop = start + (last - first - 1) * g.stride + 1 if last > first else start
        yield cell, slice(first, last), slice(start, stop, g.stride)


class Gather(torch.autograd.Function):
    """`apply(big, w, bias, geometry)`: the convolution of a big picture to a small one."""

    @staticmethod
    def forward(ctx: Any, big: Tensor, w: Tensor, bias: Tensor | None, g: Geometry) -> Tensor:
        """N b H W to n s h w."""
        ctx.save_for_backward(big, w)
        ctx.geometry = g
        return _gather(big, w, bias, g)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        """Scatter for the picture, Correlate for the weights."""
        big, w = ctx.saved_tensors
        need, small = ctx.needs_input_grad, gradients[0]
        return (
            Scatter.apply(small, w, None, ctx.geometry) if need[0] else None,
            Correlate.apply(big, small, w, ctx.geometry) if need[1] else None,
            small.sum((0, 2, 3)) if need[2] else None,
            None,
        )


class Scatter(torch.autograd.Function):
    """`apply(small, w, bias, geometry)`: the transposed convolution of a small picture to a big one."""

    @staticmethod
    def forward(ctx: Any, small: Tensor, w: Tensor, bias: Tensor | None, g: Geometry) -> Tensor:
        """N s h w to n b H W."""
        ctx.save_for_backward(small, w)
        ctx.geometry = g
        return _scatter(small, w, bias, g)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        """Gather for the picture, Correlate for the weights."""
        small, w = ctx.saved_tensors
        need, big = ctx.needs_input_grad, gradients[0]
        return (
            Gather.apply(big, w, None, ctx.geometry) if need[0] else None,
            Correlate.apply(big, small, w, ctx.geometry) if need[1] else None,
            big.sum((0, 2, 3)) if need[2] else None,
            None,
        )


class Correlate(torch.autograd.Function):
    """`apply(big, small, like, geometry)`: the gradient by weights shaped as `like`."""

    @staticmethod
    def forward(ctx: Any, big: Tensor, small: Tensor, like: Tensor, g: Geometry) -> Tensor:
        """N b H W and n s h w to s b k k."""
        ctx.save_for_backward(big, small)
        ctx.geometry = g
        return correlation(big, small, like, g)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        """Scatter for the big picture, Gather for the small one."""
        big, small = ctx.saved_tensors
        need, w = ctx.needs_input_grad, gradients[0]
        return (
            Scatter.apply(small, w, None, ctx.geometry) if need[0] else None,
            Gather.apply(big, w, None, ctx.geometry) if need[1] else None,
            None,
            None,
        )
