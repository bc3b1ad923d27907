import pytest
import torch
from torch.nn import functional as F

from mezzotint.networks.progan import ProganDiscriminatorConfig, ProganGeneratorConfig, level_at

LABELS = torch.tensor([0, 2, 1, 1])


@pytest.mark.parametrize(
    ("progress", "level"),
    # Two doublings, grown at 0.8: rest to 0.2, fade to 0.4, rest to 0.6, fade to 0.8.
    [(0, 0), (0.1, 0), (0.2, 0), (0.3, 0.5), (0.35, 0.75), (0.4, 1), (0.5, 1), (0.7, 1.5), (0.8, 2), (0.9, 2), (1, 2)],
)
def test_levels_by_hand(progress, level):
    assert level_at(progress, 2, 0.8) == pytest.approx(level)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("progress", [0, 0.15, 0.29, 0.5, 0.7, 1])
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (16, 3), (28, 1)])
def test_pictures_have_one_size_at_every_level(side, channels, progress, classes, make_spec):
    spec, labels = make_spec(side, channels), LABELS if classes else None
    generator = ProganGeneratorConfig(width=4, most=8).build(spec, 5, classes)
    discriminator = ProganDiscriminatorConfig(width=4, most=8).build(spec, classes)
    generator.grow(progress)
    discriminator.grow(progress)
    images = generator(torch.randn(4, 5), labels)
    assert images.shape == (4, channels, side, side)
    assert discriminator(images, labels).shape == (4,)
    assert discriminator.shown(images).shape == images.shape


@pytest.mark.parametrize("classes", [0, 3])
def test_all_learn_in_a_fade(classes, make_spec, assert_all_learn):
    spec, labels = make_spec(8), LABELS if classes else None
    generator = ProganGeneratorConfig(width=4, most=8).build(spec, 5, classes)
    discriminator = ProganDiscriminatorConfig(width=4, most=8).build(spec, classes)
    for network in (generator, discriminator):
        network.grow(0.5)
    assert 0 < generator.stage()[1] < 1
    assert_all_learn(generator, lambda: generator(torch.randn(4, 5), labels))
    assert_all_learn(discriminator, lambda: discriminator(torch.randn(4, 1, 8, 8), labels))


def test_a_fade_is_the_mixture_of_its_ends(make_spec):
    """Halfway in, a picture is halfway between the small one doubled and the new one."""
    network, z = ProganGeneratorConfig(width=4, most=8).build(make_spec(16), 5, 0), torch.randn(2, 5)

    def at(level):
        network.level.fill_(round(level * 2**16))
        return network(z)

    small, large = at(1.0), at(2.0)
    torch.testing.assert_close(at(1.5), (small + large) / 2)
    torch.testing.assert_close(at(1.25), 0.75 * small + 0.25 * large)
    torch.testing.assert_close(small, F.interpolate(F.avg_pool2d(small, 2), scale_factor=2.0))


def test_a_discriminators_fade_is_the_mixture_of_its_ends(make_spec):
    """Of what enters the stages that were open before: half the new stage's, half the small picture's."""
    network = ProganDiscriminatorConfig(width=4, most=8).build(make_spec(16), 0)
    images, seen = torch.randn(3, 1, 16, 16), []
    network.stages[0].register_forward_hook(lambda _, given, __: seen.append(given[0]))
    for level in (1.0, 1.5, 2.0):
        network.level.fill_(round(level * 2**16))
        network(images)
    torch.testing.assert_close(seen[1], (seen[0] + seen[2]) / 2)


def test_real_pictures_are_shown_with_the_detail_that_is_open(make_spec):
    network = ProganDiscriminatorConfig(width=4).build(make_spec(16), 0)
    images = torch.randn(2, 1, 16, 16)
    half = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2.0)
    for level, expected in ((2.0, images), (1.0, half), (1.5, (images + half) / 2)):
        network.level.fill_(round(level * 2**16))
        torch.testing.assert_close(network.shown(images), expected)


def test_the_level_is_part_of_the_state(make_spec):
    config, z = ProganGeneratorConfig(width=4), torch.randn(2, 5)
    first, second = (config.build(make_spec(16), 5, 0) for _ in range(2))
    first.grow(0.5)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(z), second(z))
