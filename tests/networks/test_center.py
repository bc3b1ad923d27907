import pytest
import torch

from mezzotint.networks.center import CenterConfig
from mezzotint.networks.residual import ResidualConfig
from mezzotint.types import DataSpec

SMALL = CenterConfig(backbone=ResidualConfig(width=8, blocks=(1, 1, 1), fold=4), neck=16)


@pytest.mark.parametrize("side", [(32, 32), (36, 52), (16, 30)])
def test_maps_have_a_cell_for_each_fold_of_pixels(side: tuple[int, int]) -> None:
    spec = DataSpec(3, *side, things=("a", "b", "c"))
    centers, distances = SMALL.build(spec)(torch.zeros(2, *spec.shape))
    cells = -(-side[0] // 4), -(-side[1] // 4)
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
    stages = network.stages(images)
    assert [tuple(stage.shape[1:]) for stage in stages] == [(8, 14, 14), (16, 7, 7), (32, 3, 3)]
    last = stages[-1]
    assert torch.equal(network.features(images), torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1))
