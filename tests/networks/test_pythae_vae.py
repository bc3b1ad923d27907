import pytest
import torch

from mezzotint.errors import UserError
from mezzotint.networks.pythae_vae import PythaeDecoderConfig, PythaeEncoderConfig


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(channels, make_spec, assert_all_learn):
    spec = make_spec(28, channels)
    encoder = PythaeEncoderConfig(width=4).build(spec, 5, 0)
    decoder = PythaeDecoderConfig(width=4).build(spec, 5, 0, outputs=2)
    images = torch.rand(3, *spec.shape) * 2 - 1
    mean, log_variance = encoder(images)
    assert mean.shape == log_variance.shape == (3, 5)
    assert decoder(mean).shape == (3, 2 * channels, 28, 28)
    assert_all_learn(encoder, lambda: torch.cat(encoder(images)))
    assert_all_learn(decoder, lambda: decoder(torch.randn(3, 5)))


def test_sides_of_the_maps(make_spec):
    encoder, decoder = (
        PythaeEncoderConfig(width=2).build(make_spec(28), 5, 0),
        PythaeDecoderConfig(width=2).build(make_spec(28), 5, 0),
    )
    sides: list[int] = []
    for layer in [*encoder.body, *decoder.body]:
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            layer.register_forward_hook(lambda _layer, _inputs, output: sides.append(output.shape[-1]))
    decoder(encoder(torch.randn(2, 1, 28, 28))[0])
    assert sides == [14, 7, 3, 1, 7, 14, 28]


def test_parameter_counts(make_spec, count):
    """16 latent numbers; kernels of 16 weights on the way in, of 9 on the way out."""
    with torch.device("meta"):
        encoder = PythaeEncoderConfig().build(make_spec(28), 16, 0)
        decoder = PythaeDecoderConfig().build(make_spec(28), 16, 0)
    maps = 16 * (128 + 128 * 256 + 256 * 512 + 512 * 1024) + 3 * (128 + 256 + 512 + 1024)  # bias, gain, shift
    assert count(encoder) == maps + 2 * (1024 * 16 + 16) == 11_050_656
    maps = 9 * (1024 * 512 + 512 * 256 + 256) + 3 * (512 + 256) + 1
    assert count(decoder) == maps + 16 * 16_384 + 16_384 == 6_181_377


def test_other_sizes_and_classes_are_refused(make_spec):
    with pytest.raises(UserError, match="28×28"):
        PythaeEncoderConfig().build(make_spec(32), 16, 0)
    with pytest.raises(UserError, match="without classes"):
        PythaeDecoderConfig().build(make_spec(28), 16, 3)
