"""Against the TensorFlow graph written out by hand: its own order, paddings and pools, and nothing of our tables."""

import pytest
import torch
from torch.nn import functional as F

from mezzotint.networks.inception2015 import Inception2015


@pytest.fixture(scope="module")
def network():
    """Random weights under which the activations keep their size through all 94 convolutions."""
    torch.manual_seed(0)
    network = Inception2015().double().eval()
    for name, tensor in network.state_dict().items():
        if name.endswith("conv.weight"):
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)
        elif name.endswith(("bn.weight", "running_var")):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("bn.bias", "running_mean")):
            tensor.normal_(0, 0.2)
    return network.requires_grad_(False)


class Graph:
    """What the graph does, step by step; `w` is a state dict in the published layout."""

    def __init__(self, w):
        self.w = w

    def conv(self, x, name, stride=1, padding="SAME"):
        w = self.w
        kernel = w[f"{name}.conv.weight"]
        if padding == "SAME":
            assert stride == 1
            high, wide = kernel.shape[2] - 1, kernel.shape[3] - 1
            x = F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        x = F.conv2d(x, kernel, stride=stride)
        mean, variance, scale, shift = (
            w[f"{name}.bn.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return torch.clamp((x - mean) / torch.sqrt(variance + 0.001) * scale + shift, min=0)

    def row(self, x, *names):
        for name in names:
            x = self.conv(x, name)
        return x

    @staticmethod
    def average(x):
        """Means over the up to nine pixels that are there."""
        ones = torch.ones_like(x[:1, :1])
        total = sum(
            F.pad(x, (1, 1, 1, 1))[:, :, i : i + x.shape[2], j : j + x.shape[3]] for i in range(3) for j in range(3)
        )
        count = sum(
            F.pad(ones, (1, 1, 1, 1))[:, :, i : i + x.shape[2], j : j + x.shape[3]] for i in range(3) for j in range(3)
        )
        return total / count

    @staticmethod
    def maximum(x):
        padded = F.pad(x, (1, 1, 1, 1), value=-torch.inf)
        return torch.stack(
            [padded[:, :, i : i + x.shape[2], j : j + x.shape[3]] for i in range(3) for j in range(3)]
        ).amax(0)

    @staticmethod
    def halved(x):
        return F.max_pool2d(x, 3, stride=2)

    def mixed_35(self, x, b):
        return torch.cat(
            [
                self.conv(x, f"{b}.branch1x1"),
                self.row(x, f"{b}.branch5x5_1", f"{b}.branch5x5_2"),
                self.row(x, f"{b}.branch3x3dbl_1", f"{b}.branch3x3dbl_2", f"{b}.branch3x3dbl_3"),
                self.conv(self.average(x), f"{b}.branch_pool"),
            ],
            1,
        )

    def mixed_17(self, x, b):
        return torch.cat(
            [
                self.conv(x, f"{b}.branch1x1"),
                self.row(x, *(f"{b}.branch7x7_{i}" for i in (1, 2, 3))),
                self.row(x, *(f"{b}.branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5))),
                self.conv(self.average(x), f"{b}.branch_pool"),
            ],
            1,
        )

    def mixed_8(self, x, b, pool):
        three = self.conv(x, f"{b}.branch3x3_1")
        double = self.row(x, f"{b}.branch3x3dbl_1", f"{b}.branch3x3dbl_2")
        return torch.cat(
            [
                self.conv(x, f"{b}.branch1x1"),
                self.conv(three, f"{b}.branch3x3_2a"),
                self.conv(three, f"{b}.branch3x3_2b"),
                self.conv(double, f"{b}.branch3x3dbl_3a"),
                self.conv(double, f"{b}.branch3x3dbl_3b"),
                self.conv(pool(x), f"{b}.branch_pool"),
            ],
            1,
        )

    def run(self, levels):
        """`pool_3` and `mixed_6/conv` of pictures with levels from 0 to 255, 299 pixels a side."""
        x = (levels - 128) * 0.0078125
        x = self.conv(x, "Conv2d_1a_3x3", 2, "VALID")
        x = self.conv(x, "Conv2d_2a_3x3", 1, "VALID")
        x = self.halved(self.conv(x, "Conv2d_2b_3x3"))
        x = self.conv(x, "Conv2d_3b_1x1")
        x = self.halved(self.conv(x, "Conv2d_4a_3x3", 1, "VALID"))
        for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):  # mixed, mixed_1, mixed_2
            x = self.mixed_35(x, name)
        b = "Mixed_6a"  # mixed_3
        double = self.row(x, f"{b}.branch3x3dbl_1", f"{b}.branch3x3dbl_2")
        ends = self.conv(x, f"{b}.branch3x3", 2, "VALID"), self.conv(double, f"{b}.branch3x3dbl_3", 2, "VALID")
        x = torch.cat([*ends, self.halved(x)], 1)
        for name in ("Mixed_6b", "Mixed_6c"):  # mixed_4, mixed_5
            x = self.mixed_17(x, name)
        spatial = self.conv(x, "Mixed_6d.branch1x1")  # mixed_6/conv
        for name in ("Mixed_6d", "Mixed_6e"):  # mixed_6, mixed_7
            x = self.mixed_17(x, name)
        b = "Mixed_7a"  # mixed_8
        seven = self.row(x, *(f"{b}.branch7x7x3_{i}" for i in (1, 2, 3)))
        three = self.conv(self.conv(x, f"{b}.branch3x3_1"), f"{b}.branch3x3_2", 2, "VALID")
        x = torch.cat([three, self.conv(seven, f"{b}.branch7x7x3_4", 2, "VALID"), self.halved(x)], 1)
        x = self.mixed_8(x, "Mixed_7b", self.average)  # mixed_9
        x = self.mixed_8(x, "Mixed_7c", self.maximum)  # mixed_10
        return x.mean((2, 3)), spatial


def test_the_graph_step_by_step_gives_the_same_features(network):
    images = torch.rand(1, 3, 299, 299, dtype=torch.float64) * 2 - 1
    features, spatial = Graph(network.state_dict()).run((images + 1) / 2 * 255)
    assert features.std() > 0.01  # a network that has died would agree with any other
    torch.testing.assert_close(network.features(images), features)
    torch.testing.assert_close(network.spatial(images).view(1, 7, 17, 17), spatial[:, :7])
    torch.testing.assert_close(network(images), features @ network.fc.weight.T + network.fc.bias)


def test_the_layout_is_the_published_one(network):
    """566 tensors are in the published file, the counters of the norms among them."""
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert len(shapes) == 566
    assert sum(name.endswith("conv.weight") for name in shapes) == 94
    # 23.9 million numbers of 4 bytes are its 95.6 MB; the norms' statistics are among them.
    assert sum(tensor.numel() for tensor in network.state_dict().values()) * 4 == pytest.approx(95_628_359, rel=0.003)
    assert shapes["Conv2d_1a_3x3.conv.weight"] == (32, 3, 3, 3)
    assert shapes["Mixed_5b.branch_pool.conv.weight"] == (32, 192, 1, 1)
    assert shapes["Mixed_5d.branch5x5_2.conv.weight"] == (64, 48, 5, 5)
    assert shapes["Mixed_6a.branch3x3.conv.weight"] == (384, 288, 3, 3)
    assert shapes["Mixed_6b.branch7x7_2.conv.weight"] == (128, 128, 1, 7)
    assert shapes["Mixed_6e.branch7x7dbl_5.conv.weight"] == (192, 192, 1, 7)
    assert shapes["Mixed_7a.branch7x7x3_4.conv.weight"] == (192, 192, 3, 3)
    assert shapes["Mixed_7b.branch3x3_2b.conv.weight"] == (384, 384, 3, 1)
    assert shapes["Mixed_7c.branch3x3dbl_3a.conv.weight"] == (384, 384, 1, 3)
    assert shapes["Mixed_7c.branch_pool.conv.weight"] == (192, 2048, 1, 1)
    assert shapes["fc.weight"] == (1008, 2048)


def test_small_grey_pictures_are_resized_and_colored(network):
    grey = torch.rand(2, 1, 28, 28, dtype=torch.float64) * 2 - 1
    large = F.interpolate(grey, (299, 299), mode="bicubic", antialias=True).clamp(-1, 1)
    features = network.features(grey)
    assert features.shape == (2, 2048)
    torch.testing.assert_close(features, network.features(large.repeat(1, 3, 1, 1)))
    torch.testing.assert_close(features[1:], network.features(grey[1:]))
    assert network.spatial(grey).shape == (2, 2023)
