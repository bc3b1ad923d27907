import pytest
import torch

from mezzotint.networks.dense import DenseDecoderConfig, DenseEncoderConfig, DenseGeneratorConfig

LABELS = torch.tensor([0, 2])
SIZES = [8, 16, 28, 32, 64, 128]


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", SIZES)
def test_generator(side, channels, classes, make_spec, assert_all_learn):
    network = DenseGeneratorConfig(widths=(16,)).build(make_spec(side, channels), 5, classes)
    images = network(torch.randn(2, 5) * 10, LABELS if classes else None)
    assert images.shape == (2, channels, side, side)
    assert images.abs().max() <= 1
    assert_all_learn(network, lambda: network(torch.randn(2, 5), LABELS if classes else None))


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", SIZES)
def test_encoder_and_decoder(side, channels, classes, make_spec, assert_all_learn):
    spec, labels = make_spec(side, channels), LABELS if classes else None
    encoder = DenseEncoderConfig(widths=(16, 8)).build(spec, 5, classes)
    decoder = DenseDecoderConfig(widths=(8, 16)).build(spec, 5, classes, outputs=2)
    images = torch.rand(2, *spec.shape)
    mean, log_variance = encoder(images, labels)
    assert mean.shape == log_variance.shape == (2, 5)
    assert decoder(mean, labels).shape == (2, 2 * channels, side, side)
    assert_all_learn(encoder, lambda: torch.cat(encoder(images, labels)))
    assert_all_learn(decoder, lambda: decoder(torch.randn(2, 5), labels))


def test_the_tutorials_parameter_counts(make_spec, count):
    spec = make_spec(28)
    assert count(DenseGeneratorConfig().build(spec, 100, 0)) == 100 * 128 + 128 + 128 * 784 + 784
    assert count(DenseGeneratorConfig().build(spec, 100, 3)) == 103 * 128 + 128 + 128 * 784 + 784
    encoder, decoder = DenseEncoderConfig().build(spec, 32, 0), DenseDecoderConfig().build(spec, 32, 0)
    assert count(encoder) == 784 * 256 + 256 + 256 * 128 + 128 + 128 * 64 + 64
    assert count(decoder) == 32 * 128 + 128 + 128 * 256 + 256 + 256 * 784 + 784


def test_decoders_numbers_are_not_squashed(make_spec):
    raw = DenseDecoderConfig().build(make_spec(8), 4, 0)(torch.randn(64, 4) * 1000)
    assert raw.min() < -1
    assert raw.max() > 1


def test_labels_change_the_picture(make_spec):
    network, z = DenseGeneratorConfig().build(make_spec(8), 4, 3), torch.randn(1, 4).expand(2, 4)
    first, second = network(z, LABELS)
    assert not torch.allclose(first, second)
