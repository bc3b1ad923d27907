"""A pyramid of GANs: a small picture is drawn, then what each doubling of it lacks (Denton et al. 2015, "LAPGAN")."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mezzotint.losses import adversarial, penalty
from mezzotint.method import Method, MethodConfig
from mezzotint.networks import pyramid as networks
from mezzotint.networks.pyramid import PyramidConfig
from mezzotint.ops import pyramid
from mezzotint.ops.noise import normal_from_seeds
from mezzotint.types import Batch, DataSpec, Images, Labels, Loss, Phase


@dataclass(frozen=True, kw_only=True)
class LapganConfig(MethodConfig):
    """Widths of the levels' networks, and what the smallest picture is drawn from."""

    networks: PyramidConfig = PyramidConfig()
    latent: int = 64
    """Numbers that the smallest picture is drawn from; each level above has a plane of its own."""
    penalty_weight: float = 10.0
    """Weight of R1 in every level (gamma): without it the smallest level soon draws one picture for all seeds."""
    conditional: bool = False
    """Draw by class, where the data have classes."""

    def eased(self, trouble: str) -> "LapganConfig | None":
        """Twice the penalty, where there is one, against a discriminator that is too sharp."""
        if not self.penalty_weight or trouble not in ("discriminator won", "collapsed", "over-fitting"):
            return None
        return replace(self, penalty_weight=2 * self.penalty_weight)

    def build(self, spec: DataSpec) -> "Lapgan":
        """Raises UserError for sides that cannot be made by doubling."""
        return Lapgan(self, spec)


class Lapgan(Method):
    """A generator and a discriminator for each level, each trained beside real small pictures.

    No level waits for another: its generator is given real pictures of the level below while it trains, and drawn ones
    when it is used (algorithm 1).
    """

    def __init__(self, config: LapganConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.classes = len(spec.classes) if config.conditional else 0
        first, *self.sides = networks.sides(spec)
        c, net = spec.channels, config.networks
        self.small = networks.SmallGenerator(net, c, first, config.latent, self.classes)
        self.small_judge = networks.SmallDiscriminator(net, c, first, self.classes)
        self.levels = nn.ModuleList(networks.LevelGenerator(net, c, side, self.classes) for side in self.sides)
        self.judges = nn.ModuleList(networks.LevelDiscriminator(net, c, side, self.classes) for side in self.sides)
        self.objective = adversarial.LOSSES["non-saturating"]
        self.phases = (
            Phase("discriminator", trains=("discriminator",)),
            Phase("generator", trains=("generator",)),
        )

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """All levels' generators, and all their discriminators."""
        return {
            "generator": [*self.small.parameters(), *self.levels.parameters()],
            "discriminator": [*self.small_judge.parameters(), *self.judges.parameters()],
        }

    def loss(self, batch: Batch, phase: str) -> Loss:
        """The sum over the levels of the loss of the network whose turn it is, averaged over the pictures."""
        drawing = phase == "generator"
        labels = batch.labels if self.classes else None
        small, lacking = pyramid.laplacian(batch.images, len(self.sides))
        judged = [part.requires_grad_(not drawing) for part in (small.detach().clone(), *lacking)]
        logits = [self._smallest(batch, judged[0], labels, drawing)]
        for number, real in enumerate(judged[1:]):
            logits.append(self._level(batch, number, small, real, labels, drawing))
            small = pyramid.doubled(small) + real.detach()
        parts: dict[str, Tensor] = {}
        total = batch.images.new_zeros(())
        for number, (real, fake) in enumerate(logits):
            side = self.objective.generator if drawing else self.objective.discriminator
            value = side(real.float(), fake.float()).mean()
            parts[f"{phase}_{number}"] = value.detach()
            total = total + value
            if not drawing:
                total = total + self.config.penalty_weight / 2 * penalty.squared_slope(judged[number], real).mean()
        return Loss(total, parts)

    def _smallest(self, batch: Batch, small: Images, labels: Labels | None, drawing: bool) -> tuple[Tensor, Tensor]:
        with torch.set_grad_enabled(drawing):
            drawn = self.small(batch.normal(self.config.latent, stream=int(drawing)), labels)
        fake = self.small_judge(drawn, labels)
        return (fake.detach() if drawing else self.small_judge(small, labels)), fake

    def _level(
        self, batch: Batch, number: int, small: Images, real: Tensor, labels: Labels | None, drawing: bool
    ) -> tuple[Tensor, Tensor]:
        side, judge = self.sides[number], self.judges[number]
        noise = batch.normal(1, side, side, stream=2 + 2 * number + int(drawing))
        with torch.set_grad_enabled(drawing):
            drawn = self.levels[number](small, noise, labels)
        fake = judge(drawn, small, labels)
        return (fake.detach() if drawing else judge(real, small, labels)), fake

    def logits(self, images: Images, labels: Labels | None = None) -> Tensor:
        """The sum of what the levels' discriminators say of each picture, taken apart."""
        labels = labels if self.classes else None
        small, lacking = pyramid.laplacian(images, len(self.sides))
        total = self.small_judge(small, labels).float()
        for judge, part in zip(self.judges, lacking, strict=True):
            total = total + judge(part, small, labels).float()
            small = pyramid.doubled(small) + part
        return total

    def generate(self, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """One picture per seed; classes come from `labels`, or are drawn from the seeds too."""
        device = next(self.parameters()).device
        labels = self.labels_for(seeds, labels)
        counts = [self.config.latent, *[side * side for side in self.sides]]
        z, *planes = normal_from_seeds(seeds, sum(counts)).to(device).split(counts, 1)
        images = self.small(z, labels).clamp(-1, 1)
        for side, level, plane in zip(self.sides, self.levels, planes, strict=True):
            lacks = level(images, plane.reshape(-1, 1, side, side), labels)
            images = (pyramid.doubled(images) + lacks).clamp(-1, 1)
        return images
