import pytest
import torch

from mezzotint.errors import UserError
from mezzotint.networks.conv_vae import ConvDecoderConfig, ConvEncoderConfig

LABELS = torch.tensor([0, 2])


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 16, 28, 32, 64, 128])
def test_encoder_and_decoder(side, channels, classes, make_spec, assert_all_learn):
    spec, labels = make_spec(side, channels), LABELS if classes else None
    encoder = ConvEncoderConfig(width=4, most=8).build(spec, 5, classes)
    decoder = ConvDecoderConfig(width=4, most=8).build(spec, 5, classes, outputs=2)
    images = torch.rand(2, *spec.shape) * 2 - 1
    mean, log_variance = encoder(images, labels)
    assert mean.shape == log_variance.shape == (2, 5)
    assert decoder(mean, labels).shape == (2, 2 * channels, side, side)
    assert_all_learn(encoder, lambda: torch.cat(encoder(images, labels)))
    assert_all_learn(decoder, lambda: decoder(torch.randn(2, 5), labels))


def test_parameter_counts(make_spec, count):
    """28 → 14 → 7 pixels and 1 → 8 → 12 channels; a block has two 3×3 convolutions, all with biases."""
    encoder = ConvEncoderConfig(width=4, most=12, blocks=1).build(make_spec(28), 5, 3)
    blocks = 2 * (9 * 8 * 8 + 8) + 2 * (9 * 12 * 12 + 12)
    assert count(encoder) == 16 * 1 * 8 + 8 + 16 * 8 * 12 + 12 + blocks + (7 * 7 * 12 + 3) * 10 + 10
    decoder = ConvDecoderConfig(width=4, most=12, blocks=1).build(make_spec(28), 5, 3, outputs=2)
    project, end = (5 + 3) * 7 * 7 * 12 + 7 * 7 * 12, 9 * 4 * 2 + 2
    assert count(decoder) == project + blocks + 16 * 12 * 8 + 8 + 16 * 8 * 4 + 4 + end


def test_residual_blocks_begin_as_the_identity(make_spec):
    with_blocks = ConvEncoderConfig(width=4, most=8, blocks=2).build(make_spec(16), 5, 0)
    without = ConvEncoderConfig(width=4, most=8, blocks=0).build(make_spec(16), 5, 0)
    kept = [m for m in with_blocks.body if "Residual" not in type(m).__name__]
    for ours, theirs in zip(kept, without.body, strict=True):
        theirs.load_state_dict(ours.state_dict())
    without.head.load_state_dict(with_blocks.head.state_dict())
    images = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(with_blocks(images), without(images))


def test_labels_matter_to_both(make_spec):
    images, z = torch.randn(1, 1, 8, 8).expand(2, 1, 8, 8), torch.randn(1, 5).expand(2, 5)
    first, second = ConvEncoderConfig(width=4).build(make_spec(8), 5, 3)(images, LABELS)[0]
    assert not torch.allclose(first, second)
    first, second = ConvDecoderConfig(width=4).build(make_spec(8), 5, 3)(z, LABELS)
    assert not torch.allclose(first, second)


def test_memory_layout_changes_no_number(make_spec):
    encoder = ConvEncoderConfig(width=8).build(make_spec(28), 5, 0)
    decoder = ConvDecoderConfig(width=8).build(make_spec(28), 5, 0)
    images = torch.randn(2, 1, 28, 28)
    expected = decoder(encoder(images)[0])
    images = images.contiguous(memory_format=torch.channels_last)
    mean, _ = encoder.to(memory_format=torch.channels_last)(images)
    torch.testing.assert_close(decoder.to(memory_format=torch.channels_last)(mean), expected)


def test_other_sizes_are_refused_in_a_sentence(make_spec):
    with pytest.raises(UserError, match="100 pixels"):
        ConvEncoderConfig().build(make_spec(100), 5, 0)
