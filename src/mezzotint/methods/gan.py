"""Generative adversarial networks (Goodfellow et al. 2014), composed of two networks × a loss × a penalty."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mezzotint.errors import UserError
from mezzotint.losses import adversarial, penalty
from mezzotint.method import Method, MethodConfig
from mezzotint.networks.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from mezzotint.networks.dense import DenseGeneratorConfig
from mezzotint.ops.noise import normal_from_seeds
from mezzotint.types import Batch, DataSpec, Images, Labels, Loss, Phase


@dataclass(frozen=True, kw_only=True)
class GanConfig(MethodConfig):
    """Which networks play, what they play for and what keeps the discriminator smooth."""

    generator: DenseGeneratorConfig | DcganGeneratorConfig = DcganGeneratorConfig()
    discriminator: DcganDiscriminatorConfig = DcganDiscriminatorConfig()
    latent: int = 128
    """Numbers that a picture is drawn from."""
    loss: Literal["minimax", "non-saturating", "least-squares", "hinge", "wasserstein"] = "non-saturating"
    penalty: Literal["none", "clipping", "gradient", "r1"] = "none"
    penalty_weight: float = 10.0
    """Weight of the gradient penalties (lambda of WGAN-GP, gamma of R1); the bound of clipping."""
    turns: Literal["together", "alternating"] = "alternating"
    """Together: both networks step on one pass over the same pictures (simultaneous descent; the faster one).
    Alternating: the discriminator steps first, and the generator meets the new one."""
    discriminator_steps: int = 1
    """Steps of the discriminator to one of the generator (5 in WGAN); more than one is for alternating turns."""
    conditional: bool = False
    """Draw by class, where the data have classes."""

    def build(self, spec: DataSpec) -> "Gan":
        """Raises UserError for settings that exclude one another."""
        gan = Gan(self, spec)
        if self.turns == "together":
            gan.check_together()
        if self.penalty == "gradient" and gan.discriminator.couples_pictures:
            raise UserError(
                "method.penalty=gradient needs a discriminator without batch norm, since it asks for the slope at each "
                "picture alone: set method.discriminator.norm=none"
            )
        return gan


class Gan(Method):
    """A generator and a discriminator."""

    def __init__(self, config: GanConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.classes = len(spec.classes) if config.conditional else 0
        self.generator = config.generator.build(spec, config.latent, self.classes)
        self.discriminator = config.discriminator.build(spec, self.classes)
        self.objective = adversarial.LOSSES[config.loss]
        self.phases = (
            (Phase("together", trains=("discriminator", "generator")),)
            if config.turns == "together"
            else (
                Phase("discriminator", trains=("discriminator",)),
                Phase("generator", trains=("generator",), every=config.discriminator_steps),
            )
        )

    def check_together(self) -> None:
        """Raise UserError where one pass cannot serve both networks."""
        c = self.config
        if self.discriminator.couples_pictures:
            raise UserError(
                "method.turns=together needs a discriminator without batch norm, so that its pictures do not know of "
                "one another: set method.discriminator.norm=none or method.turns=alternating"
            )
        if self.objective.scale is None or c.penalty in ("gradient", "r1") or c.discriminator_steps != 1:
            raise UserError(
                "method.turns=together goes with the losses minimax, non-saturating and wasserstein, "
                "without a gradient penalty and with discriminator_steps=1; else set method.turns=alternating"
            )

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Each network is a group."""
        return {
            "generator": list(self.generator.parameters()),
            "discriminator": list(self.discriminator.parameters()),
        }

    def loss(self, batch: Batch, phase: str) -> Loss:
        """The loss of the network whose turn it is, averaged over the pictures."""
        if phase == "generator":
            return self._generator_loss(batch)
        return self._together_loss(batch) if phase == "together" else self._discriminator_loss(batch)

    def after_step(self, phase: str) -> None:
        """WGAN's weight clipping (Arjovsky et al. 2017, algorithm 1)."""
        if self.config.penalty == "clipping" and phase != "generator":
            penalty.clip_weights(self.discriminator.parameters(), self.config.penalty_weight)

    def generate(self, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """One picture per seed; classes come from `labels`, or are drawn from the seeds too."""
        device = next(self.parameters()).device
        z = normal_from_seeds(seeds, self.config.latent).to(device)
        return self.generator(z, self._labels_for(seeds, labels, device))

    def _labels_for(self, seeds: Sequence[int], labels: Labels | None, device: torch.device) -> Labels | None:
        if not self.classes:
            return None
        return torch.tensor([s % self.classes for s in seeds], device=device) if labels is None else labels

    def _draw(self, batch: Batch, stream: int) -> tuple[Tensor, Labels | None]:
        labels = batch.labels if self.classes else None
        return self.generator(batch.normal(self.config.latent, stream=stream), labels), labels

    def _generator_loss(self, batch: Batch) -> Loss:
        fake, labels = self._draw(batch, stream=1)
        total = self.objective.generator(self.discriminator(fake, labels).float()).mean()
        return Loss(total, {"generator": total.detach()})

    def _discriminator_loss(self, batch: Batch) -> Loss:
        with torch.no_grad():
            fake, labels = self._draw(batch, stream=0)
        real = batch.images
        if self.config.penalty == "r1":
            real = real.detach().requires_grad_()
        real_logits, fake_logits = self._judge(real, fake, labels)
        real_loss, fake_loss = self.objective.discriminator(real_logits, fake_logits)
        total = (real_loss + fake_loss).mean()
        parts = {"discriminator": total.detach(), **_logits(real_logits, fake_logits)}
        smoothness = self._penalty(batch, real, fake, real_logits, labels)
        if smoothness is not None:
            total = total + smoothness
            parts["penalty"] = smoothness.detach()
        return Loss(total, parts)

    def _judge(self, real: Tensor, fake: Tensor, labels: Labels | None) -> tuple[Tensor, Tensor]:
        """Logits of both; apart where batch statistics must not mix real and fake pictures (Radford et al. 2016)."""
        if self.discriminator.couples_pictures:
            return self.discriminator(real, labels).float(), self.discriminator(fake, labels).float()
        twice = None if labels is None else torch.cat([labels, labels])
        real_logits, fake_logits = self.discriminator(torch.cat([real, fake]), twice).float().chunk(2)
        return real_logits, fake_logits

    def _together_loss(self, batch: Batch) -> Loss:
        """The discriminator's loss, whose gradient turns into the generator's where it reaches the drawn pictures."""
        fake, labels = self._draw(batch, stream=0)
        turned = adversarial.InputGradient()
        real_logits, fake_logits = self._judge(batch.images, turned.attach(fake), labels)
        real_loss, fake_loss = self.objective.discriminator(real_logits, fake_logits)
        turned.fill(self.objective, fake_logits)
        total = (real_loss + fake_loss).mean()
        generator = self.objective.generator(fake_logits.detach()).mean()
        return Loss(
            total, {"discriminator": total.detach(), "generator": generator, **_logits(real_logits, fake_logits)}
        )

    def _penalty(
        self, batch: Batch, real: Tensor, fake: Tensor, real_logits: Tensor, labels: Labels | None
    ) -> Tensor | None:
        weight = self.config.penalty_weight
        if self.config.penalty == "r1":
            return weight / 2 * penalty.r1(real, real_logits).mean()
        if self.config.penalty == "gradient":
            mix = torch.special.ndtr(batch.normal(1, 1, 1, stream=2))  # uniform in (0, 1)
            return weight * penalty.gradient_penalty(lambda x: self.discriminator(x, labels), real, fake, mix).mean()
        return None


def _logits(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    return {"real_logit": real.detach().mean(), "fake_logit": fake.detach().mean()}
