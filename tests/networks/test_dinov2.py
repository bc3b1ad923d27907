import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mezzotint.networks.dinov2 import Dinov2Config


def cubic(x: float) -> float:
    """Keys' kernel with a = -3/4."""
    x, a = abs(x), -0.75
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def interpolation(old: int, new: int) -> np.ndarray:
    """The matrix from positions along a side to new ones, which lie as if there were a tenth of one more."""
    matrix = np.zeros((new, old))
    for i in range(new):
        at = (i + 0.5) * old / (new + 0.1) - 0.5
        for j in range(math.floor(at) - 1, math.floor(at) + 3):
            matrix[i, min(max(j, 0), old - 1)] += cubic(at - j)
    return matrix


def reference(w, images: torch.Tensor, depth: int) -> torch.Tensor:
    """The published network in plain products, from its state dict; pictures are 224 pixels a side, RGB, 0 to 1."""
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (images - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    patches = x.unfold(2, 14, 14).unfold(3, 14, 14)  # n 3 16 16 14 14
    filters, bias = w["patch_embed.proj.weight"], w["patch_embed.proj.bias"]
    tokens = torch.einsum("ncijhw,dchw->nijd", patches, filters).flatten(1, 2) + bias
    width, grid = tokens.shape[-1], round((w["pos_embed"].shape[1] - 1) ** 0.5)
    turn = torch.from_numpy(interpolation(grid, 16)).to(images)
    plane = w["pos_embed"][0, 1:].view(grid, grid, width)
    positions = w["pos_embed"][0, 1:] if grid == 16 else torch.einsum("ia,jb,abd->ijd", turn, turn, plane).flatten(0, 1)
    first = (w["cls_token"][0] + w["pos_embed"][:, :1]).expand(len(images), 1, width)
    x = torch.cat([first, tokens + positions], 1)

    def normed(x, name):
        centered = x - x.mean(-1, keepdim=True)
        return (
            centered / (centered.square().mean(-1, keepdim=True) + 1e-6).sqrt() * w[f"{name}.weight"]
            + w[f"{name}.bias"]
        )

    def dense(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    for i in range(depth):
        b = f"blocks.{i}"
        queries, keys, values = dense(normed(x, f"{b}.norm1"), f"{b}.attn.qkv").chunk(3, -1)
        heads = []
        for h in range(0, width, 64):
            q, k, v = (part[..., h : h + 64] for part in (queries, keys, values))
            heads.append(torch.softmax(q @ k.mT / 8, -1) @ v)
        x = x + dense(torch.cat(heads, -1), f"{b}.attn.proj") * w[f"{b}.ls1.gamma"]
        hidden = dense(normed(x, f"{b}.norm2"), f"{b}.mlp.fc1")
        hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
        x = x + dense(hidden, f"{b}.mlp.fc2") * w[f"{b}.ls2.gamma"]
    return normed(x, "norm")[:, 0]


def random_network(width: int, depth: int, grid: int):
    network = Dinov2Config(width=width, depth=depth, grid=grid).build().eval().requires_grad_(False)
    for tensor in network.state_dict().values():
        tensor.copy_(torch.randn_like(tensor) * (0.5 if tensor.ndim == 1 else tensor.shape[-1] ** -0.5))
    return network


@pytest.mark.parametrize(("width", "depth", "grid"), [(128, 2, 37), (192, 3, 16), (64, 1, 5)])
def test_plain_products_give_the_same_features(width, depth, grid):
    network = random_network(width, depth, grid).double()
    images = torch.rand(2, 3, 224, 224, dtype=torch.float64)
    torch.set_default_dtype(torch.float64)
    try:
        expected = reference(network.state_dict(), images, depth)
    finally:
        torch.set_default_dtype(torch.float32)
    # 1e-6: torch takes the scale of an interpolation in float32 on some paths.
    torch.testing.assert_close(network.features(images * 2 - 1), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("width", "depth", "parameters"), [(384, 12, 22_056_576), (768, 12, 86_580_480), (1024, 24, 304_368_640)]
)
def test_published_sizes(width, depth, parameters):
    """Parameters of the published files (S/14, B/14 and L/14), whose sizes on disk are four times that and a header."""
    with torch.device("meta"):
        network = Dinov2Config(width=width, depth=depth).build()
    shapes = {name: tuple(p.shape) for name, p in network.state_dict().items()}
    assert sum(math.prod(shape) for shape in shapes.values()) == parameters
    assert shapes["pos_embed"] == (1, 1370, width)
    assert shapes["mask_token"] == (1, width)
    assert shapes[f"blocks.{depth - 1}.attn.qkv.weight"] == (3 * width, width)
    assert shapes["blocks.0.ls1.gamma"] == (width,)
    assert shapes["blocks.0.mlp.fc1.weight"] == (4 * width, width)


def test_small_grey_pictures_at_full_size():
    network = random_network(384, 12, 37)
    grey = torch.rand(2, 1, 28, 28) * 2 - 1
    large = F.interpolate(grey, (224, 224), mode="bicubic", antialias=True).clamp(-1, 1)
    features = network(grey)
    assert features.shape == (2, 384)
    torch.testing.assert_close(features, network(large.repeat(1, 3, 1, 1)), rtol=1e-3, atol=1e-3)
    assert (features[0] - features[1]).abs().max() > 0.01
