"""Generative adversarial networks (Goodfellow et al. 2014), composed of two networks × a loss × a penalty."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.errors import UserError
from mezzotint.losses import adversarial, penalty
from mezzotint.method import Method, MethodConfig
from mezzotint.networks import weights
from mezzotint.networks.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from mezzotint.networks.dense import DenseGeneratorConfig
from mezzotint.networks.progan import ProganDiscriminator, ProganDiscriminatorConfig, ProganGeneratorConfig
from mezzotint.networks.r3gan import R3ganDiscriminatorConfig, R3ganGeneratorConfig
from mezzotint.networks.residual_gan import ResidualDiscriminatorConfig, ResidualGeneratorConfig
from mezzotint.ops import augment
from mezzotint.ops.noise import normal_from_seeds, truncated
from mezzotint.types import Batch, DataSpec, Images, Kinds, Labels, Loss, Phase


@dataclass(frozen=True, kw_only=True)
class GanConfig(MethodConfig):
    """Which networks play, what they play for and what keeps the discriminator smooth."""

    generator: (
        DenseGeneratorConfig
        | DcganGeneratorConfig
        | ResidualGeneratorConfig
        | ProganGeneratorConfig
        | R3ganGeneratorConfig
    ) = DcganGeneratorConfig()
    discriminator: (
        DcganDiscriminatorConfig | ResidualDiscriminatorConfig | ProganDiscriminatorConfig | R3ganDiscriminatorConfig
    ) = DcganDiscriminatorConfig()
    latent: int = 128
    """Numbers that a picture is drawn from."""
    loss: Literal["minimax", "non-saturating", "least-squares", "hinge", "wasserstein", "relativistic"] = (
        "non-saturating"
    )
    penalty: Literal["none", "clipping", "gradient", "gradient-zero", "r1", "r1-r2"] = "none"
    """Clipping of weights; the slope between real and drawn pictures held at 1 or at 0; the slope at real pictures, or
    at real and drawn ones, held at 0."""
    penalty_weight: float = 10.0
    """Weight of the gradient penalties (lambda of WGAN-GP, gamma of R1 and R2); the bound of clipping, at most 1."""
    penalty_every: int = 1
    """Take the gradient penalty every so many steps, as a phase of its own with so many times the weight (Karras et
    al. 2020, "StyleGAN2", appendix B); 1 takes it in the discriminator's own step."""
    turns: Literal["together", "alternating"] = "alternating"
    """Together: both networks step on one pass over the same pictures (simultaneous descent; the faster one).
    Alternating: the discriminator steps first, and the generator meets the new one."""
    discriminator_steps: int = 1
    """Steps of the discriminator to one of the generator (5 in WGAN); more than one is for alternating turns."""
    conditional: bool = False
    """Draw by class, where the data have classes."""
    auxiliary: float = 0.0
    """Weight of a classifier beside the logit (Odena et al. 2017, "AC-GAN"), which then takes the place of the
    discriminator's projection; 0 is none."""
    looking: augment.Looking = augment.Looking()
    """Random changes through which real and drawn pictures are seen, for little data."""
    truncation: float = 0.0
    """Draw from noise within so many standard deviations (Brock et al. 2019, section 3.1); 0 is all of it."""

    def __post_init__(self) -> None:
        """Raise ValueError for counts and weights that mean nothing."""
        if min(self.latent, self.penalty_every, self.discriminator_steps) < 1:
            raise ValueError("latent, penalty_every and discriminator_steps must be at least 1")
        if min(self.penalty_weight, self.auxiliary, self.truncation) < 0:
            raise ValueError("penalty_weight, auxiliary and truncation must not be negative")

    def eased(self, trouble: str) -> "GanConfig | None":
        """Adaptive changes against over-fitting; a stronger or a new penalty where the discriminator is too sharp."""
        if trouble == "over-fitting" and not self.looking.target:
            return replace(self, looking=replace(self.looking, target=0.6))
        if trouble not in ("discriminator won", "collapsed", "over-fitting"):
            return None
        if self.slope_penalty:
            return replace(self, penalty_weight=2 * self.penalty_weight)
        if self.penalty == "none":
            return replace(self, penalty="r1", penalty_weight=10.0, penalty_every=4)
        return None

    def check_truncation(self) -> None:
        """Raise UserError where the generator undoes it."""
        if self.truncation and isinstance(self.generator, ProganGeneratorConfig):
            raise UserError(
                "a generator that grows (kind=progan) brings all noise to the same length, which undoes truncation: "
                "draw without it (method.truncation=0)"
            )

    @property
    def slope_penalty(self) -> bool:
        """Whether the penalty is on the discriminator's slope."""
        return self.penalty not in ("none", "clipping")

    def build(self, spec: DataSpec) -> "Gan":
        """Raises UserError for settings that exclude one another."""
        self.check_truncation()
        if self.penalty == "clipping" and self.penalty_weight > 1:
            raise UserError(
                f"method.penalty=clipping would bring weights into ±{self.penalty_weight:g}, where they are anyway: "
                "add --set method.penalty_weight=0.01"
            )
        gan = Gan(self, spec)
        if self.turns == "together":
            gan.check_together()
        if self.penalty in ("gradient", "gradient-zero", "r1-r2") and gan.discriminator.couples_pictures:
            raise UserError(
                f"method.penalty={self.penalty} needs a discriminator without batch norm, since it asks for the slope "
                "at each picture alone: set method.discriminator.norm=none"
            )
        if getattr(self.generator, "grown", None) != getattr(self.discriminator, "grown", None):
            raise UserError(
                "generator and discriminator grow together: give both a network that grows (kind=progan), and "
                "method.generator.grown and method.discriminator.grown the same value"
            )
        if self.auxiliary and not gan.classes:
            raise UserError("method.auxiliary is a classifier: it needs method.conditional=true and data with classes")
        return gan


