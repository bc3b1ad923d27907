"""What several architectures share: class codes, sides that double, layers that are fast on a CPU too."""

import math
from collections.abc import Sequence
from typing import Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.errors import UserError
from mezzotint.ops.convolution import Gather, Geometry, Scatter
from mezzotint.types import DataSpec, Kinds, Labels


def class_code(labels: Kinds, classes: int) -> Float[Tensor, "n classes"]:
    """One-hot rows of class indices; shares of classes are such rows already."""
    return labels if labels.is_floating_point() else F.one_hot(labels, classes).float()


def with_class(vector: Float[Tensor, "n f"], labels: Kinds | None, classes: int) -> Float[Tensor, "n f_and_classes"]:
    """`vector` with the class beside it as a one-hot code (Mirza & Osindero 2014); `vector` itself without classes.

    The rows of the next linear layer that meet the code are the learned embedding of the classes, so that a code with
    shares of two classes is a class between them.
    """
    if classes == 0:
        return vector
    assert labels is not None, "a conditional network needs labels"
    return torch.cat([vector, class_code(labels, classes).to(vector.dtype)], 1)


def doublings(spec: DataSpec) -> tuple[int, int]:
    """The side where a picture begins and how often it doubles: (7, 2) for 28 pixels, (4, 4) for 64.

    Raises UserError unless the picture is a square of 3, 4, 5 or 7 times a power of two.
    """
    if spec.height != spec.width:
        raise UserError(
            f"convolutional generators and autoencoders work on squares, not {spec.height}×{spec.width}; give --size"
        )
    side, times = spec.height, 0
    while side % 2 == 0 and side > 4:
        side, times = side // 2, times + 1
    if side > 7 or times == 0:
        raise UserError(
            f"pictures of {spec.height} pixels a side cannot be made by doubling; give --size 8, 16, 28, 32, 64 or 128"
        )
    return side, times


def _type_on_cpu(x: Tensor) -> torch.dtype | None:
    """The type that autocast would give a convolution on the CPU; None where it is off, and on other devices."""
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return None
    return torch.get_autocast_dtype("cpu")


def convolved(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, padding: int = 0) -> Tensor:
    """A convolution with square kernels, by faster ones where a CPU trains in bfloat16."""
    low = _type_on_cpu(x)
    if low is None:
        return F.conv2d(x, weight, bias, stride, padding)
    g = Geometry(weight.shape[2], stride, padding, x.shape[2], x.shape[3])
    with torch.autocast("cpu", enabled=False):
        return Gather.apply(x.to(low), weight.to(low), None if bias is None else bias.to(low), g)  # pyright: ignore[reportReturnType]


class Conv2d(nn.Conv2d):
    """torch's, by faster kernels where a CPU trains in bfloat16 (square kernels, one stride, one padding)."""

    def forward(self, input: Tensor) -> Tensor:
        """N c h w to n c' h' w'."""
        if _type_on_cpu(input) is None:
            return super().forward(input)
        assert isinstance(self.padding, tuple)
        return convolved(input, self.weight, self.bias, self.stride[0], self.padding[0])


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch's, by faster kernels where a CPU trains in bfloat16 (square kernels, one stride, one padding)."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """N c h w to n c' h' w'."""
        low = _type_on_cpu(input)
        if low is None:
            return super().forward(input, output_size)
        assert isinstance(self.padding, tuple)
        k, s, p, rest = self.kernel_size[0], self.stride[0], self.padding[0], self.output_padding[0]
        height, width = ((side - 1) * s - 2 * p + k + rest for side in input.shape[2:])
        bias = None if self.bias is None else self.bias.to(low)
        with torch.autocast("cpu", enabled=False):
            return Scatter.apply(input.to(low), self.weight.to(low), bias, Geometry(k, s, p, height, width))  # pyright: ignore[reportReturnType]


class Dropout(nn.Module):
    """Dropout of feature maps whose mask costs 16 random bits a number; torch draws a whole float for each.

    The share that is left out is `p` rounded to a multiple of 2^-16, and what stays is scaled to match exactly.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """N c h w, some of it zero."""
        kept = round((1 - self.p) * 2**16)
        # None of 2^16 has no scale, all of them is no number of 16 bits.
        if not self.training or x.device.type != "cpu" or x.ndim != 4 or kept in (0, 2**16):
            return F.dropout(x, self.p, self.training)
        n, c, h, w = x.shape
        bits = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        stays = torch.lt(bits.view(torch.int16)[: x.numel()], kept - 2**15, out=torch.empty(x.numel(), dtype=x.dtype))
        return x * stays.mul_(2**16 / kept).view(n, h, w, c).permute(0, 3, 1, 2)


