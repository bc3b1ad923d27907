"""Recipes of latent variables."""

from dataclasses import replace

from mezzotint.methods.hvae import HvaeConfig
from mezzotint.methods.vae import VaeConfig
from mezzotint.methods.vae_gan import VaeGanConfig
from mezzotint.methods.vq import VqConfig
from mezzotint.networks.conv_vae import ConvDecoderConfig, ConvEncoderConfig
from mezzotint.networks.dense import DenseDecoderConfig, DenseEncoderConfig
from mezzotint.networks.quantize import CodebookConfig, LevelsConfig
from mezzotint.recipe import Averaging, Optimizer, Recipe
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
    """The tutorials' dense VAE (Kingma & Welling 2014): 256 and 128 hidden units, 32 latents, Bernoulli likelihood."""
    return Recipe(
        name="vae-dense",
        method=VaeConfig(encoder=DenseEncoderConfig(), decoder=DenseDecoderConfig(), latent=32, likelihood="bernoulli"),
        optimizers={"autoencoder": Optimizer(name="adam", lr=1e-3, schedule="cosine", final=0.01)},
        batch=128,
    )


def beta_vae(spec: DataSpec, minutes: float) -> Recipe:
    """The VAE with its divergence weighted by 4 (Higgins et al. 2017): fewer, more independent numbers in use."""
    plain = vae(spec, minutes)
    assert isinstance(plain.method, VaeConfig)
    return replace(plain, name="beta-vae", method=replace(plain.method, kl_weight=4.0, latent=16))


def tc_vae(spec: DataSpec, minutes: float) -> Recipe:
    """The VAE with the total correlation of its codes weighted by 6 (Chen et al. 2018, "beta-TC-VAE").

    Large batches, since a (micro-)batch's codes stand for all: what the weight comes to depends on the micro-batch.
    """
    plain = vae(spec, minutes)
    assert isinstance(plain.method, VaeConfig)
    return replace(plain, name="tc-vae", batch=256, method=replace(plain.method, correlation_weight=6.0, latent=16))


def iwae(spec: DataSpec, minutes: float) -> Recipe:
    """The VAE trained on the importance-weighted bound of five codes a picture (Burda et al. 2016)."""
    plain = vae(spec, minutes)
    assert isinstance(plain.method, VaeConfig)
    return replace(plain, name="iwae", batch=64, method=replace(plain.method, samples=5))


def hvae(spec: DataSpec, minutes: float) -> Recipe:
    """A ladder of latent maps with a top-down posterior (Sønderby et al. 2016; Vahdat & Kautz 2020; Child 2021).

    Each pixel is a mixture of discretized logistics, shifted by the pixels before it within its 2×2 square. By Adam,
    since under Muon the rungs soon tell nothing.
    """
    return Recipe(
        name="hvae",
        method=HvaeConfig(),
        optimizers={"ladder": Optimizer(name="adam", lr=2e-3, schedule="cosine", warmup=0.02, final=0.01)},
        batch=64,
        clip_norm=1000.0,
        averaging=Averaging(share=0.02),
    )


def _muon(warmup: float) -> Optimizer:
    """In the few steps of some minutes Muon comes much further than Adam."""
    short = (0.9, 0.99)
    return Optimizer(name="muon", lr=0.02, vector_lr=2e-3, betas=short, schedule="cosine", warmup=warmup, final=0.01)


def _symbols(name: str, spec: DataSpec, quantizer: CodebookConfig | LevelsConfig) -> Recipe:
    """The autoencoder's schedule is over when the prior gets the rest of the time to itself (`VqConfig.settled`)."""
    warmup = 0.02
    method = VqConfig(quantizer=quantizer, conditional=bool(spec.classes))
    return Recipe(
        name=name,
        method=method,
        # Schedules are of the part of the run in which a group is trained; both warm up for the same time.
        optimizers={"autoencoder": _muon(warmup / method.settled), "prior": _muon(warmup)},
        batch=64,
        clip_norm=1000.0,
        averaging=Averaging(share=0.02),
    )


def vq(spec: DataSpec, minutes: float) -> Recipe:
    """Codes from a learned book of 512 (van den Oord et al. 2017, "VQ-VAE"), drawn by a transformer, by class."""
    return _symbols("vq", spec, CodebookConfig())


def fsq(spec: DataSpec, minutes: float) -> Recipe:
    """Four numbers rounded to 1,000 symbols (Mentzer et al. 2024, "FSQ"), drawn by a transformer, by class."""
    return _symbols("fsq", spec, LevelsConfig())


def vae_gan(spec: DataSpec, minutes: float) -> Recipe:
    """A VAE whose reconstructions and draws a discriminator judges as well (Larsen et al. 2016)."""
    short = Optimizer(name="adam", lr=3e-4, betas=(0.5, 0.999), schedule="linear", decay_from=0.7, final=0.1)
    return Recipe(
        name="vae-gan",
        method=VaeGanConfig(),
        optimizers={"autoencoder": short, "discriminator": short},
        batch=64,
        clip_norm=1000.0,
        averaging=Averaging(share=0.05),
    )
