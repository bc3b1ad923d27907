"""The Inception network that the Fréchet Inception distance is defined by: the TensorFlow graph inception-2015-12-05.

Szegedy et al. 2016, figures 5 to 7 and table 1, with the graph's own ways: average pools leave the padding out of the
count, the last block pools by maximum, there are 1008 classes. The names are those of the widely used PyTorch file
of these weights, so that its state dict loads as it is:

    picture 299 ─ Conv2d_1a 2a 2b ─ pool ─ 3b 4a ─ pool ─ Mixed_5b 5c 5d ─ 6a … 6e ─ 7a 7b 7c ─ mean ─ 2048 features
              3   149  147 147      73    73 71      35    35               17         8             1   side
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.ops.resize import in_color, resized
from mezzotint.types import Images

SIDE = 299
"""Pixels of the pictures that the network takes."""
SPATIAL_CHANNELS = 7
"""Of the 1×1 branch of Mixed_6d, for the spatial distance: 7·17·17 = 2023 numbers, about as many as the features."""


CLASSES = 1008


class _Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int], stride: int = 1, same: bool = True) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if same else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Node(NamedTuple):
    """A unit within a block: where its input comes from (a node's name, `pool`, or the block's input)."""

    name: str
    outputs: int
    kernel: tuple[int, int]
    of: str = ""
    stride: int = 1


def _chain(name: str, *layers: tuple[int, tuple[int, int]], stride: int = 1) -> list[Node]:
    """Nodes `name_1`, `name_2`, … in a row; the last one has the stride."""
    strides = [1] * (len(layers) - 1) + [stride]
    return [
        Node(f"{name}_{i}", *layer, of=f"{name}_{i - 1}" if i > 1 else "", stride=strides[i - 1])
        for i, layer in enumerate(layers, 1)
    ]


ONE, ROW, COLUMN, SMALL, LARGE = (1, 1), (1, 7), (7, 1), (3, 3), (5, 5)


def _mixed5(pooled: int) -> list[Node]:
    """Figure 5 of the paper, with one convolution of 5×5."""
    return [
        Node("branch1x1", 64, ONE),
        *_chain("branch5x5", (48, ONE), (64, LARGE)),
        *_chain("branch3x3dbl", (64, ONE), (96, SMALL), (96, SMALL)),
        Node("branch_pool", pooled, ONE, "pool"),
    ]


def _mixed6(w: int) -> list[Node]:
    """Figure 6: rows and columns of seven."""
    return [
        Node("branch1x1", 192, ONE),
        *_chain("branch7x7", (w, ONE), (w, ROW), (192, COLUMN)),
        *_chain("branch7x7dbl", (w, ONE), (w, COLUMN), (w, ROW), (w, COLUMN), (192, ROW)),
        Node("branch_pool", 192, ONE, "pool"),
    ]


def _mixed7() -> list[Node]:
    """Figure 7: the branches fork at their ends."""
    return [
        Node("branch1x1", 320, ONE),
        Node("branch3x3_1", 384, ONE),
        Node("branch3x3_2a", 384, (1, 3), "branch3x3_1"),
        Node("branch3x3_2b", 384, (3, 1), "branch3x3_1"),
        *_chain("branch3x3dbl", (448, ONE), (384, SMALL)),
        Node("branch3x3dbl_3a", 384, (1, 3), "branch3x3dbl_2"),
        Node("branch3x3dbl_3b", 384, (3, 1), "branch3x3dbl_2"),
        Node("branch_pool", 192, ONE, "pool"),
    ]


def _to_17() -> list[Node]:
    """Halves the side from 35, beside a pool."""
    double = _chain("branch3x3dbl", (64, ONE), (96, SMALL), (96, SMALL), stride=2)
    return [Node("branch3x3", 384, SMALL, stride=2), *double]


def _to_8() -> list[Node]:
    """Halves the side from 17, beside a pool."""
    seven = _chain("branch7x7x3", (192, ONE), (192, ROW), (192, COLUMN), (192, SMALL), stride=2)
    return [*_chain("branch3x3", (192, ONE), (320, SMALL), stride=2), *seven]


def _mean_pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _max_pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 1, 1)


def _halving_pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 2)


BLOCKS = {
    "Mixed_5b": (_mixed5(32), _mean_pool),
    "Mixed_5c": (_mixed5(64), _mean_pool),
    "Mixed_5d": (_mixed5(64), _mean_pool),
    "Mixed_6a": (_to_17(), _halving_pool),
    "Mixed_6b": (_mixed6(128), _mean_pool),
    "Mixed_6c": (_mixed6(160), _mean_pool),
    "Mixed_6d": (_mixed6(160), _mean_pool),
    "Mixed_6e": (_mixed6(192), _mean_pool),
    "Mixed_7a": (_to_8(), _halving_pool),
    "Mixed_7b": (_mixed7(), _mean_pool),
    "Mixed_7c": (_mixed7(), _max_pool),
}
"""From door to end; the graph's `mixed`, `mixed_1` … `mixed_10`."""