def convolution(inputs: int, outputs: int, kernel: Literal[4, 5], *, bias: bool = True) -> nn.Conv2d:
    """A convolution of stride 2 that halves an even side."""
    return Conv2d(inputs, outputs, kernel, 2, (kernel - 1) // 2, bias=bias)


def transposed_convolution(inputs: int, outputs: int, kernel: Literal[4, 5], *, bias: bool = True) -> nn.Module:
    """A transposed convolution of stride 2 that doubles the side."""
    padding, output_padding = (kernel - 1) // 2, kernel % 2
    return ConvTranspose2d(inputs, outputs, kernel, 2, padding, output_padding, bias=bias)


class MapFromVector(nn.Module):
    """A vector seen as a square feature map; channels last in memory, so that convolutions need no copy."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.channels, self.side = channels, side

    def forward(self, vector: Float[Tensor, "n f"]) -> Float[Tensor, "n c h w"]:
        """N × (side·side·channels) to n × channels × side × side."""
        return vector.view(-1, self.side, self.side, self.channels).permute(0, 3, 1, 2)


class VectorFromMap(nn.Module):
    """A feature map seen as a vector: the inverse of `MapFromVector`, and as free of copies where channels are last."""

    def forward(self, feature_map: Float[Tensor, "n c h w"]) -> Float[Tensor, "n f"]:
        """N × c × h × w to n × (h·w·c)."""
        return feature_map.permute(0, 2, 3, 1).flatten(1)


Layer = TypeVar("Layer", bound=nn.Module)


def zeroed(layer: Layer) -> Layer:
    """The layer with all its weights zero: what it is added to begins as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Fold(nn.Module):
    """Squares of pixels as channels (space to depth), the picture padded where its sides are no multiple of `of`."""

    def __init__(self, side: int, of: int) -> None:
        super().__init__()
        self.side, self.of = side, of

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n folded rows columns"]:
        """N × c × h × w to n × (c·side²) × h/side × w/side."""
        below, right = (-length % self.of for length in x.shape[2:])
        if below or right:
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        return F.pixel_unshuffle(x, self.side) if self.side > 1 else x

    def undone(self, y: Float[Tensor, "n folded rows columns"], like: Float[Tensor, "n c h w"]) -> Tensor:
        """The inverse, cut to the sides of `like`."""
        y = F.pixel_shuffle(y, self.side) if self.side > 1 else y
        return y[:, :, : like.shape[2], : like.shape[3]]


def sinusoids(level: Float[Tensor, " n"], count: int) -> Float[Tensor, "n count"]:
    """Cosines and sines of a thousand times the level, of wavelengths from 2 pi to 10,000 times that.

    Vaswani et al. 2017, section 3.5, of noise levels in [0, 1].
    """
    half = count // 2
    speeds = torch.exp(torch.arange(half, device=level.device, dtype=level.dtype) * (-math.log(10_000) / half))
    angles = 1000 * level[:, None] * speeds
    return torch.cat([angles.cos(), angles.sin()], 1)


class Condition(nn.Module):
    """What a denoiser is told beside the picture: noise level and class, as numbers that modulate its layers.

    One matrix product serves all layers; all modulations begin at zero.
    """

    def __init__(self, classes: int, width: int, each: Sequence[int]) -> None:
        super().__init__()
        self.classes, self.each, self.count = classes, list(each), width
        self.level = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes + 1, width) if classes else None
        self.modulate = zeroed(nn.Linear(width, sum(each)))
        if self.label is not None:
            nn.init.normal_(self.label.weight, 0, 0.1)

    def forward(self, level: Float[Tensor, " n"], labels: Labels | None) -> tuple[Tensor, ...]:
        """For each layer its numbers, n × each."""
        known = self.level(sinusoids(level, self.count))
        if self.label is not None:
            assert labels is not None, "a conditional network needs labels"
            known = known + self.label(labels)
        return self.modulate(F.silu(known)).split(self.each, 1)


def attended(asked: Float[Tensor, "n length three_c"], heads: int) -> Float[Tensor, "n length c"]:
    """What each position gathers from all others, from queries, keys and values (Vaswani et al. 2017, equation 1).

    On a CPU torch's fused kernel is slow backward; plain products take its place there.
    """
    n, length, width = asked.shape
    size = width // 3 // heads
    query, key, value = asked.view(n, length, 3, heads, size).permute(2, 0, 3, 1, 4)
    if asked.device.type == "cpu":
        weights = torch.softmax(query * size**-0.5 @ key.transpose(2, 3), 3)
        told = weights.to(value.dtype) @ value
    else:
        told = F.scaled_dot_product_attention(query, key, value)
    return told.transpose(1, 2).reshape(n, length, width // 3)


def widened(x: Tensor) -> Tensor:
    """`x` in float32 at least, where sums of many numbers are to come."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class LogitHead(nn.Module):
    """Features to one logit; by class through an inner product with the class's code (Miyato & Koyama 2018, eq. 3)."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1)
        self.projection = nn.Embedding(classes, features) if classes else None
        if self.projection is not None:
            nn.init.normal_(self.projection.weight, 0, features**-0.5)

    def forward(self, features: Float[Tensor, "n f"], labels: Labels | None) -> Float[Tensor, " n"]:
        """One logit per row."""
        logits = self.linear(features).squeeze(1)
        if self.projection is None:
            return logits
        assert labels is not None, "a conditional discriminator needs labels"
        return logits + (features * self.projection(labels)).sum(1)
