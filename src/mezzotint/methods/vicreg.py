"""Features without labels: two views of a picture must agree, and the features must neither vanish nor repeat."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.data.augment import Augment, augment
from mezzotint.losses import agreement
from mezzotint.method import Method, MethodConfig
from mezzotint.networks.residual import ResidualConfig
from mezzotint.types import Batch, DataSpec, Images, Loss, Phase


@dataclass(frozen=True, kw_only=True)
class VicregConfig(MethodConfig):
    """Which network sees, what two views of a picture may differ in, and what the three terms weigh.

    The weights are those of Bardes, Ponce and LeCun 2022 (section 4.2).
    """

    network: ResidualConfig = ResidualConfig(width=48)
    projector: tuple[int, ...] = (512, 512)
    """Widths of the layers behind the features, which only training uses."""
    views: Augment = Augment(flip=True, color=0.4)
    """What happens to a view beside the crop."""
    smallest_crop: float = 0.3
    """Least share of the picture's area that a view shows."""
    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0

    def build(self, spec: DataSpec) -> "Vicreg":
        """The networks with fresh weights."""
        return Vicreg(self, spec)


class Vicreg(Method):
    """One phase, one group: the network and its projector. Pictures of a batch judge one another."""

    phases = (Phase("fit", trains=("network",)),)

    def __init__(self, config: VicregConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.network = config.network.build(replace(spec, classes=()))
        self.projector = _projector((self.network.width, *config.projector))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """All parameters are one group."""
        return {"network": list(self.parameters())}

    def features(self, images: Images) -> Tensor:
        """What the network sees in each picture, n × features."""
        return self.network.features(images)

    def spatial(self, images: Images) -> Tensor:
        """What the network sees halfway, place by place."""
        return self.network.spatial(images)

    def loss(self, batch: Batch, phase: str) -> Loss:
        """The weighted sum of the three terms for two views of each picture."""
        views = torch.cat([self._view(batch, stream) for stream in (1, 2)])
        first, second = self.projector(self.network.features(views)).float().chunk(2)
        with torch.autocast(views.device.type, enabled=False):  # covariances are differences of large sums
            parts = {
                "invariance": F.mse_loss(first, second),
                "variance": (agreement.variance_hinge(first) + agreement.variance_hinge(second)) / 2,
                "covariance": agreement.covariance_penalty(first) + agreement.covariance_penalty(second),
            }
        total = sum((getattr(self.config, name) * part for name, part in parts.items()), torch.zeros(()))
        return Loss(total, {name: part.detach() for name, part in parts.items()})

    def _view(self, batch: Batch, stream: int) -> Images:
        """A crop of each picture, brought back to its size, and the other changes."""
        u = (1 + torch.erf(batch.normal(4 + self.config.views.numbers, stream=stream).float() / math.sqrt(2))) / 2
        return augment(cropped(batch.images, u[:, :4], self.config.smallest_crop), u[:, 4:], self.config.views)


def cropped(images: Images, u: Tensor, smallest: float) -> Images:
    """A random part of each picture at the picture's size (bilinear), by four uniform numbers in [0, 1) per picture.

    The part has from `smallest` to all of the area, and a ratio of its sides between 3:4 and 4:3 where that fits
    (Szegedy et al. 2015, section 6).
    """
    area = smallest + (1 - smallest) * u[:, 0]
    stretch = (4 / 3) ** (u[:, 1] - 0.5)  # the root of the ratio
    width, height = ((area.sqrt() * s).clamp(max=1) for s in (stretch, 1 / stretch))
    across, down = ((2 * at - 1) * (1 - side) for at, side in ((u[:, 2], width), (u[:, 3], height)))
    none = torch.zeros_like(width)
    rows = torch.stack([torch.stack([width, none, across], 1), torch.stack([none, height, down], 1)], 1)
    grid = F.affine_grid(rows.to(images.dtype), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _projector(widths: tuple[int, ...]) -> nn.Sequential:
    """Linear layers with batch norm and ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1], bias=False))
