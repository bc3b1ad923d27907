import pytest
import torch

from mezzotint.networks import pyramid
from mezzotint.networks.pyramid import PyramidConfig

LABELS = torch.tensor([0, 2, 1])
CONFIG = PyramidConfig(units=8, width=4, dropout=0.0)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (14, 3)])
def test_a_level(side, channels, classes, assert_all_learn):
    labels = LABELS if classes else None
    generator = pyramid.LevelGenerator(CONFIG, channels, side, classes)
    judge = pyramid.LevelDiscriminator(CONFIG, channels, side, classes)
    small, noise = torch.randn(3, channels, side // 2, side // 2), torch.randn(3, 1, side, side)
    difference = generator(small, noise, labels)
    assert difference.shape == (3, channels, side, side)
    assert judge(difference, small, labels).shape == (3,)
    assert_all_learn(generator, lambda: generator(small, noise, labels))
    assert_all_learn(judge, lambda: judge(difference.detach(), small, labels))


@pytest.mark.parametrize("classes", [0, 3])
def test_the_smallest_level(classes, assert_all_learn):
    labels = LABELS if classes else None
    generator = pyramid.SmallGenerator(CONFIG, 3, 5, 6, classes)
    judge = pyramid.SmallDiscriminator(CONFIG, 3, 5, classes)
    images = generator(torch.randn(3, 6), labels)
    assert images.shape == (3, 3, 5, 5)
    assert judge(images, labels).shape == (3,)
    assert_all_learn(generator, lambda: generator(torch.randn(3, 6), labels))
    assert_all_learn(judge, lambda: judge(images.detach(), labels))


@pytest.mark.parametrize(("side", "expected"), [(28, [7, 14, 28]), (64, [4, 8, 16, 32, 64])])
def test_sides(side, expected, make_spec):
    assert pyramid.sides(make_spec(side)) == expected


def test_a_level_sees_its_noise_and_the_small_picture():
    generator = pyramid.LevelGenerator(CONFIG, 1, 8, 0)
    small, noise = torch.randn(2, 1, 4, 4), torch.randn(2, 1, 8, 8)
    first = generator(small, noise, None)
    assert not torch.equal(first, generator(small, noise + 1, None))
    assert not torch.equal(first, generator(small + 1, noise, None))