class _Block(nn.Module):
    """Units in parallel chains; what no other unit takes up is laid side by side, the pool itself last."""

    def __init__(self, inputs: int, block: str) -> None:
        super().__init__()
        self.nodes, self.pool = BLOCKS[block]
        widths = {"": inputs, "pool": inputs}
        for node in self.nodes:
            same = node.stride == 1
            self.add_module(node.name, _Unit(widths[node.of], node.outputs, node.kernel, node.stride, same))
            widths[node.name] = node.outputs
        taken = {"", *(node.of for node in self.nodes)}
        self.ends = [name for name in [*(node.name for node in self.nodes), "pool"] if name not in taken]
        self.outputs = sum(widths[name] for name in self.ends)

    def forward(self, x: Tensor) -> Tensor:
        """N c h w to n `outputs` h w (or half the sides)."""
        seen = {"": x, "pool": self.pool(x)}
        for node in self.nodes:
            seen[node.name] = getattr(self, node.name)(seen[node.of])
        return torch.cat([seen[name] for name in self.ends], 1)


class Inception2015(nn.Module):
    """Features of pictures in the coordinates of the FID. There is nothing to configure."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Unit(3, 32, SMALL, stride=2, same=False)
        self.Conv2d_2a_3x3 = _Unit(32, 32, SMALL, same=False)
        self.Conv2d_2b_3x3 = _Unit(32, 64, SMALL)
        self.Conv2d_3b_1x1 = _Unit(64, 80, ONE)
        self.Conv2d_4a_3x3 = _Unit(80, 192, SMALL, same=False)
        width = 192
        for name in BLOCKS:
            block = _Block(width, name)
            self.add_module(name, block)
            width = block.outputs
        self.fc = nn.Linear(width, CLASSES)

    def features(self, images: Images) -> Float[Tensor, "n 2048"]:
        """The graph's `pool_3`: means over the last maps of pictures in [-1, 1] of any size, grey or RGB."""
        return self._until(self._door(images), "Mixed_7c").mean((2, 3))

    def spatial(self, images: Images) -> Float[Tensor, "n 2023"]:
        """The first seven channels of the graph's `mixed_6/conv`, place by place: where things are (Nash et al. 2021).

        The graph's blocks begin at `mixed`, so that its `mixed_6` is called Mixed_6d here.
        """
        block = self.get_submodule("Mixed_6d.branch1x1")
        return block(self._until(self._door(images), "Mixed_6c"))[:, :SPATIAL_CHANNELS].flatten(1)

    def _door(self, images: Images) -> Tensor:
        levels = (resized(in_color(images), SIDE, SIDE).clamp(-1, 1) + 1) * 127.5
        x = (levels - 128) / 128  # as the graph does: bytes from 0 to 255 go to [-1, 127/128]
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(_halving_pool(x)))
        return _halving_pool(x)

    def _until(self, x: Tensor, last: str) -> Tensor:
        for name in BLOCKS:
            x = getattr(self, name)(x)
            if name == last:
                break
        return x

    def forward(self, images: Images) -> Float[Tensor, "n 1008"]:
        """Logits, n × 1008."""
        return self.fc(self.features(images))
