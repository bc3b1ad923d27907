"""Variational autoencoders (Kingma & Welling 2014): an encoder, a decoder and a likelihood."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mezzotint.losses import likelihood
from mezzotint.method import Method, MethodConfig
from mezzotint.networks.conv_vae import ConvDecoderConfig, ConvEncoderConfig
from mezzotint.networks.dense import DenseDecoderConfig, DenseEncoderConfig
from mezzotint.networks.pythae_vae import PythaeDecoderConfig, PythaeEncoderConfig
from mezzotint.ops.noise import normal_from_seeds
from mezzotint.types import Batch, DataSpec, Images, Labels, Loss, Phase


@dataclass(frozen=True, kw_only=True)
class VaeConfig(MethodConfig):
    """Which networks code and decode, how a picture is judged and what the code costs."""

    encoder: ConvEncoderConfig | DenseEncoderConfig | PythaeEncoderConfig = ConvEncoderConfig()
    decoder: ConvDecoderConfig | DenseDecoderConfig | PythaeDecoderConfig = ConvDecoderConfig()
    latent: int = 32
    likelihood: Literal["bernoulli", "gaussian", "logistic"] = "logistic"
    """Bernoulli: brightness as a probability. Gaussian, logistic: 256 levels under a density with a learned scale."""
    kl_weight: float = 1.0
    """Beta of the beta-VAE; 1 is the evidence lower bound."""
    kl_warmup: float = 0.0
    """Share of progress over which the weight rises from zero (Bowman et al. 2016)."""
    conditional: bool = False
    """Code and draw by class, where the data have classes."""

    def build(self, spec: DataSpec) -> "Vae":
        """The networks with fresh weights."""
        return Vae(self, spec)


class Vae(Method):
    """One phase, one group: encoder and decoder together."""

    phases = (Phase("fit", trains=("autoencoder",)),)
    log_scale: Tensor
    """Of the Gaussian and logistic likelihoods, one per channel (Rybkin et al. 2021)."""

    def __init__(self, config: VaeConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.classes = len(spec.classes) if config.conditional else 0
        self.encoder = config.encoder.build(spec, config.latent, self.classes)
        self.decoder = config.decoder.build(spec, config.latent, self.classes, outputs=1)
        scale = torch.full((spec.channels, 1, 1), -2.0)
        if config.likelihood == "bernoulli":  # has no scale: nothing to learn
            self.register_buffer("log_scale", scale)
        else:
            self.log_scale = nn.Parameter(scale)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """All parameters are one group."""
        return {"autoencoder": list(self.parameters())}

    def loss(self, batch: Batch, phase: str) -> Loss:
        """The negative evidence lower bound in nats per picture, its KL part weighted."""
        labels = self._given(batch.labels)
        log_likelihood, kl = self._bound(batch.images, labels, batch.normal(self.config.latent))
        warmed = 1.0 if self.config.kl_warmup == 0 else min(1.0, batch.progress / self.config.kl_warmup)
        total = (self.config.kl_weight * warmed * kl - log_likelihood).mean()
        parts = {"negative_elbo": (kl - log_likelihood).mean(), "kl": kl.mean(), "distortion": -log_likelihood.mean()}
        return Loss(total, {k: v.detach() for k, v in parts.items()})

    def elbo(self, images: Images, labels: Labels | None, seed: int) -> Tensor:
        """The evidence lower bound of each picture in nats, with one draw of the latent from `seed`."""
        noise = Batch(images, labels, seed=seed).normal(self.config.latent)
        log_likelihood, kl = self._bound(images, self._given(labels), noise)
        return log_likelihood - kl

    def encode(self, images: Images, labels: Labels | None = None) -> Tensor:
        """The mean latent of each picture, n × latent."""
        return self.encoder(images, self._given(labels))[0]

    def decode(self, latents: Tensor, labels: Labels | None = None) -> Images:
        """The expected picture of each latent."""
        raw = self.decoder(latents, self._given(labels)).float()
        return raw.sigmoid() * 2 - 1 if self.config.likelihood == "bernoulli" else raw.clamp(-1, 1)

    def generate(self, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """One picture per seed, decoded from the prior; classes come from `labels`, or from the seeds too."""
        device = next(self.parameters()).device
        return self.decode(normal_from_seeds(seeds, self.config.latent).to(device), self.labels_for(seeds, labels))

    def _given(self, labels: Labels | None) -> Labels | None:
        return labels if self.classes else None

    def _bound(self, images: Images, labels: Labels | None, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Log p(x|z) and KL(q(z|x), p(z)) of each picture in nats, z drawn by the reparametrization."""
        mean, log_variance = (t.float() for t in self.encoder(images, labels))
        z = mean + (log_variance / 2).exp() * noise
        raw = self.decoder(z, labels).float()
        return self._log_likelihood(raw, images.float()), likelihood.gaussian_kl(mean, log_variance)

    def _log_likelihood(self, raw: Tensor, images: Images) -> Tensor:
        match self.config.likelihood:
            case "bernoulli":
                return likelihood.bernoulli(raw, images)
            case "gaussian":
                return likelihood.gaussian(raw, images, self.log_scale)
            case "logistic":
                return likelihood.discretized_logistic(raw, self.log_scale, images)
