import pytest
import torch

from mezzotint.networks.center import CenterConfig
from mezzotint.networks.residual import ResidualConfig
from mezzotint.networks.resnet import ResnetConfig
from mezzotint.types import DataSpec

SMALL = CenterConfig(backbone=ResidualConfig(width=8, blocks=(1, 1, 1), fold=4), neck=16)
RESNETS = (
    ResnetConfig(stem=8, width=8, blocks=(1, 1, 1), reduction=4),
    ResnetConfig(stem=8, width=8, blocks=(1, 2), reduction=2, preactivated=True),
    ResnetConfig(stem=8, width=4, blocks=(1, 1, 1), reduction=1, block="bottleneck"),
)


@pytest.mark.parametrize("config", [SMALL, *(CenterConfig(backbone=backbone, neck=16) for backbone in RESNETS)])
@pytest.mark.parametrize("side", [(32, 32), (36, 52), (16, 30)])
def test_maps_have_a_cell_for_each_fold_of_pixels(config: CenterConfig, side: tuple[int, int]) -> None:
    spec = DataSpec(3, *side, things=("a", "b", "c"))
    network = config.build(spec)
    centers, distances = network(torch.zeros(2, *spec.shape))
    cells = -(-side[0] // network.stride), -(-side[1] // network.stride)
    assert network.stride == config.backbone.cell(spec) == (getattr(config.backbone, "reduction", None) or 4)
    assert centers.shape == (2, 3, *cells)
    assert distances.shape == (2, 4, *cells)
    assert (distances > 0).all()


def test_at_first_nothing_is_likely() -> None:
    torch.manual_seed(0)
    network = SMALL.build(DataSpec(1, 32, 32, things=("a",))).eval()
    centers, _ = network(torch.randn(4, 1, 32, 32))
    assert float(centers.detach().sigmoid().mean()) == pytest.approx(0.1, abs=0.05)


def test_the_stages_of_a_recognizer_end_in_what_its_features_are_made_of() -> None:
    torch.manual_seed(0)
    network = ResidualConfig(width=8, blocks=(1, 2, 1)).build(DataSpec(1, 28, 28, ("a", "b"))).eval()
    images = torch.randn(2, 1, 28, 28)
    stages = network.stage_maps(images)
    assert [tuple(stage.shape[1:]) for stage in stages] == [(8, 14, 14), (16, 7, 7), (32, 3, 3)]
    last = stages[-1]
    assert torch.equal(network.features(images), torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1))


@pytest.mark.parametrize("config", RESNETS, ids=["basic", "preactivated", "bottleneck"])
def test_the_stages_of_a_resnet_end_in_its_maps(config: ResnetConfig) -> None:
    torch.manual_seed(0)
    network = config.build(DataSpec(1, 32, 32, ("a", "b"))).eval()
    images = torch.randn(2, 1, 32, 32)
    stages = network.stage_maps(images)
    assert tuple(stage.shape[1] for stage in stages) == config.stage_widths
    assert [stage.shape[2] for stage in stages] == [
        32 // config.cell(DataSpec(1, 32, 32)) // 2**i for i in range(len(stages))
    ]
    assert torch.equal(stages[-1], network.maps(images))


def test_a_settled_network_is_the_same_for_other_sizes() -> None:
    small, large = DataSpec(1, 28, 28), DataSpec(1, 224, 224)
    for config in (ResidualConfig(), ResnetConfig()):
        assert config.cell(small) < config.cell(large)
        assert config.settled(small).cell(large) == config.cell(small)
