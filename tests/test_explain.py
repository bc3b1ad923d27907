import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mezzotint import explain
from mezzotint.method import Method
from mezzotint.methods.classifier import ClassifierConfig
from mezzotint.networks.classic import ClassicConfig
from mezzotint.networks.convnext import ConvnextConfig
from mezzotint.networks.densenet import DensenetConfig
from mezzotint.networks.residual import ResidualConfig
from mezzotint.networks.resnet import ResnetConfig
from mezzotint.networks.vit import VitConfig
from mezzotint.types import Batch, DataSpec, Loss, ShowsWhere

SPEC = DataSpec(1, 16, 16, ("left", "right"), 10)
NETWORKS = {
    "classic": ClassicConfig(),
    "convnext": ConvnextConfig(width=8, blocks=(1, 1)),
    "densenet": DensenetConfig(growth=4, blocks=(1, 1)),
    "residual": ResidualConfig(width=8),
    "resnet": ResnetConfig(width=8, stem=8, blocks=(1, 1)),
    "vit": VitConfig(width=16, depth=1, heads=2),
}


class Sides(Method):
    """Two maps, the picture on either half of it; the mean of each is its class's logit, five times over."""

    phases, spec = (), SPEC

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {}

    def loss(self, batch: Batch, phase: str) -> Loss:
        raise AssertionError("it is not to be trained")

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        left = torch.zeros_like(images)
        left[:, :, :, : images.shape[3] // 2] = images[:, :, :, : images.shape[3] // 2]
        return torch.cat([left, images - left], 1)

    def logits_of_maps(self, maps: torch.Tensor) -> torch.Tensor:
        return 5 * maps.mean((2, 3))

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits_of_maps(self.maps(images))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return self.maps(images).mean((2, 3))

    spatial = features


def test_grad_cam_by_hand():
    """The slope of a class's logit along its own map is 5 / 256 everywhere, along the other none: the map itself."""
    images = torch.zeros(2, 1, 16, 16)
    images[:, :, 4:8, 2:6] = 1.0
    images[:, :, 4:8, 10:14] = 0.5
    heat = explain.grad_cam(Sides(), images, torch.tensor([0, 1]))
    assert heat.shape == (2, 16, 16)
    torch.testing.assert_close(heat[0], images[0, 0] * (torch.arange(16) < 8))
    torch.testing.assert_close(heat[1], 2 * images[1, 0] * (torch.arange(16) >= 8))


def test_what_speaks_against_a_class_is_left_out():
    images = -torch.ones(1, 1, 16, 16)
    assert explain.grad_cam(Sides(), images, torch.tensor([0])).abs().max() == 0


def test_occlusion_finds_what_the_class_rests_on():
    images = torch.zeros(1, 1, 16, 16)
    images[:, :, 4:8, 2:6] = 1.0
    heat = explain.occlusion(Sides(), images, torch.tensor([0]), side=4)
    assert heat[0, 4:8, 2:6].min() > 0.2
    assert heat.argmax() in [16 * y + x for y in range(4, 8) for x in range(2, 6)]
    assert heat[0, 10:].max() == 0
    assert heat[0, :, 10:].max() == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_shows_where(name):
    torch.manual_seed(0)
    method = ClassifierConfig(network=NETWORKS[name]).build(SPEC).eval().requires_grad_(False)
    assert isinstance(method, ShowsWhere)
    images, labels = torch.rand(3, 1, 16, 16) * 2 - 1, torch.tensor([0, 1, 0])
    torch.testing.assert_close(method.logits_of_maps(method.maps(images)), method.classify(images))
    # A class and the other cannot both lack all evidence where logits differ by maps.
    heats = [explain.grad_cam(method, images, given) for given in (labels, 1 - labels)]
    for heat in heats:
        assert heat.shape == (3, 16, 16)
        assert 0 <= heat.min() <= heat.max() <= 1
    assert max(float(heat.max()) for heat in heats) == pytest.approx(1)
    assert all(p.grad is None for p in method.parameters())


def test_a_learned_corner_is_found(restore_threads):
    """Class 1 has a bright corner: after a little training the heat lies there."""
    torch.manual_seed(0)
    images, labels = 0.3 * torch.randn(64, 1, 16, 16), torch.arange(64) % 2
    images[labels == 1, :, 10:15, 1:6] += 1.5
    method = ClassifierConfig(network=ResnetConfig(width=8, stem=8, blocks=(1, 1))).build(SPEC)
    optimizer = torch.optim.Adam(method.parameters(), 5e-3)
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(method.classify(images), labels).backward()
        optimizer.step()
    method.eval()
    chosen = images[labels == 1]
    for heat in (
        explain.grad_cam(method, chosen, torch.ones(32, dtype=torch.long)).mean(0),
        explain.occlusion(method, chosen, torch.ones(32, dtype=torch.long)).mean(0),
    ):
        inside = heat[9:16, 0:7].mean()
        outside = heat[:8, 8:].mean()
        assert inside > 3 * outside


def test_overlaid_pictures_are_brightest_where_it_is_hot():
    heat = torch.zeros(1, 8, 8)
    heat[0, 2, 3] = 1
    shown = explain.overlaid(-torch.ones(1, 1, 8, 8), heat)
    assert shown.shape == (1, 8, 8, 3)
    assert shown.dtype == np.uint8
    assert shown.sum(3).argmax() == 2 * 8 + 3
    assert shown[0, 0, 0].sum() == 0
