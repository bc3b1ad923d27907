import pytest
import torch

from mezzotint.losses import foresight
from mezzotint.metrics import distortion

ALL = (foresight.squared, foresight.absolute, foresight.gradient_difference, foresight.structure)


def clips(seed: int, side: int = 14) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, 2, 1, side, side, dtype=torch.float64, generator=generator) * 2 - 1


@pytest.mark.parametrize("loss", ALL)
def test_nothing_is_lost_where_all_is_said_right(loss):
    torch.testing.assert_close(loss(clips(0), clips(0)), torch.zeros(3, dtype=torch.float64))
    assert (loss(clips(0), clips(1)) > 0).all()


@pytest.mark.parametrize("loss", ALL)
def test_gradients(loss):
    came = clips(1, 5)[:1]
    assert torch.autograd.gradcheck(lambda said: loss(said, came), clips(0, 5)[:1].requires_grad_())


@pytest.mark.parametrize("side", [14, 8])
def test_values_are_those_of_the_measures(side):
    said, came = clips(0, side), clips(1, side)
    frames = [x.flatten(0, 1) for x in (said, came)]
    for loss, measure in (
        (foresight.squared(said, came) / 4, distortion.mse),
        (foresight.absolute(said, came) / 2, distortion.mae),
        (1 - foresight.structure(said, came), distortion.ssim),
    ):
        torch.testing.assert_close(loss, measure(*frames).view(3, 2).mean(1))


def test_the_difference_of_gradients_of_an_edge():
    """One edge of height 2 across four of four columns: a slope of 2 in a third of the steps across, none down."""
    flat, edge = torch.zeros(1, 1, 1, 4, 4), torch.zeros(1, 1, 1, 4, 4)
    edge[..., 2:] = 2
    assert foresight.gradient_difference(flat, edge).item() == pytest.approx(2 / 3)
    assert foresight.gradient_difference(edge + 1, edge).item() == 0
