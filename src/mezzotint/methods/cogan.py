"""Two GANs that share their weights where pictures mean something (Liu & Tuzel 2016, "CoGAN"): pictures and edges."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mezzotint.losses import adversarial
from mezzotint.method import Method, MethodConfig
from mezzotint.networks.coupled import CoupledDiscriminatorConfig
from mezzotint.networks.dcgan import DcganGeneratorConfig
from mezzotint.ops.noise import normal_from_seeds
from mezzotint.ops.pyramid import edges
from mezzotint.types import Batch, DataSpec, Images, Labels, Loss, Phase


@dataclass(frozen=True, kw_only=True)
class CoganConfig(MethodConfig):
    """The two networks, each for both kinds of pictures."""

    generator: DcganGeneratorConfig = DcganGeneratorConfig()
    discriminator: CoupledDiscriminatorConfig = CoupledDiscriminatorConfig()
    latent: int = 100
    """Numbers that a pair is drawn from."""
    conditional: bool = False
    """Draw by class, where the data have classes."""

    def build(self, spec: DataSpec) -> "Cogan":
        """Raises UserError for sides that cannot be made by doubling."""
        return Cogan(self, spec)


class Cogan(Method):
    """One noise, two pictures: the kinds are the data's pictures and their edges.

    The generators share all layers but the last, which is one layer with the channels of both. The discriminator judges
    each kind alone and never sees which edges belong to which picture: that a drawn pair fits together comes from the
    shared weights (section 4).
    """

    def __init__(self, config: CoganConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.classes = len(spec.classes) if config.conditional else 0
        both = replace(spec, channels=2 * spec.channels)
        self.generator = config.generator.build(both, config.latent, self.classes)
        self.discriminator = config.discriminator.build(spec, self.classes)
        self.objective = adversarial.LOSSES["non-saturating"]
        self.phases = (
            Phase("discriminator", trains=("discriminator",)),
            Phase("generator", trains=("generator",)),
        )

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Each network is a group."""
        return {
            "generator": list(self.generator.parameters()),
            "discriminator": list(self.discriminator.parameters()),
        }

    def loss(self, batch: Batch, phase: str) -> Loss:
        """The loss of the network whose turn it is, averaged over pictures and kinds."""
        drawing, labels = phase == "generator", batch.labels if self.classes else None
        with torch.set_grad_enabled(drawing):
            drawn = self._pair(batch.normal(self.config.latent, stream=int(drawing)), labels)
        total, parts = batch.images.new_zeros(()), {}
        for kind, (name, real) in enumerate((("pictures", batch.images), ("edges", edges(batch.images)))):
            fake_logits = self.discriminator(drawn[kind], kind, labels).float()
            if drawing:
                value = self.objective.generator(fake_logits, fake_logits).mean()
            else:
                real_logits = self.discriminator(real, kind, labels).float()
                value = self.objective.discriminator(real_logits, fake_logits).mean()
            parts[f"{phase}_{name}"] = value.detach()
            total = total + value / 2
        return Loss(total, parts)

    def logits(self, images: Images, labels: Labels | None = None) -> Tensor:
        """What the discriminator says of each picture; edges are not asked about."""
        return self.discriminator(images, 0, labels if self.classes else None).float()

    def generate(self, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """One picture per seed; classes come from `labels`, or are drawn from the seeds too."""
        return self.generate_pairs(seeds, labels)[0]

    def generate_pairs(self, seeds: Sequence[int], labels: Labels | None = None) -> tuple[Images, Images]:
        """For each seed a picture, and the edges that were drawn with it."""
        device = next(self.parameters()).device
        z = normal_from_seeds(seeds, self.config.latent).to(device)
        return self._pair(z, self.labels_for(seeds, labels))

    def _pair(self, z: Tensor, labels: Labels | None) -> tuple[Tensor, Tensor]:
        first, second = self.generator(z, labels).chunk(2, 1)
        return first, second
