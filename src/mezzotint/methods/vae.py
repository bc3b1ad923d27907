"""Variational autoencoders (Kingma & Welling 2014): an encoder, a decoder, a likelihood, a prior and a bound."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mezzotint.losses import divergence, likelihood
from mezzotint.method import Method, MethodConfig
from mezzotint.methods.observation import Likelihood, Observation, Reading, Scale
from mezzotint.networks.conv_vae import ConvDecoderConfig, ConvEncoderConfig
from mezzotint.networks.dense import DenseDecoderConfig, DenseEncoderConfig
from mezzotint.networks.parts import widened
from mezzotint.networks.prior import FlowPriorConfig, MixturePriorConfig, NormalPriorConfig
from mezzotint.networks.pythae_vae import PythaeDecoderConfig, PythaeEncoderConfig
from mezzotint.ops.noise import normal_from_seeds
from mezzotint.types import Batch, DataSpec, Images, Labels, Loss, Phase


@dataclass(frozen=True, kw_only=True)
class VaeConfig(MethodConfig):
    """Which networks code and decode, how a picture is judged and what the code costs."""

    encoder: ConvEncoderConfig | DenseEncoderConfig | PythaeEncoderConfig = ConvEncoderConfig()
    decoder: ConvDecoderConfig | DenseDecoderConfig | PythaeDecoderConfig = ConvDecoderConfig()
    prior: NormalPriorConfig | MixturePriorConfig | FlowPriorConfig = NormalPriorConfig()
    """What codes are drawn from. A learned one follows the codes, so that what is drawn decodes to no ghosts."""
    latent: int = 32
    likelihood: Likelihood = "logistic"
    """Bernoulli: brightness as a probability. Gaussian, logistic, mixture: 256 levels with learned scales."""
    scale: Scale = "channel"
    """Of the Gaussian and the logistic: learned for each channel, or said by the decoder for each pixel."""
    components: int = 4
    """Of the mixture likelihood."""
    kl_weight: float = 1.0
    """Beta of the beta-VAE (Higgins et al. 2017); 1 is the evidence lower bound."""
    kl_warmup: float = 0.0
    """Share of progress over which the weight rises from zero (Bowman et al. 2016)."""
    correlation_weight: float = 1.0
    """Beta of the beta-TC-VAE (Chen et al. 2018): weight of the total correlation within the divergence, which needs
    the standard normal prior; 1 does not take it apart."""
    samples: int = 1
    """Codes drawn for each picture; more than one train the importance-weighted bound (Burda et al. 2016)."""
    conditional: bool = False
    """Code and draw by class, where the data have classes."""

    def __post_init__(self) -> None:
        """Raise ValueError for counts and weights that mean nothing or exclude one another."""
        if min(self.samples, self.components) < 1:
            raise ValueError("samples and components must be at least 1")
        if self.correlation_weight != 1 and (self.samples > 1 or not isinstance(self.prior, NormalPriorConfig)):
            raise ValueError("a correlation_weight other than 1 goes with samples=1 and prior.kind=normal-prior")

    def build(self, spec: DataSpec) -> "Vae":
        """The networks with fresh weights."""
        return Vae(self, spec)


class Vae(Method):
    """One phase, one group: encoder, decoder and prior together."""

    phases = (Phase("fit", trains=("autoencoder",)),)

    def __init__(self, config: VaeConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.classes = len(spec.classes) if config.conditional else 0
        self.observation = Observation(Reading(config.likelihood, config.scale, config.components), spec)
        self.encoder = config.encoder.build(spec, config.latent, self.classes)
        self.decoder = config.decoder.build(spec, config.latent, self.classes, outputs=self.observation.outputs)
        self.prior = config.prior.build(config.latent, self.classes)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """All parameters are one group."""
        return {"autoencoder": list(self.parameters())}

    def loss(self, batch: Batch, phase: str) -> Loss:
        """The negative evidence (or importance-weighted) lower bound in nats per picture, its divergence weighted."""
        labels, k = self._given(batch.labels), self.config.samples
        weight = self.config.kl_weight * warmed(batch.progress, self.config.kl_warmup)
        noise = batch.normal(k, self.config.latent) if k > 1 else batch.normal(self.config.latent)[:, None]
        log_likelihood, kl, extra = self._terms(batch.images, labels, noise)
        bound = divergence.importance_bound(log_likelihood - weight * kl)
        total = (weight * extra - bound).mean()
        negative_elbo = (kl - log_likelihood).mean()
        parts = {"negative_elbo": negative_elbo, "kl": kl.mean(), "distortion": -log_likelihood.mean()}
        if k > 1:
            parts["negative_bound"] = -divergence.importance_bound(log_likelihood - kl).mean()
        return Loss(total, {name: part.detach() for name, part in parts.items()})

    def elbo(self, images: Images, labels: Labels | None, seed: int) -> Tensor:
        """The evidence lower bound of each picture in nats, with one draw of the latent from `seed`."""
        noise = Batch(images, labels, seed=seed).normal(self.config.latent)
        log_likelihood, kl, _ = self._terms(images, self._given(labels), noise[:, None])
        return (log_likelihood - kl)[0]

    def log_weight(self, images: Images, labels: Labels | None, seed: int) -> Tensor:
        """Log p(x, z)/q(z|x) of each picture at one z drawn from `seed`, in nats."""
        labels = self._given(labels)
        noise = Batch(images, labels, seed=seed).normal(self.config.latent)
        mean, log_variance = (widened(t) for t in self.encoder(images, labels))
        z = mean + (log_variance / 2).exp() * noise
        own = divergence.normal_log_density(z, mean, log_variance / 2).sum(1)
        return self._log_likelihood(z, images, labels) + self.prior.log_density(z, labels) - own

    def encode(self, images: Images, labels: Labels | None = None) -> Tensor:
        """The mean latent of each picture, n × latent."""
        return self.encoder(images, self._given(labels))[0]

    def decode(self, latents: Tensor, labels: Labels | None = None) -> Images:
        """The expected picture of each latent."""
        raw = self.decoder(latents, self._given(labels)).float()
        return self.observation.expected(raw, raw.new_empty(len(raw), *self.spec.shape))

    def generate(self, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """One picture per seed, decoded from the prior; classes come from `labels`, or from the seeds too."""
        device = next(self.parameters()).device
        labels = self.labels_for(seeds, labels)
        noise = normal_from_seeds(seeds, self.prior.noise).to(device)
        return self.decode(self.prior.draw(noise, self._given(labels)), labels)

    def _given(self, labels: Labels | None) -> Labels | None:
        return labels if self.classes else None

    def _terms(self, images: Images, labels: Labels | None, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log p(x|z) and the divergence of q(z|x) from the prior, k × n, and what is to be added to the latter, n.

        Noise is n × k × latent. The divergence is exact where there is one draw and a normal prior, else an estimate.
        """
        mean, log_variance = (widened(t) for t in self.encoder(images, labels))
        k, n = noise.shape[1], len(images)
        z = (mean + (log_variance / 2).exp() * noise.transpose(0, 1)).flatten(0, 1)
        repeated = None if labels is None else labels.repeat(k)
        log_likelihood = self._log_likelihood(z, images.repeat(k, 1, 1, 1), repeated).view(k, n)
        extra = torch.zeros_like(log_likelihood[0])
        if k == 1 and isinstance(self.config.prior, NormalPriorConfig):
            if self.config.correlation_weight != 1:
                parts = divergence.decomposed(z, mean, log_variance, self.spec.count)
                extra = (self.config.correlation_weight - 1) * parts.correlation
            return log_likelihood, likelihood.gaussian_kl(mean, log_variance)[None], extra
        own = divergence.normal_log_density(z.view(k, n, -1), mean, log_variance / 2).sum(2)
        with torch.autocast(images.device.type, enabled=False):  # densities are differences of large sums
            expected = self.prior.log_density(z, repeated).view(k, n)
        return log_likelihood, own - expected, extra

    def _log_likelihood(self, z: Tensor, images: Images, labels: Labels | None) -> Tensor:
        return self.observation.log_probability(widened(self.decoder(z, labels)), images)


def warmed(progress: float, share: float) -> float:
    """What the weight of a divergence is multiplied by: it rises to 1 over a share of progress."""
    return 1.0 if share == 0 else min(1.0, progress / share)
