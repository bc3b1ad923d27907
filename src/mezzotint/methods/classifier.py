"""Recognition: a network's logits trained by cross-entropy."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from mezzotint.errors import UserError
from mezzotint.losses import mixing
from mezzotint.losses.mixing import Mixing
from mezzotint.losses.recognition import class_weights, logit_offsets, surprise
from mezzotint.method import Method, MethodConfig
from mezzotint.networks.classic import ClassicConfig
from mezzotint.networks.convnext import ConvnextConfig
from mezzotint.networks.densenet import DensenetConfig
from mezzotint.networks.residual import ResidualConfig
from mezzotint.networks.resnet import ResnetConfig
from mezzotint.networks.vit import VitConfig
from mezzotint.types import Batch, DataSpec, Images, Labels, Loss, Phase


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(MethodConfig):
    """Which network recognises, and how certain it is asked to be."""

    network: ClassicConfig | ConvnextConfig | DensenetConfig | ResidualConfig | ResnetConfig | VitConfig = (
        ResidualConfig()
    )
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes (Szegedy et al. 2016)."""
    mixing: Mixing = Mixing()
    class_weight: float = 0.0
    """Weigh classes by their pictures to the power of minus this: 1 makes rare classes count as much as frequent."""
    logit_adjustment: float = 0.0
    """Strength of the logit-adjusted loss for classes of unequal size (Menon et al. 2021): 1 as published."""
    flip_test: bool = False
    """Average the logits of a picture and its mirror image when classifying; for data that are mirrored in training."""
    shift_test: int = 0
    """Average also over the picture moved by so many pixels towards two opposite corners, each at half the weight."""

    def build(self, spec: DataSpec) -> "Classifier":
        """Raises UserError for data with fewer than two classes, or pictures too small for the views asked for."""
        if len(spec.classes) < 2:
            raise UserError(
                "a classifier needs pictures of at least two classes: put them into one folder per class, "
                "or train a generator (dcgan, vae)"
            )
        if not 0 <= self.shift_test < min(spec.height, spec.width):
            raise UserError(f"shift_test={self.shift_test} moves these pictures out of sight: set it to 0 or 1")
        if (self.class_weight or self.logit_adjustment) and len(spec.counts) != len(spec.classes):
            raise UserError(
                "how many pictures each class has is not known here: set class_weight and logit_adjustment to 0"
            )
        return Classifier(self, spec)


class Classifier(Method):
    """One phase, one group: the network."""

    phases = (Phase("fit", trains=("network",)),)

    def __init__(self, config: ClassifierConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.network = config.network.build(spec)
        self.temperature = 1.0
        """What logits are divided by in use; fitted once the network is trained (`metrics.calibration`)."""

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The network alone."""
        return {"network": list(self.network.parameters())}

    def loss(self, batch: Batch, phase: str) -> Loss:
        """Cross-entropy in nats, with label smoothing, and all else that the configuration asks for."""
        assert batch.labels is not None
        images, labels, share = batch.images, batch.labels, None
        if self.config.mixing.due(batch.progress):
            images, share = mixing.mixed(images, batch.uniform(mixing.NUMBERS), self.config.mixing)
        logits = self.network(images).float()
        correct = (logits.detach().argmax(1) == labels).float().mean()
        if share is None and not (self.config.class_weight or self.config.logit_adjustment):
            total = F.cross_entropy(logits, labels, label_smoothing=self.config.label_smoothing)
        elif share is None:
            total = self._surprise(logits, labels).mean()
        else:
            both = share * self._surprise(logits, labels) + (1 - share) * self._surprise(logits, labels.flip(0))
            total = both.mean()
        return Loss(total, {"cross_entropy": total.detach(), "train_accuracy": correct})

    def _surprise(self, logits: torch.Tensor, labels: Labels) -> torch.Tensor:
        """Of each picture."""
        config, weights = self.config, None
        if config.class_weight:
            weights = class_weights(self.spec.counts, config.class_weight).to(logits.device)
        if config.logit_adjustment:
            logits = logits + logit_offsets(self.spec.counts, config.logit_adjustment).to(logits.device)
        return surprise(logits, labels, config.label_smoothing, weights)

    def classify(self, images: Images) -> torch.Tensor:
        """Logits, n × classes: the mean over the views that the configuration asks for, by the temperature."""
        logits, reach = self._logits(images), self.config.shift_test
        if reach:
            height, width = images.shape[2:]
            padded = F.pad(images, [reach] * 4, mode="reflect")
            for at in (0, 2 * reach):
                logits = logits + self._logits(padded[:, :, at : at + height, at : at + width]) / 2
            logits = logits / 2
        return logits if self.temperature == 1 else logits / self.temperature

    def _logits(self, images: Images) -> torch.Tensor:
        logits = self.network(images)
        if self.config.flip_test:
            logits = (logits + self.network(images.flip(-1))) / 2
        return logits

    def maps(self, images: Images) -> torch.Tensor:
        """The last layer of the network that knows of places, n × channels × h × w."""
        return self.network.maps(images)

    def logits_of_maps(self, maps: torch.Tensor) -> torch.Tensor:
        """Logits, n × classes, of what `maps` gives; of one view and without the temperature."""
        assert self.network.head is not None
        return self.network.head(self.network.pooled(maps))

    def features(self, images: Images) -> torch.Tensor:
        """The input of the last layer, n × features."""
        return self.network.features(images)

    def spatial(self, images: Images) -> torch.Tensor:
        """What the network sees halfway, place by place."""
        return self.network.spatial(images)
