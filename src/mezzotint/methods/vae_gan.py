"""A variational autoencoder whose decoder also plays against a discriminator (Larsen et al. 2016, "VAE-GAN")."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mezzotint.losses import adversarial, likelihood
from mezzotint.method import Method, MethodConfig
from mezzotint.methods.observation import Observation, Reading
from mezzotint.networks import weights
from mezzotint.networks.conv_vae import ConvDecoderConfig, ConvEncoderConfig
from mezzotint.networks.dcgan import DcganDiscriminatorConfig
from mezzotint.networks.parts import widened
from mezzotint.ops.noise import normal_from_seeds
from mezzotint.types import Batch, DataSpec, Images, Labels, Loss, Phase


@dataclass(frozen=True, kw_only=True)
class VaeGanConfig(MethodConfig):
    """The three networks, and what each judgement of a picture weighs beside the divergence of its code."""

    encoder: ConvEncoderConfig = ConvEncoderConfig()
    decoder: ConvDecoderConfig = ConvDecoderConfig()
    discriminator: DcganDiscriminatorConfig = DcganDiscriminatorConfig(norm="none", spectral=True)
    latent: int = 64
    kl_weight: float = 1.0
    pixels: float = 0.1
    """Of a reconstruction's negative log-likelihood (logistic, a learned scale a channel); Larsen et al. have 0."""
    features: float = 100.0
    """Of how far the discriminator's features of a reconstruction are from those of its picture: squared, as a share of
    the latter's squared length."""
    adversarial: float = 30.0
    """Of the hinge loss (Lim & Ye 2017) of reconstructions and of pictures drawn from the prior."""
    conditional: bool = False
    """Code and draw by class, where the data have classes."""

    def __post_init__(self) -> None:
        """Raise ValueError for weights below zero."""
        if min(self.kl_weight, self.pixels, self.features, self.adversarial) < 0:
            raise ValueError("kl_weight, pixels, features and adversarial must not be negative")

    def build(self, spec: DataSpec) -> "VaeGan":
        """The networks with fresh weights."""
        return VaeGan(self, spec)


class VaeGan(Method):
    """The autoencoder's turn, then the discriminator's. It has no bound: what it descends is no likelihood."""

    phases = (Phase("autoencoder", trains=("autoencoder",)), Phase("discriminator", trains=("discriminator",)))

    def __init__(self, config: VaeGanConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.classes = len(spec.classes) if config.conditional else 0
        self.observation = Observation(Reading("logistic"), spec)
        self.encoder = config.encoder.build(spec, config.latent, self.classes)
        self.decoder = config.decoder.build(spec, config.latent, self.classes)
        self.discriminator = config.discriminator.build(spec, self.classes)
        self.objective = adversarial.LOSSES["hinge"]

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The autoencoder with its scale, and the discriminator."""
        halves = (self.encoder, self.decoder, self.observation)
        return {
            "autoencoder": [p for half in halves for p in half.parameters()],
            "discriminator": list(self.discriminator.parameters()),
        }

    def loss(self, batch: Batch, phase: str) -> Loss:
        """The loss of whose turn it is, averaged over the pictures."""
        return self._autoencoder_loss(batch) if phase == "autoencoder" else self._discriminator_loss(batch)

    def after_step(self, phase: str) -> None:
        """The power method of the spectral norms."""
        if phase == "discriminator":
            weights.advance(self.discriminator)

    def encode(self, images: Images, labels: Labels | None = None) -> Tensor:
        """The mean latent of each picture, n × latent."""
        return self.encoder(images, self._given(labels))[0]

    def decode(self, latents: Tensor, labels: Labels | None = None) -> Images:
        """The picture of each latent."""
        return widened(self.decoder(latents, self._given(labels))).tanh()

    def generate(self, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """One picture per seed, decoded from the prior; classes come from `labels`, or from the seeds too."""
        device = next(self.parameters()).device
        labels = self.labels_for(seeds, labels)
        return self.decode(normal_from_seeds(seeds, self.config.latent).to(device), labels)

    def _given(self, labels: Labels | None) -> Labels | None:
        return labels if self.classes else None

    def _pictures(self, batch: Batch, stream: int) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstructions, pictures of the prior, and each picture's divergence."""
        mean, log_variance = (widened(t) for t in self.encoder(batch.images, self._given(batch.labels)))
        z = mean + (log_variance / 2).exp() * batch.normal(self.config.latent, stream=stream)
        codes = torch.cat([z, batch.normal(self.config.latent, stream=stream + 1)])
        labels = self._given(batch.labels)
        again, drawn = self.decode(codes, None if labels is None else labels.repeat(2)).chunk(2)
        return again, drawn, likelihood.gaussian_kl(mean, log_variance)

    def _seen(self, *parts: Images, labels: Labels | None) -> tuple[list[Tensor], list[Tensor]]:
        """Features and logits of several batches of the same classes, in one pass."""
        repeated = None if labels is None else labels.repeat(len(parts))
        features = self.discriminator.features(torch.cat(parts))
        logits = widened(self.discriminator.judge(features, repeated))
        return list(widened(features).chunk(len(parts))), list(logits.chunk(len(parts)))

    def _autoencoder_loss(self, batch: Batch) -> Loss:
        labels, c = self._given(batch.labels), self.config
        again, drawn, kl = self._pictures(batch, stream=0)
        with torch.no_grad():
            (wanted,), (real,) = self._seen(batch.images, labels=labels)
        (found, _), (again_logit, drawn_logit) = self._seen(again, drawn, labels=labels)
        distortion = -self.observation.log_probability(again, batch.images)
        apart = (found - wanted).square().sum(1) / (wanted.square().sum(1) + 1e-8)
        fooled = (self.objective.generator(real, again_logit) + self.objective.generator(real, drawn_logit)) / 2
        judged = c.pixels * distortion + c.features * apart + c.adversarial * fooled
        parts = {"kl": kl.mean(), "distortion": distortion.mean(), "features": apart.mean(), "generator": fooled.mean()}
        return Loss((c.kl_weight * kl + judged).mean(), {name: part.detach() for name, part in parts.items()})

    def _discriminator_loss(self, batch: Batch) -> Loss:
        with torch.no_grad():
            again, drawn, _ = self._pictures(batch, stream=2)
        _, (real, again, drawn) = self._seen(batch.images, again, drawn, labels=self._given(batch.labels))
        each = (self.objective.discriminator(real, again) + self.objective.discriminator(real, drawn)) / 2
        parts = {"discriminator": each.mean(), "real_logit": real.mean(), "fake_logit": drawn.mean()}
        return Loss(each.mean(), {name: part.detach() for name, part in parts.items()})
