"""Recognition: a network's logits trained by cross-entropy."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from mezzotint.errors import UserError
from mezzotint.method import Method, MethodConfig
from mezzotint.networks.classic import ClassicConfig
from mezzotint.networks.residual import ResidualConfig
from mezzotint.types import Batch, DataSpec, Images, Loss, Phase


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(MethodConfig):
    """Which network recognises, and how certain it is asked to be."""

    network: ClassicConfig | ResidualConfig = ResidualConfig()
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes (Szegedy et al. 2016)."""
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
        return Classifier(self, spec)


class Classifier(Method):
    """One phase, one group: the network."""

    phases = (Phase("fit", trains=("network",)),)

    def __init__(self, config: ClassifierConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.network = config.network.build(spec)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The network alone."""
        return {"network": list(self.network.parameters())}

    def loss(self, batch: Batch, phase: str) -> Loss:
        """Cross-entropy in nats, with label smoothing."""
        assert batch.labels is not None
        logits = self.network(batch.images).float()
        total = F.cross_entropy(logits, batch.labels, label_smoothing=self.config.label_smoothing)
        correct = (logits.detach().argmax(1) == batch.labels).float().mean()
        return Loss(total, {"cross_entropy": total.detach(), "train_accuracy": correct})

    def classify(self, images: Images) -> torch.Tensor:
        """Logits, n × classes: the mean over the views that the configuration asks for."""
        logits, reach = self._logits(images), self.config.shift_test
        if reach:
            height, width = images.shape[2:]
            padded = F.pad(images, [reach] * 4, mode="reflect")
            for at in (0, 2 * reach):
                logits = logits + self._logits(padded[:, :, at : at + height, at : at + width]) / 2
            logits = logits / 2
        return logits

    def _logits(self, images: Images) -> torch.Tensor:
        logits = self.network(images)
        if self.config.flip_test:
            logits = (logits + self.network(images.flip(-1))) / 2
        return logits

    def features(self, images: Images) -> torch.Tensor:
        """The input of the last layer, n × features."""
        return self.network.features(images)

    def spatial(self, images: Images) -> torch.Tensor:
        """What the network sees halfway, place by place."""
        return self.network.spatial(images)
