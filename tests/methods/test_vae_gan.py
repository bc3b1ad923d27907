from dataclasses import replace

import pytest
import torch

from mezzotint.methods.vae_gan import VaeGanConfig
from mezzotint.networks.conv_vae import ConvDecoderConfig, ConvEncoderConfig
from mezzotint.networks.dcgan import DcganDiscriminatorConfig
from mezzotint.types import Batch, DataSpec

SMALL = VaeGanConfig(
    encoder=ConvEncoderConfig(width=4, most=8),
    decoder=ConvDecoderConfig(width=4, most=8),
    discriminator=DcganDiscriminatorConfig(width=4, norm="none", spectral=True),
    latent=3,
)
SPEC = DataSpec(1, 8, 8)


def images() -> torch.Tensor:
    return torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    torch.manual_seed(0)
    gan = SMALL.build(SPEC)
    loss = gan.loss(Batch(images(), seed=2), "autoencoder")
    p = loss.parts
    expected = p["kl"] + 0.1 * p["distortion"] + 100 * p["features"] + 30 * p["generator"]
    torch.testing.assert_close(loss.total.detach(), expected)


def test_the_discriminator_tells_pictures_from_reconstructions_and_draws() -> None:
    torch.manual_seed(0)
    gan = SMALL.build(SPEC)
    optimizer = torch.optim.Adam(gan.discriminator.parameters(), 0.01)
    losses = []
    for _ in range(60):
        loss = gan.loss(Batch(images(), seed=2), "discriminator")
        loss.total.backward()
        optimizer.step()
        gan.zero_grad()
        gan.after_step("discriminator")
        losses.append(float(loss.total.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert loss.parts["real_logit"] > loss.parts["fake_logit"]


def test_a_perfect_reconstruction_is_at_no_distance_in_features() -> None:
    torch.manual_seed(0)
    gan = SMALL.build(SPEC)
    with torch.no_grad():
        found = gan.decode(gan.encode(images()))
        (a, b), _ = gan._seen(found, found, labels=None)
    torch.testing.assert_close(a, b)


def test_negative_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        replace(SMALL, pixels=-1.0)
