from dataclasses import replace
from typing import Any

import pytest
import torch

from mezzotint import glance, measure
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import ordered
from mezzotint.methods.vicreg import cropped
from mezzotint.types import Batch, Classifies, Embeds


def test_the_whole_picture_is_itself() -> None:
    images = torch.randn(3, 2, 9, 7, generator=torch.Generator().manual_seed(0))
    # All of the area, sides in the picture's own ratio.
    u = torch.tensor([[1.0, 0.5, 0.2, 0.9]] * 3)
    assert torch.allclose(cropped(images, u, 0.3), images, atol=1e-5)


def test_a_crop_shows_its_part_and_nothing_beyond() -> None:
    """A quarter of the area in a corner of a picture that is a ramp: bilinear sampling of a ramp is the ramp."""
    ramp = torch.linspace(-1, 1, 16).expand(1, 1, 16, 16)
    left = cropped(ramp, torch.tensor([[0.0, 0.5, 0.0, 0.0]]), 0.25)
    right = cropped(ramp, torch.tensor([[0.0, 0.5, 1.0, 0.0]]), 0.25)
    step = 2 / 15
    assert left[0, 0, 0, 0] == pytest.approx(-1, abs=step)
    assert left[0, 0, 0, -1] == pytest.approx(0, abs=step)
    assert right[0, 0, 0, -1] == pytest.approx(1, abs=step)
    assert (left[..., 2:] - left[..., 1:-1])[0, 0, 0] == pytest.approx(step / 2, abs=1e-5)


def test_crops_stay_inside_at_any_numbers() -> None:
    images = torch.rand(500, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = cropped(images, torch.rand(500, 4, generator=torch.Generator().manual_seed(2)), 0.1)
    assert found.shape == images.shape
    assert (found.amax((1, 2, 3)) <= images.amax((1, 2, 3)) + 1e-5).all()
    assert (found.amin((1, 2, 3)) >= images.amin((1, 2, 3)) - 1e-5).all()


@torch.no_grad()
def met_again(method: Any, digits: Dataset) -> float:
    """The share of test pictures of which a view is nearest to another view of the same picture."""
    batch = Batch(next(ordered(digits, "test", 10_000))[0], seed=1)
    views = [method.eval().features(method._view(batch, stream)) for stream in (1, 2)]
    first, second = ((x - x.mean(0)) / (x.std(0) + 1e-3) for x in views)
    return float((torch.cdist(first, second).argmin(1) == torch.arange(len(first))).float().mean())


@pytest.mark.slow
def test_it_learns_classes_that_it_was_never_told(
    digits: Dataset, make_recipe: Any, train_in: Any, tmp_path: Any
) -> None:
    blind = replace(digits, labels=None, classes=())
    recipe = make_recipe("vicreg", steps=150, batch=128)
    untrained = recipe.method.build(digits.spec)
    method = train_in(tmp_path / "run", recipe, dataset=blind).trained()
    assert isinstance(method, Embeds)
    assert not isinstance(method, Classifies)
    card = measure.measure(method, digits)
    assert met_again(method, digits) > 3 * met_again(untrained, digits)
    assert card.scores["neighbor_accuracy"].low > 0.85
    assert "neighbor_accuracy" not in measure.measure(method, blind).scores
    assert card.scores["effective_rank"].value > 5
    assert glance.validation_score(method, blind).name == "effective_rank"
