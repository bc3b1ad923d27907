"""Recipes of latent variables."""

from mezzotint.methods.vae import VaeConfig
from mezzotint.networks.conv_vae import ConvDecoderConfig, ConvEncoderConfig
from mezzotint.networks.dense import DenseDecoderConfig, DenseEncoderConfig
from mezzotint.recipe import Optimizer, Recipe
from mezzotint.types import DataSpec


def vae(spec: DataSpec, minutes: float) -> Recipe:
    """A convolutional VAE (Kingma & Welling 2014) with a logistic likelihood of 256 levels."""
    return Recipe(
        name="vae",
        method=VaeConfig(encoder=ConvEncoderConfig(), decoder=ConvDecoderConfig(), latent=32, kl_warmup=0.1),
        optimizers={"autoencoder": Optimizer(name="adam", lr=1e-3, schedule="cosine", warmup=0.02, final=0.01)},
        batch=128,
        clip_norm=1000.0,
    )


def vae_dense(spec: DataSpec, minutes: float) -> Recipe:
    """The tutorials' dense VAE: 256 and 128 hidden units, 32 latent numbers, Bernoulli likelihood."""
    return Recipe(
        name="vae-dense",
        method=VaeConfig(encoder=DenseEncoderConfig(), decoder=DenseDecoderConfig(), latent=32, likelihood="bernoulli"),
        optimizers={"autoencoder": Optimizer(name="adam", lr=1e-3, schedule="cosine", final=0.01)},
        batch=128,
    )
