import numpy as np
import pytest
import torch
from PIL import Image

from mezzotint.ops.resize import in_color, resized


def by_pillow(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    channels = [
        Image.fromarray(c).resize((width, height), Image.Resampling.BICUBIC) for c in images.flatten(0, 1).numpy()
    ]
    return torch.from_numpy(np.stack([np.asarray(c) for c in channels])).view(*images.shape[:2], height, width)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 1, 8, 8), (299, 299)),
        ((2, 1, 28, 28), (299, 299)),
        ((1, 3, 32, 48), (224, 224)),
        ((1, 3, 512, 400), (299, 299)),
        ((1, 1, 300, 298), (299, 299)),
        ((1, 3, 97, 640), (40, 13)),
        ((1, 1, 1, 5), (7, 3)),
    ],
)
def test_pillow_makes_the_same_picture(shape, size):
    images = torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    # 1e-4 of a range of 2: torch takes the places of up to 512 pixels in float32, Pillow in float64.
    torch.testing.assert_close(resized(images, *size), by_pillow(images, *size), rtol=0, atol=1e-4)


def test_values_beyond_the_range_are_kept():
    edge = torch.ones(1, 1, 8, 8)
    edge[..., :4] = -1
    assert resized(edge, 32, 32).max() > 1.05


def test_a_constant_stays_and_the_same_size_changes_nothing():
    flat = torch.full((1, 3, 9, 31), 0.37)
    torch.testing.assert_close(resized(flat, 50, 20), torch.full((1, 3, 50, 20), 0.37))
    images = torch.rand(2, 1, 6, 5)
    assert torch.equal(resized(images, 6, 5), images)


def test_grey_is_three_equal_channels():
    grey, color = torch.rand(2, 1, 4, 4), torch.rand(2, 3, 4, 4)
    assert torch.equal(in_color(grey), torch.cat([grey] * 3, 1))
    assert torch.equal(in_color(color), color)
