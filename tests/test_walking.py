"""Ways through the latents of a small GAN by class, whose ends are known."""

import pytest
import torch
from torch import nn

from mezzotint import drawing, walking
from mezzotint.methods.gan import Gan, GanConfig
from mezzotint.networks.dense import DenseGeneratorConfig
from mezzotint.types import DataSpec


class Brightness(nn.Module):
    """Flat pictures, ten times as bright as the first number of the latent."""

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        return 10 * z[:, :1, None, None].expand(-1, 1, 8, 8)


@pytest.fixture
def gan() -> Gan:
    torch.manual_seed(0)
    config = GanConfig(generator=DenseGeneratorConfig(widths=(16,)), latent=6, conditional=True)
    return config.build(DataSpec(1, 8, 8, tuple("abc"))).eval()


def test_a_way_between_seeds_begins_and_ends_at_their_pictures(gan: Gan) -> None:
    ends = torch.tensor([0, 2])
    way = walking.between(gan, (3, 9), 5, ends)
    torch.testing.assert_close(way[[0, 4]], drawing.draw(gan, [3, 9], ends), rtol=0, atol=1e-5)
    assert (way[1:] - way[:-1]).flatten(1).abs().max(1).values.min() > 0


def test_a_way_along_a_factor_has_the_seeds_picture_in_its_middle(gan: Gan) -> None:
    kinds = torch.tensor([1, 0])
    ways = walking.along_factors(gan, [4, 5], 2, 3, 2.0, kinds).unflatten(0, (2, 2, 3))
    expected = drawing.draw(gan, [4, 5], kinds)
    for factor in (0, 1):
        torch.testing.assert_close(ways[:, factor, 1], expected, rtol=0, atol=1e-5)
    assert not torch.allclose(ways[:, :, 0], ways[:, :, 2], atol=1e-3)


def test_a_drawn_picture_is_found_again_with_its_class(gan: Gan) -> None:
    images = drawing.draw(gan, [7, 8])
    latents, found, left = walking.projected(gan, images, None, range(10), steps=5)
    assert latents.shape == (2, 6)
    torch.testing.assert_close(found, images, rtol=0, atol=0.02)
    assert float(left.max()) < 1e-3
    other = walking.projected(gan, images, torch.tensor([0, 0]), range(10), steps=5)[2]
    assert float(other.min()) > float(left.max())  # seeds 7 and 8 draw the classes b and c


def test_a_projection_comes_back_from_beyond_white() -> None:
    """Where all pixels are beyond [-1, 1], what is seen of them has no slope."""
    gan = GanConfig(latent=6).build(DataSpec(1, 8, 8)).eval()
    gan.generator = Brightness()
    start = gan.latents([3])
    assert abs(float(start[0, 0])) > 0.1
    latents, found, left = walking.projected(gan, torch.zeros(1, 1, 8, 8), None, [3], steps=60)
    assert abs(float(latents[0, 0])) < 0.1
    assert float(found.abs().max()) < 0.3
    assert float(left) == pytest.approx(float(found.square().mean()), abs=1e-6)