@runtime_checkable
class Grows(Protocol):
    """A network that has more layers the further a training is."""

    def grow(self, progress: float) -> None:
        """Open what is due at `progress` in [0, 1]."""
        ...

    def stage(self) -> tuple[int, float]:
        """The newest stage, and how far it has faded in."""
        ...


class Chance(nn.Module):
    """The probability of changes, as state: where adaptive, it follows the discriminator's overlap (ADA)."""

    chance: Tensor
    signs: Tensor
    pictures: Tensor

    def __init__(self, config: augment.Looking) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("chance", torch.tensor(config.probability))
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("pictures", torch.zeros(()))

    @torch.no_grad()
    def note(self, real: Tensor) -> None:
        """Take in by how much the logits of real pictures exceed what is undecided, or those of drawn ones."""
        self.signs += real.sign().sum()
        self.pictures += len(real)

    @torch.no_grad()
    def adjust(self) -> None:
        """One step of the probability, by all that was noted since the last one."""
        if self.config.target:
            overlap = self.signs / self.pictures.clamp(min=1)
            self.chance.copy_(augment.overlap_step(self.chance, overlap, self.pictures, self.config))
        self.signs.zero_()
        self.pictures.zero_()


class Gan(Method):
    """A generator and a discriminator."""

    def __init__(self, config: GanConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.classes = len(spec.classes) if config.conditional else 0
        self.generator = config.generator.build(spec, config.latent, self.classes)
        self.discriminator = config.discriminator.build(spec, 0 if config.auxiliary else self.classes)
        self.classifier = None
        if config.auxiliary and self.classes:
            self.classifier = nn.Linear(self.discriminator.width, self.classes)
        self.chance = Chance(config.looking) if config.looking.looks else None
        self.objective = adversarial.LOSSES[config.loss]
        self.lazy = config.slope_penalty and config.penalty_every > 1
        self.phases = (
            (Phase("together", trains=("discriminator", "generator")),)
            if config.turns == "together"
            else (
                Phase("discriminator", trains=("discriminator",)),
                Phase("generator", trains=("generator",), every=config.discriminator_steps),
            )
        )
        if self.lazy:
            self.phases += (Phase("penalty", trains=("discriminator",), every=config.penalty_every),)

    def check_together(self) -> None:
        """Raise UserError where one pass cannot serve both networks."""
        c = self.config
        if self.discriminator.couples_pictures:
            raise UserError(
                "method.turns=together needs a discriminator without batch norm, so that its pictures do not know of "
                "one another: set method.discriminator.norm=none or method.turns=alternating"
            )
        between = c.penalty in ("gradient", "gradient-zero") and not self.lazy
        if self.objective.scale is None or between or c.auxiliary or c.discriminator_steps != 1:
            raise UserError(
                "method.turns=together goes with the losses minimax, non-saturating, wasserstein and relativistic, "
                "without a penalty between pictures at every step, with auxiliary=0 and discriminator_steps=1; else "
                "set method.turns=alternating"
            )

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Each network is a group; an auxiliary classifier belongs to the discriminator."""
        classifier = [] if self.classifier is None else list(self.classifier.parameters())
        return {
            "generator": list(self.generator.parameters()),
            "discriminator": [*self.discriminator.parameters(), *classifier],
        }

    @property
    def stage(self) -> int:
        """How far the networks have grown."""
        return self.generator.stage()[0] if isinstance(self.generator, Grows) else 0

    def loss(self, batch: Batch, phase: str) -> Loss:
        """The loss of the network whose turn it is, averaged over the pictures."""
        for network in (self.generator, self.discriminator):
            if isinstance(network, Grows):
                network.grow(batch.progress if batch.growth is None else batch.growth)
        if isinstance(self.discriminator, ProganDiscriminator):
            batch = replace(batch, images=self.discriminator.shown(batch.images))
        match phase:
            case "generator":
                return self._generator_loss(batch)
            case "together":
                return self._together_loss(batch)
            case "penalty":
                return self._penalty_loss(batch)
            case _:
                return self._discriminator_loss(batch)

    def after_step(self, phase: str) -> None:
        """What follows a step: the power method of spectral norms, WGAN's clipping, ADA's probability."""
        trained = next(p.trains for p in self.phases if p.name == phase)
        for name in trained:
            weights.advance(getattr(self, name))
        if self.config.penalty == "clipping" and "discriminator" in trained:
            # Arjovsky et al. 2017, algorithm 1
            penalty.clip_weights(self.discriminator.parameters(), self.config.penalty_weight)
        if self.chance is not None and phase in ("discriminator", "together"):
            self.chance.adjust()

    def generate(self, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """One picture per seed; classes come from `labels`, or are drawn from the seeds too."""
        return self.decode(self.latents(seeds), self.labels_for(seeds, labels))

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """The noise of each seed, n × latent, truncated where the settings say so."""
        z = normal_from_seeds(seeds, self.config.latent).to(next(self.parameters()).device)
        return truncated(z, self.config.truncation) if self.config.truncation else z

    def truncated(self, bound: float) -> "Gan":
        """The same networks, drawing from noise within `bound` standard deviations (Brock et al. 2019, section 3.1).

        Raises UserError where that would change nothing.
        """
        if not bound > 0:
            raise UserError(f"a truncation is a number of standard deviations above 0, like 0.7; not {bound:g}")
        other = copy.copy(self)
        other.config = replace(self.config, truncation=bound)
        other.config.check_truncation()
        return other

    def decode(self, latents: Tensor, labels: Kinds | None = None) -> Images:
        """The picture of each latent, of a class or between classes."""
        return self.unclamped(latents, labels).clamp(-1, 1)

    def unclamped(self, latents: Tensor, labels: Kinds | None = None) -> Images:
        """The same, with what goes beyond [-1, 1], so that gradients come from there too."""
        return self.generator(latents, labels if self.classes else None)

    def entrance(self) -> Tensor:
        """The generator's first weights, rows × latent.

        Where the noise is split among the blocks these are the start's, with zeros for all other pieces.
        """
        first = next(part for part in self.generator.modules() if isinstance(part, nn.Linear)).weight
        weights = first[:, : self.config.latent]
        return F.pad(weights, (0, self.config.latent - weights.shape[1])).detach()

    def logits(self, images: Images, labels: Labels | None = None) -> Tensor:
        """What the discriminator says of each picture, as far as it has grown."""
        if isinstance(self.discriminator, ProganDiscriminator):
            images = self.discriminator.shown(images)
        return self._see(images, labels if self.classes else None)[0]

    def _draw(self, batch: Batch, stream: int) -> tuple[Tensor, Labels | None]:
        labels = batch.labels if self.classes else None
        return self.generator(batch.normal(self.config.latent, stream=stream), labels), labels

    def _look(self, images: Tensor, batch: Batch, stream: int) -> Tensor:
        """Pictures as the discriminator sees them."""
        if self.chance is None:
            return images
        uniforms = torch.special.ndtr(batch.normal(augment.NUMBERS, stream=stream))
        return augment.looked_at(images, uniforms, self.chance.chance, self.config.looking)

    # What the discriminator says.

    def _see(self, images: Tensor, labels: Labels | None) -> tuple[Tensor, Tensor]:
        """The logit of each picture, and the auxiliary classifier's cross-entropy (zeros without one)."""
        features = self.discriminator.features(images)
        logits = self.discriminator.judge(features, labels if self.classifier is None else None).float()
        if self.classifier is None or labels is None:
            return logits, torch.zeros_like(logits)
        named = self.classifier(features).float()
        return logits, self.config.auxiliary * F.cross_entropy(named, labels, reduction="none")

    def _judge(self, batch: Batch, real: Tensor, fake: Tensor, labels: Labels | None) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of both and the mean cross-entropy of their classes.

        They go through apart where batch statistics must not mix real and fake pictures (Radford et al. 2016).
        """
        real, fake = self._look(real, batch, 3), self._look(fake, batch, 4)
        if self.discriminator.couples_pictures:
            (real_logits, a), (fake_logits, b) = self._see(real, labels), self._see(fake, labels)
            return real_logits, fake_logits, (a + b).mean() / 2
        twice = None if labels is None else torch.cat([labels, labels])
        logits, named = self._see(torch.cat([real, fake]), twice)
        real_logits, fake_logits = logits.chunk(2)
        return real_logits, fake_logits, named.mean()

    def _note(self, real: Tensor, fake: Tensor) -> None:
        if self.chance is not None:
            self.chance.note(real - (fake if self.objective.undecided is None else self.objective.undecided))

    # Losses.

    def _generator_loss(self, batch: Batch) -> Loss:
        fake, labels = self._draw(batch, stream=1)
        fake_logits, named = self._see(self._look(fake, batch, 4), labels)
        real_logits = torch.zeros_like(fake_logits)
        if self.objective.relative:
            with torch.no_grad():
                real_logits, _ = self._see(self._look(batch.images, batch, 3), labels)
        total = self.objective.generator(real_logits, fake_logits).mean()
        parts = {"generator": total.detach()}
        if self.classifier is not None:
            total = total + named.mean()
        return Loss(total, parts)

    def _discriminator_loss(self, batch: Batch) -> Loss:
        sloped = self.config.slope_penalty and not self.lazy
        real, fake, labels = self._pairs(batch, self.config.penalty if sloped else "none")
        real_logits, fake_logits, named = self._judge(batch, real, fake, labels)
        self._note(real_logits.detach(), fake_logits.detach())
        total = self.objective.discriminator(real_logits, fake_logits).mean()
        parts = {"discriminator": total.detach(), **_logits(real_logits, fake_logits)}
        if self.classifier is not None:
            total = total + named
            parts["classifier"] = named.detach()
        if sloped:
            smoothness = self._penalty(batch, real, fake, real_logits, fake_logits, labels)
            total = total + smoothness
            parts["penalty"] = smoothness.detach()
        return Loss(total, parts)

    def _penalty_loss(self, batch: Batch) -> Loss:
        """The penalty alone, for a phase that is rarely due."""
        if self.config.penalty == "r1":
            real, labels = batch.images.detach().requires_grad_(), batch.labels if self.classes else None
            real_logits, _ = self._see(self._look(real, batch, 3), labels)
            smoothness = self._penalty(batch, real, real, real_logits, real_logits, labels)
        else:
            real, fake, labels = self._pairs(batch, self.config.penalty)
            real_logits, fake_logits, _ = self._judge(batch, real, fake, labels)
            smoothness = self._penalty(batch, real, fake, real_logits, fake_logits, labels)
        return Loss(self.config.penalty_every * smoothness, {"penalty": smoothness.detach()})

    def _pairs(self, batch: Batch, kind: str) -> tuple[Tensor, Tensor, Labels | None]:
        """Real and drawn pictures, cut off from the generator; with gradients where a penalty `kind` asks for them."""
        with torch.no_grad():
            fake, labels = self._draw(batch, stream=0)
        real = batch.images.detach()
        return real.requires_grad_(kind in ("r1", "r1-r2")), fake.requires_grad_(kind == "r1-r2"), labels

    def _together_loss(self, batch: Batch) -> Loss:
        """The discriminator's loss, whose gradient turns into the generator's where it reaches the drawn pictures."""
        if self.config.penalty == "r1-r2" and not self.lazy:
            return self._together_with_slopes(batch)
        fake, labels = self._draw(batch, stream=0)
        turned = adversarial.InputGradient()
        real = batch.images
        if self.config.penalty == "r1" and not self.lazy:
            real = real.detach().requires_grad_()
        real_logits, fake_logits, _ = self._judge(batch, real, turned.attach(fake), labels)
        self._note(real_logits.detach(), fake_logits.detach())
        turned.fill(self.objective, real_logits, fake_logits)
        total = self.objective.discriminator(real_logits, fake_logits).mean()
        parts = {"discriminator": total.detach(), **self._told(real_logits, fake_logits)}
        if self.config.penalty == "r1" and not self.lazy:
            smoothness = self._penalty(batch, real, fake, real_logits, fake_logits, labels)
            total = total + smoothness
            parts["penalty"] = smoothness.detach()
        return Loss(total, parts)

    def _together_with_slopes(self, batch: Batch) -> Loss:
        """R2 already asks for the slope at each drawn picture, so that the generator's gradient costs no pass at all.

        It is that slope times the derivative of the generator's loss by the logit.
        """
        drawn, labels = self._draw(batch, stream=0)
        real, fake = (part.detach().requires_grad_() for part in (batch.images, drawn))
        real_logits, fake_logits, _ = self._judge(batch, real, fake, labels)
        self._note(real_logits.detach(), fake_logits.detach())
        at_real, at_fake = penalty.slopes([real, fake], torch.cat([real_logits, fake_logits]))
        descended = self.objective.discriminator(real_logits, fake_logits).mean()
        smoothness = self.config.penalty_weight / 2 * (at_real.square().sum(1) + at_fake.square().sum(1)).mean()
        pull = at_fake.detach() * adversarial.pull(self.objective, real_logits, fake_logits)[:, None]
        carried = (drawn.flatten(1) * pull).sum(1).mean()
        parts = {"discriminator": descended.detach(), **self._told(real_logits, fake_logits)}
        parts["penalty"] = smoothness.detach()
        return Loss(descended + smoothness + carried - carried.detach(), parts)

    def _told(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The generator's loss and the mean logits."""
        real, fake = real.detach(), fake.detach()
        return {"generator": self.objective.generator(real, fake).mean(), **_logits(real, fake)}

    def _penalty(
        self,
        batch: Batch,
        real: Tensor,
        fake: Tensor,
        real_logits: Tensor,
        fake_logits: Tensor,
        labels: Labels | None,
    ) -> Tensor:
        weight, kind = self.config.penalty_weight, self.config.penalty
        if kind == "r1":
            return weight / 2 * penalty.squared_slope(real, real_logits).mean()
        if kind == "r1-r2":
            both = penalty.slopes([real, fake], torch.cat([real_logits, fake_logits]))
            return weight / 2 * sum(slope.square().sum(1) for slope in both).mean()  # pyright: ignore[reportAttributeAccessIssue]
        mix = torch.special.ndtr(batch.normal(1, 1, 1, stream=2))  # uniform in (0, 1)

        def critic(between: Tensor) -> Tensor:
            return self._see(self._look(between, batch, 5), labels)[0]

        center = 1.0 if kind == "gradient" else 0.0
        return weight * penalty.gradient_penalty(critic, real, fake, mix, center).mean()


def _logits(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    return {"real_logit": real.detach().mean(), "fake_logit": fake.detach().mean()}
