import pytest
import torch
from torch.nn import functional as F

from mezzotint.errors import UserError
from mezzotint.networks.residual_gan import Attention, ResidualDiscriminatorConfig, ResidualGeneratorConfig
from mezzotint.types import DataSpec

LABELS = torch.tensor([0, 2, 1])
BIG = {"code": 5, "split": True, "orthogonal": True, "spectral": True}


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (16, 3), (28, 1), (32, 3)])
@pytest.mark.parametrize("more", [{}, BIG], ids=["sngan", "biggan"])
def test_generator(more, side, channels, classes, make_spec, assert_all_learn):
    attention = max(8, side // 2) if more else 0
    config = ResidualGeneratorConfig(width=4, most=8, attention=attention, **more)
    network = config.build(make_spec(side, channels), 13, classes)
    labels = LABELS if classes else None
    images = network(torch.randn(3, 13), labels)
    assert images.shape == (3, channels, side, side)
    assert images.abs().max() <= 1
    assert_all_learn(network, lambda: network(torch.randn(3, 13), labels))


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (16, 3), (28, 1), (32, 3)])
@pytest.mark.parametrize("more", [{"spectral": False}, {"orthogonal": True}], ids=["plain", "biggan"])
def test_discriminator(more, side, channels, classes, make_spec, assert_all_learn):
    attention = side // 2 if "orthogonal" in more else 0
    config = ResidualDiscriminatorConfig(width=4, most=8, attention=attention, **more)
    network = config.build(make_spec(side, channels), classes)
    images, labels = torch.rand(3, channels, side, side) * 2 - 1, LABELS if classes else None
    assert network(images, labels).shape == (3,)
    assert not network.couples_pictures
    assert_all_learn(network, lambda: network(images, labels))


def test_every_layer_of_the_discriminator_has_spectral_norm_1(make_spec):
    network = ResidualDiscriminatorConfig(width=8).build(make_spec(16), 3)
    layers = [m for m in network.modules() if hasattr(m, "parametrizations")]
    assert len(layers) == 3 * 2 + 2 + 2  # two halving blocks, one block without a shortcut's weights, the head
    for layer in layers:
        # Fifteen steps of the power method are near, not there.
        assert float(torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]) == pytest.approx(1, abs=0.05)


def test_generators_parameter_count_at_the_papers_size(make_spec, count):
    """SN-GAN, 32×32 (Miyato et al. 2018, table 4a): 256 channels at each of four sides."""
    with torch.device("meta"):
        network = ResidualGeneratorConfig(width=256, most=256).build(make_spec(32, 3), 128, 0)
    block = 2 * (9 * 256 * 256 + 256) + 256 * 256 + 256 + 2 * 2 * 256
    assert count(network) == 129 * 4 * 4 * 256 + 3 * block + 2 * 256 + 9 * 256 * 3 + 3


def test_parameter_counts_of_the_full_biggan(make_spec, count):
    """Those that google/compare_gan asserts of the original at 128×128; the paper (table 1) has their sum, 158 M."""
    spec = make_spec(128, 3)
    with torch.device("meta"):
        wide = {"width": 96, "most": 1536, "attention": 64}
        generator = ResidualGeneratorConfig(**wide, code=128, split=True).build(spec, 120, 1000)
        discriminator = ResidualDiscriminatorConfig(**wide, spectral=False).build(spec, 1000)
    assert count(generator) == 70_433_988
    assert count(discriminator) == 87_982_370


def test_split_noise_reaches_every_block(make_spec):
    """Another piece of noise changes the norms of its block and nothing before it."""
    network = ResidualGeneratorConfig(width=4, most=8, split=True).build(make_spec(16), 12, 0).eval()
    z = torch.randn(2, 12)
    later = z.clone()
    later[:, -4:] += 1
    seen = []
    network.blocks[0].register_forward_hook(lambda _, __, out: seen.append(out))
    first, second = network(z), network(later)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(first, second)


def test_attention_begins_as_nothing_and_is_a_weighted_mean():
    attention, x = Attention(8), torch.randn(2, 8, 6, 4)
    assert torch.equal(attention(x), x)
    with torch.no_grad():
        attention.gain.fill_(0.5)
    query, key, value = (F.conv2d(x, part.weight) for part in (attention.query, attention.key, attention.value))
    key, value = F.max_pool2d(key, 2).flatten(2), F.max_pool2d(value, 2).flatten(2)
    pixel = query[1, :, 2, 3] @ key[1]
    expected = attention.out.weight[:, :, 0, 0] @ (value[1] @ pixel.softmax(0))
    torch.testing.assert_close(attention(x)[1, :, 2, 3], x[1, :, 2, 3] + 0.5 * expected)


@pytest.mark.parametrize("config", [ResidualGeneratorConfig(), ResidualDiscriminatorConfig()])
def test_other_sizes_are_refused_in_a_sentence(config):
    spec = DataSpec(channels=1, height=18, width=18)
    with pytest.raises(UserError, match="--size"):
        config.build(spec, *([5] if isinstance(config, ResidualGeneratorConfig) else []), 0)
